"""One step is in the ledger as a whole or not at all, and comes out as it went in."""

import dataclasses
import fcntl
import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.errors import EnvironmentFailed
from coldchain.ledger import queries, records
from coldchain.ledger.entries import END_OF_TIME_MS, Delivery
from coldchain.ledger.ledger import Ledger, LedgerChanged
from coldchain.model import Stage, StageUse, Verdict
from coldchain.pipeline import Step
from coldchain.readings import ReadingBatch
from coldchain.sequence import Counter, Run, Runs
from ledger_values import (
    MINUTE_MS,
    NOW_MS,
    alert,
    assessment,
    batch,
    event,
    full_step,
    message,
    rejected,
    warning,
)

INSTANT = st.integers(0, 10_000) | st.integers(0, END_OF_TIME_MS - 1_000_000)
STEP = st.integers(-1000, 1000).map(abs) | st.integers(0, 3)
TABLES = ("message", "reading_block", "assessment", "event", "event_revision", "warning", "audit", "outbox")


def counts(path: Path) -> dict[str, int]:
    with queries.reading(path) as connection:
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}  # noqa: S608 (fixed names)


def plain(found: ReadingBatch) -> dict[str, Any]:
    columns = {"at_ms": found.at_ms.tolist(), "temperature_mc": found.temperature_mc.tolist()}
    fields = (field.name for field in dataclasses.fields(found))
    return {name: columns.get(name, getattr(found, name)) for name in fields}


def test_readings_come_out_as_they_went_in(ledger: Ledger) -> None:
    messages, step, alerts = full_step()
    ledger.save(messages, step, alerts, NOW_MS)
    found = list(ledger.load_batches())
    assert [plain(each) for each in found] == [plain(each) for each in step.fresh if len(each)]
    assert found[0].at_ms.dtype == np.int64
    assert found[0].temperature_mc.dtype == np.int32


def of_instants(at_ms: list[int], logger: str) -> ReadingBatch:
    return ReadingBatch(logger, "1", np.array(at_ms, np.int64), np.arange(len(at_ms), dtype=np.int32), NOW_MS)


