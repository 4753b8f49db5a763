"""Live behaviour: readings step by step, late, doubled and missing, on one cold room and one shipper."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from coldchain import pipeline
from coldchain.instant import instant_ms
from coldchain.model import Assessment, QuarantineEvent, Reason, Verdict
from coldchain.pipeline import State, Step
from coldchain.profiles import StabilityProfile, parse_profile
from coldchain.readings import FAULT_MC, ChannelKey, ReadingBatch
from coldchain.registry import Registry, parse_registry
from coldchain.rulebook import Rulebook

MINUTE_MS = 60_000
START_MS = instant_ms("2026-03-01T00:00:00Z")

REGISTRY = """
logger = [{ id = "lg-a", logging_interval = "5min" }, { id = "lg-b", logging_interval = "5min" }]
place = [{ id = "room", kind = "storage" }, { id = "box", kind = "shipper" }]
monitoring = [
  { place = "room", logger = "lg-a", from = 2026-02-01T00:00:00Z },
  { place = "box", logger = "lg-b", from = 2026-02-01T00:00:00Z },
]
kit = [
  { id = "K-1", batch = "B22", trial = "TRIAL-7", profile = "mab-017" },
  { id = "K-2", batch = "B22", trial = "TRIAL-7", profile = "mab-017" },
  { id = "K-3", batch = "B22", trial = "TRIAL-7", profile = "mab-017" },
]
custody = [
  { kits = ["K-1", "K-2"], place = "room", from = 2026-03-01T00:00:00Z },
  { kits = ["K-3"], place = "room", from = 2026-03-01T00:00:00Z, to = 2026-03-01T01:00:00Z },
  { kits = ["K-3"], place = "box", from = 2026-03-01T01:00:00Z },
]
"""

RULES = """
profile = "mab-017"
version = 3
title = "mAb 017"
effective_from = 2026-01-01T00:00:00Z
label_low_c = 2.0
label_high_c = 8.0
source = { document = "STAB-0042", version = "4" }
approval = { author = "qa-author", approver = "qa-approver", approved_at = 2025-12-20T09:00:00Z }
limit = [
  { id = "above-8", above_c = 8.0, accumulated = "20min", source = "s" },
  { id = "unknown", unknown_single = "30min", source = "s" },
]
"""


def minute(count: float) -> int:
    return START_MS + round(count * MINUTE_MS)


def batch(logger: str, *readings: tuple[float, int], received: float | None = None) -> ReadingBatch:
    """Readings of (minute, temperature_mc)."""
    at = np.array([minute(when) for when, _ in readings], np.int64)
    mc = np.array([mc for _, mc in readings], np.int32)
    return ReadingBatch(logger, "1", at, mc, None if received is None else minute(received))


def every_five(logger: str, first: int, last: int, mc: int) -> ReadingBatch:
    return batch(logger, *((when, mc) for when in range(first, last + 1, 5)))


def registry(text: str = REGISTRY) -> Registry:
    return parse_registry([("registry.toml", text)])


def profiles(text: str = RULES) -> dict[str, StabilityProfile]:
    return {"mab-017": parse_profile(text, "mab-017.toml")}


def begun(*batches: ReadingBatch, registered: Registry | None = None, now: float = 0, **more: Any) -> State:
    state, found = pipeline.start(registered or registry(), profiles(), batches, now_ms=minute(now), **more)
    pipeline.adopt(state, found)
    return state


def feed(state: State, *batches: ReadingBatch, now: float = 0) -> Step:
    found = pipeline.step(state, batches, minute(now))
    pipeline.adopt(state, found)
    return found


def hush(state: State, now: float) -> Step:
    found = pipeline.silence(state, minute(now))
    pipeline.adopt(state, found)
    return found


def of(state: State, kit: str, now: float | None = None) -> Assessment:
    """What the state holds of a kit; with `now`, what is known by then."""
    group = next(group for group in state.registry.groups.values() if kit in group.kits)
    return state.assessments[group.id] if now is None else pipeline.look(state, [group.id], minute(now))[group.id]


def event(state: State, kit: str, limit: str) -> QuarantineEvent:
    return next(event for event in state.events[kit].values() if event.limit == limit)


def contents(state: State) -> dict[str, Any]:
    """Everything in a state down to the bytes of its arrays."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        if isinstance(value, np.ndarray):
            return value.tobytes()
        if hasattr(value, "__slots__") and not isinstance(value, Assessment | QuarantineEvent):
            return [plain(getattr(value, name)) for name in value.__slots__]
        return value

    kept = [f.name for f in fields(State) if f.name not in ("registry", "rules")]
    return {name: plain(getattr(state, name)) for name in kept} | {"warned": sorted(state.warned)}


