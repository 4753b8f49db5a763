"""Whether the ledger is as it was written: every link of both chains, and every record they tell of."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple, dataclass

from coldchain.ledger.audit import GENESIS, Block, Heads, entries, event_record, heads, link, lost_record, message_link

_EVENTS = """
    SELECT id, kit, limit_id, reason, breached_at_ms, detected_at_ms, profile, profile_version, revision, supported,
           profile_sha256
    FROM event ORDER BY id
"""
_EVENT_REVISIONS = """
    SELECT event_id, kit, limit_id, r.reason, r.breached_at_ms, r.detected_at_ms, profile, profile_version,
           r.revision, r.supported, r.profile_sha256
    FROM event_revision AS r JOIN event ON event.id = event_id ORDER BY event_id, r.revision
"""
_LOST = "SELECT gateway, logger, channel, boot, first, last, after_ms, before_ms FROM lost_reading ORDER BY id"


@dataclass(frozen=True, slots=True)
class AuditFindings:
    """What a verification says: the heads to write down, and one line for each thing wrong."""

    heads: Heads
    problems: tuple[str, ...]


def verify(connection: sqlite3.Connection, anchor: Heads | None = None) -> AuditFindings:
    """Whether both chains are whole, reach the anchor, and agree with the records they tell of."""
    anchor = anchor or Heads()
    told: dict[str, list[str | None]] = defaultdict(list)
    problems = [
        *_broken_audit_links(connection, anchor, told),
        *_broken_message_links(connection, anchor),
        *_records_unlike_the_trail(connection, told),
    ]
    return AuditFindings(heads(connection), tuple(problems))


def _broken_audit_links(
    connection: sqlite3.Connection, anchor: Heads, told: dict[str, list[str | None]]
) -> Iterator[str]:
    seq, last = 0, GENESIS
    anchored = anchor.audit_seq == 0
    for entry in entries(connection):
        if (entry.seq, entry.prev_hash) != (seq + 1, last):
            yield f"audit entry {entry.seq}: does not follow entry {seq}"
        if entry.hash != link(astuple(entry)[:-1]):
            yield f"audit entry {entry.seq}: its content does not match its hash"
        seq, last = entry.seq, entry.hash
        anchored = anchored or (seq, last) == (anchor.audit_seq, anchor.audit_hash)
        told[entry.subject].append(entry.new)
    if not anchored:
        yield f"audit entry {anchor.audit_seq}: the anchored entry is not in the chain"


def _broken_message_links(connection: sqlite3.Connection, anchor: Heads) -> Iterator[str]:
    number, last, anchored = 0, GENESIS, anchor.message_id == 0
    messages = connection.execute(
        "SELECT id, payload, chain_hash, received_ms, source, topic, sha256, status, reason, detail "
        "FROM message ORDER BY id"
    )
    blocks = connection.execute(
        "SELECT message_id, logger, channel, boot, seq, n, first_ms, last_ms, at_ms, temperature_mc, received_ms, "
        "faults FROM reading_block ORDER BY message_id, id"
    )
    block = blocks.fetchone()
    for identity, payload, chain_hash, *fields in messages:
        own = []
        while block is not None and block[0] <= identity:
            if block[0] == identity:
                own.append(Block(*block[1:]))
            else:
                yield f"readings of message {block[0]}: there is no such message"
            block = blocks.fetchone()
        if hashlib.sha256(payload).hexdigest() != fields[3]:
            yield f"message {identity}: its bytes do not match its hash"
        if identity != number + 1 or chain_hash != message_link(last, tuple(fields), own):
            yield f"message {identity}: it, its readings or the message before it were changed"
        number, last = identity, chain_hash
        anchored = anchored or (identity, chain_hash) == (anchor.message_id, anchor.message_hash)
    if block is not None:
        yield f"readings of message {block[0]}: there is no such message"
    if not anchored:
        yield f"message {anchor.message_id}: the anchored message is not in the chain"


def _records_unlike_the_trail(connection: sqlite3.Connection, told: dict[str, list[str | None]]) -> Iterator[str]:
    kept: dict[str, list[str | None]] = defaultdict(list)
    for name, version, content, sha256 in connection.execute(
        "SELECT name, version, content, sha256 FROM registry_file ORDER BY name, version"
    ):
        if hashlib.sha256(content.encode()).hexdigest() != sha256:
            yield f"registry {name} version {version}: its text does not match its hash"
        kept[f"registry {name}"].append(sha256)
    for row in connection.execute(_EVENT_REVISIONS):
        kept[f"event {row[0]}"].append(event_record(*row))
    for row in connection.execute(_EVENTS):
        if kept[f"event {row[0]}"][-1:] != [event_record(*row)]:
            yield f"event {row[0]}: is not its newest revision"
    for row in connection.execute(_LOST):
        kept[f"lost {row[1]}/{row[2]}"].append(lost_record(*row))
    for subject in sorted(kept.keys() | {name for name in told if name.startswith(("event ", "lost ", "registry "))}):
        if kept[subject] != told[subject]:
            yield f"{subject}: is not as the audit trail tells"
