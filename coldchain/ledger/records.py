"""How each thing that a step found is written. Every function runs inside the caller's transaction."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from coldchain.ledger import audit
from coldchain.ledger.audit import Block
from coldchain.ledger.entries import Alert, Message
from coldchain.model import Assessment, EarlyWarning, QuarantineEvent
from coldchain.readings import Milliseconds, ReadingBatch

ROWS_AT_ONCE = 16
READINGS_AT_ONCE = 8192
"""So many readings are looked at together: many small columns at the price of one, and none out of the cache."""


def write_messages(connection: sqlite3.Connection, messages: Sequence[Message], fresh: Sequence[ReadingBatch]) -> None:
    """Raw messages and the readings that were new in them, each link of the chain over both."""
    heads = audit.heads(connection)
    before = heads.message_hash
    rows: list[tuple[Any, ...]] = []
    block_rows: list[tuple[Any, ...]] = []
    if sum(len(message.batches) for message in messages) != len(fresh):
        raise ValueError("what is fresh is not aligned with the batches of the messages")
    blocks, at = _blocks(fresh), 0
    for number, message in enumerate(messages, start=heads.message_id + 1):
        own = [block for block in blocks[at : at + len(message.batches)] if block is not None]
        at += len(message.batches)
        fields = (
            message.received_ms,
            message.source,
            _text(message.topic),
            hashlib.sha256(message.payload).hexdigest(),
            message.status,
            _text(message.reason),
            _text(message.detail),
        )
        before = audit.message_link(before, fields, own)
        rows.append((number, *fields, message.payload, before))
        block_rows += [(number, *block) for block in own]
    insert_many(
        connection,
        "INSERT INTO message (id, received_ms, source, topic, sha256, status, reason, detail, payload, chain_hash)",
        rows,
    )
    insert_many(
        connection,
        "INSERT INTO reading_block (message_id, logger, channel, boot, seq, n, first_ms, last_ms, at_ms, "
        "temperature_mc, received_ms, faults)",
        block_rows,
    )


def insert_many(
    connection: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]], otherwise: str = ""
) -> None:
    """Insert rows, in their order, many with one statement; `otherwise`: what to do with one that is there already.

    Other threads may run at every statement and are waited for after it.
    """
    if not rows:
        return
    one = f"({', '.join('?' * len(rows[0]))})"
    whole = len(rows) // ROWS_AT_ONCE * ROWS_AT_ONCE
    many = (chain.from_iterable(rows[n : n + ROWS_AT_ONCE]) for n in range(0, whole, ROWS_AT_ONCE))
    connection.executemany(f"{into} VALUES {', '.join([one] * ROWS_AT_ONCE)} {otherwise}", map(tuple, many))
    connection.executemany(f"{into} VALUES {one} {otherwise}", rows[whole:])


def _blocks(batches: Sequence[ReadingBatch]) -> list[Block | None]:
    """Of each batch its row, None if it is empty. The columns of many are looked at together."""
    blocks: list[Block | None] = []
    part, readings = [], 0
    for batch in batches:
        part.append(batch)
        readings += len(batch.at_ms)
        if readings >= READINGS_AT_ONCE:
            blocks += _blocks_of_part(part)
            part, readings = [], 0
    return blocks + _blocks_of_part(part)


def _blocks_of_part(batches: Sequence[ReadingBatch]) -> list[Block | None]:
    lengths = [len(batch.at_ms) for batch in batches]
    filled = [batch for batch, n in zip(batches, lengths, strict=True) if n]
    if not filled:
        return [None] * len(batches)
    at_ms = np.concatenate([batch.at_ms for batch in filled])
    spans = iter(_spans(at_ms, np.array([n for n in lengths if n])))
    return [_block(batch, n, *next(spans)) if n else None for batch, n in zip(batches, lengths, strict=True)]


def _spans(at_ms: Milliseconds, lengths: NDArray[np.int64]) -> Iterable[tuple[int, int, bool]]:
    """Of columns one after the other: the earliest and the latest instant of each [ms], and whether it is what these
    two and its length say, a reading at every equal step in between."""
    begins = np.cumsum(lengths) - lengths
    first, last = np.minimum.reduceat(at_ms, begins), np.maximum.reduceat(at_ms, begins)
    step = (last - first) // np.maximum(lengths - 1, 1)
    follows = np.empty(len(at_ms), np.bool_)
    np.equal(at_ms[1:] - at_ms[:-1], np.repeat(step, lengths)[1:], out=follows[1:])
    follows[begins] = True
    # with no step back the first is the earliest and the last the latest
    is_even = np.logical_and.reduceat(follows, begins)
    return zip(first.tolist(), last.tolist(), is_even.tolist(), strict=True)


def _block(batch: ReadingBatch, n: int, first_ms: int, last_ms: int, is_even: bool) -> Block:
    return Block(
        batch.logger,
        batch.channel,
        batch.boot,
        batch.seq,
        n,
        first_ms,
        last_ms,
        b"" if is_even else batch.at_ms.astype("<i8", copy=False).tobytes(),
        batch.temperature_mc.astype("<i4", copy=False).tobytes(),
        batch.received_ms,
        _faults(batch.faults) if batch.faults else "{}",
    )


def _faults(faults: Mapping[int, str]) -> str:
    return json.dumps({str(position): reason for position, reason in sorted(faults.items())})


def _text(text: str) -> str:
    """Text that UTF-8 can hold: a lone surrogate from a hostile payload must not stop a commit."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def write_assessments(connection: sqlite3.Connection, assessments: Mapping[str, Assessment], now_ms: int) -> None:
    """The latest assessment of each kit group."""
    connection.executemany(
        "INSERT INTO assessment (group_id, verdict, body, as_of_ms, updated_ms) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (group_id) DO UPDATE SET verdict = excluded.verdict, body = excluded.body, "
        "as_of_ms = excluded.as_of_ms, updated_ms = excluded.updated_ms",
        [
            (group, found.verdict.value, orjson.dumps(found).decode(), found.as_of_ms, now_ms)
            for group, found in assessments.items()
        ],
    )