def test_a_step_that_is_not_adopted_leaves_no_trace() -> None:
    state = begun(every_five("lg-a", 0, 30, 5000))
    before = contents(state)
    late = batch("lg-a", (12, 9000), (60, 9000), (9999, 5000), received=61)
    found = pipeline.step(state, [late, batch("lg-x", (1, 5000))], minute(61))
    assert found.assessments
    assert found.unverified
    quiet = pipeline.silence(state, minute(600))
    assert quiet.events
    assert contents(state) == before
    pipeline.adopt(state, found)
    assert contents(state) != before


def test_fresh_is_aligned_with_the_batches_of_a_step() -> None:
    state = begun(batch("lg-a", (0, 5000)))
    sent = [
        batch("lg-a", (5, 5000), (0, 5000)),  # one known already
        batch("lg-b", (5, 7000)),  # another channel in between
        batch("lg-a", (5, 5000), (10, 5000)),  # one doubled within the step
        batch("lg-a"),
        batch("lg-a", (0, 5000)),  # nothing new
        batch("lg-x", (5, 5000)),  # an unknown logger: kept all the same
        batch("lg-a", (15, 5000), (99, 5000), received=15),  # one ahead of its arrival: kept, not judged
    ]
    found = feed(state, *sent)
    minutes = [[(at - START_MS) // MINUTE_MS for at in kept.at_ms.tolist()] for kept in found.fresh]
    assert minutes == [[5], [5], [10], [], [], [5], [15, 99]]
    assert [kept.logger for kept in found.fresh] == [one.logger for one in sent]
    assert found.fresh[1] is sent[1]
    assert [len(kept) for kept in feed(state, *sent).fresh] == [0] * len(sent)
    assert state.arrivals == 1 + 2 * 9


def test_what_is_fresh_of_a_message_loses_its_sequence_and_keeps_its_faults_in_place() -> None:
    sent = replace(
        batch("lg-a", (0, 5000), (5, FAULT_MC), (10, FAULT_MC)), boot=3, seq=40, faults={1: "open", 2: "short"}
    )
    state = begun()
    (whole,) = feed(state, replace(sent, at_ms=sent.at_ms + 1)).fresh
    assert (whole.boot, whole.seq, whole.faults) == (3, 40, {1: "open", 2: "short"})
    feed(state, batch("lg-a", (5, FAULT_MC)))
    (rest,) = feed(state, sent).fresh
    assert (rest.boot, rest.seq, rest.faults) == (None, None, {1: "short"})


def test_what_a_step_finds_stands_in_a_fixed_order() -> None:
    row = '  {{ id = "Z-{0}", batch = "B", trial = "T", profile = "mab-017", opening = {{ "above-8" = "{0}s" }} }},\n'
    names = "".join(f', "Z-{number}"' for number in range(1, 8))
    rows = "".join(row.format(number) for number in range(1, 8))
    text = REGISTRY.replace("kit = [\n", "kit = [\n" + rows).replace('"K-2"]', f'"K-2"{names}]')
    state = begun(registered=registry(text))
    found = feed(state, every_five("lg-a", 5, 30, 9000))
    assert len(found.assessments) == 9
    assert list(found.assessments) == sorted(found.assessments)
    groups = {kit: group.id for group in state.registry.groups.values() for kit in group.kits}
    raised = [(groups[e.kit], e.kit) for e in found.events if e.limit == "above-8"]
    assert raised == sorted(raised)


def test_only_groups_whose_place_a_reading_reaches_are_judged_again() -> None:
    state = begun()
    found = feed(state, batch("lg-b", (65, 5000)))
    assert [tuple(state.registry.groups[group].kits) for group in found.assessments] == [("K-3",)]
    assert set(found.places) == {"box"}
    found = feed(state, batch("lg-a", (5, 5000)))
    assert sorted(tuple(state.registry.groups[group].kits) for group in found.assessments) == [("K-1", "K-2"), ("K-3",)]
    assert feed(state, batch("lg-a", (5, 5000))).assessments == {}
    assert feed(state, batch("lg-x", (5, 5000))).assessments == {}
    before_the_kits_came = feed(state, batch("lg-a", (-600, 30_000)))
    assert set(before_the_kits_came.places) == {"room"}
    assert before_the_kits_came.assessments == {}


def test_a_breach_raises_one_event_for_every_kit_that_was_there_with_the_time_it_was_seen() -> None:
    state = begun(batch("lg-a", (0, 5000)))
    exact = feed(state, every_five("lg-a", 5, 20, 9000), now=21)
    assert [e for e in exact.events if e.limit == "above-8"] == []
    beyond = feed(state, batch("lg-a", (25, 9000)), now=26)
    raised = [(e.kit, e.reason, e.breached_at_ms, e.detected_at_ms) for e in beyond.events if e.limit == "above-8"]
    assert sorted(raised) == [(kit, Reason.LIMIT, minute(20), minute(26)) for kit in ("K-1", "K-2", "K-3")]
    assert [e for e in feed(state, batch("lg-a", (30, 9000)), now=31).events if e.limit == "above-8"] == []


def test_late_data_move_the_breach_and_revise_the_event_once() -> None:
    state = begun(batch("lg-a", (0, 5000)), every_five("lg-a", 20, 45, 9000))
    assert event(state, "K-1", "above-8").breached_at_ms == minute(15 + 20)
    found = feed(state, every_five("lg-a", 5, 15, 9000), now=50)
    revised = event(state, "K-1", "above-8")
    assert (revised.breached_at_ms, revised.revision, revised.detected_at_ms) == (minute(20), 2, minute(0))
    assert revised in found.events
    assert feed(state, every_five("lg-a", 5, 15, 9000), now=51).events == ()


def test_an_event_that_late_data_no_longer_support_stays() -> None:
    state = begun(every_five("lg-a", 0, 5, 5000), batch("lg-a", (15, 9000), (25, 9000), (35, 9000)))
    assert event(state, "K-1", "above-8").supported
    assert of(state, "K-1").verdict is Verdict.OUTSIDE
    feed(state, batch("lg-a", (10, 5000), (20, 5000), (30, 5000)), now=40)
    assert of(state, "K-1").verdict is Verdict.WITHIN_ALLOWANCE
    kept = event(state, "K-1", "above-8")
    assert (kept.supported, kept.revision, kept.breached_at_ms) == (False, 2, minute(25))
    feed(state, every_five("lg-a", 40, 60, 9000), now=61)
    again = event(state, "K-1", "above-8")
    assert (again.supported, again.revision, again.detected_at_ms) == (True, 3, minute(0))


def test_a_conflict_quarantines_for_data_integrity() -> None:
    state = begun(every_five("lg-a", 0, 10, 5000))
    feed(state, batch("lg-a", (5, 5001)), now=11)
    assert of(state, "K-1").verdict is Verdict.INDETERMINATE
    found = event(state, "K-1", "data-integrity")
    assert (found.reason, found.breached_at_ms) == (Reason.DATA_INTEGRITY, minute(5))


def test_an_early_warning_is_given_once_per_share() -> None:
    state = begun(batch("lg-a", (0, 5000)))
    given = [feed(state, batch("lg-a", (at, 9000))).warnings for at in (5, 10, 15, 18)]
    assert [[(warning.kit, warning.share) for warning in found if warning.kit == "K-1"] for found in given] == [
        [],
        [("K-1", 50)],
        [],
        [("K-1", 80)],
    ]


def test_after_a_hand_over_the_place_that_was_left_says_nothing_about_the_kit() -> None:
    state = begun(every_five("lg-a", 0, 60, 5000), every_five("lg-b", 65, 70, 5000))
    feed(state, every_five("lg-a", 65, 120, 30_000))
    assert (of(state, "K-3").max_mc, of(state, "K-3").verdict) == (5000, Verdict.WITHIN_LABEL)
    assert of(state, "K-1").verdict is Verdict.OUTSIDE
    assert of(state, "K-3").as_of_ms == minute(70)


def test_silence_up_to_the_gap_is_nothing_and_longer_is_unknown_time_up_to_now() -> None:
    state = begun(every_five("lg-a", 0, 20, 5000))
    hush(state, 30)
    assert (of(state, "K-1").as_of_ms, of(state, "K-1").unknown_ms) == (minute(20), 0)
    hush(state, 30 + 1 / MINUTE_MS)
    found = of(state, "K-1")
    assert (found.as_of_ms, found.unknown_ms, found.verdict) == (minute(30) + 1, 600_001, Verdict.WITHIN_LABEL)


def test_silence_beyond_the_limit_on_unknown_time_is_an_event_of_missing_data() -> None:
    state = begun(every_five("lg-a", 0, 20, 5000))
    assert hush(state, 50).events == ()
    found = hush(state, 51)
    assert [(e.kit, e.limit, e.reason, e.breached_at_ms) for e in found.events] == [
        (kit, "unknown", Reason.DATA_MISSING, minute(50)) for kit in ("K-1", "K-2")
    ]
    assert of(state, "K-1").verdict is Verdict.INDETERMINATE
    assert hush(state, 52).events == ()
    assert of(state, "K-1").unknown_ms == 32 * MINUTE_MS


def test_groups_that_are_asked_one_after_the_other_are_as_silent_as_all_at_once() -> None:
    at_once, one_by_one = (begun(every_five("lg-a", 0, 30, 5000)) for _ in range(2))
    whole = hush(at_once, 600)
    asked = [*one_by_one.registry.groups, "a group that is no more"]
    parts = []
    for group in asked:
        parts.append(pipeline.silence(one_by_one, minute(600), [group]))
        pipeline.adopt(one_by_one, parts[-1])
    assert len(asked) > 2
    assert whole.events
    assert sorted(each.id for part in parts for each in part.events) == sorted(each.id for each in whole.events)
    assert one_by_one.assessments == at_once.assessments
    assert one_by_one.events == at_once.events


def test_silence_concerns_the_place_where_a_kit_is_now() -> None:
    state = begun(every_five("lg-a", 0, 60, 5000), every_five("lg-b", 65, 120, 5000))
    hush(state, 125)
    assert of(state, "K-1").as_of_ms == minute(125)
    assert of(state, "K-3").as_of_ms == minute(120)


@pytest.mark.parametrize(
    ("watched", "as_of"),
    [
        ("from = 2026-02-01T00:00:00Z", 20),  # the slowest logger sets the pace: 30 min
        ("from = 2026-02-01T00:00:00Z, to = 2026-03-01T00:30:00Z", 41),  # it has left: 10 min are too long
        ("from = 2026-03-01T02:00:00Z", 41),  # it is not there yet
    ],
)
def test_a_place_may_be_silent_as_long_as_the_slowest_of_its_present_loggers(watched: str, as_of: int) -> None:
    slow = 'id = "lg-b", logging_interval = "15min"'
    also = f'monitoring = [\n  {{ place = "room", logger = "lg-b", {watched} }},'
    text = REGISTRY.replace('id = "lg-b", logging_interval = "5min"', slow).replace("monitoring = [", also)
    state = begun(every_five("lg-a", 0, 20, 5000), registered=registry(text))
    hush(state, 41)
    assert of(state, "K-1").as_of_ms == minute(as_of)


def test_a_place_that_nobody_watches_is_silent_from_the_start() -> None:
    unwatched = replace(registry(), monitoring=())
    state = begun(registered=unwatched)
    assert [e.breached_at_ms for e in hush(state, 31).events if e.kit == "K-1"] == [minute(30)]


def test_a_closed_route_and_a_fixed_instant_do_not_hear_silence() -> None:
    closed = registry(
        REGISTRY.replace(
            '"box", from = 2026-03-01T01:00:00Z }', '"box", from = 2026-03-01T01:00:00Z, to = 2026-03-01T02:00:00Z }'
        )
    )
    state = begun(every_five("lg-a", 0, 60, 5000), registered=closed)
    before = of(state, "K-3")
    hush(state, 9999)
    assert of(state, "K-3") == before
    assert before.as_of_ms == minute(120)
    fixed = begun(every_five("lg-a", 0, 60, 5000), as_of_ms=minute(30))
    hush(fixed, 9999)
    assert (of(fixed, "K-1").as_of_ms, of(fixed, "K-1").known_ms) == (minute(30), 30 * MINUTE_MS)


def test_a_hand_over_that_is_only_planned_is_no_missing_data_of_a_live_kit() -> None:
    live = begun(every_five("lg-a", 0, 20, 5000), now=21, is_live=True)
    assert (of(live, "K-3").as_of_ms, of(live, "K-3").unknown_ms) == (minute(20), 0)
    feed(live, batch("lg-a", (25, 5000)), now=26)
    assert of(live, "K-3", now=26).as_of_ms == minute(25)
    # a replay judges the whole route: forty minutes of it without data
    assert of(begun(every_five("lg-a", 0, 20, 5000)), "K-3").unknown_ms == 40 * MINUTE_MS


def test_once_a_planned_hand_over_has_come_the_new_place_must_speak() -> None:
    state = begun(every_five("lg-a", 0, 60, 5000), now=60, is_live=True)
    hush(state, 61)
    found = of(state, "K-3")
    assert (found.as_of_ms, found.known_ms, found.unknown_ms) == (minute(61), 60 * MINUTE_MS, MINUTE_MS)
    feed(state, batch("lg-b", (62, 5000)), now=62)
    assert (of(state, "K-3").as_of_ms, of(state, "K-3").unknown_ms) == (minute(62), 0)


def test_custody_that_begins_after_a_kit_was_judged_by_a_clock_that_is_ahead_makes_it_due() -> None:
    stay = '["K-1", "K-2"], place = "room", from = 2026-03-01T00:00:00Z'
    again = f"{stay}, to = 2026-03-01T01:00:00Z }}, {{ kits = {stay.replace('00:00:00Z', '01:02:00Z')}"
    state = begun(every_five("lg-a", 0, 55, 5000), registered=registry(REGISTRY.replace(stay, again)), is_live=True)
    feed(state, batch("lg-a", (60, 5000), (63, 5000)), now=59)
    assert (of(state, "K-1").as_of_ms, of(state, "K-1").custody_problems) == (minute(63), ())
    hush(state, 64)
    assert of(state, "K-1").custody_problems == (f"custody_gap@{minute(60)}",)


def test_custody_that_ends_has_a_known_end_from_then_on() -> None:
    until_two = '"box", from = 2026-03-01T01:00:00Z, to = 2026-03-01T02:00:00Z }'
    closed = registry(REGISTRY.replace('"box", from = 2026-03-01T01:00:00Z }', until_two))
    readings = [every_five("lg-a", 0, 60, 5000), every_five("lg-b", 65, 115, 5000)]
    state = begun(*readings, registered=closed, now=116, is_live=True)
    assert of(state, "K-3").as_of_ms == minute(115)
    (ended,) = [a for a in hush(state, 121).assessments.values() if a.as_of_ms == minute(120)]
    assert (ended, ended.unknown_ms) == (of(state, "K-3"), 5 * MINUTE_MS)
    later = hush(state, 300)
    assert ("K-3",) not in [state.registry.groups[group].kits for group in later.assessments]


def test_a_live_restart_hears_the_silence_of_the_time_it_was_down() -> None:
    state = begun(every_five("lg-a", 0, 20, 5000), now=51, is_live=True)
    assert of(state, "K-1").as_of_ms == minute(51)
    raised = event(state, "K-1", "unknown")
    assert (raised.breached_at_ms, raised.detected_at_ms) == (minute(50), minute(51))


def test_late_data_after_silence_take_the_unknown_time_back_but_not_the_event() -> None:
    state = begun(every_five("lg-a", 0, 5, 5000))
    hush(state, 41)
    assert event(state, "K-1", "unknown").breached_at_ms == minute(35)
    feed(state, every_five("lg-a", 10, 40, 5000), now=41)
    found = of(state, "K-1")
    # the minute that is left is an ordinary interval, not silence
    assert (found.as_of_ms, found.unknown_ms, found.verdict) == (minute(40), 0, Verdict.WITHIN_LABEL)
    kept = event(state, "K-1", "unknown")
    assert (kept.supported, kept.revision) == (False, 2)
    assert hush(state, 50).assessments == {}


def test_late_data_that_end_long_before_the_silence_leave_the_rest_unknown() -> None:
    state = begun(every_five("lg-a", 0, 5, 5000))
    hush(state, 41)
    feed(state, every_five("lg-a", 10, 31, 5000), now=41)
    assert (of(state, "K-1").as_of_ms, of(state, "K-1").unknown_ms) == (minute(41), 11 * MINUTE_MS)
    feed(state, batch("lg-a", (31, 5000)), now=41)
    assert (of(state, "K-1").as_of_ms, of(state, "K-1").unknown_ms) == (minute(31), 0)


def test_readings_after_a_silence_leave_a_gap_and_end_it() -> None:
    state = begun(every_five("lg-a", 0, 5, 5000))
    hush(state, 41)
    feed(state, every_five("lg-a", 45, 60, 5000), now=60)
    # 5 to 40 is unknown: the reading at 45 covers one interval
    assert (of(state, "K-1").as_of_ms, of(state, "K-1").unknown_ms) == (minute(60), 35 * MINUTE_MS)
    assert event(state, "K-1", "unknown").supported


def test_steps_in_any_order_end_where_one_replay_does() -> None:
    sent = [
        every_five("lg-a", 0, 60, 5000),
        batch("lg-a", (30, 9000), (33, 12_000)),
        every_five("lg-b", 65, 200, 9000),
        batch("lg-a", (62, FAULT_MC)),
        batch("lg-b", (90, 5000), (91, 5000)),
    ]
    at_once = pipeline.replay(sent, registry(), profiles())
    assert of(at_once, "K-3").verdict is Verdict.OUTSIDE
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]):
        state = begun()
        for number in order:
            feed(state, sent[number], now=300)
            feed(state, sent[number], now=301)
        assert state.assessments == at_once.assessments


