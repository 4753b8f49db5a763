"""From readings to histories: channel, place and kit, on a few readings with every interval written out."""

from __future__ import annotations

from itertools import permutations
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain import history
from coldchain.history import EARLIEST_PLAUSIBLE_MS, EMPTY, NOTHING, History, Record, Series
from coldchain.kernels import UNKNOWN
from coldchain.model import Conflict, CustodySegment, Logger, Monitoring
from coldchain.readings import FAULT_MC, ChannelKey, Lost, MilliCelsius, Milliseconds, ReadingBatch

LOGGER = Logger("lg", logging_interval_ms=5, gap_after_ms=10)
CHANNEL = ChannelKey("lg", "1")

Reading = tuple[int, int | None]
Known = tuple[int, int, int | None, int | None]


def series(*readings: Reading) -> Series:
    """(at_ms, temperature_mc) as a series in order of arrival; None is a fault."""
    merged, _ = history.merge(EMPTY, *arrays(readings))
    return merged


def arrays(readings: tuple[Reading, ...]) -> tuple[Milliseconds, MilliCelsius]:
    temperatures = [FAULT_MC if mc is None else mc for _, mc in readings]
    return np.array([at for at, _ in readings], np.int64), np.array(temperatures, np.int32)


def segments(found: History | None) -> list[Known]:
    """(start_ms, end_ms, hot_mc, cold_mc) of every segment; None is unknown."""
    if found is None:
        return []
    starts = [found.start_ms, *found.end_ms.tolist()]
    rows = zip(starts, found.end_ms.tolist(), found.hot_mc.tolist(), found.cold_mc.tolist(), strict=False)
    return [(a, b, *((None, None) if hot == UNKNOWN else (hot, cold))) for a, b, hot, cold in rows]


def record(*readings: Reading, logger: Logger = LOGGER) -> Record:
    return history.channel_record(ChannelKey(logger.id, "1"), series(*readings), logger)


def constant(start_ms: int, end_ms: int, mc: int) -> History:
    return History(start_ms, np.array([end_ms]), np.array([mc], np.int32), np.array([mc], np.int32))


def test_a_first_reading_covers_one_logging_interval() -> None:
    assert segments(record((100, 5000)).history) == [(95, 100, 5000, 5000)]


def test_evenly_spaced_readings_cover_as_many_intervals_as_there_are_readings() -> None:
    found = record((100, 5000), (105, 6000), (110, 7000))
    assert segments(found.history) == [(95, 100, 5000, 5000), (100, 105, 6000, 6000), (105, 110, 7000, 7000)]


def test_a_gap_exactly_as_long_as_allowed_is_covered() -> None:
    assert segments(record((100, 5000), (110, 6000)).history)[1:] == [(100, 110, 6000, 6000)]


def test_a_gap_longer_than_allowed_is_unknown_not_within() -> None:
    assert segments(record((100, 5000), (111, 6000)).history)[1:] == [(100, 106, None, None), (106, 111, 6000, 6000)]


def test_a_reading_that_never_came_leaves_unknown_time_however_short() -> None:
    late = Lost(100, 110)
    found = history.channel_record(CHANNEL, series((100, 5000), (110, 6000)), LOGGER, [late])
    assert segments(found.history)[1:] == [(100, 105, None, None), (105, 110, 6000, 6000)]
    assert found.reading_at_ms.tolist() == [100, 110]


def test_a_lost_reading_that_comes_after_all_is_lost_no_more() -> None:
    found = history.channel_record(CHANNEL, series((100, 5000), (104, 5500), (110, 6000)), LOGGER, [Lost(100, 110)])
    assert segments(found.history)[1:] == [(100, 104, 5500, 5500), (104, 110, 6000, 6000)]


def test_nothing_is_lost_where_the_readings_around_it_leave_no_time() -> None:
    found = history.channel_record(CHANNEL, series((100, 5000), (105, 6000)), LOGGER, [Lost(100, 105), Lost(90, 100)])
    assert segments(found.history) == [(95, 100, 5000, 5000), (100, 105, 6000, 6000)]


