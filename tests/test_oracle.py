"""The oracle itself, on cases small enough to be worked out by hand.

Unless a test says otherwise: one logger with a reading every 5 minutes watches one fridge from 00:00, and the kit is
there from 00:00 with an open end. Times in the comments are minutes after 00:00.
"""

from __future__ import annotations

import json
import math
import tomllib
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from histories import START, START_MS, Case, cases, profile_to_toml, to_ndjson, to_toml
from oracle import Item, Table

MINUTE = 60_000
VECTORS = Path(__file__).parents[2] / "shared" / "vectors" / "mkt_vectors.json"


def minute(minutes: float) -> int:
    return START_MS + int(minutes * MINUTE)


def when(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def series(*values: float | None, first: float = 5, every: float = 5, logger: str = "lg-1") -> list[Item]:
    """Readings [degC] at 5, 10, 15, ... minutes; None is a fault."""
    return [
        Item(logger, "1", minute(first + number * every), None if value is None else round(value * 1000), None)
        for number, value in enumerate(values)
    ]


def logger(logger_id: str = "lg-1", **keys: Any) -> Table:
    return {"id": logger_id, "logging_interval": "5min", **keys}


def watch(logger_id: str = "lg-1", place: str = "fridge", **keys: Any) -> Table:
    return {"place": place, "logger": logger_id, "from": START, **keys}


def kit(kit_id: str = "K-1", profile: str = "mab", **keys: Any) -> Table:
    return {"id": kit_id, "batch": "B", "trial": "T", "profile": profile, **keys}


def stay(place: str = "fridge", start: float = 0, end: float | None = None, kits: tuple[str, ...] = ("K-1",)) -> Table:
    return {"kits": list(kits), "place": place, "from": when(start)} | ({} if end is None else {"to": when(end)})


def world(**tables: list[Table]) -> Table:
    usual = {"logger": [logger()], "monitoring": [watch()], "kit": [kit()], "custody": [stay()]}
    return usual | tables


def profile(*limits: Table, name: str = "mab", version: int = 1, **keys: Any) -> Table:
    unknown = {"id": "unknown", "unknown_accumulated": "7d"}
    label = {"label_low_c": Decimal("2.0"), "label_high_c": Decimal("8.0")}
    return {"profile": name, "version": version, **(keys or label), "limit": [*limits, unknown]}


def limit(**keys: Any) -> Table:
    """A limit as a profile holds it: its temperatures are Decimal."""
    decimals: Table = {
        key: Decimal(str(value)) for key, value in keys.items() if key.endswith("_c") and key != "outside_c"
    }
    if "outside_c" in keys:
        decimals["outside_c"] = [Decimal(str(value)) for value in keys["outside_c"]]
    return {"id": "the-limit", **keys, **decimals}


def answer(items: list[Item], *limits: Table, as_of: float | None = None, **tables: list[Table]) -> Table:
    """The whole answer for one profile with these limits."""
    return oracle.replay(world(**tables), [profile(*limits)], items, None if as_of is None else minute(as_of))


def judged(items: list[Item], *limits: Table, as_of: float | None = None, **tables: list[Table]) -> Table:
    """The report of the only kit."""
    return only(answer(items, *limits, as_of=as_of, **tables)["kits"])


def finding(items: list[Item], rule: Table, as_of: float | None = None, **tables: list[Table]) -> Table:
    """What the report says about this one limit."""
    report = judged(items, rule, as_of=as_of, **tables)
    return only([found for found in report["limits"] if found["id"] == "the-limit"])


def only(rows: list[Table]) -> Table:
    (row,) = rows
    return row


def mkt_by_formula(*values_c: float, a_k: float = 10_000.0) -> float:
    rates = [math.exp(-a_k / (value + 273.15)) for value in values_c]
    return a_k / -math.log(sum(rates) / len(rates)) - 273.15


# Readings -> history


def test_a_reading_stands_for_the_interval_that_ends_at_it() -> None:
    report = judged(series(5.0, 6.0, 10.0))
    assert (report["as_of_ms"], report["known_ms"], report["unknown_ms"]) == (minute(15), 15 * MINUTE, 0)
    assert (report["min_c"], report["max_c"], report["mean_c"]) == (5.0, 10.0, 7.0)
    assert report["excursions"] == [
        {
            "side": "above",
            "bound_c": 8.0,
            "start_ms": minute(10),
            "end_ms": None,
            "out_of_range_ms": 5 * MINUTE,
            "extreme_c": 10.0,
        }
    ]


def test_the_first_reading_covers_one_logging_interval_and_what_lies_before_is_unknown() -> None:
    report = judged(series(5.0, first=30))
    assert (report["known_ms"], report["unknown_ms"], report["longest_unknown_ms"]) == (
        5 * MINUTE,
        25 * MINUTE,
        25 * MINUTE,
    )


def test_a_distance_of_exactly_gap_after_is_still_covered() -> None:
    assert judged(series(5.0) + series(5.0, first=15))["unknown_ms"] == 0


def test_a_gap_longer_than_allowed_is_unknown_not_within() -> None:
    # 5 and 15 min + 1 ms are 10 min + 1 ms apart: the second covers its last 5 min only.
    late = Item("lg-1", "1", minute(15) + 1, 5000, None)
    report = judged([*series(5.0), late])
    assert (report["known_ms"], report["unknown_ms"]) == (10 * MINUTE, 5 * MINUTE + 1)


def test_the_registry_can_allow_longer_gaps() -> None:
    items = series(5.0) + series(5.0, first=20)
    assert judged(items)["unknown_ms"] == 10 * MINUTE
    assert judged(items, logger=[logger(gap_after="15min")])["unknown_ms"] == 0


def test_a_fault_covers_its_interval_as_unknown() -> None:
    result = answer(series(5.0, None, 5.0))
    report = only(result["kits"])
    assert (report["known_ms"], report["unknown_ms"]) == (10 * MINUTE, 5 * MINUTE)
    assert (result["inputs"]["readings"], result["inputs"]["faults"]) == (2, 1)


def test_a_fault_splits_the_distance_between_its_neighbours() -> None:
    # 5 -> fault at 12 -> 19: both distances are 7 min, so 19 reaches back to 12; without the fault it is a gap of 14.
    items = series(5.0) + series(None, first=12) + series(5.0, first=19)
    assert judged(items)["unknown_ms"] == 7 * MINUTE
    assert judged(series(5.0) + series(5.0, first=19))["unknown_ms"] == 9 * MINUTE


def test_a_reading_beats_a_fault_of_the_same_instant_and_both_count() -> None:
    result = answer([*series(5.0, 6.0), *series(None, first=10)])
    assert only(result["kits"])["unknown_ms"] == 0
    assert (result["inputs"]["readings"], result["inputs"]["faults"]) == (2, 1)


@pytest.mark.parametrize("mc", [-273_151, 1_000_001])
def test_what_no_probe_can_measure_is_a_fault(mc: int) -> None:
    result = answer([*series(5.0), Item("lg-1", "1", minute(10), mc, None), *series(5.0, first=15)])
    assert (result["inputs"]["readings"], result["inputs"]["faults"]) == (2, 1)
    assert only(result["kits"])["unknown_ms"] == 5 * MINUTE


def test_equal_readings_are_one_reading() -> None:
    result = answer([*series(5.0, 6.0), *series(6.0, 5.0, first=10, every=-5)])
    assert (result["inputs"]["readings"], result["inputs"]["duplicates"], result["inputs"]["conflicts"]) == (2, 2, 0)
    assert only(result["kits"])["findings"] == []


def test_a_conflict_serves_both_sides_and_is_a_finding_of_the_kit() -> None:
    result = answer(series(5.0, 9.0) + series(1.0, first=10), limit(above_c=8.0, accumulated="1h"))
    report = only(result["kits"])
    assert result["inputs"]["conflicts"] == 1
    assert report["verdict"] == "indeterminate"
    assert report["findings"] == [f"conflict:lg-1/1@{minute(10)}"]
    assert (report["min_c"], report["max_c"], report["mean_c"]) == (1.0, 9.0, 7.0)  # the mean is of the hot side
    assert [excursion["side"] for excursion in report["excursions"]] == ["above", "below"]
    assert result["events"] == [
        {"kit": "K-1", "limit": "data-integrity", "reason": "data_integrity", "breached_at_ms": minute(10)}
    ]


def test_several_conflicts_are_one_event_at_the_first() -> None:
    result = answer(series(5.0, 9.0, 9.0) + series(1.0, 1.0, first=15, every=-5))
    assert only(result["kits"])["findings"] == [f"conflict:lg-1/1@{minute(10)}", f"conflict:lg-1/1@{minute(15)}"]
    assert only(result["events"])["breached_at_ms"] == minute(10)


def test_a_conflict_outside_custody_is_counted_but_is_not_the_kits() -> None:
    result = answer(series(5.0, 9.0) + series(1.0, first=10), custody=[stay(end=9)])
    assert result["inputs"]["conflicts"] == 1
    assert only(result["kits"])["findings"] == []
    assert judged(series(5.0, 9.0) + series(1.0, first=10), as_of=9)["findings"] == []
    no_longer: Table = {"monitoring": [watch(to=when(9))]}
    assert judged(series(5.0, 9.0) + series(1.0, first=10), as_of=12, **no_longer)["findings"] == []
    # Its value still reaches back into the custody: (5, 9] lies in the interval of the reading at 10.
    assert only(result["kits"])["max_c"] == 9.0


def test_zero_degrees_is_a_temperature() -> None:
    report = judged(series(0.0))
    assert (report["known_ms"], report["min_c"], report["max_c"], report["mean_c"]) == (5 * MINUTE, 0.0, 0.0, 0.0)


# Calibration, clocks, strangers


def test_readings_outside_the_calibration_are_unknown() -> None:
    # Calibrated (5, 15]: the readings at 10 and 15 count, those at 5 and 20 do not.
    calibrated = logger(calibrated_from=when(5), calibrated_until=when(15))
    report = judged(series(5.0, 6.0, 7.0, 8.0), logger=[calibrated], as_of=20)
    assert (report["known_ms"], report["unknown_ms"], report["mean_c"]) == (10 * MINUTE, 10 * MINUTE, 6.5)


def test_a_blocked_logger_says_nothing_but_its_conflict_is_shown() -> None:
    result = answer(series(5.0) + series(9.0), logger=[logger(blocked=True)], as_of=5)
    report = only(result["kits"])
    assert (report["known_ms"], report["unknown_ms"], report["mean_c"]) == (0, 5 * MINUTE, None)
    assert report["findings"] == [f"conflict:lg-1/1@{minute(5)}"]


@pytest.mark.parametrize(
    ("at_ms", "received_ms", "is_judged"),
    [
        (minute(10), minute(5), True),  # 5 minutes ahead of the arrival
        (minute(10) + 1, minute(5), False),
        (minute(10), None, True),  # a file says nothing about the clock
        (minute(2) - 1, None, False),  # before the registration at 2
        (minute(2), None, True),
    ],
)
def test_a_clock_that_cannot_be_right_is_not_judged(at_ms: int, received_ms: int | None, is_judged: bool) -> None:
    items = [Item("lg-1", "1", at_ms, 5000, received_ms)]
    inputs = answer(items, logger=[logger(registered_at=when(2))])["inputs"]
    assert (inputs["readings"], inputs["unverified_time"]) == (int(is_judged), int(not is_judged))


@pytest.mark.parametrize(("at_ms", "is_judged"), [(1_356_998_399_999, False), (1_356_998_400_000, True), (0, False)])
def test_a_reset_clock_is_not_judged(at_ms: int, is_judged: bool) -> None:
    inputs = answer([Item("lg-1", "1", at_ms, None, None)])["inputs"]
    assert (inputs["faults"], inputs["unverified_time"]) == (int(is_judged), int(not is_judged))


def test_unverified_readings_do_not_shape_the_series() -> None:
    # Without the one at 12 the distance 5 -> 19 is a gap.
    early = Item("lg-1", "1", minute(12), 5000, minute(6))
    assert judged([*series(5.0), early, *series(5.0, first=19)])["unknown_ms"] == 9 * MINUTE


def test_one_delivery_with_a_right_clock_is_enough() -> None:
    early, late = Item("lg-1", "1", minute(20), 5000, minute(5)), Item("lg-1", "1", minute(20), 5000, minute(21))
    inputs = answer([early, late, early])["inputs"]
    assert (inputs["readings"], inputs["unverified_time"], inputs["duplicates"]) == (1, 0, 2)


def test_a_logger_that_nobody_registered_is_only_counted() -> None:
    strange = Item("lg-9", "1", minute(5), 30_000, minute(-60))
    result = answer([*series(5.0), strange, strange])
    assert (result["inputs"]["unknown_logger"], result["inputs"]["duplicates"]) == (1, 1)
    assert only(result["kits"])["max_c"] == 5.0


# Places, monitoring, custody


def test_the_envelope_is_the_hottest_and_the_coldest_of_what_is_known() -> None:
    # lg-1 knows (0, 10], lg-2 knows (5, 15]: 5 | 3..6 | 4, hot 5, 6, 4.
    two: Table = {"logger": [logger(), logger("lg-2")], "monitoring": [watch(), watch("lg-2")]}
    report = judged(series(5.0, 6.0) + series(3.0, 4.0, first=10, logger="lg-2"), **two)
    assert (report["known_ms"], report["unknown_ms"]) == (15 * MINUTE, 0)
    assert (report["min_c"], report["max_c"], report["mean_c"]) == (3.0, 6.0, 5.0)


def test_a_reading_is_cut_to_the_monitoring_of_its_place() -> None:
    row = watch() | {"from": when(3), "to": when(12)}
    report = judged(series(5.0, 5.0, 9.0), monitoring=[row], as_of=15)
    assert (report["known_ms"], report["unknown_ms"]) == (9 * MINUTE, 6 * MINUTE)
    assert only(report["excursions"])["out_of_range_ms"] == 2 * MINUTE


def test_only_the_channel_that_is_registered_watches_the_place() -> None:
    other = [item._replace(channel="2") for item in series(9.0)]
    assert judged(series(5.0) + other)["max_c"] == 5.0
    assert judged(series(5.0) + other, monitoring=[watch(channel="2")])["max_c"] == 9.0


def test_an_excursion_goes_on_through_a_hand_over() -> None:
    # Fridge until 12, then the box: 9.0 in (5, 12] by the fridge's logger, 10.0 in (12, 20] by the box's.
    places: Table = {
        "logger": [logger(), logger("lg-2")],
        "monitoring": [watch(), watch("lg-2", "box")],
        "custody": [stay(end=12), stay("box", start=12)],
    }
    items = series(5.0, 9.0, 9.0, 5.0) + series(30.0, 30.0, 10.0, 10.0, 6.0, logger="lg-2")
    report = judged(items, limit(above_c=8.0, single_event="14min"), limit(id="n", above_c=8.0, events=1), **places)
    excursion = only(report["excursions"])
    assert (excursion["start_ms"], excursion["end_ms"]) == (minute(5), minute(20))
    assert (excursion["out_of_range_ms"], excursion["extreme_c"]) == (15 * MINUTE, 10.0)
    assert report["limits"][0]["breached_at_ms"] == minute(19)
    assert report["limits"][1]["count"] == 1
    assert (report["verdict"], report["findings"]) == ("outside", [])


def test_time_between_two_custodies_is_unknown_and_a_finding() -> None:
    report = judged(series(5.0, 5.0, 5.0, 5.0), custody=[stay(end=7), stay(start=12)])
    assert (report["known_ms"], report["unknown_ms"]) == (15 * MINUTE, 5 * MINUTE)
    assert report["findings"] == [f"custody_gap@{minute(7)}"]


def test_where_custodies_overlap_all_places_count_and_it_is_a_finding() -> None:
    # Fridge (0, 10], box (5, 15]: in (5, 10] both 5.0 and 9.0.
    places: Table = {
        "logger": [logger(), logger("lg-2")],
        "monitoring": [watch(), watch("lg-2", "box")],
        "custody": [stay(end=10), stay("box", start=5, end=15)],
    }
    report = judged(series(5.0, 1.0, 5.0) + series(5.0, 9.0, 5.0, logger="lg-2"), **places)
    assert (report["min_c"], report["max_c"], report["known_ms"]) == (1.0, 9.0, 15 * MINUTE)
    assert report["findings"] == [f"custody_overlap:fridge+box@{minute(5)}"]


def test_custody_findings_after_the_end_of_the_history_are_not_told_yet() -> None:
    report = judged(series(5.0, 5.0), custody=[stay(end=7), stay(start=12)], as_of=7)
    assert report["findings"] == []


def test_a_kit_that_was_nowhere_is_indeterminate() -> None:
    result = answer(series(9.0), limit(above_c=8.0, accumulated="0s"), custody=[])
    report = only(result["kits"])
    assert (report["verdict"], report["as_of_ms"], report["findings"]) == ("indeterminate", None, ["custody_missing"])
    assert (report["min_c"], report["max_c"], report["mean_c"], report["mkt_c"]) == (None, None, None, None)
    assert (report["limits"][0]["used_ms"], report["limits"][0]["breached_at_ms"]) == (0, None)
    assert result["events"] == []


# The instant of evaluation


def test_a_closed_custody_ends_the_history_even_without_data() -> None:
    report = judged(series(5.0), custody=[stay(end=60)])
    assert (report["as_of_ms"], report["unknown_ms"]) == (minute(60), 55 * MINUTE)


def test_an_open_custody_ends_with_the_last_known_instant_not_with_a_fault() -> None:
    assert judged(series(5.0, 5.0, None))["as_of_ms"] == minute(10)


def test_an_open_custody_ends_with_its_monitoring() -> None:
    assert judged(series(5.0, 5.0), monitoring=[watch(to=when(8))])["as_of_ms"] == minute(8)


def test_an_open_custody_without_data_ends_where_it_starts() -> None:
    report = judged(series(5.0, 5.0), custody=[stay(end=5), stay("box", start=12)])
    assert (report["as_of_ms"], report["known_ms"], report["unknown_ms"]) == (minute(12), 5 * MINUTE, 7 * MINUTE)


def test_a_given_instant_extends_an_open_custody_as_unknown_time() -> None:
    report = judged(series(5.0), as_of=12.5)
    assert (report["as_of_ms"], report["unknown_ms"]) == (minute(12.5), 7.5 * MINUTE)


def test_a_given_instant_cuts_inside_an_interval() -> None:
    report = judged(series(5.0, 9.0), as_of=7)
    assert (report["as_of_ms"], report["known_ms"]) == (minute(7), 7 * MINUTE)
    assert only(report["excursions"])["out_of_range_ms"] == 2 * MINUTE


def test_a_given_instant_never_goes_past_a_closed_custody() -> None:
    assert judged(series(5.0), custody=[stay(end=10)], as_of=99)["as_of_ms"] == minute(10)


def test_a_given_instant_before_the_custody_gives_an_empty_history() -> None:
    report = judged(series(9.0), custody=[stay(start=3)], as_of=1)
    assert (report["as_of_ms"], report["known_ms"], report["unknown_ms"]) == (minute(3), 0, 0)
    assert (report["verdict"], report["mean_c"]) == ("within_label", None)


# Excursions, runs, limits


def test_exactly_the_limit_is_in_range() -> None:
    assert judged(series(8.0, 2.0))["verdict"] == "within_label"
    assert judged(series(8.001))["verdict"] == "within_allowance"
    assert judged(series(1.999))["verdict"] == "within_allowance"


def test_an_excursion_ends_only_when_known_time_in_range_has_followed() -> None:
    ended = only(judged(series(9.0, None, 5.0))["excursions"])
    assert (ended["start_ms"], ended["end_ms"]) == (minute(0), minute(5))
    assert only(judged(series(9.0, None), as_of=10)["excursions"])["end_ms"] is None


def test_excursions_are_sorted_by_start_then_above_before_below() -> None:
    report = judged(series(1.0, 9.0, 5.0, 9.0) + series(0.0, first=20))
    assert [(row["side"], row["start_ms"]) for row in report["excursions"]] == [
        ("below", minute(0)),
        ("above", minute(5)),
        ("above", minute(15)),
        ("below", minute(15)),
    ]


def test_unknown_time_neither_ends_a_run_nor_adds_to_it() -> None:
    # 9 ? 9 7 9: runs of 10 min (15 in the worst case) and 5 min; the tenth minute is reached at 14 + 1.
    items = series(9.0, None, 9.0, 7.0, 9.0)
    single = finding(items, limit(above_c=8.0, single_event="9min"))
    assert (single["used_ms"], single["worst_case_used_ms"]) == (10 * MINUTE, 15 * MINUTE)
    assert single["breached_at_ms"] == minute(14)
    assert finding(items, limit(above_c=8.0, events=9))["count"] == 2
    assert finding(items, limit(above_c=8.0, single_event="10min"))["breached_at_ms"] is None


def test_a_stage_uses_up_what_is_out_of_range_while_the_kit_is_at_its_places() -> None:
    # 9 degC up to 20, then 1 degC up to 30. The cold room until 12 and from 8 to 22 the box: 12 and 14 min, and the
    # site, whose kind says nothing, none. Two stays of one stage that overlap are one.
    places = [
        {"id": "fridge", "kind": "storage", "stage": "depot"},
        {"id": "box", "kind": "shipper"},
        {"id": "site", "kind": "storage"},
    ]
    stays = [stay(end=10), stay(start=5, end=12), stay("box", 8, 22), stay("site", 22, 30)]
    watches = [watch(place=place["id"]) for place in places]
    shares = {"transit": "10min", "depot": "15min", "site": "1h"}
    both = limit(outside_c=[2.0, 8.0], accumulated="2h", stages=shares)
    found = finding(series(9, 9, 9, 9, 1, 1), both, custody=stays, place=places, monitoring=watches)
    assert [(row["stage"], row["used_ms"], row["allowed_ms"]) for row in found["stages"]] == [
        ("depot", 12 * MINUTE, 15 * MINUTE),
        ("transit", 14 * MINUTE, 10 * MINUTE),
        ("site", 0, 60 * MINUTE),
    ]
    assert found["used_ms"] == 30 * MINUTE


def test_a_single_event_is_breached_by_the_first_run_that_is_too_long() -> None:
    # Runs of 5, 15 and 20 min above 8; more than 10 min first at 20 + ... : the run (10, 25] reaches 10 min at 20.
    items = series(9, 5, 9, 9, 9, 5, 9, 9, 9, 9)
    single = finding(items, limit(above_c=8.0, single_event="10min"))
    assert (single["used_ms"], single["breached_at_ms"]) == (20 * MINUTE, minute(20))


def test_the_worst_case_takes_unknown_time_beside_a_run_but_not_elsewhere() -> None:
    # ? 9 5 ? 5 9 ?, until 35: the fault at 20 lies between readings in range.
    items = series(None, 9.0, 5.0, None, 5.0, 9.0, None)
    total = finding(items, limit(above_c=8.0, accumulated="1h"), as_of=35)
    assert (total["used_ms"], total["worst_case_used_ms"]) == (10 * MINUTE, 20 * MINUTE)
    assert total["remaining_ms"] == 50 * MINUTE
    single = finding(items, limit(above_c=8.0, single_event="1h"), as_of=35)
    assert (single["used_ms"], single["worst_case_used_ms"]) == (5 * MINUTE, 10 * MINUTE)


def test_a_whole_unknown_stretch_counts_in_the_worst_case_not_only_its_first_interval() -> None:
    total = finding(series(9.0, None, None, None, 5.0), limit(above_c=8.0, accumulated="1h"))
    assert total["worst_case_used_ms"] == 20 * MINUTE


def test_thresholds_are_nested() -> None:
    report = judged(
        series(30.0, 20.0, 5.0),
        limit(id="8", above_c=8.0, accumulated="1h"),
        limit(id="25", above_c=25.0, accumulated="1h"),
    )
    assert [row["used_ms"] for row in report["limits"][:2]] == [10 * MINUTE, 5 * MINUTE]


def test_an_accumulated_limit_is_breached_when_more_than_allowed_to_the_millisecond() -> None:
    # Above 8 in (0, 5] and (10, 15].
    items = series(9.0, 5.0, 9.0, 5.0)
    assert finding(items, limit(above_c=8.0, accumulated="10min"))["breached_at_ms"] is None
    assert finding(items, limit(above_c=8.0, accumulated="599999ms"))["breached_at_ms"] == minute(15) - 1
    assert finding(items, limit(above_c=8.0, accumulated="7min"))["breached_at_ms"] == minute(12)
    exhausted = finding(items, limit(above_c=8.0, accumulated="5min"))  # reached at 5, passed from 10 on
    assert (exhausted["breached_at_ms"], exhausted["remaining_ms"]) == (minute(10), 0)


def test_an_allowance_of_zero_means_never() -> None:
    items = series(5.0, 1.9, 5.0)
    assert finding(items, limit(below_c=2.0, accumulated="0s"))["breached_at_ms"] == minute(5)
    assert finding(items, limit(below_c=2.0, single_event="0s"))["breached_at_ms"] == minute(5)
    assert finding(items, limit(below_c=2.0, events=0))["breached_at_ms"] == minute(5)
    assert finding(series(5.0, 2.0), limit(below_c=2.0, accumulated="0s"))["breached_at_ms"] is None


def test_events_are_breached_where_the_first_run_too_many_begins() -> None:
    items = series(9.0, 5.0, 9.0, 5.0, 9.0)
    assert finding(items, limit(above_c=8.0, events=3)) == {
        "id": "the-limit",
        "kind": "events",
        "count": 3,
        "allowed": 3,
        "breached_at_ms": None,
    }
    assert finding(items, limit(above_c=8.0, events=2))["breached_at_ms"] == minute(20)
    assert finding(items, limit(above_c=8.0, events=1))["breached_at_ms"] == minute(10)


def test_a_range_has_one_budget_for_both_sides() -> None:
    # Above in (0, 5], below in (10, 15]: 10 min; the seventh minute is at 12.
    items = series(9.0, 5.0, 1.0, 5.0)
    total = finding(items, limit(outside_c=[2.0, 8.0], accumulated="7min"))
    assert (total["used_ms"], total["breached_at_ms"]) == (10 * MINUTE, minute(12))
    assert finding(items, limit(outside_c=[2.0, 8.0], events=9))["count"] == 2
    assert finding(series(9.0, 1.0), limit(outside_c=[2.0, 8.0], events=9))["count"] == 1


def test_time_out_on_both_sides_at_once_counts_twice_in_a_shared_budget() -> None:
    # 9 and 1 degC in (0, 5]: 10 min of budget in 5 min. 7 min are reached after 3.5 min.
    items = series(9.0) + series(1.0)
    total = finding(items, limit(outside_c=[2.0, 8.0], accumulated="7min"))
    assert (total["used_ms"], total["breached_at_ms"]) == (10 * MINUTE, minute(3.5))
    odd = finding(items, limit(outside_c=[2.0, 8.0], accumulated="5ms"))
    assert odd["breached_at_ms"] == minute(0) + 2
    single = finding(items, limit(outside_c=[2.0, 8.0], single_event="5min"))
    assert (single["used_ms"], single["breached_at_ms"]) == (5 * MINUTE, None)


def test_opening_balances_are_already_spent() -> None:
    spent: Table = {"kit": [kit(opening={"the-limit": "8min"})]}
    total = finding(series(5.0, 9.0), limit(above_c=8.0, accumulated="10min"), **spent)
    assert (total["used_ms"], total["worst_case_used_ms"], total["breached_at_ms"]) == (
        13 * MINUTE,
        13 * MINUTE,
        minute(7),
    )
    unknown = finding(series(5.0, None, 5.0), limit(unknown_accumulated="10min"), **spent)
    assert (unknown["used_ms"], unknown["breached_at_ms"]) == (13 * MINUTE, minute(7))
    runs = finding(series(5.0, 9.0), limit(above_c=8.0, events=2), kit=[kit(opening={"the-limit": 2})])
    assert (runs["count"], runs["breached_at_ms"]) == (3, minute(5))


def test_an_opening_balance_beyond_the_limit_is_a_breach_from_the_start() -> None:
    spent: Table = {"kit": [kit(opening={"the-limit": "11min"})], "custody": [stay(start=2)]}
    total = finding(series(5.0), limit(above_c=8.0, accumulated="10min"), **spent)
    assert (total["breached_at_ms"], total["remaining_ms"]) == (minute(2), 0)
    exactly: Table = {"kit": [kit(opening={"the-limit": "10min"})]}
    assert finding(series(5.0), limit(above_c=8.0, accumulated="10min"), **exactly)["breached_at_ms"] is None
    runs = finding(series(5.0), limit(above_c=8.0, events=1), kit=[kit(opening={"the-limit": 2})])
    assert (runs["count"], runs["breached_at_ms"]) == (2, minute(0))


def test_unknown_time_has_limits_in_total_and_in_one_stretch() -> None:
    # Unknown in (5, 10] and (15, 30].
    items = series(5.0, None, 5.0, None, None, None, 5.0)
    assert (judged(items)["unknown_ms"], judged(items)["longest_unknown_ms"]) == (20 * MINUTE, 15 * MINUTE)
    total = finding(items, limit(unknown_accumulated="10min"))
    assert total == {
        "id": "the-limit",
        "kind": "unknown_accumulated",
        "used_ms": 20 * MINUTE,
        "allowed_ms": 10 * MINUTE,
        "breached_at_ms": minute(20),
    }
    single = finding(items, limit(unknown_single="10min"))
    assert (single["used_ms"], single["breached_at_ms"]) == (15 * MINUTE, minute(25))
    assert finding(items, limit(unknown_single="15min"))["breached_at_ms"] is None


# MKT


def test_mkt_of_5_and_15_degrees_for_equal_time_is_not_10() -> None:
    report = judged(series(5.0, 15.0))
    assert report["mkt_c"] == pytest.approx(mkt_by_formula(5.0, 15.0), abs=1e-9)
    assert round(report["mkt_c"], 3) == 11.387


def test_mkt_is_of_the_hot_side_and_of_known_time_only() -> None:
    report = judged(series(5.0, None, 15.0) + series(1.0, first=15))
    assert report["mkt_c"] == pytest.approx(mkt_by_formula(5.0, 15.0), abs=1e-9)


def test_mkt_weighs_with_time() -> None:
    items = series(15.0) + series(5.0, first=15)  # (0, 5] and (5, 15]
    assert judged(items)["mkt_c"] == pytest.approx(mkt_by_formula(15.0, 5.0, 5.0), abs=1e-9)


def test_mkt_uses_the_activation_energy_of_the_product() -> None:
    steeper = profile(activation_energy_j_mol=Decimal("124716.93927"))  # 15 000 K
    report = only(oracle.replay(world(), [steeper], series(5.0, 15.0))["kits"])
    assert report["mkt_c"] == pytest.approx(mkt_by_formula(5.0, 15.0, a_k=15_000.0), abs=1e-9)


def test_mkt_is_not_computed_for_a_frozen_product_but_thaws_are_counted() -> None:
    frozen = profile(limit(above_c=-15.0, events=1), label_high_c=Decimal("0.0"))
    report = only(oracle.replay(world(), [frozen], series(-20.0, -14.0, -20.0, -14.9))["kits"])
    assert (report["mkt_c"], report["limits"][0]["count"]) == (None, 2)
    assert (report["verdict"], report["limits"][0]["breached_at_ms"]) == ("outside", minute(15))


def test_a_trailing_window_of_mkt_ends_at_a_reading_and_begins_in_custody() -> None:
    # Window 10 min. t = 5 begins before the custody; t = 10: 5, 15; t = 15: 15, 5; t = 20: 5, 5.
    result = finding(series(5.0, 15.0, 5.0, 5.0), limit(mkt_window="10min", mkt_max_c=11.3))
    assert result == {
        "id": "the-limit",
        "kind": "mkt",
        "peak_c": pytest.approx(mkt_by_formula(5.0, 15.0), abs=1e-9),
        "allowed_c": 11.3,
        "indeterminate": False,
        "breached_at_ms": minute(10),
    }
    assert finding(series(5.0, 15.0), limit(mkt_window="10min", mkt_max_c=11.4))["breached_at_ms"] is None


def test_a_window_takes_the_hot_side() -> None:
    result = finding(series(5.0, 15.0) + series(1.0, first=10), limit(mkt_window="10min", mkt_max_c=30.0))
    assert result["peak_c"] == pytest.approx(mkt_by_formula(5.0, 15.0), abs=1e-9)


def test_an_mkt_limit_of_a_frozen_product_is_indeterminate() -> None:
    frozen = profile(limit(mkt_window="5min", mkt_max_c=-20.0), label_high_c=Decimal("0.0"))
    row = only(oracle.replay(world(), [frozen], series(-10.0))["kits"])["limits"][0]
    assert (row["peak_c"], row["indeterminate"], row["breached_at_ms"]) == (None, True, None)


def test_a_window_cuts_intervals_at_its_edge() -> None:
    # The window (3, 10]: 2 min at 5 degC, 5 min at 15 degC. t = 5 would begin before the custody.
    result = finding(series(5.0, 15.0), limit(mkt_window="7min", mkt_max_c=8.0))
    assert result["peak_c"] == pytest.approx(mkt_by_formula(*[5.0] * 2, *[15.0] * 5), abs=1e-9)


def test_a_constant_temperature_at_the_limit_does_not_exceed_it() -> None:
    result = finding(series(*[8.0] * 9), limit(mkt_window="35min", mkt_max_c=8.0))
    assert (result["peak_c"], result["breached_at_ms"]) == (8.0, None)
    warmer = finding(series(*[8.0] * 8, 8.001), limit(mkt_window="35min", mkt_max_c=8.0))
    assert warmer["breached_at_ms"] == minute(45)


def test_a_window_with_too_little_known_time_is_not_judged() -> None:
    # At t = 20 the window (5, 20] knows 10 of 15 min, at t = 15 only (0, 10]; the fault itself is no instant.
    items = series(20.0, 20.0, None, 20.0)
    missing = finding(items, limit(mkt_window="15min", mkt_max_c=8.0))
    assert (missing["peak_c"], missing["indeterminate"], missing["breached_at_ms"]) == (None, True, None)
    third = limit(mkt_window="15min", mkt_max_c=8.0, min_coverage=Decimal("0.6666666666666666"))
    assert finding(items, third)["breached_at_ms"] == minute(20)
    more = limit(mkt_window="15min", mkt_max_c=8.0, min_coverage=Decimal("0.6666666666666667"))
    assert finding(items, more)["indeterminate"]


def test_the_usual_coverage_is_nine_tenths_and_nine_tenths_are_enough() -> None:
    # Window 50 min with one 5 min fault: exactly 0.9 at t = 50.
    items = series(*[5.0] * 3, None, *[5.0] * 6)
    assert finding(items, limit(mkt_window="50min", mkt_max_c=8.0))["peak_c"] == 5.0
    assert finding(items, limit(mkt_window="49min", mkt_max_c=8.0))["indeterminate"]


def test_an_mkt_that_cannot_be_judged_does_not_change_the_verdict() -> None:
    assert judged(series(5.0), limit(mkt_window="1d", mkt_max_c=8.0))["verdict"] == "within_label"


def test_only_readings_inside_monitoring_custody_and_evaluation_end_a_window() -> None:
    rule = limit(mkt_window="5min", mkt_max_c=8.0, min_coverage=Decimal("0.5"))
    items = series(5.0, 20.0)
    assert finding(items, rule)["breached_at_ms"] == minute(10)
    assert finding(items, rule, custody=[stay(end=9)])["peak_c"] == 5.0
    assert finding(items, rule, monitoring=[watch(to=when(9))], as_of=12)["peak_c"] == 5.0
    assert finding(items, rule, as_of=9)["peak_c"] == 5.0
    assert finding(items, rule, logger=[logger(calibrated_until=when(9))], as_of=10)["peak_c"] == 5.0


# Verdicts and events


def test_the_worst_verdict_holds() -> None:
    hot, gone = limit(id="hot", above_c=8.0, accumulated="0s"), limit(id="gone", unknown_accumulated="0s")
    assert judged(series(5.0, 5.0), hot, gone)["verdict"] == "within_label"
    assert judged(series(9.0), gone)["verdict"] == "within_allowance"
    assert judged(series(9.0, None, 5.0), gone)["verdict"] == "indeterminate"
    assert judged(series(9.0, None, 5.0), hot, gone)["verdict"] == "outside"


def test_every_breached_quarantine_limit_raises_one_event_sorted_by_limit() -> None:
    rules = (
        limit(id="z-hot", above_c=8.0, accumulated="0s"),
        limit(id="a-gone", unknown_single="0s"),
        limit(id="m-never", above_c=40.0, accumulated="0s"),
    )
    assert answer(series(9.0, None, 5.0), *rules)["events"] == [
        {"kit": "K-1", "limit": "a-gone", "reason": "data_missing", "breached_at_ms": minute(5)},
        {"kit": "K-1", "limit": "z-hot", "reason": "limit", "breached_at_ms": minute(0)},
    ]


def test_a_warning_is_shown_but_quarantines_nothing() -> None:
    hot = answer(series(9.0), limit(above_c=8.0, accumulated="0s", severity="warn"))
    assert only(hot["kits"])["limits"][0]["breached_at_ms"] == minute(0)
    assert (only(hot["kits"])["verdict"], hot["events"]) == ("within_allowance", [])
    gone = answer(series(5.0, None, 5.0), limit(unknown_single="0s", severity="warn"))
    assert (only(gone["kits"])["verdict"], gone["events"]) == ("indeterminate", [])


def test_kits_are_sorted_and_the_newest_version_of_a_profile_counts() -> None:
    two = world(kit=[kit("K-2"), kit("K-1")], custody=[stay(kits=("K-2", "K-1"))])
    old, new = profile(limit(above_c=8.0, accumulated="0s")), profile(version=12)
    result = oracle.replay(two, [new, old], series(9.0))
    assert [row["kit"] for row in result["kits"]] == ["K-1", "K-2"]
    assert [(row["profile_version"], row["verdict"]) for row in result["kits"]] == [(12, "within_allowance")] * 2


def blinded(**opening: Any) -> Table:
    """K-1 gets mab, K-2 gets vax; K-3 of the same product is in no group."""
    spent = {"opening": opening["opening"]} if opening else {}
    kits = [kit("K-1", blind_group="G", **spent), kit("K-2", "vax", blind_group="G"), kit("K-3", "vax")]
    return world(kit=kits, custody=[stay(kits=("K-1", "K-2", "K-3"))])


ARMS = [
    profile(
        limit(above_c=8.0, accumulated="1h"),
        name="vax",
        version=5,
        label_low_c=Decimal("1.0"),
        label_high_c=Decimal("9.0"),
    ),
    profile(
        limit(above_c=7.0, accumulated="5min"),
        label_low_c=Decimal("2.0"),
        label_high_c=Decimal("7.5"),
        activation_energy_j_mol=Decimal("124716.93927"),
    ),
]


def test_a_blinded_group_is_judged_by_every_limit_of_every_profile_in_it() -> None:
    result = oracle.replay(blinded(), ARMS, series(8.5, 1.5, 7.2))
    first, second, alone = result["kits"]
    assert first | {"kit": ""} == second | {"kit": ""}
    assert (first["profile"], first["profile_version"]) == ("G", None)
    assert [row["id"] for row in first["limits"]] == ["mab:the-limit", "mab:unknown", "vax:the-limit", "vax:unknown"]
    assert [row["used_ms"] for row in first["limits"]] == [10 * MINUTE, 0, 5 * MINUTE, 0]
    bounds = [(row["bound_c"], row["start_ms"]) for row in first["excursions"]]
    assert bounds == [(7.5, minute(0)), (2.0, minute(5))]
    assert first["mkt_c"] == pytest.approx(mkt_by_formula(8.5, 1.5, 7.2, a_k=15_000.0), abs=1e-9)
    assert (first["verdict"], alone["verdict"]) == ("outside", "within_label")
    assert (alone["profile"], alone["profile_version"]) == ("vax", 5)
    assert [(row["kit"], row["limit"]) for row in result["events"]] == [
        ("K-1", "mab:the-limit"),
        ("K-2", "mab:the-limit"),
    ]


def test_opening_balances_of_a_blinded_kit_go_by_the_prefixed_id() -> None:
    result = oracle.replay(blinded(opening={"vax:the-limit": "1h", "the-limit": "9h"}), ARMS, series(8.5))
    assert [row["used_ms"] for row in result["kits"][0]["limits"]] == [5 * MINUTE, 0, 65 * MINUTE, 0]
    assert [row["used_ms"] for row in result["kits"][1]["limits"]] == [5 * MINUTE, 0, 5 * MINUTE, 0]


def test_a_group_with_one_frozen_product_has_no_mkt() -> None:
    arms = [profile(name="vax"), profile(label_high_c=Decimal("-15.0"))]
    assert oracle.replay(blinded(), arms, series(5.0))["kits"][0]["mkt_c"] is None


# Published numbers, and properties of every history


@pytest.mark.parametrize(
    "vector",
    json.loads(VECTORS.read_text(encoding="utf-8"), parse_float=Decimal) if VECTORS.exists() else [],
    ids=lambda vector: vector["id"],
)
def test_mkt_agrees_with_the_published_vectors(vector: Table) -> None:
    weights = vector.get("weights_hours", [1] * len(vector["temps_c"]))
    weighted = [(Decimal(c) * 1000, Decimal(weight)) for c, weight in zip(vector["temps_c"], weights, strict=True)]
    result = oracle.mkt_c(weighted, Decimal(vector["delta_h_over_r_kelvin"]))
    assert abs(result - Decimal(vector["expected_mkt_c"])) <= Decimal(vector["tolerance"])


@settings(max_examples=60, deadline=None)
@given(cases(), st.data())
def test_order_and_copies_do_not_change_what_is_said_of_kits(case: Case, data: st.DataObject) -> None:
    said = oracle.replay(*case)
    copies = data.draw(st.lists(st.sampled_from(case.items), max_size=5))
    again = oracle.replay(case.registry, case.profiles, [*copies, *reversed(case.items)], case.as_of_ms)
    said["inputs"]["duplicates"] += len(copies)
    assert json.dumps(again) == json.dumps(said)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_every_millisecond_of_a_history_is_known_or_unknown_and_uses_are_ordered(case: Case) -> None:
    for report in oracle.replay(*case)["kits"]:
        if report["as_of_ms"] is not None:
            start_ms = oracle.stays_of(case.registry, report["kit"], oracle.FOREVER_MS)[0].from_ms
            length_ms = report["as_of_ms"] - start_ms
            assert report["known_ms"] + report["unknown_ms"] == length_ms
        assert report["longest_unknown_ms"] <= report["unknown_ms"]
        for row in report["limits"]:
            is_exceeded = row.get("used_ms", row.get("count", 0)) > row.get("allowed_ms", row.get("allowed", 0))
            if row["kind"] != "mkt" and report["as_of_ms"] is not None:
                assert is_exceeded == (row["breached_at_ms"] is not None)
            assert row.get("worst_case_used_ms", 0) >= row.get("used_ms", 0) or "worst_case_used_ms" not in row
        if report["known_ms"] and report["mkt_c"] is not None:
            assert report["min_c"] - 1e-9 <= report["mean_c"] <= report["mkt_c"] + 1e-9 <= report["max_c"] + 2e-9


@settings(max_examples=60, deadline=None)
@given(cases())
def test_a_case_survives_its_files(case: Case) -> None:
    assert tomllib.loads(to_toml(case.registry), parse_float=Decimal) == case.registry
    for table in case.profiles:
        assert tomllib.loads(profile_to_toml(table), parse_float=Decimal) == table
    said = oracle.replay(*case)
    read_back = [item for line in to_ndjson(case.items, most=7) for item in items_of(line)]
    assert oracle.replay(case.registry, case.profiles, read_back, case.as_of_ms) == said


def items_of(line: str) -> list[Item]:
    """Read one message-log line back, as far as the writer uses the format."""
    message = json.loads(line)
    payload = message["payload"]
    received_ms = oracle.instant_ms(datetime.fromisoformat(message["received_at"]))
    offsets = payload.get("dt") or [number * payload["every"] for number in range(len(payload["mc"]))]
    assert message["topic"].split("/")[4] == payload["logger"]
    return [
        Item(payload["logger"], payload["channel"], payload["t0"] + offset, mc, received_ms)
        for offset, mc in zip(offsets, payload["mc"], strict=True)
    ]
