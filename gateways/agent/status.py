"""What a gateway says of itself: the status and meta messages, and the answer of the `status` command."""

from __future__ import annotations

import sqlite3
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from coldchain.errors import EnvironmentFailed
from gateways.agent.alarms import Alarms
from gateways.agent.clock import Clock
from gateways.agent.flow import Flow
from gateways.agent.settings import LoggerMeta
from gateways.agent.spool import Spool


def status_document(
    now_ms: int, is_online: bool, spool: Spool, flow: Flow, clock: Clock, alarms: Alarms
) -> dict[str, object]:
    """The status message: instants and offset in ms, everything else in readings or messages."""
    return {
        "v": 1,
        "online": is_online,
        "at": now_ms,
        "agent": version("coldchain"),
        "clock_offset": clock.offset_ms,
        "pending": spool.counts.pending,
        "dropped": spool.counts.dropped,
        "refused": spool.counts.refused,
        "in_flight": len(flow.flights),
        "hold": flow.is_held,
        "alarms": alarms.document(),
    }


def meta_document(logger: LoggerMeta) -> bytes:
    """The meta message of a logger: `interval` in ms; what is not known is left out."""
    known = {
        "v": 1,
        "logger": logger.logger,
        "serial": logger.serial,
        "interval": None if logger.interval_s is None else 1000 * logger.interval_s,
        "calibration_due": None if logger.calibration_due is None else logger.calibration_due.isoformat(),
        "firmware": logger.firmware,
    }
    return orjson.dumps({key: value for key, value in known.items() if value is not None})


def look(path: Path) -> dict[str, Any]:
    """What a spool holds, read beside the agent that may be running."""
    if not path.exists():
        raise EnvironmentFailed("spool", f"{path} does not exist: the agent has never run with these settings")
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            return _look(db)
        finally:
            db.close()
    except sqlite3.Error as exc:
        raise EnvironmentFailed("spool", f"{path} cannot be read: {exc}") from exc


def _look(db: sqlite3.Connection) -> dict[str, Any]:
    note = db.execute("SELECT value FROM note WHERE name = 'status'").fetchone()
    return {
        "status": orjson.loads(note[0]) if note else None,
        "channels": _named(
            db,
            ("logger", "channel", "boot", "next_seq", "pending", "oldest", "newest"),
            "SELECT c.logger, c.channel, c.boot, c.next_seq, count(r.seq), min(r.at_ms), max(r.at_ms) "
            "FROM channel c LEFT JOIN reading r ON r.channel = c.id GROUP BY c.id ORDER BY c.logger, c.channel",
        ),
        "dropped": _named(
            db,
            ("logger", "channel", "boot", "from", "to", "first", "last", "dropped_at"),
            "SELECT c.logger, c.channel, d.boot, d.first, d.last, d.first_ms, d.last_ms, d.dropped_ms "
            "FROM dropped d JOIN channel c ON c.id = d.channel ORDER BY d.dropped_ms, c.logger, d.first",
        ),
        "refused": _named(
            db,
            ("logger", "channel", "reason", "readings", "first", "last", "refused_at"),
            "SELECT c.logger, c.channel, f.reason, count(*), min(f.at_ms), max(f.at_ms), max(f.refused_ms) "
            "FROM refused f JOIN channel c ON c.id = f.channel GROUP BY c.id, f.reason ORDER BY c.logger, c.channel",
        ),
    }


def _named(db: sqlite3.Connection, names: tuple[str, ...], query: str) -> list[dict[str, object]]:
    return [dict(zip(names, row, strict=True)) for row in db.execute(query)]
