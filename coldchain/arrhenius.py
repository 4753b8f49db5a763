"""Compiled Arrhenius sums: what a mean kinetic temperature is made of.

The weight of a temperature is `exp(a/T_reference - a/T)`, a float64 of at most 1 with one reference for all time. It is
cut into limbs of `LIMB_BITS` bits, without a remainder: `LIMBS` of them reach from 1 down to far below any weight that
a medicine's temperature can have. Sums of weight x duration are then integers: exact, independent of order and
grouping, exactly subtractable for a trailing window, and two of them can be added whatever they were summed over. A
limb's sum cannot overflow int64 within 2**42 ms, 139 years. Histories are given as in `kernels`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from coldchain.kernels import NEVER, UNKNOWN

LIMBS = 28
LIMB_BITS = 20
_LIMB = 1 << LIMB_BITS
_TOUCHED = 4  # the 53 bits of a float64 begin anywhere in a limb, so they reach over at most four

REFERENCE_K = 1273.15
"""The hottest temperature that counts as a reading: no weight exceeds 1."""

# Loggers resolve a tenth or a hundredth of a degree, so a history has few distinct temperatures: the limbs of those
# last seen are remembered, each in the slot that a multiplicative hash gives it.
_SLOTS = 1024
_SPREAD = 2_654_435_761
_ZERO_CELSIUS_K = 273.15

# Fields of a trailing window beside the limbs of its sum.
KNOWN, HEAD, TAIL, ELIGIBLE, EXCEEDED_AT = LIMBS, LIMBS + 1, LIMBS + 2, LIMBS + 3, LIMBS + 4
WINDOW_FIELDS = LIMBS + 5

_Times = NDArray[np.int64]
_Temperatures = NDArray[np.int32]
_Limbs = NDArray[np.int64]


@njit("int64(int64, float64, int64[::1])", cache=True, nogil=True)
def arrhenius_limbs(temperature: int, a: float, limbs: _Limbs) -> int:
    """Write the limbs of the weight of a temperature that are not 0, most significant first; returns the first's place.

    `limbs` holds four; those that would lie beyond `LIMBS` are 0.
    """
    kelvin = temperature / 1000.0 + _ZERO_CELSIUS_K
    weight = math.exp(a / REFERENCE_K - a / kelvin) if kelvin > 0.0 else 0.0
    first = 0
    if weight > 0.0:
        first = min(max(-math.frexp(weight)[1], 0) // LIMB_BITS, LIMBS)
    rest = math.ldexp(weight, first * LIMB_BITS)
    for k in range(_TOUCHED):
        rest *= _LIMB
        whole = math.floor(rest)
        limbs[k] = int(whole) if first + k < LIMBS else 0
        rest -= whole
    return first


@njit("float64(int64[::1], int64)", cache=True, nogil=True)
def mean_weight(sums: _Limbs, duration: int) -> float:
    """The mean Arrhenius weight of limb sums over a duration, as float64."""
    first, last = 0, LIMBS - 1
    while first < last and sums[first] == 0:
        first += 1
    while last > first and sums[last] == 0:
        last -= 1
    value = 0.0
    for k in range(last, first - 1, -1):
        value = (value + sums[k]) / _LIMB
    return math.ldexp(value, -LIMB_BITS * first) / duration


@njit("int64(int64[::1])", cache=True, nogil=True)
def limb_sign(sums: _Limbs) -> int:
    """The sign of a limb number whose limbs may be negative or beyond their width: -1, 0 or 1, exactly."""
    carry = 0
    low_bits = 0
    for k in range(LIMBS - 1, 0, -1):
        value = sums[k] + carry
        carry = value >> LIMB_BITS
        low_bits |= value - (carry << LIMB_BITS)
    top = sums[0] + carry
    if top < 0:
        return -1
    return 1 if top > 0 or low_bits > 0 else 0


@njit("void(int64[::1], int64, int64[::1], int32[::1], float64)", cache=True, nogil=True)
def add_arrhenius(sums: _Limbs, start: int, end: _Times, hot: _Temperatures, a: float) -> None:
    """Add weight x ms of every known segment to `sums` (int64[LIMBS])."""
    memo_of = np.full(_SLOTS, UNKNOWN, np.int32)
    memo_first = np.empty(_SLOTS, np.int64)
    memo = np.empty((_SLOTS, _TOUCHED), np.int64)
    previous = start
    for i in range(len(end)):
        if hot[i] != UNKNOWN:
            duration = end[i] - previous
            slot = (int(hot[i]) * _SPREAD >> 16) & (_SLOTS - 1)
            if memo_of[slot] != hot[i]:
                memo_of[slot] = hot[i]
                memo_first[slot] = arrhenius_limbs(hot[i], a, memo[slot])
            first = memo_first[slot]
            for k in range(min(_TOUCHED, LIMBS - first)):
                sums[first + k] += memo[slot, k] * duration
        previous = end[i]


def no_window(start: int) -> _Limbs:
    """A trailing window over no time at all, of a history that begins at `start`."""
    window = np.zeros(WINDOW_FIELDS, np.int64)
    window[[HEAD, TAIL]] = start
    window[EXCEEDED_AT] = NEVER
    return window


@njit(
    "float64(int64[::1], float64, int64, int64[::1], int32[::1], int64[::1], int64, int64, float64, int64)",
    cache=True,
    nogil=True,
)
def slide(
    window: _Limbs,
    peak: float,
    first_start: int,
    end: _Times,
    hot: _Temperatures,
    at: _Times,
    length: int,
    known_at_least: int,
    a: float,
    limit: int,
) -> float:
    """Move a trailing window on over a history; returns the highest mean Arrhenius weight so far, `peak` before it.

    `window` is continued: the limbs of its sum, its KNOWN ms, where its HEAD and TAIL stand, how many windows were
    ELIGIBLE, and the first t whose MKT exceeds `limit` (EXCEEDED_AT, or NEVER). The history must reach back to where
    the tail stands. Windows `(t - length, t]` are looked at for ascending t in `at`, all after the head; eligible are
    those that begin at or after `first_start` and are known for at least `known_at_least` (more than 0). In the end
    the head stands at the end of the history. The comparison with the limit is exact: a window at exactly `limit` does
    not exceed it. O(1) amortised for each segment and each t.
    """
    memo_of = np.full(_SLOTS, UNKNOWN, np.int32)
    memo_first = np.empty(_SLOTS, np.int64)
    memo = np.empty((_SLOTS, _TOUCHED), np.int64)
    allowed = np.empty(_TOUCHED, np.int64)
    allowed_first = arrhenius_limbs(limit, a, allowed)
    suspicious = 0.0  # float64 errs by far less than what is taken off here: only from here on limbs decide
    for k in range(_TOUCHED - 1, -1, -1):
        suspicious = (suspicious + allowed[k]) / _LIMB
    suspicious = math.ldexp(suspicious, -LIMB_BITS * allowed_first) * (1.0 - 1e-9)
    excess = np.empty(LIMBS, np.int64)
    n = len(end)
    if n == 0:
        return peak
    segment = np.searchsorted(end, window[HEAD : TAIL + 1], side="right")
    for number in range(len(at) + 1):
        is_last = number == len(at)
        t = end[n - 1] if is_last else at[number]
        if not is_last and t - length < first_start:
            continue
        for side in range(2):
            upto = t - side * length
            reached = window[HEAD + side]
            i = segment[side]
            while reached < upto and i < n:
                stop = min(end[i], upto)
                if hot[i] != UNKNOWN:
                    slot = (int(hot[i]) * _SPREAD >> 16) & (_SLOTS - 1)
                    if memo_of[slot] != hot[i]:
                        memo_of[slot] = hot[i]
                        memo_first[slot] = arrhenius_limbs(hot[i], a, memo[slot])
                    first = memo_first[slot]
                    duration = (stop - reached) * (1 - 2 * side)
                    window[KNOWN] += duration
                    for k in range(min(_TOUCHED, LIMBS - first)):
                        window[first + k] += memo[slot, k] * duration
                reached = stop
                if stop == end[i]:
                    i += 1
            window[HEAD + side] = reached
            segment[side] = i
        known = window[KNOWN]
        if is_last or known < known_at_least:
            continue
        window[ELIGIBLE] += 1
        weight = mean_weight(window, known)
        peak = max(peak, weight)
        if window[EXCEEDED_AT] == NEVER and weight > suspicious:
            excess[:] = window[:LIMBS]
            for k in range(min(_TOUCHED, LIMBS - allowed_first)):
                excess[allowed_first + k] -= allowed[k] * known
            if limb_sign(excess) > 0:
                window[EXCEEDED_AT] = t
    return peak
