"""Copies of the ledger: taken while it is in use, verified, and put back only when nobody uses it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from coldchain.errors import EnvironmentFailed
from coldchain.ledger import audit
from coldchain.ledger.locks import being_replaced
from coldchain.ledger.queries import reading, trouble_with
from coldchain.ledger.verification import AuditFindings, verify


def back_up(path: Path, connection: sqlite3.Connection, to: Path) -> None:
    """Copy an open ledger to `to`, which must not exist; the name appears only when the copy is whole and verified."""
    with trouble_with(path):
        if to.exists():
            raise EnvironmentFailed(f"backup {to}", "exists already; a backup never replaces another")
    partial = to.with_name(f"{to.name}.partial")
    with trouble_with(partial):
        partial.unlink(missing_ok=True)
        with closing(sqlite3.connect(partial, isolation_level=None)) as copy:
            connection.backup(copy)
            # One plain file: a copy in WAL mode would leave part of itself in files beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
        check(partial)
        _on_disk(partial)
        partial.rename(to)
        _on_disk(to.parent)


def check(path: Path, anchor: audit.Heads | None = None) -> AuditFindings:
    """Verify a ledger file that nobody writes to; EnvironmentFailed with the first thing wrong."""
    with reading(path) as connection:
        integrity = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if integrity != "ok":
            raise EnvironmentFailed(f"ledger {path}", f"is damaged: {integrity}")
        if connection.execute("PRAGMA foreign_key_check").fetchone():
            raise EnvironmentFailed(f"ledger {path}", "is damaged: a record refers to one that is not there")
        findings = verify(connection, anchor)
    if findings.problems:
        raise EnvironmentFailed(f"ledger {path}", f"was changed after it was written: {findings.problems[0]}")
    return findings


def restore(
    path: Path, source: Path, who: str, now_ms: int, *, reason: str = "restore", anchor: audit.Heads | None = None
) -> Path | None:
    """Put a verified backup in the place of the ledger; where the ledger that was there is kept, None if none was.

    Raises EnvironmentFailed, and changes nothing, if the backup is damaged or changed or the ledger is in use.
    """
    with trouble_with(path), being_replaced(path):
        findings = check(source, anchor)
        partial = path.with_name(f"{path.name}.partial")
        shutil.copyfile(source, partial)
        _tell_of_restore(partial, findings.heads, who, now_ms, reason)
        check(partial, findings.heads)
        _on_disk(partial)
        return _replace(path, partial, now_ms)


def _tell_of_restore(partial: Path, heads: audit.Heads, who: str, now_ms: int, reason: str) -> None:
    with closing(sqlite3.connect(partial, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN IMMEDIATE")
        audit.append(
            connection,
            at_ms=now_ms,
            who=who,
            role="operator",
            action="ledger.restored",
            subject="ledger",
            old=heads.audit_hash,
            new=heads.message_hash,
            reason=reason,
        )
        connection.execute("COMMIT")


def _replace(path: Path, partial: Path, now_ms: int) -> Path | None:
    kept = path.with_name(f"{path.name}.before-restore-{now_ms}")
    existed = path.exists()
    for suffix in ("-wal", "-shm", ""):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{kept}{suffix}")
    partial.rename(path)
    _on_disk(path.parent)
    return kept if existed else None


def _on_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