def test_a_restart_finds_nothing_that_was_not_known() -> None:
    state = begun()
    first = feed(state, every_five("lg-a", 0, 60, 9000), now=61)
    events = [kept for kit in state.events.values() for kept in kit.values()]
    again, found = pipeline.start(registry(), profiles(), first.fresh, events, first.warnings, now_ms=minute(99))
    assert (found.events, found.warnings) == ((), ())
    pipeline.adopt(again, found)
    assert again.assessments == state.assessments
    assert again.events == state.events


def test_a_restart_under_a_new_version_of_the_rules_raises_its_events_beside_the_old_ones() -> None:
    state = begun(every_five("lg-a", 0, 60, 9000))
    events = [kept for kit in state.events.values() for kept in kit.values()]
    newer = profiles(RULES.replace("version = 3", "version = 4").replace('"20min"', '"10min"'))
    readings = [every_five("lg-a", 0, 60, 9000)]
    after, found = pipeline.start(registry(), newer, readings, events, now_ms=minute(99))
    assert {(e.kit, e.profile_version, e.breached_at_ms) for e in found.events if e.kit == "K-1"} == {
        ("K-1", 4, minute(10))
    }
    pipeline.adopt(after, found)
    assert sorted(e.profile_version or 0 for e in after.events["K-1"].values()) == [3, 4]
    assert all(e.supported for e in after.events["K-1"].values())


