"""A backup is one verified file; it is put back only when whole and only when nobody uses the ledger."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from coldchain.errors import EnvironmentFailed
from coldchain.ledger.backup import check, restore
from coldchain.ledger.ledger import Ledger
from coldchain.pipeline import Step
from ledger_values import NOW_MS, event, full_step, rejected


@pytest.fixture
def saved(path: Path, tmp_path: Path) -> Path:
    """The backup of a ledger that went on to hold one more event."""
    to = tmp_path / "backup.db"
    with Ledger.open(path) as ledger:
        messages, step, alerts = full_step()
        ledger.save(messages, step, alerts, NOW_MS)
        ledger.backup(to)
        ledger.save((), Step(events=(event("K-0002"),)), (), NOW_MS)
    return to


def kits(path: Path) -> list[str]:
    with Ledger.open(path) as ledger:
        return [each.kit for each in ledger.load_events()]


def test_a_backup_is_one_file_that_holds_everything(saved: Path) -> None:
    assert check(saved).problems == ()
    assert [file.name for file in saved.parent.glob("backup.db*")] == ["backup.db"]


def test_a_restored_ledger_is_the_one_of_the_backup_and_the_other_is_kept(saved: Path, path: Path) -> None:
    assert kits(path) == ["K-0001", "K-0002"]
    kept = restore(path, saved, "ann", NOW_MS)
    assert kits(path) == ["K-0001"]
    assert kept is not None
    assert kits(kept) == ["K-0001", "K-0002"]


def test_a_restore_is_in_the_audit_trail(saved: Path, path: Path) -> None:
    restore(path, saved, "ann", NOW_MS, reason="disk replaced")
    with Ledger.open(path) as ledger:
        assert ledger.audit_verify().problems == ()
        row = ledger._connection.execute("SELECT who, action, reason FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    assert row == ("ann", "ledger.restored", "disk replaced")


def test_a_backup_never_replaces_another(saved: Path, path: Path) -> None:
    before = saved.read_bytes()
    with Ledger.open(path) as ledger, pytest.raises(EnvironmentFailed, match="exists already"):
        ledger.backup(saved)
    assert saved.read_bytes() == before


def test_a_changed_backup_is_refused_and_the_ledger_stays(saved: Path, path: Path) -> None:
    with closing(sqlite3.connect(saved, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER message_no_update")
        connection.execute("UPDATE message SET topic = 'x' WHERE id = 1")
    with pytest.raises(EnvironmentFailed, match="changed after it was written"):
        restore(path, saved, "ann", NOW_MS)
    assert kits(path) == ["K-0001", "K-0002"]


def test_a_damaged_backup_is_refused_and_the_ledger_stays(saved: Path, path: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[4096:8192] = bytes(4096)
    saved.write_bytes(content)
    with pytest.raises(EnvironmentFailed):
        restore(path, saved, "ann", NOW_MS)
    assert kits(path) == ["K-0001", "K-0002"]


def test_a_backup_older_than_the_anchor_is_refused(saved: Path, path: Path) -> None:
    with Ledger.open(path) as ledger:
        heads = ledger.audit_verify().heads
    with pytest.raises(EnvironmentFailed, match="anchored"):
        restore(path, saved, "ann", NOW_MS, anchor=heads)


def test_a_ledger_in_use_is_not_replaced(saved: Path, path: Path) -> None:
    with Ledger.open(path) as ledger:
        with pytest.raises(EnvironmentFailed, match="in use"):
            restore(path, saved, "ann", NOW_MS)
        ledger.save((rejected(),), Step(), (), NOW_MS)
    restore(path, saved, "ann", NOW_MS)


def test_a_ledger_is_restored_where_none_was(saved: Path, tmp_path: Path) -> None:
    assert restore(tmp_path / "new.db", saved, "ann", NOW_MS) is None
    assert kits(tmp_path / "new.db") == ["K-0001"]