def write_events(connection: sqlite3.Connection, events: Iterable[QuarantineEvent], now_ms: int) -> None:
    """Quarantine events, their revisions and the audit entries; an event that is already there as it is stays."""
    for event in events:
        row = (
            event.id,
            event.kit,
            event.limit,
            event.reason.value,
            event.breached_at_ms,
            event.detected_at_ms,
            event.profile,
            event.profile_version,
            event.revision,
            event.supported,
            event.profile_sha256,
        )
        old = connection.execute(
            "SELECT id, kit, limit_id, reason, breached_at_ms, detected_at_ms, profile, profile_version, revision, "
            "supported, profile_sha256 FROM event WHERE id = ?",
            (event.id,),
        ).fetchone()
        if old == row:
            continue
        connection.execute(
            "INSERT INTO event (id, kit, limit_id, reason, breached_at_ms, detected_at_ms, profile, profile_version, "
            "revision, supported, profile_sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET "
            "kit = excluded.kit, limit_id = excluded.limit_id, reason = excluded.reason, "
            "breached_at_ms = excluded.breached_at_ms, detected_at_ms = excluded.detected_at_ms, "
            "revision = excluded.revision, supported = excluded.supported, profile_sha256 = excluded.profile_sha256",
            row,
        )
        connection.execute(
            "INSERT INTO event_revision (event_id, revision, reason, breached_at_ms, detected_at_ms, supported, "
            "profile_sha256, written_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*row[:1], row[8], *row[3:6], *row[9:], now_ms),
        )
        audit.append(
            connection,
            at_ms=now_ms,
            who=audit.SYSTEM,
            role="system",
            action="quarantine.revised" if old else "quarantine.raised",
            subject=f"event {event.id}",
            old=audit.event_record(*old) if old else None,
            new=audit.event_record(*row),
            reason="the evidence changed" if old else f"a quarantine limit was breached ({event.reason.value})",
        )


def write_warnings(connection: sqlite3.Connection, warnings: Iterable[EarlyWarning], now_ms: int) -> None:
    """Early warnings; each is raised once."""
    connection.executemany(
        "INSERT INTO warning (id, kit, limit_id, share, profile_sha256, reached_ms) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (id) DO NOTHING",
        [(*astuple(warning), now_ms) for warning in warnings],
    )


def write_alerts(connection: sqlite3.Connection, alerts: Iterable[Alert], now_ms: int) -> None:
    """What has to be told; an alert whose key is already there has been told or will be."""
    for alert in alerts:
        row = connection.execute(
            "INSERT INTO outbox (idempotency_key, channel, recipient, subject, body, created_ms, next_attempt_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (idempotency_key) DO NOTHING RETURNING id",
            (alert.key, alert.channel, alert.recipient, alert.subject, alert.body, now_ms, now_ms),
        ).fetchone()
        if row is not None:
            connection.executemany(
                "INSERT INTO outbox_cause (outbox_id, cause_id, revision, channel, recipient) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (cause_id, revision, channel, recipient) DO NOTHING",
                [(row[0], cause, revision, alert.channel, alert.recipient) for cause, revision in alert.causes],
            )
