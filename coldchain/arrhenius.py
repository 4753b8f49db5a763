"""Compiled Arrhenius sums: what a mean kinetic temperature is made of.

Weights are fixed-point: `exp(a/T_hottest - a/T)`, at most 1, is cut into `LIMBS` limbs of `LIMB_BITS` bits. Sums of
weight x duration are then integers: exact, independent of order and grouping, and exactly subtractable for a trailing
window. A limb sum cannot overflow int64 within 2**42 ms, 139 years. Histories are given as in `kernels`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from coldchain.kernels import NEVER, UNKNOWN

LIMBS = 6
LIMB_BITS = 20
_LIMB = 1 << LIMB_BITS

# Loggers resolve a tenth or a hundredth of a degree, so a history has few distinct temperatures: the limbs of those
# last seen are remembered, each in the slot that a multiplicative hash gives it.
_SLOTS = 1024
_SPREAD = 2_654_435_761
_ZERO_CELSIUS_K = 273.15

_Times = NDArray[np.int64]
_Temperatures = NDArray[np.int32]
_Limbs = NDArray[np.int64]


@njit("void(int64, float64, float64, int64[::1])", cache=True, nogil=True)
def arrhenius_limbs(temperature: int, a: float, hottest_k: float, limbs: _Times) -> None:
    """Write the limbs of `exp(a/hottest_k - a/T)`, most significant first; exact cuts of the float64 value."""
    kelvin = temperature / 1000.0 + _ZERO_CELSIUS_K
    rest = math.exp(a / hottest_k - a / kelvin) if kelvin > 0.0 else 0.0
    for k in range(LIMBS):
        rest *= _LIMB
        whole = math.floor(rest)
        limbs[k] = int(whole)
        rest -= whole


@njit("float64(int64[::1], int64)", cache=True, nogil=True)
def mean_weight(sums: _Times, duration: int) -> float:
    """The mean Arrhenius weight of limb sums over a duration, as float64."""
    value = 0.0
    for k in range(LIMBS - 1, -1, -1):
        value = (value + sums[k]) / _LIMB
    return value / duration


@njit("int64(int64[::1])", cache=True, nogil=True)
def limb_sign(sums: _Times) -> int:
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


@njit("int64(int64, int64[::1], int32[::1], float64, float64, int64[::1])", cache=True, nogil=True)
def arrhenius_sum(start: int, end: _Times, hot: _Temperatures, a: float, hottest_k: float, sums: _Times) -> int:
    """Add weight x ms of every known segment to `sums` (limbs); returns the known ms."""
    memo_of = np.full(_SLOTS, UNKNOWN, np.int32)
    memo = np.empty((_SLOTS, LIMBS), np.int64)
    known = 0
    previous = start
    for i in range(len(end)):
        if hot[i] != UNKNOWN:
            duration = end[i] - previous
            known += duration
            slot = (int(hot[i]) * _SPREAD >> 16) & (_SLOTS - 1)
            if memo_of[slot] != hot[i]:
                memo_of[slot] = hot[i]
                arrhenius_limbs(hot[i], a, hottest_k, memo[slot])
            for k in range(LIMBS):
                sums[k] += memo[slot, k] * duration
        previous = end[i]
    return known


@njit(
    "Tuple((float64, int64, int64))(int64, int64[::1], int32[::1], int64[::1], int64, int64, float64, float64, int64)",
    cache=True,
    nogil=True,
)
def trailing_weight(
    start: int,
    end: _Times,
    hot: _Temperatures,
    at: _Times,
    window: int,
    known_at_least: int,
    a: float,
    hottest_k: float,
    limit: int,
) -> tuple[float, int, int]:
    """The highest mean Arrhenius weight over `(t - window, t]` for ascending t in `at`, and the first t past `limit`.

    Eligible are windows that begin at or after `start` and are known for at least `known_at_least` (more than 0).
    Returns (peak mean weight, number of eligible windows, first t whose MKT exceeds `limit` or NEVER). The
    comparison with the limit is exact in the limbs: a window at exactly `limit` does not exceed it. O(1) amortised.
    """
    memo_of = np.full(_SLOTS, UNKNOWN, np.int32)
    memo = np.empty((_SLOTS, LIMBS), np.int64)
    allowed = np.empty(LIMBS, np.int64)
    arrhenius_limbs(limit, a, hottest_k, allowed)
    suspicious = mean_weight(allowed, 1) * (1.0 - 1e-9)  # float64 errs by far less: only from here on limbs decide
    excess = np.empty(LIMBS, np.int64)
    sums = np.zeros(LIMBS, np.int64)
    known = 0
    segment = np.zeros(2, np.int64)  # where head and tail of the window stand: the head adds, the tail takes away
    reached = np.full(2, start, np.int64)
    peak = 0.0
    eligible = 0
    exceeded_at = NEVER
    for t in at:
        if t - window < start:
            continue
        for side in range(2):
            upto = t - side * window
            while reached[side] < upto and segment[side] < len(end):
                i = segment[side]
                stop = min(end[i], upto)
                if hot[i] != UNKNOWN:
                    slot = (int(hot[i]) * _SPREAD >> 16) & (_SLOTS - 1)
                    if memo_of[slot] != hot[i]:
                        memo_of[slot] = hot[i]
                        arrhenius_limbs(hot[i], a, hottest_k, memo[slot])
                    duration = (stop - reached[side]) * (1 - 2 * side)
                    known += duration
                    for k in range(LIMBS):
                        sums[k] += memo[slot, k] * duration
                reached[side] = stop
                if stop == end[i]:
                    segment[side] += 1
        if known < known_at_least:
            continue
        eligible += 1
        weight = mean_weight(sums, known)
        peak = max(peak, weight)
        if exceeded_at == NEVER and weight > suspicious:
            for k in range(LIMBS):
                excess[k] = sums[k] - allowed[k] * known
            if limb_sign(excess) > 0:
                exceeded_at = t
    return peak, eligible, exceeded_at
