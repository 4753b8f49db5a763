"""What leaves the spool without a receipt: dropped to make room, or refused by the service. Nothing goes unrecorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from gateways.agent.channels import Span

_DROPPED = """
INSERT INTO dropped (channel, boot, first, last, first_ms, last_ms, dropped_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (channel, boot, first) DO UPDATE SET
    last = excluded.last, first_ms = min(first_ms, excluded.first_ms), last_ms = max(last_ms, excluded.last_ms),
    dropped_ms = excluded.dropped_ms
"""


def drop_oldest(db: sqlite3.Connection, boots: Mapping[int, int], now_ms: int, at_most: int) -> int:
    """Drop the readings that came first; how many. Which ones stands in `dropped`, one row for what is consecutive."""
    bound = db.execute("SELECT id FROM reading ORDER BY id LIMIT 1 OFFSET ?", (at_most - 1,)).fetchone()
    bound = bound or db.execute("SELECT max(id) FROM reading").fetchone()
    if bound[0] is None:
        return 0
    ranges = db.execute(
        "SELECT channel, min(seq), max(seq), min(at_ms), max(at_ms) FROM ("
        "  SELECT channel, seq, at_ms, seq - row_number() OVER (PARTITION BY channel ORDER BY seq) AS run"
        "  FROM reading WHERE id <= ?) GROUP BY channel, run",
        bound,
    ).fetchall()
    for channel, first, last, first_ms, last_ms in ranges:
        boot = boots[channel]
        before = db.execute(
            "SELECT first FROM dropped WHERE channel = ? AND boot = ? AND last = ?", (channel, boot, first - 1)
        ).fetchone()
        start = before[0] if before else first
        db.execute(_DROPPED, (channel, boot, start, last, first_ms, last_ms, now_ms))
    return db.execute("DELETE FROM reading WHERE id <= ?", bound).rowcount


def set_aside(db: sqlite3.Connection, span: Span, boot: int, reason: str, sha256: str, now_ms: int) -> int:
    """Copy the readings of a span into `refused`; how many there are."""
    return db.execute(
        "INSERT INTO refused SELECT channel, ?, seq, at_ms, mc, fault, clock, ?, ?, ? FROM reading "
        "WHERE channel = ? AND seq BETWEEN ? AND ?",
        (boot, reason, sha256, now_ms, *span),
    ).rowcount


def take_back(db: sqlite3.Connection) -> list[Any]:
    """Everything in `refused` as (channel, at_ms, mc, fault, clock), in order, and empty it."""
    rows = db.execute("SELECT channel, at_ms, mc, fault, clock FROM refused ORDER BY channel, boot, seq").fetchall()
    db.execute("DELETE FROM refused")
    return rows


def last_ms(db: sqlite3.Connection) -> tuple[int | None, int | None]:
    """When readings were last dropped, and last refused [ms]; None if never."""
    dropped = db.execute("SELECT max(dropped_ms) FROM dropped").fetchone()[0]
    return dropped, db.execute("SELECT max(refused_ms) FROM refused").fetchone()[0]
