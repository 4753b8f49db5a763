"""Migrations are applied once, together with their record, and evidence is append-only."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from coldchain.errors import EnvironmentFailed
from coldchain.ledger import schema
from coldchain.ledger.ledger import Ledger
from ledger_values import NOW_MS, full_step

SECOND = ("ALTER TABLE warning ADD COLUMN note TEXT",)


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def test_a_new_file_gets_every_table_and_a_second_opening_changes_nothing(path: Path) -> None:
    for _ in range(2):
        with Ledger.open(path):
            pass
    with closing(connect(path)) as connection:
        assert schema.version(connection) == len(schema.MIGRATIONS)
        strict = dict(connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'").fetchall())
    assert {strict[name] for name in strict if not name.startswith("sqlite_")} == {1}


def test_a_migration_that_fails_halfway_leaves_neither_tables_nor_record(path: Path) -> None:
    broken = (*SECOND, "ALTER TABLE nothing ADD COLUMN x TEXT")
    with closing(connect(path)) as connection:
        schema.migrate(connection)
        with pytest.raises(sqlite3.OperationalError, match="nothing"):
            schema.migrate(connection, (*schema.MIGRATIONS, broken))
        assert schema.version(connection) == len(schema.MIGRATIONS)
        schema.migrate(connection, (*schema.MIGRATIONS, SECOND))
        assert schema.version(connection) == len(schema.MIGRATIONS) + 1


def test_an_older_release_refuses_the_ledger_of_a_newer_one(path: Path) -> None:
    with closing(connect(path)) as connection:
        schema.migrate(connection, (*schema.MIGRATIONS, SECOND))
    with pytest.raises(EnvironmentFailed, match="newer release"), Ledger.open(path):
        pass


@pytest.mark.parametrize("verb", ["UPDATE {} SET rowid = rowid", "DELETE FROM {}"])
@pytest.mark.parametrize(
    "table", ["message", "reading_block", "event_revision", "warning", "audit", "outbox_cause", "registry_file"]
)
def test_evidence_can_only_be_added_to(ledger: Ledger, path: Path, table: str, verb: str) -> None:
    messages, step, alerts = full_step()
    ledger.save(messages, step, alerts, NOW_MS)
    ledger.register("a.toml", "", "ann", NOW_MS)
    with closing(connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(verb.format(table))


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM event",
        "UPDATE event SET breached_at_ms = 0",
        "UPDATE event SET kit = 'other', revision = revision + 1",
        "DELETE FROM outbox",
        "UPDATE outbox SET body = ''",
        "UPDATE outbox SET recipient = 'other@example.org'",
    ],
)
def test_events_only_move_on_and_the_alarm_log_is_not_editable(ledger: Ledger, path: Path, statement: str) -> None:
    messages, step, alerts = full_step()
    ledger.save(messages, step, alerts, NOW_MS)
    with closing(connect(path)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
