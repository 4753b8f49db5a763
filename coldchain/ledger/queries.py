"""Questions to the ledger. Nothing here can write: connections for readers are opened read-only.

A reader never checkpoints, which leaves the write-ahead log to the writers' lock alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coldchain.errors import EnvironmentFailed
from coldchain.ledger import schema
from coldchain.ledger.entries import OutboxRow, RegistryFile
from coldchain.model import EarlyWarning, QuarantineEvent, Reason
from coldchain.readings import ChannelKey, Milliseconds, ReadingBatch

LONGEST_RETRY_MS = 300_000
"""How long the next attempt to deliver an alert is put off at most."""


@dataclass(frozen=True, slots=True)
class Status:
    """How the ledger stands. `undelivered` counts alerts, `oldest_undelivered_ms` is when the first was composed.

    `waiting`: messages beyond their gateway's limit that are not read yet; `lost_gaps`: how often readings were asked
    for in vain.
    """

    messages: int
    rejected: int
    readings: int
    last_received_ms: int | None
    events: int
    warnings: int
    verdicts: dict[str, int]
    undelivered: int
    oldest_undelivered_ms: int | None
    last_delivery_error: str
    registry_files: int
    waiting: int
    lost_gaps: int


@dataclass(frozen=True, slots=True)
class RejectedMessage:
    """A message that no decoder could read."""

    id: int
    received_ms: int
    source: str
    topic: str
    reason: str
    detail: str
    payload: bytes


@contextmanager
def trouble_with(path: Path) -> Iterator[None]:
    """Turn what SQLite or the disk raises into EnvironmentFailed, one line that names the ledger."""
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise EnvironmentFailed(f"ledger {path}", " ".join(str(exc).split())) from exc


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection for the functions of this module; EnvironmentFailed if there is no such ledger."""
    with trouble_with(path):
        if not path.is_file():
            raise EnvironmentFailed(f"ledger {path}", "there is no such file")
        address = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=30)) as connection:
            schema.show_as_migrated(connection)
            connection.execute("PRAGMA query_only = ON")
            yield connection


_COLUMNS = "logger, channel, n, first_ms, last_ms, at_ms, temperature_mc, received_ms, boot, seq, faults"
_READINGS = f"SELECT {_COLUMNS} FROM reading_block"  # noqa: S608 (a constant)


def batches(connection: sqlite3.Connection, after: int = 0) -> Iterator[ReadingBatch]:
    """Every reading, in the order in which it became known; only those `after` a position."""
    yield from map(_batch, connection.execute(f"{_READINGS} WHERE id > ? ORDER BY id", (after,)))


def channel_batches(connection: sqlite3.Connection, key: ChannelKey) -> Iterator[ReadingBatch]:
    """Every reading of one channel, in the order in which it became known."""
    yield from map(_batch, connection.execute(f"{_READINGS} WHERE logger = ? AND channel = ? ORDER BY id", key))


def _batch(row: tuple[Any, ...]) -> ReadingBatch:
    logger, channel, n, first_ms, last_ms, at_ms, temperature_mc, received_ms, boot, seq, faults = row
    return ReadingBatch(
        logger=logger,
        channel=channel,
        at_ms=np.frombuffer(at_ms, "<i8").astype(np.int64) if at_ms else _even(n, first_ms, last_ms),
        temperature_mc=np.frombuffer(temperature_mc, "<i4").astype(np.int32),
        received_ms=received_ms,
        boot=boot,
        seq=seq,
        faults={int(n): reason for n, reason in json.loads(faults).items()} if faults != "{}" else {},
    )


def _even(n: int, first_ms: int, last_ms: int) -> Milliseconds:
    """A reading at every equal step from the first to the last instant."""
    return first_ms + (last_ms - first_ms) // max(n - 1, 1) * np.arange(n, dtype=np.int64)


