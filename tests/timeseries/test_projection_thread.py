"""The thread beside the service: its night, its rest, and an error that nobody expected."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from coldchain.ledger import queries
from coldchain.readings import ChannelKey
from coldchain.settings import Settings, Timeseries
from coldchain.timeseries import local_file, projection
from coldchain.timeseries.embedded import ROWS_AT_ONCE, EmbeddedStore
from coldchain.timeseries.opening import file_of, opened, opened_to_read
from coldchain.timeseries.points import PlaceHour
from coldchain.timeseries.projection import Projection
from coldchain.timeseries.projector import Projector
from processes import eventually
from service_values import START_MS
from timeseries_values import DAY_MS, HOUR_MS, fill, month

LG_1 = ChannelKey("lg-1", "1")


@contextmanager
def running(settings: Settings, clock: Callable[[], int]) -> Iterator[Projection]:
    thread = Projection(settings, clock)
    thread.start()
    try:
        yield thread
    finally:
        thread.stop(10)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(projection, "LONGEST_PAUSE_S", 0.1)


def test_the_night_mends_what_came_that_day_and_lets_go_what_is_too_old(embedded: Settings) -> None:
    settings = embedded.model_copy(update={"timeseries": Timeseries(raw_days=3, nightly_hour_utc=2)})
    arrivals = [arrival for arrival in month(seed=19, days=8) if arrival.batch.logger == "lg-1"]
    for arrival in arrivals:
        arrival.batch.temperature_mc[:] = 5000
    now_ms = START_MS // DAY_MS * DAY_MS + 5 * DAY_MS + HOUR_MS  # one o'clock: too early for a night
    fill(settings, arrivals[:8])
    with running(settings, lambda: now_ms) as thread:
        eventually(lambda: night(settings) > 0)
        before = night(settings)
        fill(settings, arrivals[8:])
        eventually(lambda: waiting(settings) == 0)
        with local_file.projecting(file_of(settings), waiting=True), opened(settings) as found:
            last_day = found.local.execute("SELECT max(day) FROM day").fetchone()[0]
            found.local.execute("DELETE FROM day WHERE day = ?", (last_day,))
        now_ms += HOUR_MS // 2
        assert night(settings) == before
        now_ms += HOUR_MS
        eventually(lambda: night(settings) == before + 1)
        eventually(lambda: thread.lag.error == "")
    with opened_to_read(settings) as store:
        at = store.readings(LG_1, 0, 2**43).at_ms
        assert at[-1] // DAY_MS == last_day, "the night did not mend"
        assert at[0] >= (now_ms - 3 * DAY_MS) // DAY_MS * DAY_MS, "the night let nothing go"
        assert store.logger_hours(LG_1, 0, 2**43)[0].at_ms < START_MS + 7 * HOUR_MS


def test_an_error_that_nobody_expected_is_told_and_tried_again_and_ends_nothing(
    embedded: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(embedded, month(seed=20, days=1))
    broken = True
    run_pass = Projector.run_pass

    def sometimes(self: Projector) -> bool:
        if broken:
            raise ZeroDivisionError("a mistake of ours")
        return run_pass(self)

    monkeypatch.setattr(Projector, "run_pass", sometimes)
    with running(embedded, lambda: START_MS) as thread:
        eventually(lambda: "a mistake of ours" in thread.lag.error)
        broken = False
        eventually(lambda: thread.lag.error == "" and held(embedded) > 0)
    told = capsys.readouterr()
    assert "a mistake of ours" in told.out + told.err


def test_it_waits_while_a_command_projects(embedded: Settings) -> None:
    fill(embedded, month(seed=20, days=1))
    with local_file.projecting(file_of(embedded), waiting=True), running(embedded, lambda: START_MS) as thread:
        eventually(lambda: file_of(embedded).exists())
        thread.stop(0.3)
        assert held(embedded) == 0


def held(settings: Settings) -> int:
    with opened(settings) as found:
        return len(found.store.readings(LG_1, 0, 2**43))


def waiting(settings: Settings) -> int:
    with opened(settings) as found:
        return queries.ends(found.ledger).block - found.store.cursor().block


def night(settings: Settings) -> int:
    with opened(settings) as found:
        return local_file.progress(found.local, "nightly")


def test_a_pass_rests_between_channels_and_between_days(embedded: Settings) -> None:
    fill(embedded, month(seed=21, days=2))
    rests = 0

    def rest() -> None:
        nonlocal rests
        rests += 1

    with opened(embedded, rest) as found:
        while found.projector.run_pass():
            pass
        channels, days = found.local.execute("SELECT count(DISTINCT logger || channel), count(*) FROM day").fetchone()
        assert channels > 1
        assert days > channels
        assert rests >= channels + days


def test_while_a_pass_rests_the_ledger_can_fold_its_write_ahead_log_back(embedded: Settings) -> None:
    fill(embedded, month(seed=22, days=2))
    found_busy = []
    with closing(sqlite3.connect(embedded.ledger.path, timeout=0.0)) as writer:

        def rest() -> None:
            found_busy.append(writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])

        with opened(embedded, rest) as found:
            with found.projector.one_view():
                found.ledger.execute("SELECT count(*) FROM message").fetchone()
                writer.execute("INSERT INTO checkpoint (written_ms, position, sha256) VALUES (0, 0, hex(zeroblob(32)))")
                writer.commit()
                rest()
                assert found_busy.pop() == 1, "the control: a view stands in the way"
            while found.projector.run_pass():
                pass
    assert len(found_busy) > 10
    assert not any(found_busy)


def test_rows_of_hours_are_written_in_portions_with_a_rest_before_each(embedded: Settings) -> None:
    rests = 0

    def rest() -> None:
        nonlocal rests
        rests += 1

    hours = tuple(PlaceHour(n * HOUR_MS, 0) for n in range(3 * ROWS_AT_ONCE + 1))
    with local_file.opened(file_of(embedded)) as local:
        store = EmbeddedStore(local, rest)
        store.replace_place("basel-cold-2", hours, "basis")
        assert rests == 4 + 1
        assert store.place_hours("basel-cold-2", -1, 2**43) == hours


def test_between_two_pieces_of_work_the_thread_rests_shortly(embedded: Settings) -> None:
    thread = Projection(embedded, lambda: START_MS)
    thread._worked_s = time.thread_time() - 60
    began = time.monotonic()
    thread._rest()
    assert 0.9 * projection.LONGEST_REST_S <= time.monotonic() - began < 60
    assert thread._rested_s >= 0.9 * projection.LONGEST_REST_S
    assert time.thread_time() - thread._worked_s < 1, "what it has worked counts from its rest on"
