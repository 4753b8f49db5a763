"""The compiled functions on histories of a few milliseconds, every expected number worked out by hand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from coldchain import arrhenius, kernels, segments
from coldchain.arrhenius import LIMB_BITS, LIMBS
from coldchain.dwell import dwell
from coldchain.kernels import NEVER, UNKNOWN

Segment = tuple[int, int | None] | tuple[int, int, int]
Columns = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]

NO_LOW, NO_HIGH, UNLIMITED = -(2**40), 2**40, 2**62


def columns(*pieces: Segment) -> Columns:
    """(end_ms, hot_mc[, cold_mc]) as the arrays of a history; None is unknown."""
    end = [segment[0] for segment in pieces]
    hot = [UNKNOWN if segment[1] is None else segment[1] for segment in pieces]
    cold = [UNKNOWN if segment[-1] is None else segment[-1] for segment in pieces]
    return np.array(end, np.int64), np.array(hot, np.int32), np.array(cold, np.int32)


def rows(found: Columns) -> list[tuple[int, int | None, int | None]]:
    known = ((end, hot, cold) for end, hot, cold in zip(*(column.tolist() for column in found), strict=True))
    return [(end, None, None) if hot == UNKNOWN else (end, hot, cold) for end, hot, cold in known]


class Found(NamedTuple):
    total: int
    worst_total: int
    longest: int
    worst_longest: int
    runs: int
    total_at: int
    single_at: int
    events_at: int
    open_run: int
    sides: int


def out_of_range(
    *history: Segment,
    low: int = NO_LOW,
    high: int = 8000,
    total: int = UNLIMITED,
    single: int = UNLIMITED,
    events: int = UNLIMITED,
) -> Found:
    tally = kernels.no_tallies(1)[0]
    kernels.add_out_of_range(tally, limit_of(low, high, total, single, events), 0, *columns(*history))
    total, worst, longest, worst_longest, runs, total_at, single_at, events_at, run, worst_run, gap, sides, on = tally
    if on:
        worst, worst_longest = worst + gap, max(worst_longest, worst_run + gap)
    return Found(total, worst, longest, worst_longest, runs, total_at, single_at, events_at, run, 0 if gap else sides)


def limit_of(low: int, high: int, total: int, single: int, events: int, *, unknown: bool = False) -> NDArray[np.int64]:
    return np.array([unknown, low, high, total, single, events], np.int64)


def totals(*history: Segment) -> list[int]:
    counted = kernels.no_totals()
    kernels.add_totals(counted, 0, *columns(*history))
    return [int(field) for field in counted]


@pytest.mark.parametrize(
    ("second_at", "expected"),
    [
        (110, [(100, 5000, 5000), (110, 6000, 6000)]),  # sooner than the interval: up to the predecessor only
        (120, [(100, 5000, 5000), (120, 6000, 6000)]),  # exactly gap_after: all of it
        (121, [(100, 5000, 5000), (106, None, None), (121, 6000, 6000)]),  # 1 ms more: one interval of 15
    ],
)
def test_a_reading_stands_for_the_time_since_its_predecessor_up_to_the_gap(
    second_at: int, expected: list[Segment]
) -> None:
    found = segments.cover(*columns((100, 5000), (second_at, 6000)), 15, 20)
    assert rows(found) == expected


def test_a_fault_covers_its_interval_as_unknown_and_is_a_predecessor_all_the_same() -> None:
    found = segments.cover(*columns((100, 5000), (110, None), (120, 6000)), 10, 15)
    assert rows(found) == [(100, 5000, 5000), (110, None, None), (120, 6000, 6000)]


@given(st.lists(st.tuples(st.integers(1, 25), st.integers(1, 90)), min_size=1, max_size=8))
def test_a_long_series_is_covered_as_each_reading_says_by_itself(steps: list[tuple[int, int]]) -> None:
    at = np.cumsum([step for step, times in steps for _ in range(times)]).astype(np.int64)
    hot = (at % 97).astype(np.int32)
    expected: list[tuple[int, int | None, int | None]] = []
    for i, instant in enumerate(at.tolist()):
        if i and instant - int(at[i - 1]) > 15:
            expected.append((instant - 10, None, None))
        expected.append((instant, int(hot[i]), int(hot[i]) - 1))
    assert rows(segments.cover(at, hot, hot - np.int32(1), 10, 15)) == expected


def test_an_envelope_is_the_hotter_and_the_colder_where_both_are_known_and_the_known_one_elsewhere() -> None:
    a = columns((20, 5000), (30, None), (40, 6000, 4000))
    b = columns((15, 7000), (35, 5000), (50, 1000))
    expected = [
        (10, 5000, 5000),
        (15, 7000, 5000),
        (20, 5000, 5000),
        (30, 5000, 5000),
        (35, 6000, 4000),
        (40, 6000, 1000),
        (50, 1000, 1000),
    ]
    assert rows(segments.overlay(0, *a, 10, *b)) == expected
    assert rows(segments.overlay(10, *b, 0, *a)) == expected


def test_between_two_histories_that_do_not_meet_nothing_is_known() -> None:
    found = segments.overlay(0, *columns((10, 5000)), 30, *columns((40, 6000)))
    assert rows(found) == [(10, 5000, 5000), (30, None, None), (40, 6000, 6000)]


def test_totals_weigh_every_known_segment_by_its_time() -> None:
    # known 10 + 30, unknown 5 + 5 + 4, the two unknown segments in a row are one stretch of 10, 4 at the end
    expected = [40, 14, 10, 4, 10 * 5000 + 30 * 8000, 8000, 1000]
    assert totals((10, 5000), (15, None), (20, None), (50, 8000, 1000), (54, None)) == expected


def test_zero_degrees_is_a_temperature_and_not_missing() -> None:
    assert totals((10, 0)) == [10, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("allowed_total", "allowed_single", "expected"),
    [
        (30, 20, (NEVER, NEVER)),  # 10 + 20 unknown: exactly what is allowed
        (29, 19, (59, 59)),
        (10, 9, (40, 9)),  # the total stays at 10 until the second stretch begins
        (0, 0, (0, 0)),
    ],
)
def test_unknown_time_is_beyond_its_limit_at_the_millisecond_it_is_used_up(
    allowed_total: int, allowed_single: int, expected: tuple[int, int]
) -> None:
    end, hot, _ = columns((10, None), (40, 5000), (45, None), (60, None), (70, 5000))
    tally = kernels.no_tallies(1)[0]
    limit = limit_of(NO_LOW, NO_HIGH, allowed_total, allowed_single, UNLIMITED, unknown=True)
    kernels.add_unknown_time(tally, limit, 0, end, hot)
    assert (tally[kernels.TOTAL_AT], tally[kernels.SINGLE_AT]) == expected
    assert (tally[kernels.TOTAL], tally[kernels.LONGEST], tally[kernels.RUN]) == (30, 20, 0)


def test_exactly_the_bound_is_in_range_and_a_thousandth_of_a_degree_beyond_is_not() -> None:
    assert out_of_range((10, 8000), (20, 2000), low=2000)[:5] == (0, 0, 0, 0, 0)
    assert out_of_range((10, 8001), (20, 5000)).total == 10
    assert out_of_range((10, 1999), (20, 5000), low=2000, high=NO_HIGH).total == 10


def test_the_hot_side_looks_at_the_hottest_and_the_cold_side_at_the_coldest_value() -> None:
    history = (10, 9000, 1000)
    assert out_of_range(history).total == 10
    assert out_of_range(history, low=2000, high=NO_HIGH).total == 10
    assert out_of_range(history, high=9000).total == 0


def test_exactly_what_is_allowed_is_no_breach_and_a_millisecond_more_is_one_at_its_instant() -> None:
    history = ((100, 5000), (160, 9000), (200, 5000))
    assert out_of_range(*history, total=60, single=60)[5:7] == (NEVER, NEVER)
    assert out_of_range(*history, total=59, single=59)[5:7] == (159, 159)


def test_a_total_adds_up_over_runs_where_a_single_event_begins_anew() -> None:
    history = ((10, 9000), (50, 5000), (90, 9000), (100, 5000))
    found = out_of_range(*history, total=30, single=30, events=1)
    assert found == (50, 50, 40, 40, 2, 50 + 20, 50 + 30, 50, 0, 0)
    # used up to the last ms by the first run: passed where the second begins
    assert out_of_range(*history, total=10).total_at == 50


def test_an_allowance_of_nothing_is_breached_where_the_first_offending_interval_begins() -> None:
    assert out_of_range((30, 5000), (40, 9000), total=0, single=0, events=0)[5:8] == (30, 30, 30)


def test_unknown_time_neither_ends_a_run_nor_adds_to_it() -> None:
    found = out_of_range((10, 9000), (30, None), (40, 9000), (50, 5000), single=15, events=1)
    assert (found.total, found.longest, found.runs) == (20, 20, 1)
    assert (found.single_at, found.events_at) == (35, NEVER)


@pytest.mark.parametrize(
    ("history", "worst_total", "worst_longest"),
    [
        ([(4, None), (10, None), (20, 9000), (30, 5000)], 20, 20),  # leading, in two pieces
        ([(10, 5000), (20, None), (30, 9000), (40, 5000)], 20, 20),  # before
        ([(10, 9000), (30, None), (40, 9000), (50, 5000)], 40, 40),  # inside
        ([(10, 9000), (30, None), (40, 5000)], 30, 30),  # after
        ([(10, 9000), (30, None)], 30, 30),  # trailing
        ([(10, None), (20, 5000), (30, 9000), (40, 5000), (50, None)], 10, 10),  # known time in between
        ([(10, 9000), (20, 5000), (30, None), (40, 9000), (50, None)], 40, 30),  # next to the second run only
        ([(10, None), (20, 5000), (30, None)], 0, 0),  # no run at all
        ([(30, None)], 0, 0),
    ],
)
def test_the_worst_case_counts_unknown_time_inside_a_run_or_next_to_it(
    history: list[Segment], worst_total: int, worst_longest: int
) -> None:
    found = out_of_range(*history)
    assert (found.worst_total, found.worst_longest) == (worst_total, worst_longest)


def test_a_run_more_than_allowed_breaches_where_it_begins() -> None:
    history = ((10, 9000), (20, 5000), (30, 9000), (40, 5000), (50, 9000), (60, 9500))
    assert out_of_range(*history, events=3)[4:8] == (3, NEVER, NEVER, NEVER)
    assert out_of_range(*history, events=2).events_at == 40
    assert out_of_range(*history, events=0).events_at == 0


def test_both_sides_share_one_budget_and_an_instant_on_both_counts_twice() -> None:
    both = out_of_range((100, 5000), (110, 9000, 1000), (120, 5000), low=2000, total=7)
    # two ms are spent per ms: 7 are reached in the middle of the fourth
    assert (both.total, both.worst_total, both.longest, both.runs, both.total_at) == (20, 20, 10, 1, 103)
    swing = out_of_range((10, 9000), (20, 1000), (30, 5000), low=2000)
    assert (swing.total, swing.longest, swing.runs) == (20, 20, 1)


@pytest.mark.parametrize(
    ("history", "open_run", "sides"),
    [
        ([(10, 5000), (20, 9000), (30, 9500)], 20, 1),
        ([(10, 5000), (20, 9000, 1000)], 10, 2),
        ([(10, 9000), (20, None)], 10, 0),  # still open, but what it is now is not known
        ([(10, 9000), (20, 5000)], 0, 0),
        ([(20, None)], 0, 0),
        ([], 0, 0),
    ],
)
def test_how_a_history_ends_tells_what_is_running(history: list[Segment], open_run: int, sides: int) -> None:
    found = out_of_range(*history, low=2000)
    assert (found.open_run, found.sides) == (open_run, sides)


def test_an_excursion_lasts_from_its_first_to_its_last_known_time_and_knows_its_extreme() -> None:
    history = columns((10, 5000), (20, 9000), (30, None), (40, 12000, 1000), (50, None), (60, 8000), (70, 8001, 1500))
    above = kernels.add_runs(kernels.no_runs(), 0, *history, NO_LOW, 8000)
    assert above.tolist() == [[10, 40, 20, 12000, 1], [60, 70, 10, 8001, 0]]
    below = kernels.add_runs(kernels.no_runs(), 0, *history, 2000, NO_HIGH)
    assert below.tolist() == [[30, 40, 10, 1000, 1], [60, 70, 10, 1500, 0]]
    colder_later = kernels.add_runs(kernels.no_runs(), 0, *columns((10, 1000), (20, 500), (30, 1500)), 2000, NO_HIGH)
    assert colder_later.tolist() == [[0, 30, 30, 500, 0]]


def test_unknown_time_at_the_end_leaves_an_excursion_open() -> None:
    found = kernels.add_runs(kernels.no_runs(), 0, *columns((10, 9000), (20, None)), NO_LOW, 8000)
    assert found.tolist() == [[0, 10, 10, 9000, 0]]


def as_integer(limbs: list[int]) -> int:
    return sum(limb << (LIMB_BITS * (LIMBS - 1 - k)) for k, limb in enumerate(limbs))


ONE = 1 << LIMB_BITS


numbers = st.one_of(st.integers(-(2**62), 2**62), st.sampled_from([0, 1, -1, ONE, -ONE]))


def limbs_of(*last: int, first: tuple[int, ...] = ()) -> NDArray[np.int64]:
    """A limb number that begins and ends with these limbs, zeros in between."""
    return np.array([*first, *[0] * (LIMBS - len(first) - len(last)), *last], np.int64)


@given(st.lists(numbers, min_size=6, max_size=6), st.integers(0, LIMBS - 6))
def test_the_sign_of_a_limb_number_is_the_sign_of_the_integer_it_stands_for(limbs: list[int], place: int) -> None:
    found = np.zeros(LIMBS, np.int64)
    found[place : place + 6] = limbs
    whole = as_integer(found.tolist())
    assert arrhenius.limb_sign(found) == (whole > 0) - (whole < 0)


@pytest.mark.parametrize(
    ("limbs", "sign"),
    [
        (limbs_of(), 0),
        (limbs_of(1), 1),
        (limbs_of(-1), -1),
        (limbs_of(first=(1, -ONE)), 0),  # one borrowed from the limb above
        (limbs_of(1, first=(1, -ONE)), 1),
        (limbs_of(-1, first=(1, -ONE)), -1),
        (np.array([1, *[-(ONE - 1)] * (LIMBS - 2), -ONE], np.int64), 0),
        (limbs_of(first=(-1, 2 * ONE)), 1),
    ],
)
def test_limbs_that_borrow_from_each_other_keep_their_sign(limbs: NDArray[np.int64], sign: int) -> None:
    assert arrhenius.limb_sign(limbs) == sign


def weight_of(temperature: int, a: float) -> tuple[int, NDArray[np.int64]]:
    """The place of the first limb of a weight, and all its limbs."""
    touched, whole = np.empty(4, np.int64), np.zeros(LIMBS + 4, np.int64)
    first = arrhenius.arrhenius_limbs(temperature, a, touched)
    whole[first : first + 4] = touched
    return first, whole[:LIMBS]


@given(st.integers(-190_000, 1_000_000), st.sampled_from([20e3, 83144.62618, 250e3]))
def test_the_limbs_of_a_weight_hold_every_bit_of_its_float(temperature: int, energy: float) -> None:
    a = energy / 8.314462618
    first, limbs = weight_of(temperature, a)
    weight = math.exp(a / arrhenius.REFERENCE_K - a / (temperature / 1000 + 273.15))
    expected = Fraction(weight) * 2 ** (LIMB_BITS * LIMBS)
    assert expected.denominator == 1
    # the compiled exp may differ from Python's in the last bit
    assert as_integer(limbs.tolist()) == pytest.approx(int(expected), rel=1e-15)
    assert limbs[first] > 0
    assert all(0 <= limb <= ONE for limb in limbs.tolist())


def test_at_absolute_zero_the_weight_is_nothing() -> None:
    assert not weight_of(-273_150, 10_000.0)[1].any()
    assert not weight_of(-273_000, 10_000.0)[1].any()  # 0.15 K: below what a float can say


@pytest.mark.parametrize("energy", [20e3, 250e3])
@pytest.mark.parametrize("temperature", [-190_000, 1_000_000])
def test_139_years_at_any_temperature_and_activation_energy_do_not_overflow(temperature: int, energy: float) -> None:
    end, hot, _ = columns((2**42, temperature))
    sums = np.zeros(LIMBS, np.int64)
    a = energy / 8.314462618
    arrhenius.add_arrhenius(sums, *dwell(0, end, hot), a)
    assert [int(limb) for limb in sums] == [int(limb) * 2**42 for limb in weight_of(temperature, a)[1]]
    window = arrhenius.no_window(0)
    peak = arrhenius.slide(window, 0.0, 0, end, hot, end, 2**42, 2**42, a, temperature)
    assert peak == arrhenius.mean_weight(sums, 2**42) > 0.0
    assert (window[arrhenius.ELIGIBLE], window[arrhenius.EXCEEDED_AT]) == (1, NEVER)


pieces = st.tuples(st.integers(1, 30), st.one_of(st.none(), st.integers(-1, 12).map(lambda mc: mc * 1000)))
"""How long, and what."""

short = st.lists(pieces, max_size=14)
long = st.lists(st.tuples(pieces, st.integers(1, 150)), max_size=8).map(
    lambda several: [piece for piece, times in several for _ in range(times)]
)
"""The same for so long that whole blocks are in range, out of range, unknown, or change in their middle."""

histories = st.one_of(short, long)


@given(histories, st.lists(st.integers(0, 400), max_size=4), st.integers(1, 60), st.data())
def test_counting_on_from_any_cut_gives_the_bits_of_counting_at_once(
    history: list[tuple[int, int | None]], cuts: list[int], length: int, data: st.DataObject
) -> None:
    end, hot, cold = columns(
        *zip(np.cumsum([ms for ms, _ in history]).tolist(), (mc for _, mc in history), strict=True)
    )
    last = int(end[-1]) if len(end) else 0
    at = np.array(sorted(data.draw(st.sets(st.integers(1, max(last, 1))))), np.int64)
    at = at[at <= last]
    limits = np.array(
        [(0, 2000, 8000, 20, 10, 1), (0, NO_LOW, 5000, 0, 0, 0), (1, NO_LOW, NO_HIGH, 15, 5, UNLIMITED)], np.int64
    )

    def counted(edges: list[int]) -> list[list[int] | float]:
        totals, tallies = kernels.no_totals(), kernels.no_tallies(len(limits))
        runs, sums, window, peak = kernels.no_runs(), np.zeros(LIMBS, np.int64), arrhenius.no_window(0), 0.0
        start = 0
        for edge in edges:
            inside = slice(np.searchsorted(end, start, "right"), np.searchsorted(end, edge, "left") + 1)
            part_end = end[inside].copy()
            if not len(part_end) or edge <= start:
                continue
            part_end[-1] = edge
            part = start, part_end, hot[inside], cold[inside]
            kernels.add_totals(totals, *part)
            kernels.add_to_tallies(tallies, limits, *part)
            runs = kernels.add_runs(runs, *part, NO_LOW, 8000)
            arrhenius.add_arrhenius(sums, *dwell(*part[:3]), 10_000.0)
            known_end, known_hot = end[: inside.stop].copy(), hot[: inside.stop]
            known_end[-1] = edge
            instants = at[(at > start) & (at <= edge)]
            peak = arrhenius.slide(window, peak, 0, known_end, known_hot, instants, length, 1, 10_000.0, 8000)
            start = edge
        return [*(part.ravel().tolist() for part in (totals, tallies, runs, sums, window)), peak]

    assert counted(sorted({*(cut for cut in cuts if 0 < cut < last), last})) == counted([last])


@pytest.mark.parametrize("before", [None, 9000, 5000])
@pytest.mark.parametrize("after", [None, 9000, 5000])
@pytest.mark.parametrize("shift", [0, 1, 63])
def test_a_long_stretch_in_range_is_counted_like_a_short_one(before: int | None, after: int | None, shift: int) -> None:
    """Whether it fills whole blocks or not, what stands before it must not reach what comes after it."""

    def counted(pieces: int) -> list[list[int]]:
        temperatures = [5000] * shift + [before] * 64 + [5000] * pieces + [after] * 3
        ends = [*range(1, shift + 65), *(shift + 64 + 6400 // pieces * (n + 1) for n in range(pieces))]
        ends += [ends[-1] + n for n in (1, 2, 3)]
        history = columns(*zip(ends, temperatures, strict=True))
        tally, unknown = kernels.no_tallies(1)[0], kernels.no_tallies(1)[0]
        kernels.add_out_of_range(tally, limit_of(NO_LOW, 8000, 70, 70, 1), 0, *history)
        kernels.add_unknown_time(unknown, limit_of(NO_LOW, NO_HIGH, 65, 63, 0), 0, *history[:2])
        runs = kernels.add_runs(kernels.no_runs(), 0, *history, NO_LOW, 8000)
        return [tally.tolist(), unknown.tolist(), runs.ravel().tolist()]

    assert counted(6400) == counted(64) == counted(1)


@given(histories)
def test_a_dwell_holds_how_long_each_temperature_lasted(history: list[tuple[int, int | None]]) -> None:
    end, hot, _ = columns(*zip(np.cumsum([ms for ms, _ in history]).tolist(), (mc for _, mc in history), strict=True))
    expected: Counter[int] = Counter()
    for lasted, temperature in history:
        if temperature is not None:
            expected[temperature] += lasted
    found: Counter[int] = Counter()
    for temperature, lasted in zip(*(column.tolist() for column in dwell(0, end, hot)), strict=True):
        found[temperature] += lasted
    assert found == expected


def test_temperatures_that_share_a_slot_keep_their_own_time() -> None:
    hot = np.tile(
        np.arange(-40_000, 60_000, 7, dtype=np.int32), 2
    )  # far more than there are slots, and each comes again
    end = np.cumsum(np.arange(1, len(hot) + 1, dtype=np.int64))
    temperature, lasted = dwell(0, end, hot)
    found: Counter[int] = Counter()
    for mc, ms in zip(temperature.tolist(), lasted.tolist(), strict=True):
        found[mc] += ms
    half = len(hot) // 2
    assert found == {mc: 2 * number + half for number, mc in enumerate(hot[:half].tolist(), start=1)}


@given(long, st.integers(1, 3000), st.sampled_from([-1000, 4000, 5000, 8000, 12_000]), st.integers(2_000, 40_000))
def test_the_peak_of_a_trailing_window_is_the_highest_of_all_its_windows(
    history: list[tuple[int, int | None]], length: int, limit: int, a: float
) -> None:
    end, hot, _ = columns(*zip(np.cumsum([ms for ms, _ in history]).tolist(), (mc for _, mc in history), strict=True))
    at = end[hot != UNKNOWN]
    window = arrhenius.no_window(0)
    found = arrhenius.slide(window, 0.0, 0, end, hot, at, length, 1, a, limit)
    allowed = as_integer(weight_of(limit, a)[1].tolist())
    peak, exceeded_at = 0.0, NEVER
    for t in at[at >= length].tolist():
        inside = slice(np.searchsorted(end, t - length, "right"), np.searchsorted(end, t, "left") + 1)
        temperature, lasted = dwell(t - length, end[inside], hot[inside])
        sums, known = np.zeros(LIMBS, np.int64), int(lasted.sum())
        arrhenius.add_arrhenius(sums, temperature, lasted, a)
        if known:
            peak = max(peak, arrhenius.mean_weight(sums, known))
            if exceeded_at == NEVER and as_integer(sums.tolist()) > allowed * known:
                exceeded_at = t
    assert (found, window[arrhenius.EXCEEDED_AT]) == (peak, exceeded_at)


@pytest.mark.parametrize(
    ("at", "expected"), [([5], (1, 1)), ([5, 8, 18, 19], (1, 10)), ([5, 5, 8], (0, 3)), (range(0, 2000, 7), (7, 7))]
)
def test_the_spacing_of_a_series_is_its_smallest_and_its_largest_step(
    at: Sequence[int], expected: tuple[int, int]
) -> None:
    assert segments.spacing(np.array(at, np.int64)) == expected