def test_a_fault_is_unknown_time_and_no_instant_of_a_valid_reading() -> None:
    found = record((100, 5000), (105, None), (110, 6000))
    assert segments(found.history)[1:] == [(100, 105, None, None), (105, 110, 6000, 6000)]
    assert found.reading_at_ms.tolist() == [100, 110]


def test_a_valid_reading_beside_a_fault_serves_and_is_no_conflict() -> None:
    found = record((100, None), (100, 5000))
    assert segments(found.history) == [(95, 100, 5000, 5000)]
    assert found.conflicts == ()
    assert found.reading_at_ms.tolist() == [100]


def test_of_conflicting_readings_the_hotter_and_the_colder_serve_their_sides() -> None:
    found = record((100, 5000), (100, 9000), (100, 1000), (100, None), (105, 5000))
    assert segments(found.history) == [(95, 100, 9000, 1000), (100, 105, 5000, 5000)]
    assert found.conflicts == (Conflict("lg", "1", 100),)
    assert found.reading_at_ms.tolist() == [100, 105]


def test_calibration_holds_after_its_start_and_up_to_its_end() -> None:
    logger = Logger("lg", 5, 10, calibrated_from_ms=100, calibrated_until_ms=110)
    found = record((100, 5000), (105, 5100), (110, 5200), (115, 5300), logger=logger)
    assert [(end, hot) for _, end, hot, _ in segments(found.history)] == [
        (100, None),
        (105, 5100),
        (110, 5200),
        (115, None),
    ]
    assert found.reading_at_ms.tolist() == [105, 110]


def test_a_blocked_logger_knows_nothing() -> None:
    found = record((100, 5000), (105, 5100), logger=Logger("lg", 5, 10, blocked=True))
    assert [hot for _, _, hot, _ in segments(found.history)] == [None, None]
    assert found.reading_at_ms.tolist() == []


def test_a_channel_without_readings_contributes_nothing() -> None:
    assert history.channel_record(CHANNEL, EMPTY, LOGGER) is NOTHING


def test_merging_tells_which_readings_are_new_in_the_order_they_came() -> None:
    before = series((100, 5000), (105, None))
    merged, fresh = history.merge(before, *arrays(((110, 5000), (100, 5000), (100, 5001), (105, None), (110, 5000))))
    assert fresh.tolist() == [True, False, True, False, False]
    assert merged.at_ms.tolist() == [100, 100, 105, 110]
    assert merged.temperature_mc.tolist() == [5000, 5001, FAULT_MC, 5000]
    assert before.at_ms.tolist() == [100, 105]


@pytest.mark.parametrize(
    "readings",
    [
        ((105, 5000), (106, 5000)),  # follows the series
        ((100, 4000), (105, 5000)),  # begins with its last instant
        ((106, 5000), (105, 5000)),  # follows, out of order
        ((105, 5000), (105, 4000), (106, 1)),  # follows, with a conflict inside
        ((105, 5000), (105, 5000)),  # follows, doubled
        ((1, 5000), (105, 5000)),
    ],
)
def test_readings_that_follow_a_series_end_in_the_same_order_as_any_others(readings: tuple[Reading, ...]) -> None:
    known = ((95, 5000), (100, 5000))
    merged, fresh = history.merge(series(*known), *arrays(readings))
    found = list(zip(merged.at_ms.tolist(), merged.temperature_mc.tolist(), strict=True))
    assert found == sorted({*known, *readings})
    assert fresh.sum() == len(found) - len(known)


def test_merging_nothing_changes_nothing() -> None:
    before = series((100, 5000))
    merged, fresh = history.merge(before, *arrays(()))
    assert merged is before
    assert len(fresh) == 0


readings_with_ties = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from([FAULT_MC, 4000, 5000, 6000])), min_size=1, max_size=8
)


