"""A place that waits: nothing is judged while nothing can change, and everything is that can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from coldchain import judgement, patience, pipeline
from coldchain.judgement import Judged
from coldchain.pipeline import State, Step
from coldchain.profiles import parse_profile
from coldchain.readings import ReadingBatch
from coldchain.registry import KitGroup
from coldchain.scene import Scene
from test_pipeline import REGISTRY, RULES, batch, every_five, minute, registry

MKT = RULES.replace(
    "limit = [",
    'limit = [\n  { id = "mkt", mkt_window = "1h", mkt_max_c = 8.0, source = "s" },',
).replace('accumulated = "20min"', 'accumulated = "20h"')
SINGLE = RULES.replace("accumulated", "single_event")
SHARED = RULES.replace("above_c = 8.0", "outside_c = [2.0, 8.0]")


def living(*batches: ReadingBatch, now: float, rules: str = RULES) -> State:
    profiles = {"mab-017": parse_profile(rules, "mab-017.toml")}
    state, found = pipeline.start(registry(), profiles, batches, now_ms=minute(now), is_live=True)
    pipeline.adopt(state, found)
    return state


@contextmanager
def counted_looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    looks: list[str] = []
    judge = judgement.judge

    def counting(scene: Scene, group: KitGroup, *rest: Any) -> Judged:
        looks.append(group.id)
        return judge(scene, group, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(judgement, "judge", counting)
        yield looks


def feed(state: State, *batches: ReadingBatch, now: float) -> Step:
    found = pipeline.step(state, batches, minute(now))
    pipeline.adopt(state, found)
    return found


def told(found: Step) -> list[tuple[str, str, int]]:
    return sorted((event.kit, event.limit, event.breached_at_ms) for event in found.events if event.kit == "K-1")


def test_readings_between_the_same_bounds_cost_no_look_at_any_kit(monkeypatch: pytest.MonkeyPatch) -> None:
    state = living(every_five("lg-a", 5, 30, 5000), now=31)
    with counted_looks(monkeypatch) as looks:
        for when, mc in ((35, 2000), (40, 8000), (45, 5001)):
            assert feed(state, batch("lg-a", (when, mc)), now=when).assessments == {}
    assert looks == []
    assert state.assessments != {}


def test_a_gap_that_ends_with_a_reading_in_range_is_looked_at() -> None:
    state = living(every_five("lg-a", 5, 30, 5000), now=31, rules=RULES.replace('"30min"', '"10min"'))
    found = feed(state, batch("lg-a", (55, 5000)), now=55)
    assert told(found) == [("K-1", "unknown", minute(40))]


@pytest.mark.parametrize("mc", [8001, 1999])
def test_a_bound_that_is_crossed_is_looked_at_with_that_very_reading(mc: int) -> None:
    state = living(every_five("lg-a", 5, 30, 5000), now=31)
    found = feed(state, batch("lg-a", (35, mc)), now=35)
    assert {assessment.verdict for assessment in found.outcomes.values()} == {"within_allowance"}


@pytest.mark.parametrize(
    ("rules", "mc", "breached"),
    [(RULES, 9000, 50), (SINGLE, 9000, 50), (SHARED, 9000, 50), (SHARED, 1000, 50)],
)
def test_a_budget_that_runs_out_in_steady_heat_is_noticed_with_the_reading_that_passes_it(
    rules: str, mc: int, breached: int
) -> None:
    state = living(every_five("lg-a", 5, 30, 5000), now=31, rules=rules)
    news = {when: feed(state, batch("lg-a", (when, mc)), now=when) for when in range(35, 61, 5)}
    assert {when: told(found) for when, found in news.items() if found.events} == {
        55: [("K-1", "above-8", minute(breached))]
    }
    shares = {when: {warning.share for warning in found.warnings} for when, found in news.items() if found.warnings}
    assert shares == {40: {50}, 50: {80}}


def test_heat_before_the_first_full_window_counts_when_the_window_is_full_though_it_is_cool_by_then() -> None:
    state = living(every_five("lg-a", 5, 30, 20_000), now=31, rules=MKT)
    news = {when: feed(state, batch("lg-a", (when, 5000)), now=when) for when in range(35, 76, 5)}
    assert [when for when, found in news.items() if found.events] == [60]
    assert told(news[60]) == [("K-1", "mkt", minute(60))]


def test_once_no_window_holds_any_heat_the_place_waits_again(monkeypatch: pytest.MonkeyPatch) -> None:
    state = living(every_five("lg-a", 5, 10, 9000), every_five("lg-a", 15, 65, 5000), now=66, rules=MKT)
    feed(state, batch("lg-a", (70, 5000)), now=70)
    feed(state, batch("lg-a", (75, 5000)), now=75)
    with counted_looks(monkeypatch) as looks:
        feed(state, batch("lg-a", (80, 5000)), now=80)
    assert looks == []


def test_two_temperatures_at_one_instant_are_noticed_though_both_are_in_range() -> None:
    state = living(every_five("lg-a", 5, 30, 5000), now=31)
    found = feed(state, batch("lg-a", (35, 5000), (35, 5100)), now=35)
    assert told(found) == [("K-1", "data-integrity", minute(35))]


def test_a_gap_is_noticed_with_the_reading_that_ends_it() -> None:
    state = living(every_five("lg-a", 5, 30, 5000), now=31)
    found = feed(state, batch("lg-a", (75, 5000)), now=75)
    assert told(found) == [("K-1", "unknown", minute(60))]


def test_a_fault_is_not_the_same_band(monkeypatch: pytest.MonkeyPatch) -> None:
    state = living(every_five("lg-a", 5, 30, 5000), now=31)
    with counted_looks(monkeypatch) as looks:
        feed(state, batch("lg-a", (35, -(2**31))), now=35)
    assert len(looks) == 2


def test_late_readings_in_a_calm_stretch_change_nothing_and_hot_ones_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = living(every_five("lg-a", 5, 60, 5000), now=61)
    with counted_looks(monkeypatch) as looks:
        feed(state, batch("lg-a", (32, 6000)), now=61)
    assert looks == []
    found = feed(state, batch("lg-a", (33, 9000)), now=61)
    assert {assessment.verdict for assessment in found.outcomes.values()} == {"within_allowance"}


def test_late_heat_is_noticed_for_a_kit_that_had_left_before_the_place_began_to_wait() -> None:
    in_one_room = REGISTRY.replace('{ place = "box", logger = "lg-b"', '{ place = "room", logger = "lg-b"')
    sensitive = in_one_room.replace(
        '{ id = "K-3", batch = "B22", trial = "TRIAL-7", profile = "mab-017" }',
        '{ id = "K-3", batch = "B22", trial = "TRIAL-7", profile = "six" }',
    )
    six = RULES.replace("mab-017", "six").replace("above_c = 8.0", "above_c = 6.0").replace('"20min"', '"0s"')
    profiles = {"mab-017": parse_profile(RULES, "r.toml"), "six": parse_profile(six, "six.toml")}
    state, found = pipeline.start(
        registry(sensitive), profiles, [every_five("lg-a", 5, 55, 5000)], now_ms=minute(56), is_live=True
    )
    pipeline.adopt(state, found)
    for when in range(60, 95, 5):
        feed(state, batch("lg-a", (when, 5000)), now=when)
    feed(state, batch("lg-a", (95, 6500)), now=95)
    feed(state, batch("lg-a", (100, 5000)), now=100)
    found = feed(state, batch("lg-b", (35, 7000)), now=101)
    assert [(event.kit, event.breached_at_ms) for event in found.events] == [("K-3", minute(30))]


def test_a_place_waits_though_a_kit_that_has_left_it_is_judged_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    state = living(every_five("lg-a", 5, 70, 5000), every_five("lg-b", 65, 70, 5000), now=71)
    feed(state, batch("lg-b", (75, 9000)), now=75)
    with counted_looks(monkeypatch) as looks:
        feed(state, batch("lg-a", (75, 5000)), now=75)
    assert looks == []


def test_a_planned_hand_over_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    state = living(every_five("lg-a", 5, 30, 5000), now=31)
    with counted_looks(monkeypatch) as looks:
        feed(state, batch("lg-a", (60, 5000)), *(batch("lg-a", (when, 5000)) for when in range(35, 60, 5)), now=60)
        assert looks == []
        feed(state, batch("lg-a", (65, 5000)), now=65)
    assert len(looks) == 1, "only the kits that stay: the others have gone to the box"


def test_silence_ends_the_wait() -> None:
    state = living(every_five("lg-a", 5, 30, 5000), now=31)
    pipeline.adopt(state, pipeline.silence(state, minute(41)))
    assert state.patience["room"].until_ms < minute(41)
    kept = pipeline.look(state, state.assessments, minute(41))
    feed(state, batch("lg-a", (40, 5000)), now=41)
    assert state.assessments != kept
    assert {assessment.unknown_ms for assessment in state.assessments.values()} == {0}


def test_a_replay_does_not_wait() -> None:
    state, found = pipeline.start(registry(), {"mab-017": parse_profile(RULES, "r.toml")}, now_ms=0)
    pipeline.adopt(state, found)
    pipeline.adopt(state, pipeline.step(state, [every_five("lg-a", 5, 30, 5000)], 0))
    assert state.patience == {}
    assert patience.NONE.until_ms < 0
