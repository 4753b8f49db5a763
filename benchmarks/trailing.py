"""MKT over a trailing day at every reading: what exactness costs, and what an approximation by hours gets wrong.

The reference adds weights into a ring of hourly sums, as stream processors do, so its window is one of whole hours and
moves by hours; its loop is compiled too.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.harness import Figure, Row, race
from benchmarks.replay_core import A_K, GAP_AFTER_MS, INTERVAL_MS, Columns, refrigerators
from coldchain import arrhenius, exposure
from coldchain.history import History, Series, channel_record
from coldchain.model import Logger
from coldchain.readings import ChannelKey

LOGGERS, READINGS = 200, 10_000
CHECKED = 4
WINDOW_MS, BUCKET_MS, COVERAGE = 86_400_000, 3_600_000, 0.9
KNOWN_AT_LEAST_MS = math.ceil(WINDOW_MS * COVERAGE)
NO_LIMIT_MC = 1_000_000


def histories(columns: Columns) -> list[History]:
    """What each logger says of its fridge."""
    logger = Logger("lg", INTERVAL_MS, GAP_AFTER_MS)
    found = []
    for at_ms, temperature_mc in columns.by_logger():
        series = Series(at_ms.copy(), temperature_mc.copy())
        history = channel_record(ChannelKey("lg", "1"), series, logger).history
        assert history is not None
        found.append(history)
    return found


def exact(histories: list[History]) -> list[float]:
    """The highest mean weight of each logger's windows, as the product computes it."""
    return [
        arrhenius.slide(
            arrhenius.no_window(history.start_ms),
            0.0,
            history.start_ms,
            history.end_ms,
            history.hot_mc,
            history.end_ms,
            WINDOW_MS,
            KNOWN_AT_LEAST_MS,
            A_K,
            NO_LIMIT_MC,
        )
        for history in histories
    ]


def by_hours(histories: list[History]) -> list[float]:
    """The same of windows made of hourly sums."""
    return [hourly_peak(history.start_ms, history.end_ms, history.hot_mc, A_K) for history in histories]


@njit("float64(int64, int64[::1], int32[::1], float64)", nogil=True)
def hourly_peak(start: int, end: NDArray[np.int64], hot: NDArray[np.int32], a: float) -> float:
    """The highest mean weight over the last 24 hourly sums, asked for at every reading."""
    buckets = WINDOW_MS // BUCKET_MS
    weights, known = np.zeros(buckets), np.zeros(buckets)
    weight_sum = known_sum = peak = 0.0
    hour, previous = start // BUCKET_MS, start
    for i in range(len(end)):
        duration = end[i] - previous
        previous = end[i]
        while hour < end[i] // BUCKET_MS:
            hour += 1
            oldest = hour % buckets
            weight_sum -= weights[oldest]
            known_sum -= known[oldest]
            weights[oldest] = known[oldest] = 0.0
        if hot[i] > -(2**31):
            weight = duration * math.exp(a / arrhenius.REFERENCE_K - a / (hot[i] / 1000.0 + 273.15))
            weights[hour % buckets] += weight
            known[hour % buckets] += duration
            weight_sum += weight
            known_sum += duration
            if known_sum >= KNOWN_AT_LEAST_MS:
                peak = max(peak, weight_sum / known_sum)
    return peak


def summed(history: History) -> float:
    """The highest mean weight, each window by itself with `math.fsum`: obvious and slow."""
    starts = np.concatenate([[history.start_ms], history.end_ms[:-1]])
    peak = 0.0
    kelvin = history.hot_mc / 1000 + 273.15
    rates = np.array([math.exp(A_K / arrhenius.REFERENCE_K - A_K / k) if k > 0 else 0.0 for k in kelvin.tolist()])
    for t in history.end_ms[history.end_ms - WINDOW_MS >= history.start_ms].tolist():
        inside = slice(np.searchsorted(history.end_ms, t - WINDOW_MS, "right"), np.searchsorted(starts, t, "left"))
        lasted = np.minimum(history.end_ms[inside], t) - np.maximum(starts[inside], t - WINDOW_MS)
        lasted = np.where(rates[inside] > 0, lasted, 0)
        known = int(lasted.sum())
        if known >= KNOWN_AT_LEAST_MS:
            peak = max(peak, math.fsum(lasted * rates[inside]) / known)
    return peak


def measure(share: int = 1) -> list[Row | Figure]:
    """What exactness costs, how exact it is, and how wrong the approximation."""
    columns = refrigerators(max(CHECKED, LOGGERS // share), READINGS)
    known = histories(columns)
    checked = [summed(history) for history in known[:CHECKED]]
    furthest = max(abs(ours / theirs - 1) for ours, theirs in zip(exact(known), checked, strict=False))
    assert furthest < 1e-12
    wrong_c = max(
        abs((exposure.celsius(ours, A_K) or 0.0) - (exposure.celsius(theirs, A_K) or 0.0))
        for ours, theirs in zip(exact(known), by_hours(known), strict=True)
    )
    job = "MKT over a trailing day at every reading"
    rows = race(job, len(columns), partial(exact, known), {"24 hourly sums": partial(by_hours, known)}, goal=0.5)
    return [
        *rows,
        Figure("trailing MKT, mean weight against fsum", furthest * 1e12, "1e-12 of it", 1),
        Figure("... peak by hourly sums, furthest from exact", wrong_c, "degC", None),
    ]
