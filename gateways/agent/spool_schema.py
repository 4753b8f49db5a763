"""The tables of the spool."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

from coldchain.errors import EnvironmentFailed

VERSION = 1

TABLES = """
CREATE TABLE spool (
    id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, site TEXT NOT NULL, gateway TEXT NOT NULL
) STRICT;
CREATE TABLE channel (
    id INTEGER PRIMARY KEY, logger TEXT NOT NULL, channel TEXT NOT NULL,
    boot INTEGER NOT NULL, next_seq INTEGER NOT NULL,
    UNIQUE (logger, channel)
) STRICT;
-- ids rise in the order of arrival: the oldest reading is the one with the lowest
CREATE TABLE reading (
    id INTEGER PRIMARY KEY, channel INTEGER NOT NULL, seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, mc INTEGER NOT NULL, fault TEXT, clock INTEGER,
    UNIQUE (channel, seq)
) STRICT;
-- one state of this gateway's own clock; its offset is NULL until it is known
CREATE TABLE clock (id INTEGER PRIMARY KEY, since_ms INTEGER NOT NULL, offset_ms INTEGER) STRICT;
CREATE TABLE refused (
    channel INTEGER NOT NULL, boot INTEGER NOT NULL, seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, mc INTEGER NOT NULL, fault TEXT, clock INTEGER,
    reason TEXT NOT NULL, sha256 TEXT NOT NULL, refused_ms INTEGER NOT NULL,
    PRIMARY KEY (channel, boot, seq)
) WITHOUT ROWID, STRICT;
-- what was dropped to make room: numbers first to last, measured between first_ms and last_ms
CREATE TABLE dropped (
    channel INTEGER NOT NULL, boot INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, dropped_ms INTEGER NOT NULL,
    PRIMARY KEY (channel, boot, first)
) WITHOUT ROWID, STRICT;
-- what a source has to remember, written together with the readings it gave
CREATE TABLE memory (
    source TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (source, name)
) WITHOUT ROWID, STRICT;
CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
"""


def connect(path: Path) -> sqlite3.Connection:
    """The one connection that writes: every commit is on the disk before it returns."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        # An hour of readings is in the pages that are written next: a small cache serves as well as a big one.
        db.execute("PRAGMA cache_size = -4096")
    except sqlite3.Error:
        db.close()
        raise
    return db


def create(db: sqlite3.Connection, site: str, gateway: str) -> None:
    """Make the tables of an empty file, all or none."""
    db.execute("BEGIN IMMEDIATE")
    for statement in TABLES.split(";\n"):
        db.execute(statement)
    db.execute("INSERT INTO spool VALUES (1, ?, ?, ?)", (VERSION, site, gateway))
    db.execute("COMMIT")


def lock(path: Path) -> int:
    """Make sure that no other process has this spool; the descriptor holds the lock until the process ends."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(descriptor)
        raise EnvironmentFailed("spool", f"another agent is running with {path}") from exc
    return descriptor
