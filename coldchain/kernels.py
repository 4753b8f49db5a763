"""The numeric core: compiled functions over arrays and numbers.

Nothing here knows a unit's name, a kit or a file. Temperature histories are contiguous step functions: segment i
is `(end[i-1], end[i]]` (the first begins at `start`), with the hottest and the coldest known value, or `UNKNOWN` in
both. Instants and durations are int64 ms, temperatures int32 milli-degC. Limits are arguments, never globals; no
fastmath and no parallel reduction, so equal input gives equal bits. The signatures are compiled at import and
cached on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

UNKNOWN = -(2**31)
NEVER = -(2**63)
"""Stands for "no such instant"."""

_Times = NDArray[np.int64]
_Temperatures = NDArray[np.int32]
_Columns = tuple[_Times, _Temperatures, _Temperatures]

_HISTORY = "int64[::1], int32[::1], int32[::1]"


@njit(f"Tuple(({_HISTORY}))(int64[::1], int32[::1])", cache=True, nogil=True)
def instants(at: _Times, temperature: _Temperatures) -> _Columns:
    """The distinct instants of a sorted series, with the highest and lowest temperature at each (SEMANTICS 2.1).

    Sorted by instant, then temperature, `UNKNOWN` (a fault) first; a fault beside a temperature does not count.
    """
    n = len(at)
    out_at = np.empty(n, np.int64)
    hot = np.empty(n, np.int32)
    cold = np.empty(n, np.int32)
    m = 0
    for i in range(n):
        if m > 0 and out_at[m - 1] == at[i]:
            hot[m - 1] = temperature[i]
            if cold[m - 1] == UNKNOWN:
                cold[m - 1] = temperature[i]
        else:
            out_at[m] = at[i]
            hot[m] = temperature[i]
            cold[m] = temperature[i]
            m += 1
    return out_at[:m].copy(), hot[:m].copy(), cold[:m].copy()


@njit(f"Tuple(({_HISTORY}))({_HISTORY}, int64, int64)", cache=True, nogil=True)
def cover(at: _Times, hot: _Temperatures, cold: _Temperatures, interval: int, gap_after: int) -> _Columns:
    """Segments of a channel by the preceding-interval rule, from `at[0] - interval` to `at[-1]` (SEMANTICS 2.2).

    A reading that follows its predecessor by more than `gap_after` covers only `interval`; what lies before is unknown.
    """
    n = len(at)
    end = np.empty(2 * n, np.int64)
    out_hot = np.empty(2 * n, np.int32)
    out_cold = np.empty(2 * n, np.int32)
    m = 0
    for i in range(n):
        if i > 0 and at[i] - at[i - 1] > gap_after:
            end[m] = at[i] - interval
            out_hot[m] = UNKNOWN
            out_cold[m] = UNKNOWN
            m += 1
        end[m] = at[i]
        out_hot[m] = hot[i]
        out_cold[m] = cold[i]
        m += 1
    return end[:m].copy(), out_hot[:m].copy(), out_cold[:m].copy()


@njit(f"Tuple(({_HISTORY}))(int64, {_HISTORY}, int64, {_HISTORY})", cache=True, nogil=True)
def overlay(
    start_a: int,
    end_a: _Times,
    hot_a: _Temperatures,
    cold_a: _Temperatures,
    start_b: int,
    end_b: _Times,
    hot_b: _Temperatures,
    cold_b: _Temperatures,
) -> _Columns:
    """The envelope of two histories from the earlier start to the later end: hottest and coldest known value.

    Outside its own span a history is unknown. Both must have at least one segment (SEMANTICS 2.3).
    """
    na, nb = len(end_a), len(end_b)
    end = np.empty(na + nb + 2, np.int64)
    hot = np.empty(na + nb + 2, np.int32)
    cold = np.empty(na + nb + 2, np.int32)
    now = min(start_a, start_b)
    last = max(end_a[-1], end_b[-1])
    i = j = m = 0
    while now < last:
        upto = last
        seg_hot = np.int32(UNKNOWN)
        seg_cold = np.int32(UNKNOWN)
        if now < start_a:
            upto = min(upto, start_a)
        elif i < na:
            upto = min(upto, end_a[i])
            seg_hot, seg_cold = hot_a[i], cold_a[i]
        if now < start_b:
            upto = min(upto, start_b)
        elif j < nb:
            upto = min(upto, end_b[j])
            if hot_b[j] != UNKNOWN:
                seg_cold = cold_b[j] if seg_hot == UNKNOWN else min(seg_cold, cold_b[j])
                seg_hot = max(seg_hot, hot_b[j])
        end[m] = upto
        hot[m] = seg_hot
        cold[m] = seg_cold
        m += 1
        now = upto
        while i < na and end_a[i] <= now:
            i += 1
        while j < nb and end_b[j] <= now:
            j += 1
    return end[:m].copy(), hot[:m].copy(), cold[:m].copy()


@njit(f"int64[::1](int64, {_HISTORY})", cache=True, nogil=True)
def totals(start: int, end: _Times, hot: _Temperatures, cold: _Temperatures) -> _Times:
    """(known ms, unknown ms, longest unknown ms, sum of hot x ms, max of hot, min of cold) of a history."""
    known = unknown = run = longest = weighted = 0
    hottest, coldest = UNKNOWN, 2**31 - 1
    previous = start
    for i in range(len(end)):
        duration = end[i] - previous
        previous = end[i]
        if hot[i] == UNKNOWN:
            unknown += duration
            run += duration
            longest = max(longest, run)
        else:
            run = 0
            known += duration
            weighted += duration * hot[i]
            hottest = max(hottest, hot[i])
            coldest = min(coldest, cold[i])
    return np.array([known, unknown, longest, weighted, hottest, coldest], np.int64)


@njit("Tuple((int64, int64))(int64, int64[::1], int32[::1], int64, int64)", cache=True, nogil=True)
def unknown_breach(
    start: int, end: _Times, hot: _Temperatures, allowed_total: int, allowed_single: int
) -> tuple[int, int]:
    """Instants at which unknown time in total, and in one stretch, passes what is allowed, or NEVER."""
    total = run = 0
    total_at = single_at = NEVER
    previous = start
    for i in range(len(end)):
        duration = end[i] - previous
        if hot[i] == UNKNOWN:
            if total_at == NEVER and total + duration > allowed_total:
                total_at = previous + allowed_total - total
            if single_at == NEVER and run + duration > allowed_single:
                single_at = previous + allowed_single - run
            total += duration
            run += duration
        else:
            run = 0
        previous = end[i]
    return total_at, single_at


@njit(f"int64[::1](int64, {_HISTORY}, int64, int64, int64, int64, int64)", cache=True, nogil=True)
def out_of_range(
    start: int,
    end: _Times,
    hot: _Temperatures,
    cold: _Temperatures,
    low: int,
    high: int,
    allowed_total: int,
    allowed_single: int,
    allowed_events: int,
) -> _Times:
    """Time below `low` or above `high` (strictly), its runs, and when each passes what is allowed.

    Returns (total, worst total, longest run, worst longest run, runs, instant the total passes `allowed_total`, instant
    one run passes `allowed_single`, instant the run after `allowed_events` starts, ms of the run still open at the
    end, sides on which the end is out of range). In the total, an instant that is above and below counts on both sides.
    The worst case adds unknown stretches inside a run or next to it. Instants are NEVER if not passed.
    """
    total = worst_total = longest = worst_longest = runs = 0
    total_at = single_at = events_at = NEVER
    run = worst_run = gap = sides = 0
    running = False
    previous = start
    for i in range(len(end)):
        duration = end[i] - previous
        if hot[i] == UNKNOWN:
            gap += duration
        else:
            sides = int(hot[i] > high) + int(cold[i] < low)
            if sides:
                if not running:
                    running = True
                    runs += 1
                    run = worst_run = 0
                    if events_at == NEVER and runs > allowed_events:
                        events_at = previous
                if total_at == NEVER and total + sides * duration > allowed_total:
                    total_at = previous + (allowed_total - total) // sides
                if single_at == NEVER and run + duration > allowed_single:
                    single_at = previous + allowed_single - run
                total += sides * duration
                run += duration
                worst_total += gap + sides * duration
                worst_run += gap + duration
            elif running:
                worst_total += gap
                worst_run += gap
                running = False
            longest = max(longest, run)
            worst_longest = max(worst_longest, worst_run)
            if not sides:
                run = worst_run = 0
            gap = 0
        previous = end[i]
    if running:
        worst_total += gap
        worst_longest = max(worst_longest, worst_run + gap)
    sides_now = 0 if gap else sides
    return np.array(
        [total, worst_total, longest, worst_longest, runs, total_at, single_at, events_at, run, sides_now],
        np.int64,
    )


@njit(f"int64[:, ::1](int64, {_HISTORY}, int64, int64)", cache=True, nogil=True)
def excursion_runs(
    start: int, end: _Times, hot: _Temperatures, cold: _Temperatures, low: int, high: int
) -> NDArray[np.int64]:
    """Every run above `high` or below `low`: rows of (start, end, known ms, extreme value, closed).

    Call it with one side open (`low` below every value, or `high` above). A run is closed once known in-range time
    follows; unknown time neither ends it nor adds to it.
    """
    rows = np.empty((len(end), 5), np.int64)
    m = 0
    running = False
    previous = start
    for i in range(len(end)):
        if hot[i] != UNKNOWN:
            above, below = hot[i] > high, cold[i] < low
            if above or below:
                value = hot[i] if above else cold[i]
                if not running:
                    running = True
                    rows[m, 0] = previous
                    rows[m, 2] = 0
                    rows[m, 3] = value
                    rows[m, 4] = 0
                    m += 1
                rows[m - 1, 1] = end[i]
                rows[m - 1, 2] += end[i] - previous
                rows[m - 1, 3] = max(rows[m - 1, 3], value) if above else min(rows[m - 1, 3], value)
            elif running:
                running = False
                rows[m - 1, 4] = 1
        previous = end[i]
    return rows[:m].copy()