@given(readings_with_ties, st.randoms(use_true_random=False), st.integers(1, 4))
def test_readings_merged_in_any_order_and_any_portions_give_the_same_series(
    readings: list[tuple[int, int]], random: Random, portion: int
) -> None:
    expected = sorted(set(readings))
    shuffled = random.sample(readings, len(readings))
    merged, news = EMPTY, 0
    for start in range(0, len(shuffled), portion):
        at, mc = zip(*shuffled[start : start + portion], strict=True)
        merged, fresh = history.merge(merged, np.array(at, np.int64), np.array(mc, np.int32))
        news += int(fresh.sum())
    assert list(zip(merged.at_ms.tolist(), merged.temperature_mc.tolist(), strict=True)) == expected
    assert news == len(expected)


@pytest.mark.parametrize(
    ("at_ms", "received_ms", "registered_at_ms", "expected"),
    [
        (EARLIEST_PLAUSIBLE_MS, None, None, True),
        (EARLIEST_PLAUSIBLE_MS - 1, None, None, False),  # a reset clock
        (0, None, None, False),
        (2_000_000_300_000, 2_000_000_000_000, None, True),  # five minutes ahead of its arrival
        (2_000_000_300_001, 2_000_000_000_000, None, False),
        (2_000_000_000_000, None, 2_000_000_000_000, True),
        (1_999_999_999_999, None, 2_000_000_000_000, False),  # before the logger was registered
    ],
)
def test_a_device_time_that_cannot_be_right_is_not_verified(
    at_ms: int, received_ms: int | None, registered_at_ms: int | None, expected: bool
) -> None:
    batch = ReadingBatch("lg", "1", np.array([at_ms]), np.array([5000], np.int32), received_ms)
    logger = Logger("lg", 5, 10, registered_at_ms=registered_at_ms)
    assert history.is_verified(batch, logger).tolist() == [expected]


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "expected"),
    [
        (95, 105, [(95, 100, 5000, 5000), (100, 105, 6000, 6000)]),  # all of it
        (0, 999, [(95, 100, 5000, 5000), (100, 105, 6000, 6000)]),
        (97, 103, [(97, 100, 5000, 5000), (100, 103, 6000, 6000)]),  # inside two segments
        (97, 99, [(97, 99, 5000, 5000)]),  # inside one
        (100, 105, [(100, 105, 6000, 6000)]),  # from an edge on
        (95, 100, [(95, 100, 5000, 5000)]),  # up to an edge
        (105, 999, []),
        (0, 95, []),
        (100, 100, []),
    ],
)
def test_clipping_cuts_inside_intervals_and_drops_none_that_reaches_in(
    from_ms: int, to_ms: int, expected: list[Known]
) -> None:
    whole = record((100, 5000), (105, 6000)).history
    assert segments(history.clip(whole, from_ms, to_ms)) == expected
    assert len(segments(whole)) == 2


def test_clipping_nothing_gives_nothing() -> None:
    assert history.clip(None, 0, 10) is None
    assert history.envelope([None, None]) is None


def test_the_envelope_of_three_loggers_is_the_same_in_every_order() -> None:
    loggers = [constant(0, 10, 5000), constant(5, 15, 7000), constant(8, 20, 3000)]
    expected = [
        (0, 5, 5000, 5000),
        (5, 8, 7000, 5000),
        (8, 10, 7000, 3000),
        (10, 15, 7000, 3000),
        (15, 20, 3000, 3000),
    ]
    for order in permutations(loggers):
        assert segments(history.envelope(order)) == expected


def test_a_place_is_known_where_one_of_its_loggers_is() -> None:
    a = record((100, 5000), (105, None), (110, 5000))
    b = record((105, 7000), logger=Logger("b", 5, 10))
    watched = [Monitoring("room", "lg", "1", 0), Monitoring("room", "b", "1", 0), Monitoring("room", "silent", "1", 0)]
    found = history.place_record(watched, {CHANNEL: a, ChannelKey("b", "1"): b})
    assert [(end, hot) for _, end, hot, _ in segments(found.history)] == [(100, 5000), (105, 7000), (110, 5000)]
    assert found.reading_at_ms.tolist() == [100, 105, 110]


def test_a_logger_counts_only_while_it_watches_the_place() -> None:
    channel = record((100, 5000), (100, 6000), (105, 5000), (110, 5000), (110, 9000), (115, 5000))
    found = history.place_record([Monitoring("room", "lg", "1", 100, 112)], {CHANNEL: channel})
    assert segments(found.history) == [(100, 105, 5000, 5000), (105, 110, 9000, 5000), (110, 112, 5000, 5000)]
    assert found.reading_at_ms.tolist() == [105, 110]
    assert found.conflicts == (Conflict("lg", "1", 110),)