@given(
    st.lists(
        st.one_of(
            st.builds(lambda first, step, n: [first + step * i for i in range(n)], INSTANT, STEP, st.integers(0, 9)),
            st.lists(INSTANT, max_size=6),
        ),
        max_size=8,
    ),
    st.integers(1, 12),
)
def test_instants_come_out_as_they_went_in_however_they_are_spaced(columns: list[list[int]], at_once: int) -> None:
    batches = [of_instants(at_ms, f"lg-{n}") for n, at_ms in enumerate(columns)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(records, "READINGS_AT_ONCE", at_once)
        with Ledger.open(Path(folder) / "coldchain.db") as ledger:
            ledger.save((message(*batches),), Step(fresh=tuple(batches)), (), NOW_MS)
            assert [plain(each) for each in ledger.load_batches()] == [plain(each) for each in batches if len(each)]
            assert ledger.audit_verify().problems == ()


@pytest.mark.parametrize("count", [0, 1, records.ROWS_AT_ONCE - 1, records.ROWS_AT_ONCE, 3 * records.ROWS_AT_ONCE + 2])
def test_any_number_of_messages_is_written_in_their_order(ledger: Ledger, path: Path, count: int) -> None:
    batches = [batch(first_ms=MINUTE_MS * n, n=2, logger=f"lg-{n}") for n in range(count)]
    messages = [message(one, payload=b"%d" % n) for n, one in enumerate(batches)]
    counters: dict[Counter, Runs] = {Counter("basel/gw-1", f"lg-{n}", "1", 3): (Run(n, n, 0, 0),) for n in range(count)}
    for again in range(2):
        fresh = tuple(batches) if not again else tuple(each.select(np.zeros(2, np.bool_)) for each in batches)
        ledger.save(messages, Step(fresh=fresh), (), NOW_MS, counters=counters)
        counters = {counter: (Run(0, again, 0, 0), Run(9, 9, 0, 0)) for counter in counters}
    ledger.save((), Step(), (), NOW_MS, counters=counters)
    with queries.reading(path) as connection:
        payloads = [row[0] for row in connection.execute("SELECT payload FROM message ORDER BY id")]
        blocks = connection.execute("SELECT message_id, logger FROM reading_block ORDER BY id").fetchall()
    assert payloads == [b"%d" % n for n in range(count)] * 2
    assert blocks == [(n + 1, f"lg-{n}") for n in range(count)]
    assert ledger.counters_with_gaps() == counters
    assert ledger.audit_verify().problems == ()


def test_equal_steps_are_not_written_out(ledger: Ledger, path: Path) -> None:
    even, uneven, single = of_instants([5, 15, 25], "a"), of_instants([5, 15, 26], "b"), of_instants([7], "c")
    ledger.save((message(even, uneven, single),), Step(fresh=(even, uneven, single)), (), NOW_MS)
    with queries.reading(path) as connection:
        found = connection.execute("SELECT logger, first_ms, last_ms, length(at_ms) FROM reading_block").fetchall()
    assert found == [("a", 5, 25, 0), ("b", 5, 26, 24), ("c", 7, 7, 0)]


def test_every_reading_is_linked_to_the_message_it_came_in(ledger: Ledger, path: Path) -> None:
    first, second, third = batch(logger="lg-1"), batch(logger="lg-2"), batch(logger="lg-3")
    ledger.save((message(first, second), rejected(), message(third)), Step(fresh=(first, second, third)), (), NOW_MS)
    with queries.reading(path) as connection:
        links = connection.execute("SELECT message_id, logger FROM reading_block ORDER BY id").fetchall()
    assert links == [(1, "lg-1"), (1, "lg-2"), (3, "lg-3")]


def test_a_step_that_is_not_aligned_with_its_messages_is_refused_whole(ledger: Ledger, path: Path) -> None:
    with pytest.raises(ValueError, match="not aligned"):
        ledger.save((message(batch(), batch()),), Step(fresh=(batch(),)), (), NOW_MS)
    assert counts(path)["message"] == 0


def test_rejected_messages_keep_their_raw_bytes_and_their_reason(ledger: Ledger, path: Path) -> None:
    ledger.save((rejected(b"\x00\xff\x80"),), Step(), (), NOW_MS)
    with queries.reading(path) as connection:
        (found,) = queries.rejected(connection)
    assert (found.payload, found.reason, found.detail) == (b"\x00\xff\x80", "not_json", "at byte 0")


def test_a_reason_with_a_lone_surrogate_does_not_stop_a_commit(ledger: Ledger, path: Path) -> None:
    hostile = rejected()._replace(detail="\ud800")
    ledger.save((hostile,), Step(), (), NOW_MS)
    with queries.reading(path) as connection:
        assert queries.rejected(connection)[0].detail == "\\ud800"


def test_events_and_warnings_come_out_as_they_went_in(ledger: Ledger) -> None:
    events = (event("K-0001", "a"), event("K-0001", "b"), event("K-0002", "a"))
    ledger.save((), Step(events=events, warnings=(warning(50), warning(80))), (), NOW_MS)
    assert ledger.load_events() == events
    assert ledger.load_warnings() == (warning(50), warning(80))


def test_a_revision_replaces_the_event_and_keeps_the_history(ledger: Ledger, path: Path) -> None:
    first = event()
    second = dataclasses.replace(first, revision=2, breached_at_ms=500)
    third = dataclasses.replace(second, revision=3, supported=False)
    for each in (first, second, third):
        ledger.save((), Step(events=(each,)), (), NOW_MS)
    assert ledger.load_events() == (third,)
    with queries.reading(path) as connection:
        assert queries.event_history(connection, first.id) == (first, second, third)


def test_an_event_that_is_there_already_is_not_written_again(ledger: Ledger, path: Path) -> None:
    for _ in range(2):
        ledger.save((), Step(events=(event(),), warnings=(warning(),)), (alert(),), NOW_MS)
    assert {counts(path)[table] for table in ("event", "event_revision", "warning", "audit", "outbox")} == {1}


def test_an_event_cannot_go_back_or_skip_a_revision(ledger: Ledger) -> None:
    ledger.save((), Step(events=(event(),)), (), NOW_MS)
    with pytest.raises(EnvironmentFailed, match="next revision"):
        ledger.save((), Step(events=(event(revision=3),)), (), NOW_MS)
    assert ledger.load_events() == (event(),)


def test_every_event_is_in_the_audit_trail_with_old_and_new(ledger: Ledger, path: Path) -> None:
    ledger.save((), Step(events=(event(),)), (), NOW_MS)
    ledger.save((), Step(events=(event(revision=2, breached_at_ms=500),)), (), NOW_MS + 1)
    with queries.reading(path) as connection:
        rows = connection.execute("SELECT at_ms, who, role, action, old, new FROM audit ORDER BY seq").fetchall()
    assert [row[:4] for row in rows] == [
        (NOW_MS, "coldchain", "system", "quarantine.raised"),
        (NOW_MS + 1, "coldchain", "system", "quarantine.revised"),
    ]
    assert rows[0][4] is None
    assert rows[1][4] == rows[0][5]
    assert json.loads(rows[1][5])["breached_at_ms"] == 500


def test_only_the_latest_assessment_of_a_kit_group_is_kept(ledger: Ledger, path: Path) -> None:
    ledger.save((), Step(outcomes={"g": assessment()}), (), NOW_MS)
    ledger.save((), Step(outcomes={"g": assessment(Verdict.INDETERMINATE)}), (), NOW_MS + 1)
    with queries.reading(path) as connection:
        found = queries.assessments(connection)
    assert found["g"]["verdict"] == "indeterminate"
    assert found["g"]["limits"][0]["breached_at_ms"] == 1000


def test_a_number_that_is_not_computable_is_null_never_nan(ledger: Ledger, path: Path) -> None:
    ledger.save((), Step(outcomes={"g": assessment(mean_c=float("nan"))}), (), NOW_MS)
    with queries.reading(path) as connection:
        assert queries.assessments(connection)["g"]["mean_c"] is None


@pytest.mark.parametrize("table", ["message", "reading_block", "assessment", "event", "audit", "outbox_cause"])
def test_a_step_that_fails_anywhere_leaves_nothing_behind(ledger: Ledger, path: Path, table: str) -> None:
    messages, step, alerts = full_step()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TRIGGER fault BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'broken'); END")
        connection.commit()
    with pytest.raises(EnvironmentFailed, match="broken"):
        ledger.save(messages, step, alerts, NOW_MS)
    assert set(counts(path).values()) == {0}
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER fault")
    ledger.save(messages, step, alerts, NOW_MS)
    assert counts(path)["message"] == 3


