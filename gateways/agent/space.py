"""Is there room for more readings, and how much of the disk does the spool take?"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from gateways.agent.settings import MIB, Store

ROW_BYTES = 100
"""At most so much a reading takes, with its entry in the index; measured: see docs/gateway-agent.md."""

ALWAYS_ALLOWED_BYTES = 4 * MIB
"""A spool may grow to this size however little space the disk has left: dropping so few readings would free nothing."""


RESERVE_BYTES = MIB // 2
"""So much of the spool's file is free to be written when it is opened, and as much of its log."""


class Space(NamedTuple):
    """Bytes of the file that hold something, and bytes of it that are free to be used again."""

    used_bytes: int
    reusable_bytes: int


def space(db: sqlite3.Connection) -> Space:
    """How the file of the spool is used; a file never shrinks, its free pages are filled again."""
    page, pages, free = (
        db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_size", "page_count", "freelist_count")
    )
    return Space((pages - free) * page, free * page)


def reserve(db: sqlite3.Connection) -> None:
    """Have the disk give what a full one would refuse later: free pages in the file, and a log that is used again.

    Deleting takes room too: without this a disk that somebody else has filled could not even be relieved.
    """
    missing = RESERVE_BYTES - space(db).reusable_bytes
    if missing > 0:
        db.execute("INSERT INTO note VALUES ('reserve', hex(zeroblob(?)))", (missing // 2,))
        db.execute("DELETE FROM note WHERE name = 'reserve'")
    db.execute("PRAGMA wal_checkpoint(PASSIVE)")


def must_drop(db: sqlite3.Connection, store: Store, wanted_bytes: int, free_bytes: Callable[[], int]) -> bool:
    """Whether old readings have to go before `wanted_bytes` more are kept.

    Because the spool has reached its size, or because the disk is short: then it lives on the pages it has.
    """
    now = space(db)
    if now.used_bytes + wanted_bytes > store.max_bytes:
        return True
    file_bytes = now.used_bytes + now.reusable_bytes
    return (
        now.reusable_bytes < wanted_bytes
        and file_bytes + wanted_bytes > ALWAYS_ALLOWED_BYTES
        and free_bytes() < store.keep_free_bytes
    )