def test_kits_of_two_trials_are_measured_each_by_the_version_its_own_trial_chooses() -> None:
    trials = """
trial = [
  { id = "TRIAL-7", profile_version = { "mab-017" = 3 } },
  { id = "TRIAL-8", profile_version = { "mab-017" = 4 } },
]
"""
    kit_2 = 'id = "K-2", batch = "B22", trial = "TRIAL-7"'
    found = registry(REGISTRY.replace(kit_2, kit_2.replace("TRIAL-7", "TRIAL-8")) + trials)
    old = parse_profile(RULES, "v3.toml")
    new = parse_profile(RULES.replace("version = 3", "version = 4").replace('"20min"', '"60min"'), "v4.toml")
    state = pipeline.replay(
        [every_five("lg-a", 0, 40, 9000)], found, Rulebook({"mab-017": {3: old, 4: new}}, {"mab-017": new})
    )
    one, other = of(state, "K-1"), of(state, "K-2")
    assert (one.verdict, one.limits[0].breached_at_ms) == (Verdict.OUTSIDE, minute(20))
    assert (other.verdict, other.limits[0].breached_at_ms) == (Verdict.WITHIN_ALLOWANCE, None)


def test_a_temperature_that_no_logger_can_measure_is_a_fault() -> None:
    state = begun(batch("lg-a", (0, 5000), (5, -273_151), (10, 1_000_001), (15, 5000)))
    kept = state.series[ChannelKey("lg-a", "1")].temperature_mc.tolist()
    assert kept == [5000, FAULT_MC, FAULT_MC, 5000]
    assert (of(state, "K-1").unknown_ms, of(state, "K-1").max_mc) == (10 * MINUTE_MS, 5000)


