"""The file beside the ledger: what the projection must remember itself, and all of the embedded store.

With InfluxDB it still holds the journal of verdicts (the ledger keeps only the latest assessment of a kit group), the
points that a server refused, and where the ledger's long blocks stand. Losing the file loses no evidence.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from coldchain.errors import EnvironmentFailed
from coldchain.ledger import queries
from coldchain.ledger.locks import open_lock
from coldchain.readings import ChannelKey
from coldchain.timeseries.points import DAY_MS, GroupVerdict

PART = "time-series file"

_TABLES = """
CREATE TABLE IF NOT EXISTS progress (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS long_block (          -- ledger blocks of more than a day: a range query must not miss them
    id INTEGER PRIMARY KEY, logger TEXT NOT NULL, channel TEXT NOT NULL, first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS verdict (             -- the journal: one row when the outcome of a kit group changes
    seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, group_id TEXT NOT NULL, first_kit INTEGER NOT NULL,
    kits TEXT NOT NULL, outcome TEXT NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS verdict_group ON verdict (group_id, seq);
CREATE INDEX IF NOT EXISTS verdict_at ON verdict (at_ms);
CREATE TABLE IF NOT EXISTS parked (              -- points that a server refuses whatever we do
    id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, bucket TEXT NOT NULL, line TEXT NOT NULL, error TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS place_basis (place TEXT PRIMARY KEY, basis TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS day (                 -- readings of a channel and UTC day; verified: 0 or 1
    id INTEGER PRIMARY KEY, logger TEXT NOT NULL, channel TEXT NOT NULL, verified INTEGER NOT NULL,
    day INTEGER NOT NULL, n INTEGER NOT NULL, columns BLOB NOT NULL, faults TEXT NOT NULL,
    UNIQUE (logger, channel, verified, day)
) STRICT;
CREATE TABLE IF NOT EXISTS logger_hour (
    logger TEXT NOT NULL, channel TEXT NOT NULL, at_ms INTEGER NOT NULL, n INTEGER NOT NULL, faults INTEGER NOT NULL,
    min_mc INTEGER, max_mc INTEGER, sum_mc INTEGER, PRIMARY KEY (logger, channel, at_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS place_hour (
    place TEXT NOT NULL, at_ms INTEGER NOT NULL, known_ms INTEGER NOT NULL, min_mc INTEGER, max_mc INTEGER,
    hot_mc_ms INTEGER, mkt_c REAL, PRIMARY KEY (place, at_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS act (
    seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL, role TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, old TEXT, new TEXT, reason TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS act_at ON act (at_ms);
CREATE TABLE IF NOT EXISTS evidence (
    seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, event TEXT NOT NULL, kit TEXT NOT NULL, place TEXT NOT NULL,
    reason TEXT NOT NULL, breached_at_ms INTEGER NOT NULL, detected_at_ms INTEGER NOT NULL, revision INTEGER NOT NULL,
    supported INTEGER NOT NULL, limit_id TEXT NOT NULL, profile TEXT NOT NULL, profile_version INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS evidence_at ON evidence (at_ms);
CREATE INDEX IF NOT EXISTS evidence_kit ON evidence (kit, at_ms);
CREATE TABLE IF NOT EXISTS cursor (              -- of the embedded store
    id INTEGER PRIMARY KEY CHECK (id = 1), block INTEGER NOT NULL, audit INTEGER NOT NULL, verdict INTEGER NOT NULL,
    mark TEXT NOT NULL
) STRICT;
"""
VERSION = 1


def path_of(ledger: Path) -> Path:
    """Where the file of a ledger is."""
    return ledger.with_name(f"{ledger.stem}.timeseries.db")


@contextmanager
def trouble_with_file() -> Iterator[None]:
    """Turn what SQLite raises into EnvironmentFailed."""
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise EnvironmentFailed(PART, " ".join(str(exc).split())) from exc


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads and writes; the file is made where there is none. Write only while `projecting`."""
    with trouble_with_file(), closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        # NORMAL: what a power cut takes, cursor included, is projected again
        connection.execute("PRAGMA synchronous = NORMAL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise EnvironmentFailed(PART, f"{path} was written by a newer release: delete it, it is rebuilt")
        if version < VERSION:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        yield connection


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A read-only connection; EnvironmentFailed if nothing was projected yet."""
    if not path.is_file():
        raise EnvironmentFailed(PART, f"there is no {path} yet: run the service or `coldchain timeseries rebuild`")
    address = f"{path.absolute().as_uri()}?mode=ro"
    with trouble_with_file(), closing(sqlite3.connect(address, uri=True, timeout=30)) as connection:
        yield connection


@contextmanager
def projecting(path: Path, *, waiting: bool) -> Iterator[bool]:
    """Be the only one that projects: service and commands take turns. Without `waiting` whether it is one's turn."""
    lock = open_lock(path, "projecting")
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if waiting else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(lock)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def progress(connection: sqlite3.Connection, name: str) -> int:
    """A number that was remembered under a name, else 0."""
    row = connection.execute("SELECT value FROM progress WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else 0


def remember(connection: sqlite3.Connection, name: str, value: int) -> None:
    """Remember a number under a name."""
    connection.execute(
        "INSERT INTO progress (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def long_blocks(
    connection: sqlite3.Connection, ledger: sqlite3.Connection, up_to_block: int
) -> dict[ChannelKey, list[tuple[int, int, int]]]:
    """(id, first_ms, last_ms) of the ledger's blocks of more than a day, by channel; notes those not noted yet."""
    noted = progress(connection, "long_block")
    if noted < up_to_block:
        with transaction(connection):
            connection.executemany(
                "INSERT INTO long_block (id, logger, channel, first_ms, last_ms) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO NOTHING",
                queries.longer_blocks(ledger, noted, up_to_block, DAY_MS),
            )
            remember(connection, "long_block", up_to_block)
    found: dict[ChannelKey, list[tuple[int, int, int]]] = defaultdict(list)
    for identity, logger, channel, first_ms, last_ms in connection.execute(
        "SELECT id, logger, channel, first_ms, last_ms FROM long_block"
    ):
        found[ChannelKey(logger, channel)].append((identity, first_ms, last_ms))
    return found


def forget_ledger(connection: sqlite3.Connection) -> None:
    """Forget where the ledger's blocks stand: it may be another ledger now. The journal of verdicts stays."""
    with transaction(connection):
        connection.execute("DELETE FROM long_block")
        remember(connection, "long_block", 0)
        remember(connection, "assessed_ms", 0)


_VERDICT = "SELECT seq, at_ms, group_id, first_kit, kits, body FROM verdict"


def verdicts(connection: sqlite3.Connection, after: int, up_to: int) -> list[GroupVerdict]:
    """The journalled verdicts after one, up to another, oldest first."""
    return _verdicts(connection.execute(f"{_VERDICT} WHERE seq > ? AND seq <= ? ORDER BY seq", (after, up_to)))


def verdicts_between(
    connection: sqlite3.Connection, from_ms: int, to_ms: int, up_to: int = 2**62
) -> list[GroupVerdict]:
    """The journalled verdicts of a range `(from_ms, to_ms]`, up to a number in the journal."""
    where = "WHERE at_ms > ? AND at_ms <= ? AND seq <= ? ORDER BY at_ms, seq"
    return _verdicts(connection.execute(f"{_VERDICT} {where}", (from_ms, to_ms, up_to)))


def _verdicts(rows: Iterable[tuple[int, int, str, int, str, str]]) -> list[GroupVerdict]:
    return [
        GroupVerdict(seq, at_ms, group, first_kit=first_kit, kits=tuple(json.loads(kits)), **json.loads(body))
        for seq, at_ms, group, first_kit, kits, body in rows
    ]