def test_a_logger_that_watches_a_place_twice_counts_its_readings_and_conflicts_once() -> None:
    channel = record((100, 5000), (105, 5000), (105, 9000))
    found = history.place_record(
        [Monitoring("room", "lg", "1", 90, 110), Monitoring("room", "lg", "1", 100)], {CHANNEL: channel}
    )
    assert found.reading_at_ms.tolist() == [100, 105]
    assert found.conflicts == (Conflict("lg", "1", 105),)


@pytest.mark.parametrize(
    ("now_ms", "expected"),
    [
        (10, [("depot", 10, None)]),  # before the first has begun it stands alone
        (49, [("depot", 10, None)]),  # an end that is planned has not come
        (50, [("depot", 10, 50)]),
        (51, [("depot", 10, 50)]),  # under way: what comes next is planned
        (60, [("depot", 10, 50)]),
        (61, [("depot", 10, 50), ("site", 60, None)]),
        (90, [("depot", 10, 50), ("site", 60, 90)]),
        (99, [("depot", 10, 50), ("site", 60, 90)]),
    ],
)
def test_what_is_planned_for_later_is_no_part_of_a_live_route(
    now_ms: int, expected: list[tuple[str, int, int | None]]
) -> None:
    route = (CustodySegment("depot", 10, 50), CustodySegment("site", 60, 90))
    assert history.route_until(route, now_ms) == tuple(CustodySegment(*stay) for stay in expected)


def test_a_kit_without_custody_has_no_route_at_any_time() -> None:
    assert history.route_until((), 50) == ()


OPEN_STAY = (CustodySegment("room", 50),)
CLOSED_STAY = (CustodySegment("depot", 10, 50), CustodySegment("room", 50, 90))


@pytest.mark.parametrize(
    ("route", "known_until_ms", "as_of_ms", "silent_until_ms", "expected"),
    [
        (CLOSED_STAY, 70, None, None, 90),  # closed: its end, whatever is known
        (CLOSED_STAY, 70, None, 999, 90),
        (OPEN_STAY, 70, None, None, 70),  # open: as far as the place is known
        (OPEN_STAY, None, None, None, 50),  # nothing known: its own start
        (OPEN_STAY, 40, None, None, 50),  # known before the kit came
        (OPEN_STAY, 70, None, 85, 85),  # silence advances it
        (OPEN_STAY, 70, None, 60, 70),
        (OPEN_STAY, 40, None, 45, 50),  # silent before the kit came
        (OPEN_STAY, 70, 60, None, 60),  # given: cuts
        (OPEN_STAY, 70, 999, None, 999),  # given: extends an open end
        (OPEN_STAY, 70, 60, 999, 60),
        (CLOSED_STAY, 70, 999, None, 90),  # but never past a closed one
        (CLOSED_STAY, 70, 60, None, 60),
        (CLOSED_STAY, 70, 5, None, 10),  # nor before the first
    ],
)
def test_the_instant_of_evaluation(
    route: tuple[CustodySegment, ...],
    known_until_ms: int | None,
    as_of_ms: int | None,
    silent_until_ms: int | None,
    expected: int,
) -> None:
    known = None if known_until_ms is None else constant(0, known_until_ms, 5000)
    places = {"room": Record(known, EMPTY.at_ms, ())}
    assert history.evaluation_instant(route, places, as_of_ms, silent_until_ms) == expected


def test_unknown_time_at_the_end_of_a_place_is_not_the_last_that_is_known() -> None:
    assert history.last_known_ms(record((100, 5000), (105, None), (110, None))) == 100
    assert history.last_known_ms(record((100, None))) is None
    assert history.last_known_ms(history.NOTHING) is None


