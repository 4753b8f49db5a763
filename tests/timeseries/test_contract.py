"""Every question, asked of both stores about the same month: equal answers, and the ones that the ledger gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
import pytest

from coldchain import exposure, history, pipeline
from coldchain.ledger import queries
from coldchain.ledger.ledger import Ledger
from coldchain.profiles import StabilityProfile, load_profiles
from coldchain.readings import FAULT_MC, ChannelKey
from coldchain.registry import parse_registry
from coldchain.timeseries.opening import Opened, opened
from coldchain.timeseries.points import HOUR_MS, Readings, total
from coldchain.timeseries.store import Store, downsampled, place_readings
from service_values import START_MS
from timeseries_servers import InfluxDB
from timeseries_values import (
    DAY_MS,
    MINUTE_MS,
    MONTH_END_MS,
    ODD,
    REGISTRY,
    SHIPPER,
    UNREGISTERED,
    fill,
    month,
    project,
    settings_for,
)

KEYS = [ChannelKey(logger, "1") for logger in ("lg-1", "lg-2", ODD, UNREGISTERED)]
RANGES = [
    (START_MS - DAY_MS, MONTH_END_MS + DAY_MS),
    (START_MS + 7 * DAY_MS, START_MS + 7 * DAY_MS + 3 * HOUR_MS),
    (START_MS + 10 * MINUTE_MS, START_MS + 20 * MINUTE_MS),  # one reading at its end, one at its open beginning
    (START_MS - 2 * DAY_MS, START_MS - DAY_MS),
    (0, 2**43),
]


class Both(NamedTuple):
    embedded: Opened
    influx: Opened
    rules: Mapping[str, StabilityProfile]

    @property
    def stores(self) -> tuple[Store, Store]:
        return self.embedded.store, self.influx.store


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, influxdb: InfluxDB) -> Iterator[Both]:
    """One ledger, projected into both stores; the second from a copy of it."""
    folder = tmp_path_factory.mktemp("contract")
    one = settings_for(folder / "embedded")
    two = settings_for(folder / "influx", f'[timeseries]\nurl = "{influxdb.url}"\nbucket = "contract"\n')
    fill(one, month())
    with Ledger.open(one.ledger.path) as ledger:
        ledger.backup(two.ledger.path)
    with ExitStack() as stack:
        embedded, influx = (stack.enter_context(opened(settings)) for settings in (one, two))
        found = Both(embedded, influx, load_profiles(one.rules.dir))
        for each in (found.embedded, found.influx):
            project(each)
        yield found


def columns(readings: Readings) -> tuple[list[int], list[int], dict[int, str], bool]:
    faults = dict(readings.faults)
    return readings.at_ms.tolist(), readings.temperature_mc.tolist(), faults, readings.is_verified


@pytest.mark.parametrize("span", RANGES)
@pytest.mark.parametrize("is_verified", [True, False])
def test_readings_of_a_logger(both: Both, span: tuple[int, int], is_verified: bool) -> None:
    one, two = both.stores
    for key in KEYS:
        answer = columns(one.readings(key, *span, is_verified=is_verified))
        assert answer == columns(two.readings(key, *span, is_verified=is_verified))
        assert all(span[0] < at_ms <= span[1] for at_ms in answer[0])


def test_readings_are_those_of_the_ledger_with_conflicts_and_faults_and_every_reading_once(both: Both) -> None:
    said: dict[ChannelKey, set[tuple[int, int]]] = defaultdict(set)
    named: dict[str, int] = defaultdict(int)
    for batch in queries.batches(both.embedded.ledger):
        for position, pair in enumerate(zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True)):
            said[batch.key].add((pair[0], FAULT_MC if pair[1] == 2_000_000 else pair[1]))
            named[batch.faults.get(position, "impossible_temperature" if pair[1] == 2_000_000 else "")] += 1
    conflicts = 0
    faults: dict[str, int] = defaultdict(int)
    for key in KEYS:
        held: list[tuple[int, int]] = []
        for is_verified in (True, False):
            found = both.influx.store.readings(key, 0, 2**43, is_verified=is_verified)
            held += zip(found.at_ms.tolist(), found.temperature_mc.tolist(), strict=True)
            conflicts += int((np.diff(found.at_ms) == 0).sum())
            for reason in found.faults.values():
                faults[reason] += 1
        assert sorted(held) == sorted(said[key])
    assert conflicts > 10
    del named[""]
    assert faults == named
    assert set(faults) == {"probe_open", "battery", "impossible_temperature"}


def test_an_unbelievable_clock_shows_among_the_unverified_only(both: Both) -> None:
    unverified = [both.influx.store.readings(key, 0, START_MS - DAY_MS, is_verified=False) for key in KEYS]
    assert sum(map(len, unverified)) > 0
    assert not any(len(both.influx.store.readings(key, 0, START_MS - DAY_MS)) for key in KEYS)


@pytest.mark.parametrize("width_ms", [7 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, DAY_MS])
@pytest.mark.parametrize("span", RANGES[:4])
def test_downsampled(both: Both, span: tuple[int, int], width_ms: int) -> None:
    one, two = both.stores
    for key in KEYS:
        answer = downsampled(one, key, *span, width_ms)
        assert answer == downsampled(two, key, *span, width_ms)
        from_ms, to_ms = span[0] // width_ms * width_ms, -(-span[1] // width_ms) * width_ms
        readings = one.readings(key, from_ms, to_ms)
        for bucket in answer:
            inside = (readings.at_ms > bucket.start_ms) & (readings.at_ms <= bucket.end_ms)
            mc = readings.temperature_mc[inside & (readings.temperature_mc != FAULT_MC)].astype(np.int64)
            assert bucket.n == len(mc)
            assert bucket.n + bucket.faults == inside.sum()
            if bucket.n:
                expected = int(mc.min()), int(mc.max()), int(mc.sum()) / len(mc) / 1000
                assert (bucket.min_mc, bucket.max_mc, bucket.mean_c) == expected
        assert sum(bucket.n + bucket.faults for bucket in answer) == len(readings)


def test_readings_of_a_place_are_those_of_its_loggers_while_they_watched_it(both: Both) -> None:
    one, two = both.stores
    monitoring = both.embedded.projector.registry.monitoring_of["basel-cold-2"]
    for span in RANGES:
        answers = [[(m, *columns(r)) for m, r in place_readings(store, monitoring, *span)] for store in (one, two)]
        assert answers[0] == answers[1]
    found = {entry.logger: readings for entry, readings in place_readings(two, monitoring, *RANGES[0])}
    assert found["lg-2"].at_ms[0] > 1_772_668_800_000  # it watches from March 5 on
    assert found["lg-1"].at_ms[0] < 1_772_668_800_000
    assert [each for each, _ in place_readings(two, monitoring, START_MS, START_MS + DAY_MS)] == [monitoring[0]]


@pytest.mark.parametrize("place", ["basel-cold-2", SHIPPER, "no-such-place"])
@pytest.mark.parametrize("span", RANGES)
def test_exposure_of_a_place(both: Both, span: tuple[int, int], place: str) -> None:
    one, two = both.stores
    assert one.place_hours(place, *span) == two.place_hours(place, *span)


@pytest.mark.parametrize("place", ["basel-cold-2", SHIPPER])
def test_exposure_of_a_place_is_what_the_core_computes_from_its_whole_history(both: Both, place: str) -> None:
    registry = parse_registry([("registry.toml", REGISTRY)])
    state = pipeline.replay(list(queries.batches(both.embedded.ledger)), registry, both.rules)
    from_ms, to_ms = START_MS // HOUR_MS * HOUR_MS, MONTH_END_MS
    whole = history.clip(state.places[place].history, from_ms, to_ms)
    assert whole is not None
    expected = exposure.totals(whole)
    found = total(both.influx.store.place_hours(place, from_ms, to_ms), from_ms, to_ms)
    assert (found.known_ms, found.min_mc, found.max_mc, found.mean_c) == (
        expected.known_ms,
        expected.min_mc,
        expected.max_mc,
        expected.mean_c,
    )
    assert found.unknown_ms == to_ms - from_ms - expected.known_ms
    assert found.mkt_c == pytest.approx(exposure.mkt(whole, 83144.62618), abs=1e-9)
    by_hand = [h for h in both.embedded.store.place_hours(place, from_ms, to_ms) if h.known_ms]
    hour = history.clip(whole, by_hand[100].at_ms - HOUR_MS, by_hand[100].at_ms)
    assert hour is not None
    assert exposure.mkt(hour, 83144.62618) == by_hand[100].mkt_c


QUESTIONS: list[Callable[[Store, int, int], object]] = [
    lambda store, *span: store.holds(*span),
    lambda store, *span: store.holds(*span, kit="K-0001"),
    lambda store, *span: store.holds(*span, kit="K' OR 1=1"),
    lambda store, *span: store.evidence(*span),
    lambda store, *span: store.evidence(*span, kit="K-0002"),
    lambda store, *span: store.acts(*span),
    lambda store, *span: store.verdicts(*span),
    lambda store, *span: store.kit_verdicts(*span),
    lambda store, *span: store.kit_verdicts(*span, kit="K-0003"),
]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("span", RANGES)
def test_events_audit_entries_and_verdicts(
    both: Both, span: tuple[int, int], question: Callable[[Store, int, int], object]
) -> None:
    one, two = both.stores
    assert question(one, *span) == question(two, *span)


def test_events_are_every_revision_in_the_ledger_with_all_fields_and_blinded_ones_without_limit_and_profile(
    both: Both,
) -> None:
    ledger = both.embedded.ledger
    with_revisions = [each for e in queries.events(ledger) for each in queries.event_history(ledger, e.id)]
    found = both.influx.store.evidence(0, 2**43)
    blinded = ("event", "kit", "reason", "breached_at_ms", "detected_at_ms", "revision", "supported")
    told = {(*(getattr(e.hold, name) for name in blinded), e.limit, e.profile, e.profile_version) for e in found}
    said = ("id", *blinded[1:], "limit", "profile", "profile_version")
    assert told == {tuple(getattr(e, name) for name in said) for e in with_revisions}
    assert len(found) == len(with_revisions) > 2
    assert [each.hold for each in found] == list(both.influx.store.holds(0, 2**43))
    assert {each.hold.place for each in found} == {"basel-cold-2", SHIPPER}


def test_every_kit_has_its_verdict_at_the_end(both: Both) -> None:
    last = {each.kit: each.verdict for each in both.influx.store.kit_verdicts(0, 2**43)}
    said = queries.assessments(both.embedded.ledger)
    groups = both.embedded.projector.registry.groups
    assert last == {kit: said[group.id]["verdict"] for group in groups.values() for kit in group.kits}
