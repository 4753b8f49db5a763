"""Questions to the ledger. Nothing here can write: connections for readers are opened read-only.

A reader never checkpoints, which leaves the write-ahead log to the writers' lock alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coldchain.errors import EnvironmentFailed
from coldchain.ledger.entries import OutboxRow, RegistryFile
from coldchain.model import EarlyWarning, QuarantineEvent, Reason
from coldchain.readings import ReadingBatch


@dataclass(frozen=True, slots=True)
class Status:
    """How the ledger stands. `undelivered` counts alerts, `oldest_undelivered_ms` is when the first was composed."""

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
            connection.execute("PRAGMA query_only = ON")
            yield connection


def batches(connection: sqlite3.Connection) -> Iterator[ReadingBatch]:
    """Every reading, in the order in which it became known."""
    rows = connection.execute(
        "SELECT logger, channel, at_ms, temperature_mc, received_ms, boot, seq, faults FROM reading_block ORDER BY id"
    )
    for logger, channel, at_ms, temperature_mc, received_ms, boot, seq, faults in rows:
        yield ReadingBatch(
            logger=logger,
            channel=channel,
            at_ms=np.frombuffer(at_ms, "<i8").astype(np.int64),
            temperature_mc=np.frombuffer(temperature_mc, "<i4").astype(np.int32),
            received_ms=received_ms,
            boot=boot,
            seq=seq,
            faults={int(position): reason for position, reason in json.loads(faults).items()},
        )


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
        "supported FROM event ORDER BY kit, limit_id, id"
    )
    return tuple(_event(row) for row in rows)


def _event(row: tuple[Any, ...]) -> QuarantineEvent:
    identity, kit, limit, reason, breached_at_ms, detected_at_ms, profile, profile_version, revision, supported = row
    return QuarantineEvent(
        id=identity,
        kit=kit,
        limit=limit,
        reason=Reason(reason),
        breached_at_ms=breached_at_ms,
        detected_at_ms=detected_at_ms,
        profile=profile,
        profile_version=profile_version,
        revision=revision,
        supported=bool(supported),
    )


def event_history(connection: sqlite3.Connection, event_id: str) -> tuple[QuarantineEvent, ...]:
    """Every revision of one event, oldest first."""
    rows = connection.execute(
        "SELECT event_id, kit, limit_id, r.reason, r.breached_at_ms, r.detected_at_ms, profile, profile_version, "
        "r.revision, r.supported FROM event_revision AS r JOIN event ON event.id = event_id "
        "WHERE event_id = ? ORDER BY r.revision",
        (event_id,),
    )
    return tuple(_event(row) for row in rows)


def warnings(connection: sqlite3.Connection) -> tuple[EarlyWarning, ...]:
    """Every early warning, in the order of their ids."""
    rows = connection.execute("SELECT id, kit, limit_id, share FROM warning ORDER BY id")
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
    """The alerts whose next attempt is due, oldest first."""
    rows = connection.execute(
        "SELECT id, idempotency_key, channel, recipient, subject, body, created_ms, attempts FROM outbox "
        "WHERE sent_ms IS NULL AND next_attempt_ms <= ? ORDER BY id",
        (now_ms,),
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
    )
