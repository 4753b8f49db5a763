"""The audit trail: who did what, when and why, each entry chained to the one before it by SHA-256.

A changed entry breaks its own hash, a removed one the link of the next. Messages form a second chain of the same kind,
each link over the raw bytes and the readings taken from them. Removing the newest links leaves a chain that is whole
but shorter, which is why the heads can be written down outside and checked against (`Heads`).
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import orjson

GENESIS = "0" * 64
"""What the first link of a chain links to."""

SYSTEM = "coldchain"
"""Who, where the software itself acts."""

compact_json = json.JSONEncoder(separators=(",", ":")).encode


class Block(NamedTuple):
    """A row of `reading_block` behind its `id` and `message_id`: readings that were new in one message, as columns."""

    logger: str
    channel: str
    boot: int | None
    seq: int | None
    n: int
    first_ms: int
    last_ms: int
    at_ms: bytes
    temperature_mc: bytes
    received_ms: int | None
    faults: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act. `old`, `new`: the record before and after it, as JSON or a hash; None where there is none."""

    seq: int
    at_ms: int
    who: str
    role: str
    action: str
    subject: str
    old: str | None
    new: str | None
    reason: str
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Heads:
    """The newest link of both chains: enough to notice later that anything up to it was changed or removed."""

    audit_seq: int = 0
    audit_hash: str = GENESIS
    message_id: int = 0
    message_hash: str = GENESIS


def link(values: Iterable[object]) -> str:
    """SHA-256 of texts, integers and None in their order as compact ASCII JSON: anyone can recompute it."""
    return hashlib.sha256(_compact(list(values))).hexdigest()


def _compact(values: list[object]) -> bytes:
    # orjson writes the same bytes in a fifth of the time, except that it escapes nothing beyond printable ASCII
    try:
        text = orjson.dumps(values)
    except orjson.JSONEncodeError:
        text = b"\x7f"
    return text if text.isascii() and b"\x7f" not in text else compact_json(values).encode("ascii")


def heads(connection: sqlite3.Connection) -> Heads:
    """The newest link of both chains."""
    entry = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    message = connection.execute("SELECT id, chain_hash FROM message ORDER BY id DESC LIMIT 1").fetchone()
    return Heads(*(entry or (0, GENESIS)), *(message or (0, GENESIS)))


def append(
    connection: sqlite3.Connection,
    *,
    at_ms: int,
    who: str,
    role: str,
    action: str,
    subject: str,
    reason: str,
    old: str | None = None,
    new: str | None = None,
) -> None:
    """Add one entry, inside the transaction of the act it tells of."""
    last = heads(connection)
    values = (last.audit_seq + 1, at_ms, who, role, action, subject, old, new, reason, last.audit_hash)
    connection.execute(
        "INSERT INTO audit (seq, at_ms, who, role, action, subject, old, new, reason, prev_hash, hash) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*values, link(values)),
    )


def entries(connection: sqlite3.Connection) -> Iterator[AuditEntry]:
    """Every entry, oldest first."""
    rows = connection.execute(
        "SELECT seq, at_ms, who, role, action, subject, old, new, reason, prev_hash, hash FROM audit ORDER BY seq"
    )
    return (AuditEntry(*row) for row in rows)


def message_link(before: str, message: tuple[int, str, str, str, str, str, str], blocks: Iterable[Block]) -> str:
    """The chain hash of a message: (received_ms, source, topic, sha256, status, reason, detail) and its readings, the
    two columns of each block as their hashes."""
    sha256 = hashlib.sha256
    columns = [
        [*block[:7], sha256(block.at_ms).hexdigest(), sha256(block.temperature_mc).hexdigest(), *block[9:]]
        for block in blocks
    ]
    return link((before, *message, *columns))


def lost_record(*row: str | int) -> str:
    """A lost reading as audit entries tell of it: columns gateway to before_ms."""
    return json.dumps(row, separators=(",", ":"))


def event_record(
    event_id: str,
    kit: str,
    limit: str,
    reason: str,
    breached_at_ms: int,
    detected_at_ms: int,
    profile: str,
    profile_version: int | None,
    revision: int,
    supported: bool,
    profile_sha256: str | None,
) -> str:
    """One revision of a quarantine event as the audit trail tells of it.

    Without `profile_sha256` (None) the key is left out: so wrote the release that did not keep it, and what it wrote
    has to compare equal for ever.
    """
    record = {
        "id": event_id,
        "kit": kit,
        "limit": limit,
        "reason": reason,
        "breached_at_ms": breached_at_ms,
        "detected_at_ms": detected_at_ms,
        "profile": profile,
        "profile_version": profile_version,
        "revision": revision,
        "supported": bool(supported),
    }
    if profile_sha256 is not None:
        record["profile_sha256"] = profile_sha256
    return json.dumps(record, separators=(",", ":"))
