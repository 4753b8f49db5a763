"""How each thing that a step found is written. Every function runs inside the caller's transaction."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import orjson

from coldchain.ledger import audit
from coldchain.ledger.entries import Alert, Message
from coldchain.model import Assessment, EarlyWarning, QuarantineEvent
from coldchain.readings import ReadingBatch


def write_messages(connection: sqlite3.Connection, messages: Sequence[Message], fresh: Sequence[ReadingBatch]) -> None:
    """Raw messages and the readings that were new in them, each link of the chain over both."""
    owners = [position for position, message in enumerate(messages) for _ in message.batches]
    blocks: list[list[tuple[Any, ...]]] = [[] for _ in messages]
    for owner, batch in zip(owners, fresh, strict=True):
        if len(batch):
            blocks[owner].append(_block(batch))
    heads = audit.heads(connection)
    before, rows = heads.message_hash, []
    block_rows: list[tuple[Any, ...]] = []
    for number, (message, own) in enumerate(zip(messages, blocks, strict=True), start=heads.message_id + 1):
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
    connection.executemany(
        "INSERT INTO message (id, received_ms, source, topic, sha256, status, reason, detail, payload, chain_hash) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    connection.executemany(
        "INSERT INTO reading_block (message_id, logger, channel, boot, seq, n, first_ms, last_ms, at_ms, "
        "temperature_mc, received_ms, faults) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        block_rows,
    )


def _block(batch: ReadingBatch) -> tuple[Any, ...]:
    return (
        batch.logger,
        batch.channel,
        batch.boot,
        batch.seq,
        len(batch),
        int(batch.at_ms.min()),
        int(batch.at_ms.max()),
        batch.at_ms.astype(np.dtype("<i8")).tobytes(),
        batch.temperature_mc.astype(np.dtype("<i4")).tobytes(),
        batch.received_ms,
        _faults(batch.faults) if batch.faults else "{}",
    )


def _faults(faults: Mapping[int, str]) -> str:
    return json.dumps({str(position): reason for position, reason in sorted(faults.items())})


def _text(text: str) -> str:
    """Text that UTF-8 can hold: a lone surrogate from a hostile payload must not stop a commit."""
    return text.encode("utf-8", "backslashreplace").decode()


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
