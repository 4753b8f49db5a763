"""Is the MKT of one day still exact when it is the difference of two sums over five years, also after a hot period?

The right answer is computed from that day alone, with fifty digits. Beside it the same with float64 prefix sums, which
is what one would write first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Figure
from benchmarks.peers.exact import mkt_c
from benchmarks.replay_core import A_K, INTERVAL_MS, refrigerators
from coldchain import arrhenius, exposure
from coldchain.dwell import dwell

DAY, YEAR = 288, 105_120
YEARS = 5
HEAT_MC, DEEP_FROZEN_MC = 40_000, -70_000


class Life(NamedTuple):
    """Five years of readings, one every interval; the last day is asked for."""

    name: str
    temperature_mc: NDArray[np.int32]


def lives() -> list[Life]:
    """A fridge for five years; the same after a year at 40 degC; deep-frozen after a year at 40 degC."""
    fridge = np.tile(refrigerators(1, YEAR, lost=0).temperature_mc, YEARS)
    noise = (10 * np.random.default_rng(3).integers(-50, 51, YEARS * YEAR)).astype(np.int32)
    hot = np.full(YEAR, HEAT_MC, np.int32)
    return [
        Life("a fridge", fridge),
        Life("a fridge after a year at 40 degC", np.concatenate([hot, fridge[YEAR:]])),
        Life("-70 degC after a year at 40 degC", np.concatenate([hot, (DEEP_FROZEN_MC + noise)[YEAR:]])),
    ]


def exact_c(temperature_mc: NDArray[np.int32]) -> float:
    """The MKT of the last day as the difference of two of our sums [degC]."""
    end = INTERVAL_MS * np.arange(1, len(temperature_mc) + 1)
    until = np.zeros((2, arrhenius.LIMBS), np.int64)
    for total, count in zip(until, (len(end) - DAY, len(end)), strict=True):
        arrhenius.add_arrhenius(total, *dwell(0, end[:count], temperature_mc[:count]), A_K)
    found = exposure.mkt_of(until[1] - until[0], DAY * INTERVAL_MS, A_K)
    assert found is not None
    return found


def by_float_sums_c(temperature_mc: NDArray[np.int32]) -> float:
    """The same with a float64 sum that runs on [degC]."""
    until = np.cumsum(INTERVAL_MS * np.exp(A_K / arrhenius.REFERENCE_K - A_K / (temperature_mc / 1000 + 273.15)))
    found = exposure.celsius(float(until[-1] - until[-DAY - 1]) / (DAY * INTERVAL_MS), A_K)
    assert found is not None
    return found


def measure() -> list[Figure]:
    """The furthest each is from the right answer [mK]."""
    found = []
    for life in lives():
        right_c = mkt_c([(INTERVAL_MS, mc) for mc in life.temperature_mc[-DAY:].tolist()])
        errors = [1000 * abs(way(life.temperature_mc) - right_c) for way in (exact_c, by_float_sums_c)]
        found += [
            Figure(f"MKT of a day after {YEARS} years in {life.name}, error", errors[0] * 1e6, "1e-6 mK", 1),
            Figure("... by float64 sums that run on", errors[1], "mK", None),
        ]
    return found
