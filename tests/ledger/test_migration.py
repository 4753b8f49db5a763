"""A ledger of the first release: read as it is, brought up to the present tables, and its evidence still whole."""

import json
import sqlite3
import struct
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from coldchain.errors import EnvironmentFailed
from coldchain.ledger import audit, queries, schema
from coldchain.ledger.backup import check, restore
from coldchain.ledger.ledger import Ledger
from coldchain.pipeline import Step
from ledger_values import NOW_MS, batch, event, message, rejected, warning

TOLD = (
    '{{"id":"e-1","kit":"K-0001","limit":"above-8","reason":"limit","breached_at_ms":{at},"detected_at_ms":2000,'
    '"profile":"mab-017","profile_version":3,"revision":{revision},"supported":true}}'
)
"""A revision of an event as the first release wrote it into its audit trail."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A ledger of the first release with one event of two revisions, an early warning and an assessment."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        schema.migrate(connection, (schema.FIRST,))
        connection.execute(
            "INSERT INTO event VALUES ('e-1', 'K-0001', 'above-8', 'limit', 900, 2000, 'mab-017', 3, 2, 1)"
        )
        for revision, at_ms in ((1, 1000), (2, 900)):
            connection.execute(
                "INSERT INTO event_revision VALUES ('e-1', ?, 'limit', ?, 2000, 1, 2000)", (revision, at_ms)
            )
            audit.append(
                connection,
                at_ms=NOW_MS,
                who=audit.SYSTEM,
                role="system",
                action="quarantine.revised",
                subject="event e-1",
                new=TOLD.format(at=at_ms, revision=revision),
                reason="the evidence changed",
            )
        connection.execute("INSERT INTO warning VALUES ('w-1', 'K-0001', 'above-8', 50, 1000)")
        connection.execute("INSERT INTO assessment VALUES ('g-1', 'outside', '{}', 1000, 1000)")
    return path


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return schema.version(connection)


def test_an_old_event_has_no_hash_and_its_audit_trail_stays_valid(old: Path) -> None:
    with Ledger.open(old) as ledger:
        assert ledger.audit_verify().problems == ()
        (event,) = ledger.load_events()
        assert (event.revision, event.breached_at_ms, event.profile_sha256) == (2, 900, None)
        assert ledger.load_warnings()[0].profile_sha256 is None
    assert version_of(old) == len(schema.MIGRATIONS)


def test_a_new_revision_of_an_old_event_names_its_rules_and_the_trail_holds_both(old: Path) -> None:
    with Ledger.open(old) as ledger:
        (event,) = ledger.load_events()
        revised = replace(event, revision=3, breached_at_ms=800, profile_sha256="a" * 64)
        ledger.save((rejected(),), Step(events=(revised,), warnings=(warning(),)), (), NOW_MS)
        assert ledger.load_events() == (revised,)
        assert ledger.audit_verify().problems == ()
    with queries.reading(old) as connection:
        hashes = [each.profile_sha256 for each in queries.event_history(connection, "e-1")]
        (told,) = connection.execute("SELECT new FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    assert hashes == [None, None, "a" * 64]
    assert json.loads(told)["profile_sha256"] == "a" * 64


def test_what_only_reads_sees_an_old_ledger_and_leaves_it_as_it_is(old: Path) -> None:
    before = old.read_bytes()
    with queries.reading(old) as connection:
        assert [each.profile_sha256 for each in queries.events(connection)] == [None]
        assert [each.revision for each in queries.event_history(connection, "e-1")] == [1, 2]
        assert len(queries.warnings(connection)) == 1
        assert queries.status(connection).events == 1
    assert check(old).problems == ()
    assert (old.read_bytes(), version_of(old)) == (before, 1)


def test_a_change_of_an_old_ledger_is_found_before_and_after_it_is_migrated(old: Path) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER event_revision_no_update")
        connection.execute("UPDATE event_revision SET breached_at_ms = 1 WHERE revision = 1")
    with pytest.raises(EnvironmentFailed, match="changed after it was written"):
        check(old)
    with Ledger.open(old) as ledger:
        assert ledger.audit_verify().problems


def test_a_backup_of_the_first_release_is_restored_and_migrated(old: Path, path: Path) -> None:
    restore(path, old, "ann", NOW_MS)
    with Ledger.open(path) as ledger:
        assert ledger.audit_verify().problems == ()
        assert [each.id for each in ledger.load_events()] == ["e-1"]


@pytest.mark.parametrize("table", ["event_revision", "warning"])
def test_after_the_migration_nothing_is_added_without_the_hash_of_its_rules(ledger: Ledger, table: str) -> None:
    bare = {
        "event_revision": Step(events=(replace(event(), profile_sha256=None),)),
        "warning": Step(warnings=(replace(warning(), profile_sha256=None),)),
    }[table]
    with pytest.raises(EnvironmentFailed, match="hash of the rules that judged is missing"):
        ledger.save((), bare, (), NOW_MS)
    assert (ledger.load_events(), ledger.load_warnings()) == ((), ())


def test_assessments_of_the_first_release_are_left_to_be_judged_anew(old: Path) -> None:
    with Ledger.open(old), queries.reading(old) as connection:
        assert queries.assessments(connection) == {}


LINK_OF_OLD = (
    '["{before}",{at},"mqtt","t\\u00e9","{payload}","accepted","","\\u007f",'
    '["lg-1","1",null,null,2,1000,2000,"{times}","{temperatures}",{at},"{{}}"]]'
)
"""What a link of the chain of messages is over, as every release has written it."""


def write_as_before(path: Path) -> None:
    """One message with two readings, its times written out, into a ledger of the release before equal steps."""
    times, temperatures = struct.pack("<2q", 1000, 2000), struct.pack("<2i", 5000, 5100)
    parts = {"payload": b"{}", "times": times, "temperatures": temperatures}
    hashes = {name: sha256(part).hexdigest() for name, part in parts.items()}
    chain_hash = sha256(LINK_OF_OLD.format(before=audit.GENESIS, at=NOW_MS, **hashes).encode()).hexdigest()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        schema.migrate(connection, schema.MIGRATIONS[:4])
        connection.execute(
            "INSERT INTO message VALUES (1, ?, 'mqtt', 'té', ?, ?, 'accepted', '', '\x7f', ?)",
            (NOW_MS, b"{}", hashes["payload"], chain_hash),
        )
        block = (1, 1, "lg-1", "1", None, None, 2, 1000, 2000, times, temperatures, NOW_MS, "{}")
        connection.execute(f"INSERT INTO reading_block VALUES ({', '.join('?' * 13)})", block)  # noqa: S608


def test_readings_with_their_times_written_out_stay_as_they_are_and_new_ones_join_the_chain(path: Path) -> None:
    write_as_before(path)
    with queries.reading(path) as connection:
        assert [each.at_ms.tolist() for each in queries.batches(connection)] == [[1000, 2000]]
    heads = check(path).heads
    with Ledger.open(path) as ledger:
        assert ledger.audit_verify(heads).problems == ()
        ledger.save((message(batch()),), Step(fresh=(batch(),)), (), NOW_MS)
        assert [each.at_ms.tolist() for each in ledger.load_batches()] == [[1000, 2000], batch().at_ms.tolist()]
        assert ledger.audit_verify(heads).problems == ()
    check(path, heads)


@pytest.mark.parametrize("length", [1, 8, 24])
def test_times_are_written_out_whole_or_not_at_all(path: Path, length: int) -> None:
    write_as_before(path)
    with (
        Ledger.open(path),
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="CHECK"),
    ):
        connection.execute(
            "INSERT INTO reading_block SELECT 2, 1, logger, channel, boot, seq, n, first_ms, last_ms, zeroblob(?), "
            "temperature_mc, received_ms, faults FROM reading_block",
            (length,),
        )


def test_another_open_connection_sees_the_migration(path: Path) -> None:
    write_as_before(path)
    with queries.reading(path) as connection:
        assert len(list(queries.batches(connection))) == 1
        with Ledger.open(path) as ledger:
            ledger.save((message(batch()),), Step(fresh=(batch(),)), (), NOW_MS)
        assert len(list(queries.batches(connection))) == 2
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
