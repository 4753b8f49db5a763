"""Compiled Arrhenius sums: what a mean kinetic temperature is made of.

The weight of a temperature is `exp(a/T_reference - a/T)`, a float64 of at most 1 with one reference for all time. It is
cut into limbs of `LIMB_BITS` bits, without a remainder: `LIMBS` of them reach from 1 down to far below any weight that
a medicine's temperature can have. Sums of weight x duration are then integers: exact, independent of order and
grouping, exactly subtractable for a trailing window, and two of them can be added whatever they were summed over. A
limb's sum cannot overflow int64 within 2**42 ms, 139 years. Histories are given as in `kernels`, `dwell` is how long
each of their temperatures lasted.
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
_MANTISSA_BITS = 53
_MANTISSA = float(1 << _MANTISSA_BITS)
_LIMB_1, _LIMB_SQUARED, _LIMB_CUBED = (float(_LIMB**power) for power in (1, 2, 3))

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
    fraction, exponent = math.frexp(weight)
    digits = int(fraction * _MANTISSA)  # without a remainder: a float64 has 53 bits
    first = min(max(-exponent, 0) // LIMB_BITS, LIMBS) if digits else 0
    # where the 53 bits lie in the 80 of four limbs: between 8 and 28 bits above their end
    shift = exponent + first * LIMB_BITS + _TOUCHED * LIMB_BITS - _MANTISSA_BITS if digits else 0
    upper, lower = digits >> (2 * LIMB_BITS - shift), digits << shift
    limbs[0] = upper >> LIMB_BITS
    limbs[1] = upper & (_LIMB - 1)
    limbs[2] = lower >> LIMB_BITS & (_LIMB - 1)
    limbs[3] = lower & (_LIMB - 1)
    for k in range(LIMBS - first, _TOUCHED):
        limbs[k] = 0
    return first


@njit("UniTuple(int64, 2)(int64[::1])", cache=True, nogil=True)
def _extent(sums: _Limbs) -> tuple[int, int]:
    """The first and the last place of what is not 0 in limb sums; if all are, the last and the first there is."""
    first, last = 0, LIMBS - 1
    while first < LIMBS - 1 and sums[first] == 0:
        first += 1
    while last > 0 and sums[last] == 0:
        last -= 1
    return first, last


@njit("float64(int64[::1], int64)", cache=True, nogil=True)
def mean_weight(sums: _Limbs, duration: int) -> float:
    """The mean Arrhenius weight of limb sums over a duration, as float64."""
    first, last = _extent(sums)
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


@njit("void(int64[::1], int32[::1], int64[::1], float64)", cache=True, nogil=True)
def add_arrhenius(sums: _Limbs, temperature: _Temperatures, duration: _Times, a: float) -> None:
    """Add weight x ms of every pair of a dwell to `sums` (int64[LIMBS])."""
    limbs = np.empty(_TOUCHED, np.int64)
    for i in range(len(temperature)):
        first = arrhenius_limbs(temperature[i], a, limbs)
        for k in range(min(_TOUCHED, LIMBS - first)):
            sums[first + k] += limbs[k] * duration[i]


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
    sums = np.zeros(LIMBS + _TOUCHED, np.int64)  # limbs beyond the last are 0, and adding them needs no test
    sums[:LIMBS] = window[:LIMBS]
    top, bottom = _extent(sums[:LIMBS])
    scale = math.ldexp(1.0, -LIMB_BITS * top)
    known, exceeded_at = window[KNOWN], window[EXCEEDED_AT]
    threshold = (peak if exceeded_at != NEVER else min(peak, suspicious)) * _LIMB_CUBED
    head_at, tail_at = window[HEAD], window[TAIL]
    head, tail = np.searchsorted(end, head_at, side="right"), np.searchsorted(end, tail_at, side="right")
    for number in range(len(at) + 1):
        is_last = number == len(at)
        t = end[n - 1] if is_last else at[number]
        if not is_last and t - length < first_start:
            continue
        for sign in (1, -1):
            upto, reached, i = (t, head_at, head) if sign == 1 else (t - length, tail_at, tail)
            while reached < upto and i < n:
                stop = min(end[i], upto)
                if hot[i] != UNKNOWN:
                    slot = np.uint64(int(hot[i]) * _SPREAD >> 16 & (_SLOTS - 1))
                    if memo_of[slot] != hot[i]:
                        memo_of[slot] = hot[i]
                        memo_first[slot] = arrhenius_limbs(hot[i], a, memo[slot])
                    first = int(memo_first[slot])
                    if first < top:
                        top = first
                        scale = math.ldexp(1.0, -LIMB_BITS * top)
                    bottom = max(bottom, min(first + _TOUCHED, LIMBS) - 1)
                    duration = sign * (stop - reached)
                    known += duration
                    for k in range(_TOUCHED):
                        sums[np.uint64(first + k)] += memo[slot, k] * duration
                reached = stop
                i += stop == end[i]
            if sign == 1:
                head_at, head = reached, i
            else:
                tail_at, tail = reached, i
        if is_last or known < known_at_least:
            continue
        window[ELIGIBLE] += 1
        # most windows are far from the highest so far: three limbs tell, rounded up by more than the rest can be
        value = (sums[np.uint64(top)] * _LIMB_SQUARED + sums[np.uint64(top + 1)] * _LIMB_1) + sums[np.uint64(top + 2)]
        if (value * (1.0 + 1e-12) + 2.0 * known) * scale < threshold * known:
            continue
        value = 0.0
        for k in range(bottom, top - 1, -1):  # the bits of `mean_weight`
            value = (value + sums[k]) / _LIMB
        weight = value * scale / known
        peak = max(peak, weight)
        if exceeded_at == NEVER and weight > suspicious:
            excess[:] = sums[:LIMBS]
            for k in range(min(_TOUCHED, LIMBS - allowed_first)):
                excess[allowed_first + k] -= allowed[k] * known
            if limb_sign(excess) > 0:
                exceeded_at = t
        threshold = (peak if exceeded_at != NEVER else min(peak, suspicious)) * _LIMB_CUBED
    window[:LIMBS] = sums[:LIMBS]
    window[HEAD], window[TAIL], window[EXCEEDED_AT] = head_at, tail_at, exceeded_at
    window[KNOWN] = known
    return peak