def test_a_full_disk_is_one_line_and_the_ledger_works_again_once_there_is_room(ledger: Ledger, path: Path) -> None:
    pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    messages = [rejected(bytes(100_000))]
    with pytest.raises(EnvironmentFailed, match=r"ledger .*full") as caught:
        ledger.save(messages, Step(), (), NOW_MS)
    assert "\n" not in str(caught.value)
    assert counts(path)["message"] == 0
    ledger._connection.execute("PRAGMA max_page_count = 1000000")
    ledger.save(messages, Step(), (), NOW_MS)
    assert counts(path)["message"] == 1


def test_the_disk_is_asked_to_hold_every_commit(ledger: Ledger) -> None:
    settings = {
        name: ledger._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_every_transaction_holds_the_lock_of_all_writers(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look(*_: object) -> None:
        with Path(f"{path}.lock").open("rb") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append(True)

    monkeypatch.setattr(records, "write_alerts", look)
    ledger.save((rejected(),), Step(), (), NOW_MS)
    assert seen == [True]
    with Path(f"{path}.lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_write_of_another_process_is_noticed_and_own_writes_are_not(ledger: Ledger, path: Path) -> None:
    before = ledger.data_version()
    ledger.save((rejected(),), Step(), (), NOW_MS)
    assert ledger.data_version() == before
    with Ledger.open(path) as other:
        other.register("registry.toml", "", "me", NOW_MS)
    assert ledger.data_version() != before


def test_a_step_computed_before_another_process_wrote_is_not_saved(ledger: Ledger, path: Path) -> None:
    seen = ledger.data_version()
    with Ledger.open(path) as other:
        other.save((message(batch()),), Step(fresh=(batch(),)), (), NOW_MS)
    with pytest.raises(LedgerChanged):
        ledger.save((message(batch()),), Step(fresh=(batch(),)), (), NOW_MS, unless_changed_since=seen)
    assert len(list(ledger.load_batches())) == 1
    ledger.save((rejected(),), Step(), (), NOW_MS, unless_changed_since=ledger.data_version())


def test_the_registry_keeps_every_version_and_the_newest_of_each_name_is_current(ledger: Ledger, path: Path) -> None:
    assert ledger.register("a.toml", "one", "ann", NOW_MS) == 1
    assert ledger.register("b.csv", "two", "ann", NOW_MS) == 1
    assert ledger.register("a.toml", "three", "ben", NOW_MS + 1) == 2
    current = ledger.current_registry_files()
    assert [(file.name, file.version, file.content, file.who) for file in current] == [
        ("a.toml", 2, "three", "ben"),
        ("b.csv", 1, "two", "ann"),
    ]
    with queries.reading(path) as connection:
        assert connection.execute("SELECT count(*) FROM registry_file").fetchone()[0] == 3


def test_loading_the_same_registry_text_again_changes_nothing(ledger: Ledger, path: Path) -> None:
    ledger.register("a.toml", "one", "ann", NOW_MS)
    assert ledger.register("a.toml", "one", "ann", NOW_MS + 1) == 1
    assert counts(path)["audit"] == 1


def test_an_alert_is_due_until_it_is_delivered(ledger: Ledger) -> None:
    ledger.save((), Step(events=(event(),)), (alert(),), NOW_MS)
    (row,) = ledger.due_alerts(NOW_MS)
    assert (row.key, row.channel, row.recipient, row.attempts) == ("key-1", "email", "qp@example.org", 0)
    ledger.record_deliveries([Delivery(row.id, NOW_MS + 5)])
    assert ledger.due_alerts(NOW_MS + 10**9) == ()


def test_a_failed_delivery_is_tried_again_ever_later_but_never_given_up(ledger: Ledger) -> None:
    ledger.save((), Step(events=(event(),)), (alert(),), NOW_MS)
    now_ms, pauses = NOW_MS, []
    for _ in range(30):
        (row,) = ledger.due_alerts(now_ms)
        ledger.record_deliveries([Delivery(row.id, now_ms, "connection refused")])
        pause = next(s for s in range(1, 400) if ledger.due_alerts(now_ms + 1000 * s))
        pauses.append(pause)
        now_ms += 1000 * pause
    assert pauses[:5] == [2, 4, 8, 16, 32]
    assert set(pauses[9:]) == {300}


def test_an_alert_put_off_by_a_clock_that_was_set_back_since_is_due(ledger: Ledger) -> None:
    in_2100_ms = 4_102_444_800_000
    ledger.save(*full_step(), in_2100_ms)
    (row,) = ledger.due_alerts(NOW_MS)
    ledger.record_deliveries([Delivery(row.id, in_2100_ms, "refused")])
    assert ledger.due_alerts(NOW_MS) == (dataclasses.replace(row, attempts=1),)


def test_the_use_of_a_stage_is_written_with_its_assessment(ledger: Ledger, path: Path) -> None:
    found = assessment()
    limits = tuple(dataclasses.replace(limit, stages=(StageUse(Stage.DEPOT, 600, 20),)) for limit in found.limits)
    ledger.save((), Step(outcomes={"group-1": dataclasses.replace(found, limits=limits)}), (), NOW_MS)
    with queries.reading(path) as connection:
        (limit,) = queries.assessments(connection)["group-1"]["limits"]
    assert limit["stages"] == [{"stage": "depot", "allowed": 600, "used": 20}]


def test_readers_cannot_write(ledger: Ledger, path: Path) -> None:
    ledger.save((rejected(),), Step(), (), NOW_MS)
    with pytest.raises(EnvironmentFailed, match="readonly"), queries.reading(path) as connection:
        connection.execute("INSERT INTO warning (id) VALUES ('a')")


def test_a_ledger_that_is_not_there_is_not_created_by_reading(path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="no such file"), queries.reading(path):
        pass
    assert not path.exists()


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="ledger"), Ledger.open(tmp_path / "none" / "coldchain.db"):
        pass


def test_a_file_that_is_no_ledger_is_one_line(path: Path) -> None:
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(EnvironmentFailed, match="not a database"), Ledger.open(path):
        pass


def test_the_status_counts_what_is_there(ledger: Ledger, path: Path) -> None:
    messages, step, alerts = full_step()
    ledger.save(messages, step, alerts, NOW_MS)
    with queries.reading(path) as connection:
        found = queries.status(connection)
    assert (found.messages, found.rejected, found.readings, found.events, found.warnings) == (3, 1, 6, 1, 1)
    assert (found.verdicts, found.undelivered, found.oldest_undelivered_ms) == ({"outside": 1}, 1, NOW_MS)
