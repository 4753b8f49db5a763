"""How the ledger gets into a store: in any portions, through outages, once and for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from coldchain.errors import EnvironmentFailed
from coldchain.ledger import queries
from coldchain.ledger.backup import restore
from coldchain.ledger.ledger import Ledger
from coldchain.readings import ChannelKey
from coldchain.settings import Settings
from coldchain.timeseries import local_file, projector
from coldchain.timeseries.embedded import EmbeddedStore
from coldchain.timeseries.influx import InfluxStore
from coldchain.timeseries.opening import file_of, opened
from coldchain.timeseries.points import Addition, Cursor
from coldchain.timeseries.projector import Backlog, OtherLedger
from coldchain.timeseries.reconciliation import reconcile
from coldchain.timeseries.retention import Kept
from coldchain.timeseries.store import Store
from service_values import START_MS
from timeseries_servers import InfluxDB
from timeseries_values import DAY_MS, HOUR_MS, REGISTRY, SHIPPER, fill, month, project, settings_for

MakeSettings = Callable[..., Settings]
PLACES = ("basel-cold-2", SHIPPER)


def everything(store: Store) -> list[object]:
    """All that a store answers, to compare it whole."""
    found: list[object] = [store.cursor()]
    for key in store.channels():
        for is_verified in (True, False):
            readings = store.readings(key, 0, 2**43, is_verified=is_verified)
            found.append((key, readings.at_ms.tolist(), readings.temperature_mc.tolist(), dict(readings.faults)))
        found.append(store.logger_hours(key, 0, 2**43))
    found += [[hour for hour in store.place_hours(place, 0, 2**43) if hour.known_ms] for place in PLACES]
    found += [store.evidence(0, 2**43), store.holds(0, 2**43), store.acts(0, 2**43)]
    return [*found, store.verdicts(0, 2**43), store.kit_verdicts(0, 2**43)]


@pytest.mark.parametrize("readings_per_pass", [1, 700])
def test_small_portions_while_the_ledger_grows_give_what_one_portion_of_all_gives(
    embedded: Settings, monkeypatch: pytest.MonkeyPatch, readings_per_pass: int
) -> None:
    arrivals = month(seed=3, days=6)
    fill(embedded, arrivals[: len(arrivals) // 2])
    monkeypatch.setattr(projector, "READINGS_PER_PASS", readings_per_pass)
    monkeypatch.setattr(projector, "ACTS_PER_PASS", 2)
    with opened(embedded) as found:
        project(found)
    fill(embedded, arrivals[len(arrivals) // 2 :])
    with opened(embedded) as found:
        project(found)
        grown = everything(found.store)
        monkeypatch.undo()
        found.store.clear()
        assert found.store.channels() == ()
        project(found)
        assert everything(found.store) == grown
        assert reconcile(found.projector, found.store, Kept()).differences == ()


def test_a_pass_takes_no_more_blocks_than_it_should_and_at_least_one(
    embedded: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(embedded, month(seed=3, days=1))
    monkeypatch.setattr(projector, "READINGS_PER_PASS", 1)
    with opened(embedded) as found:
        for passes in (1, 2):
            assert found.projector.run_pass()
            assert found.store.cursor().block == passes
        ends = queries.ends(found.ledger)
        assert found.projector.backlog.blocks == ends.block - 2
        assert found.projector.backlog.oldest_ms == queries.received_after(found.ledger, 2)
        monkeypatch.undo()
        project(found)
        assert found.projector.backlog == Backlog(0, 0, None)


@pytest.mark.parametrize("is_embedded", [True, False])
def test_the_same_stretch_again_changes_nothing(
    embedded: Settings, on_influxdb: MakeSettings, is_embedded: bool
) -> None:
    settings = embedded if is_embedded else on_influxdb()
    fill(settings, month(seed=4, days=3))
    with opened(settings) as found:
        project(found)
        before = everything(found.store)
        cursor = found.store.cursor()
        found.store.append(Addition(Cursor()))
        project(found)
        assert everything(found.store) == before
        assert found.store.cursor() == cursor


def test_a_store_that_was_stopped_for_an_hour_of_data_ends_in_no_differences(tmp_path: Path) -> None:
    server = InfluxDB(tmp_path / "server")
    try:
        settings = settings_for(tmp_path / "service", f'[timeseries]\nurl = "{server.url}"\n')
        arrivals = month(seed=5, days=4)
        begins = next(n for n, arrival in enumerate(arrivals) if arrival.received_ms > START_MS + 2 * DAY_MS)
        ends = next(n for n, a in enumerate(arrivals) if a.received_ms >= arrivals[begins].received_ms + HOUR_MS)
        fill(settings, arrivals[:begins])
        with opened(settings) as found:
            project(found)
            reached = found.store.cursor()
            server.kill()
            fill(settings, arrivals[begins:ends])
            for _ in range(3):
                with pytest.raises(EnvironmentFailed, match="refused"):
                    found.projector.run_pass()
            server.start()
            assert found.store.cursor() == reached
            assert reconcile(found.projector, found.store, Kept(), mends=False).differences == ()
            assert found.projector.run_pass() is False
            assert found.store.cursor() > reached
            fill(settings, arrivals[ends:])
            project(found)
            result = reconcile(found.projector, found.store, Kept(), mends=False)
        assert (result.differences, result.remaining) == ((), 0)
        assert result.readings > 1000
    finally:
        server.kill()


def test_a_server_killed_while_it_is_written_loses_nothing_that_the_cursor_has_passed(tmp_path: Path) -> None:
    server = InfluxDB(tmp_path / "server")
    try:
        settings = settings_for(tmp_path / "service", f'[timeseries]\nurl = "{server.url}"\n')
        fill(settings, month(seed=6, days=4))
        with opened(settings) as found:
            store = found.store
            assert isinstance(store, InfluxStore)
            write, chunks = store._server._post, 0

            def killing(bucket: str, lines: list[str]) -> None:
                nonlocal chunks
                chunks += 1
                if chunks % 3 == 2:
                    server.kill()
                write(bucket, lines)

            store._server._post = killing  # type: ignore[method-assign]
            kills = 0
            for _ in range(20):
                try:
                    if not found.projector.run_pass():
                        break
                except EnvironmentFailed:
                    kills += 1
                    server.start()
            assert kills > 0
            assert found.projector.backlog.blocks == 0
            assert reconcile(found.projector, store, Kept(), mends=False).differences == ()
    finally:
        server.kill()


def test_the_cursor_stays_where_it_was_when_one_part_of_a_stretch_fails(
    embedded: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(embedded, month(seed=7, days=2))
    with opened(embedded) as found:
        failing = "_write_place_hours"
        monkeypatch.setattr(EmbeddedStore, failing, lambda *_: (_ for _ in ()).throw(EnvironmentFailed("disk", "full")))
        with pytest.raises(EnvironmentFailed, match="full"):
            project(found)
        assert found.store.cursor() == Cursor()
        assert found.store.channels() == ()
        monkeypatch.undo()
        project(found)
        assert reconcile(found.projector, found.store, Kept(), mends=False).differences == ()


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_restored_ledger_is_noticed_and_not_mixed_with_what_was_projected_before(
    embedded: Settings, tmp_path: Path, goes_on: bool
) -> None:
    arrivals = month(seed=8, days=2)
    fill(embedded, arrivals[:10])
    with Ledger.open(embedded.ledger.path) as ledger:
        ledger.backup(tmp_path / "backup.db")
    fill(embedded, arrivals[10:])
    with opened(embedded) as found:
        project(found)
    restore(embedded.ledger.path, tmp_path / "backup.db", "ann", START_MS)
    if goes_on:  # past where it was before
        fill(embedded, month(seed=80, days=5))
    with opened(embedded) as found:
        with pytest.raises(OtherLedger, match="rebuild"):
            found.projector.run_pass()
        found.store.clear()
        local_file.forget_ledger(found.local)
        project(found)
        assert reconcile(found.projector, found.store, Kept(), mends=False).differences == ()


@pytest.mark.parametrize("is_embedded", [True, False])
def test_a_changed_monitoring_changes_the_hours_of_its_place_and_of_no_other(
    embedded: Settings, on_influxdb: MakeSettings, is_embedded: bool
) -> None:
    settings = embedded if is_embedded else on_influxdb()
    fill(settings, month(seed=9, days=3))
    shorter = REGISTRY.replace("to = 2026-03-25T00:00:00Z", "to = 2026-03-02T00:00:00Z")
    assert shorter != REGISTRY
    with opened(settings) as found:
        project(found)
        before = {place: found.store.place_hours(place, 0, 2**43) for place in PLACES}
        with Ledger.open(settings.ledger.path) as ledger:
            ledger.register("registry.toml", shorter, "ann", START_MS)
        project(found)
        after = {place: found.store.place_hours(place, 0, 2**43) for place in PLACES}
        assert after["basel-cold-2"] == before["basel-cold-2"]
        assert 0 < len(after[SHIPPER]) < len(before[SHIPPER])
        assert after[SHIPPER] == before[SHIPPER][: len(after[SHIPPER])]
        assert reconcile(found.projector, found.store, Kept(), mends=False).differences == ()


def test_a_logger_file_of_years_is_seen_by_every_later_look_into_its_time(embedded: Settings) -> None:
    arrivals = [a for a in month(seed=10, days=5) if a.batch.logger == "lg-1"]
    whole = arrivals[0].batch
    long = replace(
        whole, at_ms=whole.at_ms + DAY_MS * (whole.at_ms - whole.at_ms[0]) // (10 * 60_000), received_ms=None
    )
    assert long.at_ms[-1] - long.at_ms[0] > 10 * DAY_MS
    fill(embedded, [arrivals[0]._replace(batch=long), *arrivals[1:]])
    with opened(embedded) as found:
        project(found)
        assert reconcile(found.projector, found.store, Kept(), mends=False).differences == ()
        hours = found.store.logger_hours(found.store.channels()[0], 0, 2**43)
        assert sum(hour.n + hour.faults for hour in hours) == len(
            found.store.readings(ChannelKey("lg-1", "1"), 0, 2**43)
        )


def test_two_never_project_at_once(embedded: Settings) -> None:
    with (
        local_file.projecting(file_of(embedded), waiting=False) as first,
        local_file.projecting(file_of(embedded), waiting=False) as second,
    ):
        assert (first, second) == (True, False)
    with local_file.projecting(file_of(embedded), waiting=False) as again:
        assert again


def test_nothing_to_project_is_no_work_and_no_error(embedded: Settings) -> None:
    fill(embedded, [])
    with opened(embedded) as found:
        project(found)
        assert found.projector.run_pass() is False
        assert found.store.cursor().block == 0
        assert len(found.store.acts(0, 2**43)) == 1  # the registry was loaded


def test_a_store_without_a_ledger_is_said_in_one_line(embedded: Settings) -> None:
    with pytest.raises(EnvironmentFailed, match="there is no such file"), opened(embedded):
        pass