@pytest.mark.parametrize("mc", [-273_150, -273_149, 1_000_000])
def test_no_temperature_that_can_be_written_stops_the_service(mc: int) -> None:
    state = begun(batch("lg-a", (0, 5000)))
    feed(state, batch("lg-a", (5, mc)))
    feed(state, batch("lg-a", (10, 5000)))
    assert of(state, "K-1").as_of_ms == minute(10)


def test_readings_with_an_impossible_device_time_are_kept_and_not_judged() -> None:
    state = begun()
    sent = batch("lg-a", (10, 30_000), (15.01, 30_000), received=10)
    feed(state, sent)
    assert state.unverified[ChannelKey("lg-a", "1")].at_ms.tolist() == [minute(15.01)]
    assert of(state, "K-1").known_ms == 5 * MINUTE_MS


def test_readings_of_an_unknown_logger_are_kept_for_the_day_it_is_registered() -> None:
    state = begun(batch("lg-x", (5, 9000)))
    assert len(state.series[ChannelKey("lg-x", "1")]) == 1
    assert state.places["room"].history is None


def test_swapping_the_treatment_arms_changes_nothing_that_a_blinded_person_sees() -> None:
    rules = profiles() | {
        "placebo": replace(
            profiles()["mab-017"], name="placebo", limits=profiles()["mab-017"].limits[1:], label_high_mc=25_000
        )
    }
    blinded = REGISTRY.replace('profile = "mab-017" }', 'profile = "mab-017", blind_group = "TRIAL-7" }')
    seen = []
    for arms in (("mab-017", "placebo"), ("placebo", "mab-017")):
        text = blinded
        for kit, arm in zip(("K-1", "K-2"), arms, strict=True):
            row = f'id = "{kit}", batch = "B22", trial = "TRIAL-7", profile = "mab-017"'
            text = text.replace(row, row.replace('"mab-017"', f'"{arm}"'))
        state = pipeline.replay([every_five("lg-a", 0, 60, 9000)], registry(text), rules)
        assert {tuple(group.kits) for group in state.registry.groups.values()} == {("K-1", "K-2"), ("K-3",)}
        seen.append((state.assessments, state.events))
    assert seen[0] == seen[1]
    assert of(state, "K-1").profile == "TRIAL-7"
    assert {limit.limit_id for limit in of(state, "K-1").limits} == {
        "mab-017:above-8",
        "mab-017:unknown",
        "placebo:unknown",
    }