def test_a_hand_over_cuts_each_place_at_its_instant() -> None:
    places = {
        "depot": record((100, 5000), (105, 5100), (110, 5200)),
        "shipper": record((104, 8000), (109, 9000), (114, 9100)),
    }
    route = (CustodySegment("depot", 97, 107), CustodySegment("shipper", 107, 112))
    found = history.kit_record(route, places, 112)
    assert segments(found.history) == [
        (97, 100, 5000, 5000),
        (100, 105, 5100, 5100),
        (105, 107, 5200, 5200),
        (107, 109, 9000, 9000),
        (109, 112, 9100, 9100),
    ]
    assert found.reading_at_ms.tolist() == [100, 105, 109]


def test_a_reading_at_the_instant_of_a_hand_over_belongs_to_the_place_that_is_left() -> None:
    places = {"a": record((100, 5000), (100, 6000)), "b": record((100, 7000), (100, 8000), logger=Logger("b", 5, 10))}
    route = (CustodySegment("a", 95, 100), CustodySegment("b", 100, 105))
    found = history.kit_record(route, places, 105)
    assert segments(found.history) == [(95, 100, 6000, 5000), (100, 105, None, None)]
    assert found.conflicts == (Conflict("lg", "1", 100),)
    assert found.reading_at_ms.tolist() == [100]


def test_what_no_place_covers_between_first_custody_and_evaluation_is_unknown() -> None:
    places = {"a": Record(constant(0, 20, 5000), EMPTY.at_ms, ()), "b": Record(constant(0, 50, 6000), EMPTY.at_ms, ())}
    route = (CustodySegment("a", 10, 30), CustodySegment("b", 40))
    found = history.kit_record(route, places, 60)
    assert segments(found.history) == [
        (10, 20, 5000, 5000),
        (20, 40, None, None),
        (40, 50, 6000, 6000),
        (50, 60, None, None),
    ]


def test_where_custody_overlaps_the_worst_of_both_places_counts() -> None:
    places = {"a": Record(constant(0, 50, 5000), EMPTY.at_ms, ()), "b": Record(constant(0, 50, 9000), EMPTY.at_ms, ())}
    found = history.kit_record((CustodySegment("a", 0, 30), CustodySegment("b", 20, 50)), places, 50)
    assert segments(found.history) == [(0, 20, 5000, 5000), (20, 30, 9000, 5000), (30, 50, 9000, 9000)]


def test_a_kit_that_has_not_arrived_yet_has_an_empty_history() -> None:
    found = history.kit_record((CustodySegment("a", 50),), {"a": Record(constant(0, 40, 5000), EMPTY.at_ms, ())}, 50)
    assert found.history is not None
    assert (found.history.start_ms, found.history.as_of_ms, segments(found.history)) == (50, 50, [])


@pytest.mark.parametrize(
    ("route", "as_of_ms", "expected"),
    [
        ([], 0, ["custody_missing"]),
        ([("a", 0, 10), ("b", 10, 20)], 20, []),
        ([("a", 0, 10), ("b", 11, 20)], 20, ["custody_gap@10"]),
        ([("a", 0, 10), ("b", 11, 20)], 10, []),  # not yet
        ([("a", 0, 10), ("b", 9, 20)], 20, ["custody_overlap:a+b@9"]),
        ([("a", 0, 10), ("b", 9, 20)], 9, []),
        ([("a", 0, None), ("b", 9, 20)], 20, ["custody_overlap:a+b@9"]),
        ([("a", 0, 30), ("b", 5, 10), ("c", 20, 40)], 40, ["custody_overlap:a+b@5", "custody_overlap:a+c@20"]),
        ([("a", 0, 30), ("b", 5, 10), ("c", 35, 40)], 40, ["custody_overlap:a+b@5", "custody_gap@30"]),
        ([("a", 0, 10), ("b", 20, 30), ("c", 40, None)], 99, ["custody_gap@10", "custody_gap@30"]),
    ],
)
def test_gaps_and_overlaps_of_custody_are_findings_once_they_have_begun(
    route: list[tuple[str, int, int | None]], as_of_ms: int, expected: list[str]
) -> None:
    stays = [CustodySegment(place, from_ms, to_ms) for place, from_ms, to_ms in route]
    assert history.custody_problems(stays, as_of_ms) == tuple(expected)
