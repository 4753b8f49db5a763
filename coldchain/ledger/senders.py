"""What the ledger knows of those who send: the numbers that are stored of gateways' counters, those that were asked for
in vain, and the messages that wait to be read."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping

from coldchain.ledger import audit
from coldchain.ledger.entries import LostReading, Waiting
from coldchain.ledger.records import insert_many
from coldchain.readings import ChannelKey, Lost
from coldchain.sequence import Counter, Gap, Run, Runs

# DISTINCT would read every row of the index; this reads one for each sender.
_SENDERS = """
    WITH RECURSIVE found (sender) AS (
        SELECT min(sender) FROM waiting
        UNION ALL SELECT (SELECT min(sender) FROM waiting WHERE sender > found.sender) FROM found
        WHERE found.sender IS NOT NULL
    )
    SELECT sender FROM found WHERE sender IS NOT NULL
"""


def write_counters(connection: sqlite3.Connection, counters: Mapping[Counter, Runs]) -> None:
    """Which numbers of gateways' counters are stored."""
    insert_many(
        connection,
        "INSERT INTO counter (gateway, logger, channel, boot, runs, has_gaps)",
        [(*counter, audit.compact_json(runs), len(runs) > 1) for counter, runs in counters.items()],
        "ON CONFLICT (gateway, logger, channel, boot) DO UPDATE SET runs = excluded.runs, has_gaps = excluded.has_gaps",
    )


def write_waiting(connection: sqlite3.Connection, more: Iterable[Waiting], done: Iterable[Waiting]) -> None:
    """Keep messages that have to wait, and let go those that are written as messages in the same transaction."""
    connection.executemany(
        "INSERT INTO waiting (sender, received_ms, topic, payload) VALUES (?, ?, ?, ?)", [each[1:] for each in more]
    )
    connection.executemany("DELETE FROM waiting WHERE id = ?", [(each.id,) for each in done])


def write_lost_readings(connection: sqlite3.Connection, lost: Iterable[LostReading], now_ms: int) -> None:
    """What gateways were asked for in vain, with the audit entries: verdicts depend on it."""
    for counter, gap in lost:
        is_new = connection.execute(
            "INSERT INTO lost_reading (noted_ms, gateway, logger, channel, boot, first, last, after_ms, before_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            (now_ms, *counter, *gap),
        ).fetchone()
        if is_new is not None:
            audit.append(
                connection,
                at_ms=now_ms,
                who=audit.SYSTEM,
                role="system",
                action="readings.lost",
                subject=f"lost {counter.logger}/{counter.channel}",
                old=None,
                new=audit.lost_record(*counter, *gap),
                reason="the gateway was asked for these numbers and has not sent them",
            )


def runs_of(connection: sqlite3.Connection, counter: Counter) -> Runs:
    """The numbers of a counter that are stored."""
    row = connection.execute(
        "SELECT runs FROM counter WHERE gateway = ? AND logger = ? AND channel = ? AND boot = ?", counter
    ).fetchone()
    return _runs(row[0]) if row else ()


def counters_with_gaps(connection: sqlite3.Connection) -> dict[Counter, Runs]:
    """The counters of which numbers are missing."""
    rows = connection.execute("SELECT gateway, logger, channel, boot, runs FROM counter WHERE has_gaps")
    return {Counter(*identity): _runs(runs) for *identity, runs in rows}


def _runs(text: str) -> Runs:
    return tuple(Run(*run) for run in json.loads(text))


def lost_readings(connection: sqlite3.Connection) -> tuple[LostReading, ...]:
    """What gateways were asked for in vain, in the order in which it was noted."""
    rows = connection.execute(
        "SELECT gateway, logger, channel, boot, first, last, after_ms, before_ms FROM lost_reading ORDER BY id"
    )
    return tuple(LostReading(Counter(*row[:4]), Gap(*row[4:])) for row in rows)


def lost_by_channel(connection: sqlite3.Connection) -> dict[ChannelKey, set[Lost]]:
    """The same as the core takes it."""
    found: dict[ChannelKey, set[Lost]] = defaultdict(set)
    for counter, gap in lost_readings(connection):
        found[ChannelKey(counter.logger, counter.channel)].add(gap.lost)
    return dict(found)


def waiting(connection: sqlite3.Connection, most: int) -> tuple[Waiting, ...]:
    """The messages whose turn it is: of every sender the same share of `most`, oldest first."""
    senders = [row[0] for row in connection.execute(_SENDERS)]
    found: list[Waiting] = []
    for sender in senders:
        rows = connection.execute(
            "SELECT id, sender, received_ms, topic, payload FROM waiting WHERE sender = ? ORDER BY id LIMIT ?",
            (sender, max(1, most // len(senders))),
        )
        found += [Waiting(*row) for row in rows]
    return tuple(found[:most])


def count_waiting(connection: sqlite3.Connection) -> int:
    """How many messages wait to be read."""
    return int(connection.execute("SELECT count(*) FROM waiting").fetchone()[0])
