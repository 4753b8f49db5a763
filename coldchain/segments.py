"""From sorted readings to the segments of a history, and the envelope of two: compiled, over arrays and numbers.

Histories are given as in `kernels`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from coldchain.kernels import UNKNOWN

_BLOCK = 64
"""So many neighbours at once are asked whether there is a gap between any two."""

_Times = NDArray[np.int64]
_Temperatures = NDArray[np.int32]
_Columns = tuple[_Times, _Temperatures, _Temperatures]

_HISTORY = "int64[::1], int32[::1], int32[::1]"


@njit("UniTuple(int64, 2)(int64[::1])", cache=True, nogil=True)
def spacing(at: _Times) -> tuple[int, int]:
    """The smallest and the largest difference between neighbours in a sorted series; (1, 1) if there are none."""
    smallest, largest = 2**63 - 1, 0
    if len(at) < 2:
        return 1, 1
    later, earlier = at[1:], at[:-1]
    for i in range(len(later)):
        difference = later[i] - earlier[i]
        smallest = min(smallest, difference)
        largest = max(largest, difference)
    return smallest, largest


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


@njit("int64(int64[::1], int64, int64)", cache=True, nogil=True)
def _next_gap(at: _Times, position: int, gap_after: int) -> int:
    """Where a series first goes on by more than `gap_after` after a position; its length if nowhere."""
    n = len(at)
    i = position + 1
    while i + _BLOCK <= n:
        later, earlier = at[i : i + _BLOCK], at[i - 1 : i - 1 + _BLOCK]
        widest = later[0] - earlier[0]
        for k in range(_BLOCK):
            widest = max(widest, later[k] - earlier[k])
        if widest > gap_after:
            break
        i += _BLOCK
    while i < n and at[i] - at[i - 1] <= gap_after:
        i += 1
    return i


@njit(f"Tuple(({_HISTORY}))({_HISTORY}, int64, int64)", cache=True, nogil=True)
def cover(at: _Times, hot: _Temperatures, cold: _Temperatures, interval: int, gap_after: int) -> _Columns:
    """Segments of a channel by the preceding-interval rule, from `at[0] - interval` to `at[-1]` (SEMANTICS 2.2).

    A reading that follows its predecessor by more than `gap_after` covers only `interval`; what lies before is unknown.
    """
    n = len(at)
    gaps = 0
    later, earlier = at[1:], at[:-1]
    for i in range(len(later)):
        gaps += later[i] - earlier[i] > gap_after
    end = np.empty(n + gaps, np.int64)
    out_hot = np.empty(n + gaps, np.int32)
    out_cold = np.empty(n + gaps, np.int32)
    first = m = 0
    while first < n:
        after = _next_gap(at, first, gap_after)
        # loops over views become block moves, which assignments of slices do not
        own, target = slice(first, after), slice(m, m + after - first)
        part_at, part_hot, part_cold = at[own], hot[own], cold[own]
        to_end, to_hot, to_cold = end[target], out_hot[target], out_cold[target]
        for k in range(len(part_at)):
            to_end[k] = part_at[k]
        for k in range(len(part_hot)):
            to_hot[k] = part_hot[k]
        for k in range(len(part_cold)):
            to_cold[k] = part_cold[k]
        m += after - first
        first = after
        if first < n:
            end[m] = at[first] - interval
            out_hot[m] = out_cold[m] = UNKNOWN
            m += 1
    return end, out_hot, out_cold


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