def position(connection: sqlite3.Connection) -> int:
    """Up to where the readings are stored: the id of the last block, 0 if there is none."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM reading_block").fetchone()[0])


def checkpoint(connection: sqlite3.Connection) -> tuple[int, str] | None:
    """Position and SHA-256 of the last checkpoint that was written."""
    row = connection.execute("SELECT position, sha256 FROM checkpoint ORDER BY id DESC LIMIT 1").fetchone()
    return (int(row[0]), str(row[1])) if row else None


def message_topics(connection: sqlite3.Connection, prefix: str) -> Iterator[tuple[int, str]]:
    """Id and topic of every MQTT message below a prefix that ends in "/", in the order of arrival."""
    rows = connection.execute(
        "SELECT id, topic FROM message WHERE source = 'mqtt' AND topic >= ? AND topic < ? ORDER BY id",
        (prefix, prefix[:-1] + chr(ord("/") + 1)),
    )
    for number, topic in rows:
        yield int(number), str(topic)


def raw_message(connection: sqlite3.Connection, number: int) -> tuple[int, str, bytes]:
    """When a message arrived, its topic and its bytes."""
    received_ms, topic, payload = connection.execute(
        "SELECT received_ms, topic, payload FROM message WHERE id = ?", (number,)
    ).fetchone()
    return int(received_ms), str(topic), bytes(payload)


def events(connection: sqlite3.Connection) -> tuple[QuarantineEvent, ...]:
    """The latest revision of every quarantine event, by kit, then limit."""
    rows = connection.execute(
        "SELECT id, kit, limit_id, reason, breached_at_ms, detected_at_ms, profile, profile_version, revision, "
        "supported, profile_sha256 FROM event ORDER BY kit, limit_id, id"
    )
    return tuple(_event(row) for row in rows)


def _event(row: tuple[Any, ...]) -> QuarantineEvent:
    """An event from columns in the order of its fields."""
    identity, kit, limit, reason, breached_at_ms, detected_at_ms, profile, version, revision, supported, sha256 = row
    return QuarantineEvent(
        id=identity,
        kit=kit,
        limit=limit,
        reason=Reason(reason),
        breached_at_ms=breached_at_ms,
        detected_at_ms=detected_at_ms,
        profile=profile,
        profile_version=version,
        revision=revision,
        supported=bool(supported),
        profile_sha256=sha256,
    )


def event_history(connection: sqlite3.Connection, event_id: str) -> tuple[QuarantineEvent, ...]:
    """Every revision of one event, oldest first."""
    rows = connection.execute(
        "SELECT event_id, kit, limit_id, r.reason, r.breached_at_ms, r.detected_at_ms, profile, profile_version, "
        "r.revision, r.supported, r.profile_sha256 FROM event_revision AS r JOIN event ON event.id = event_id "
        "WHERE event_id = ? ORDER BY r.revision",
        (event_id,),
    )
    return tuple(_event(row) for row in rows)


def warnings(connection: sqlite3.Connection) -> tuple[EarlyWarning, ...]:
    """Every early warning, in the order of their ids."""
    rows = connection.execute("SELECT id, kit, limit_id, share, profile_sha256 FROM warning ORDER BY id")
    return tuple(EarlyWarning(*row) for row in rows)


def assessments(connection: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    """The latest assessment of every kit group as plain values, by group id."""
    rows = connection.execute("SELECT group_id, body FROM assessment ORDER BY group_id")
    return {group: json.loads(body) for group, body in rows}


def registry_files(connection: sqlite3.Connection) -> tuple[RegistryFile, ...]:
    """The current registry: the newest version of every file, by name."""
    rows = connection.execute(
        "SELECT name, version, loaded_ms, who, sha256, content FROM registry_file AS r WHERE version = "
        "(SELECT max(version) FROM registry_file WHERE name = r.name) ORDER BY name"
    )
    return tuple(RegistryFile(*row) for row in rows)


def rejected(connection: sqlite3.Connection, limit: int = 100) -> tuple[RejectedMessage, ...]:
    """The newest rejected messages with their raw bytes, newest first."""
    rows = connection.execute(
        "SELECT id, received_ms, source, topic, reason, detail, payload FROM message WHERE status = 'rejected' "
        "ORDER BY received_ms DESC, id DESC LIMIT ?",
        (limit,),
    )
    return tuple(RejectedMessage(*row) for row in rows)


def due_alerts(connection: sqlite3.Connection, now_ms: int) -> tuple[OutboxRow, ...]:
    """The alerts whose next attempt is due, oldest first.

    No attempt is ever put off by more than `LONGEST_RETRY_MS`: one that seems to be was noted by a clock that has been
    set back since, and is due too.
    """
    rows = connection.execute(
        "SELECT id, idempotency_key, channel, recipient, subject, body, created_ms, attempts FROM outbox "
        "WHERE sent_ms IS NULL AND (next_attempt_ms <= ? OR next_attempt_ms > ?) ORDER BY id",
        (now_ms, now_ms + LONGEST_RETRY_MS),
    )
    return tuple(OutboxRow(*row) for row in rows)


def status(connection: sqlite3.Connection) -> Status:
    """The figures of `coldchain status`."""

    def row(query: str) -> Any:
        return connection.execute(query).fetchone()

    messages, last_received_ms = row("SELECT count(*), max(received_ms) FROM message")
    undelivered, oldest = row("SELECT count(*), min(created_ms) FROM outbox WHERE sent_ms IS NULL")
    error = row("SELECT last_error FROM outbox WHERE sent_ms IS NULL AND last_error <> '' ORDER BY id DESC LIMIT 1")
    return Status(
        messages=messages,
        rejected=row("SELECT count(*) FROM message WHERE status = 'rejected'")[0],
        readings=row("SELECT coalesce(sum(n), 0) FROM reading_block")[0],
        last_received_ms=last_received_ms,
        events=row("SELECT count(*) FROM event")[0],
        warnings=row("SELECT count(*) FROM warning")[0],
        verdicts=dict(connection.execute("SELECT verdict, count(*) FROM assessment GROUP BY verdict ORDER BY verdict")),
        undelivered=undelivered,
        oldest_undelivered_ms=oldest,
        last_delivery_error=error[0] if error else "",
        registry_files=row("SELECT count(DISTINCT name) FROM registry_file")[0],
        waiting=row("SELECT count(*) FROM waiting")[0],
        lost_gaps=row("SELECT count(*) FROM lost_reading")[0],
    )


@dataclass(frozen=True, slots=True)
class Ends:
    """The newest reading block and the newest audit entry; 0 for none."""

    block: int
    audit: int


def ends(connection: sqlite3.Connection) -> Ends:
    """How far the ledger reaches: what a reader by cursor has still to read."""
    row = connection.execute(
        "SELECT (SELECT coalesce(max(id), 0) FROM reading_block), (SELECT coalesce(max(seq), 0) FROM audit)"
    ).fetchone()
    return Ends(*row)


_BLOCK = f"SELECT id, {_COLUMNS} FROM reading_block"  # noqa: S608 (a constant)


def blocks_after(
    connection: sqlite3.Connection, block: int, up_to_block: int, most_blocks: int
) -> list[tuple[int, ReadingBatch]]:
    """The first blocks of readings after one, up to another, with their ids."""
    rows = connection.execute(
        f"{_BLOCK} WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", (block, up_to_block, most_blocks)
    )
    return [(identity, _batch(row)) for identity, *row in rows]


def blocks_between(
    connection: sqlite3.Connection,
    logger: str,
    channel: str,
    from_ms: int,
    to_ms: int,
    *,
    up_to_block: int,
    longest_ms: int,
    longer: Collection[int] = (),
) -> list[tuple[int, ReadingBatch]]:
    """The blocks of a channel that may have readings in `(from_ms, to_ms]`, in the order in which they became known.

    Found by the index on their first reading: of blocks up to `longest_ms` long all, of longer ones those whose ids are
    given as `longer`.
    """
    found = [
        (row[0], _batch(row[1:]))
        for row in connection.execute(
            f"{_BLOCK} WHERE logger = ? AND channel = ? AND first_ms > ? AND first_ms <= ? AND last_ms > ? "
            "AND id <= ? ORDER BY id",
            (logger, channel, from_ms - longest_ms, to_ms, from_ms, up_to_block),
        )
    ]
    missing = set(longer) - {identity for identity, _ in found}
    for identity in missing:
        row = connection.execute(f"{_BLOCK} WHERE id = ?", (identity,)).fetchone()
        found.append((row[0], _batch(row[1:])))
    return sorted(found, key=lambda pair: pair[0]) if missing else found


def longer_blocks(
    connection: sqlite3.Connection, after_block: int, up_to_block: int, longer_than_ms: int
) -> list[tuple[int, str, str, int, int]]:
    """(id, logger, channel, first_ms, last_ms) of the blocks that span more than `longer_than_ms`."""
    return connection.execute(
        "SELECT id, logger, channel, first_ms, last_ms FROM reading_block WHERE id > ? AND id <= ? "
        "AND last_ms - first_ms > ? ORDER BY id",
        (after_block, up_to_block, longer_than_ms),
    ).fetchall()


def channel_ranges(
    connection: sqlite3.Connection, after_block: int = 0, up_to_block: int = 2**62, since_ms: int = 0
) -> list[tuple[str, str, int, int]]:
    """(logger, channel, first_ms, last_ms) of the readings of each channel between two blocks, in order.

    Blocks that end before `since_ms` do not count.
    """
    return connection.execute(
        "SELECT logger, channel, min(first_ms), max(last_ms) FROM reading_block WHERE id > ? AND id <= ? "
        "AND last_ms >= ? GROUP BY logger, channel ORDER BY logger, channel",
        (after_block, up_to_block, since_ms),
    ).fetchall()


def chain_hash_of_block(connection: sqlite3.Connection, block: int) -> str:
    """The chain hash of the message that holds a block; empty if there is no such block."""
    row = connection.execute(
        "SELECT chain_hash FROM message WHERE id = (SELECT message_id FROM reading_block WHERE id = ?)", (block,)
    ).fetchone()
    return row[0] if row else ""


def audit_between(connection: sqlite3.Connection, after: int, up_to: int) -> list[tuple[Any, ...]]:
    """(seq, at_ms, who, role, action, subject, old, new, reason) of the audit entries after one, up to another."""
    return connection.execute(
        "SELECT seq, at_ms, who, role, action, subject, old, new, reason FROM audit "
        "WHERE seq > ? AND seq <= ? ORDER BY seq",
        (after, up_to),
    ).fetchall()


def assessments_since(connection: sqlite3.Connection, updated_ms: int) -> list[tuple[str, int, str]]:
    """The assessments written at or after an instant, in the order of the groups: (group id, when, JSON)."""
    return connection.execute(
        "SELECT group_id, updated_ms, body FROM assessment WHERE updated_ms >= ? ORDER BY group_id", (updated_ms,)
    ).fetchall()


def open_quarantines(connection: sqlite3.Connection) -> int:
    """How many kits are on hold: software never lets one go, so every kit that has an event."""
    return int(connection.execute("SELECT count(DISTINCT kit) FROM event").fetchone()[0])


def undelivered(connection: sqlite3.Connection) -> int:
    """How many alerts wait in the outbox."""
    return int(connection.execute("SELECT count(*) FROM outbox WHERE sent_ms IS NULL").fetchone()[0])


def received_after(connection: sqlite3.Connection, block: int) -> int | None:
    """When the first message with readings after a block was received [ms]; None if there is none."""
    row = connection.execute(
        "SELECT received_ms FROM message WHERE id = "
        "(SELECT message_id FROM reading_block WHERE id > ? ORDER BY id LIMIT 1)",
        (block,),
    ).fetchone()
    return row[0] if row else None
