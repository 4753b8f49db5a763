"""Dwell: how long each temperature lasted.

A logger resolves a tenth or a hundredth of a degree, so a year of readings holds some hundred temperatures, and
whatever is a sum over time (a mean kinetic temperature for any activation energy, a mean) is a short sum over its
dwell. Histories are given as in `kernels`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from coldchain.kernels import UNKNOWN

# The temperatures last seen are gathered, each in the slot that a multiplicative hash gives it.
_SLOTS = 2048
_SPREAD = 2_654_435_761
_NOT_WORTH_GATHERING = 128

_Times = NDArray[np.int64]
_Temperatures = NDArray[np.int32]


@njit("Tuple((int32[::1], int64[::1]))(int64, int64[::1], int32[::1])", cache=True, nogil=True)
def dwell(start: int, end: _Times, hot: _Temperatures) -> tuple[_Temperatures, _Times]:
    """Temperatures of a history [milli-degC] and how long each lasted [ms], in no order; unknown time is left out.

    A temperature may come more than once: whoever sums does not care, and the pairs are few nevertheless.
    """
    n = len(end)
    temperature = np.empty(n, np.int32)
    duration = np.empty(n, np.int64)
    m = 0
    previous = start
    if n <= _NOT_WORTH_GATHERING:
        for i in range(n):
            if hot[i] != UNKNOWN:
                temperature[m] = hot[i]
                duration[m] = end[i] - previous
                m += 1
            previous = end[i]
        return temperature[:m].copy(), duration[:m].copy()
    held = np.full(_SLOTS, UNKNOWN, np.int32)
    lasted = np.zeros(_SLOTS, np.int64)
    for i in range(n):
        slot = np.uint64(int(hot[i]) * _SPREAD >> 16 & (_SLOTS - 1))  # unsigned: never counted from the end
        if held[slot] != hot[i]:
            if held[slot] != UNKNOWN:
                temperature[m] = held[slot]
                duration[m] = lasted[slot]
                m += 1
            held[slot] = hot[i]
            lasted[slot] = 0
        lasted[slot] += end[i] - previous
        previous = end[i]
    for place in range(_SLOTS):
        if held[place] != UNKNOWN:
            temperature[m] = held[place]
            duration[m] = lasted[place]
            m += 1
    return temperature[:m].copy(), duration[:m].copy()
