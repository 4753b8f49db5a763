"""The numeric core: what is counted over a temperature history, compiled, over arrays and numbers.

Nothing here knows a unit's name, a kit or a file. Temperature histories are contiguous step functions: segment i
is `(end[i-1], end[i]]` (the first begins at `start`), with the hottest and the coldest known value, or `UNKNOWN` in
both. Instants and durations are int64 ms, temperatures int32 milli-degC. What is counted over a history can be
continued over the next one: `add_...` takes what was counted before, and counting on gives the bits of counting at
once. Limits are arguments, never globals; no fastmath and no parallel reduction, so equal input gives equal bits. The
signatures are compiled at import and
cached on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

UNKNOWN = -(2**31)
NEVER = -(2**63)
"""Stands for "no such instant"."""

_BLOCK = 64
"""So many segments at once are asked whether all are in range, so that they need not be looked at one by one."""

_Times = NDArray[np.int64]
_Temperatures = NDArray[np.int32]
_Table = NDArray[np.int64]

_HISTORY = "int64[::1], int32[::1], int32[::1]"


@njit("boolean(int32[::1], int32[::1], int64, int64)", cache=True, nogil=True)
def _is_quiet(hot: _Temperatures, cold: _Temperatures, low: int, high: int) -> bool:
    """Whether all segments are known and inside `[low, high]`: then none has to be looked at by itself."""
    hottest, coldest = np.int32(UNKNOWN), np.int32(-(UNKNOWN + 1))
    for i in range(len(hot)):
        hottest = max(hottest, hot[i])
        coldest = min(coldest, cold[i])
    return bool(hottest <= high and coldest >= low and coldest != UNKNOWN)


@njit(f"void(int64[::1], int64, {_HISTORY})", cache=True, nogil=True)
def add_totals(totals: _Times, start: int, end: _Times, hot: _Temperatures, cold: _Temperatures) -> None:
    """Continue `totals` over a history.

    Fields: 0 known ms, 1 unknown ms, 2 longest unknown ms, 3 unknown ms at the end, 4 sum of hot x ms, 5 max of hot,
    6 min of cold. They begin as `no_totals()`.
    """
    known, unknown, longest, trailing, weighted, hottest, coldest = totals
    previous = start
    for i in range(len(end)):
        duration = end[i] - previous
        previous = end[i]
        if hot[i] == UNKNOWN:
            unknown += duration
            trailing += duration
            longest = max(longest, trailing)
        else:
            trailing = 0
            known += duration
            weighted += duration * hot[i]
            hottest = max(hottest, hot[i])
            coldest = min(coldest, cold[i])
    totals[:] = known, unknown, longest, trailing, weighted, hottest, coldest


def no_totals() -> _Times:
    """The totals of no time at all."""
    return np.array([0, 0, 0, 0, 0, UNKNOWN, 2**31 - 1], np.int64)


# Fields of the tally of one limit.
TOTAL, WORST_TOTAL, LONGEST, WORST_LONGEST, RUNS = 0, 1, 2, 3, 4
TOTAL_AT, SINGLE_AT, EVENTS_AT = 5, 6, 7
RUN, WORST_RUN, GAP, SIDES, RUNNING = 8, 9, 10, 11, 12
FIELDS = 13
_NO_TALLY = np.array([NEVER if field in (TOTAL_AT, SINGLE_AT, EVENTS_AT) else 0 for field in range(FIELDS)], np.int64)

# Columns of what a limit measures. UNKNOWN_TIME is 1 where it counts unknown time, 0 for time out of range.
UNKNOWN_TIME, LOW, HIGH, ALLOWED_TOTAL, ALLOWED_SINGLE, ALLOWED_EVENTS = 0, 1, 2, 3, 4, 5


def no_tallies(count: int) -> NDArray[np.int64]:
    """The tallies of `count` limits over no time at all."""
    tallies = np.empty((count, FIELDS), np.int64)
    tallies[:] = _NO_TALLY
    return tallies


@njit("void(int64[::1], int64[::1], int64, int64[::1], int32[::1])", cache=True, nogil=True)
def add_unknown_time(tally: _Times, limit: _Times, start: int, end: _Times, hot: _Temperatures) -> None:
    """Continue the tally of a limit on unknown time: TOTAL, LONGEST, RUN, and when each passes what is allowed."""
    previous = start
    for i in range(len(end)):
        duration = end[i] - previous
        if hot[i] == UNKNOWN:
            if tally[TOTAL_AT] == NEVER and tally[TOTAL] + duration > limit[ALLOWED_TOTAL]:
                tally[TOTAL_AT] = previous + limit[ALLOWED_TOTAL] - tally[TOTAL]
            if tally[SINGLE_AT] == NEVER and tally[RUN] + duration > limit[ALLOWED_SINGLE]:
                tally[SINGLE_AT] = previous + limit[ALLOWED_SINGLE] - tally[RUN]
            tally[TOTAL] += duration
            tally[RUN] += duration
            tally[LONGEST] = max(tally[LONGEST], tally[RUN])
        else:
            tally[RUN] = 0
        previous = end[i]


@njit(f"void(int64[::1], int64[::1], int64, {_HISTORY})", cache=True, nogil=True)
def add_out_of_range(
    tally: _Times, limit: _Times, start: int, end: _Times, hot: _Temperatures, cold: _Temperatures
) -> None:
    """Continue the tally of time below LOW or above HIGH (strictly), its runs, and when each passes what is allowed.

    TOTAL counts an instant that is above and below on both sides. TOTAL_AT, SINGLE_AT, EVENTS_AT: when the total, one
    run, the number of runs passes what is allowed, or NEVER. The worst case adds unknown stretches inside a run or
    next to it: WORST_TOTAL, WORST_LONGEST, WORST_RUN stand for what is settled, GAP is the unknown time since the last
    known one, which counts as soon as it borders on a run. RUN: known ms of the run that goes on while RUNNING. SIDES:
    on how many sides the last known time is out of range.
    """
    low, high = limit[LOW], limit[HIGH]
    allowed_total, allowed_single, allowed_events = limit[ALLOWED_TOTAL], limit[ALLOWED_SINGLE], limit[ALLOWED_EVENTS]
    total, worst_total, longest, worst_longest = tally[TOTAL], tally[WORST_TOTAL], tally[LONGEST], tally[WORST_LONGEST]
    runs, run, worst_run, gap = tally[RUNS], tally[RUN], tally[WORST_RUN], tally[GAP]
    total_at, single_at, events_at = tally[TOTAL_AT], tally[SINGLE_AT], tally[EVENTS_AT]
    sides, running = tally[SIDES], tally[RUNNING]
    previous = start
    for first in range(0, len(end), _BLOCK):
        after = min(first + _BLOCK, len(end))
        if not running and gap == 0 and _is_quiet(hot[first:after], cold[first:after], low, high):
            previous = end[after - 1]
            continue
        for i in range(first, after):
            duration = end[i] - previous
            if hot[i] == UNKNOWN:
                gap += duration
            else:
                sides = int(hot[i] > high) + int(cold[i] < low)
                if sides:
                    if not running:
                        running = 1
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
                    running = 0
                longest = max(longest, run)
                worst_longest = max(worst_longest, worst_run)
                if not sides:
                    run = worst_run = 0
                gap = 0
            previous = end[i]
    tally[TOTAL], tally[WORST_TOTAL], tally[LONGEST], tally[WORST_LONGEST] = total, worst_total, longest, worst_longest
    tally[RUNS], tally[RUN], tally[WORST_RUN], tally[GAP] = runs, run, worst_run, gap
    tally[TOTAL_AT], tally[SINGLE_AT], tally[EVENTS_AT] = total_at, single_at, events_at
    tally[SIDES], tally[RUNNING] = sides, running


@njit(f"void(int64[:, ::1], int64[:, ::1], int64, {_HISTORY})", cache=True, nogil=True)
def add_to_tallies(
    tallies: _Table, limits: _Table, start: int, end: _Times, hot: _Temperatures, cold: _Temperatures
) -> None:
    """Continue the tally of every limit of a profile over a history."""
    for k in range(len(tallies)):
        if limits[k, UNKNOWN_TIME]:
            add_unknown_time(tallies[k], limits[k], start, end, hot)
        else:
            add_out_of_range(tallies[k], limits[k], start, end, hot, cold)


@njit(f"int64[:, ::1](int64[:, ::1], int64, {_HISTORY}, int64, int64)", cache=True, nogil=True)
def add_runs(
    before: _Table, start: int, end: _Times, hot: _Temperatures, cold: _Temperatures, low: int, high: int
) -> _Table:
    """Every run above `high` or below `low`: rows of (start, end, known ms, extreme value, closed), after `before`.

    Call it with one side open (`low` below every value, or `high` above). A run is closed once known in-range time
    follows; unknown time neither ends it nor adds to it. The last run of `before` goes on if it is not closed.
    """
    m = len(before)
    rows = np.empty((m + len(end), 5), np.int64)
    rows[:m] = before
    running = m > 0 and rows[m - 1, 4] == 0
    previous = start
    for first in range(0, len(end), _BLOCK):
        after = min(first + _BLOCK, len(end))
        if not running and _is_quiet(hot[first:after], cold[first:after], low, high):
            previous = end[after - 1]
            continue
        for i in range(first, after):
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


RUN_FIELDS = 5


def no_runs() -> _Table:
    """The runs of no time at all."""
    return np.empty((0, RUN_FIELDS), np.int64)
