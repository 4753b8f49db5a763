"""Metrics of a temperature history (SEMANTICS section 3): time out of range, runs, unknown time, MKT.

Mean kinetic temperature after Haynes, J. Pharm. Sci. 60 (1971) 927: `T_K = a / -ln(sum(w exp(-a/T)) / sum(w))` with
`a = activation energy / R`. Weights are taken relative to the hottest temperature, so nothing under- or overflows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from coldchain import arrhenius, kernels
from coldchain.history import History
from coldchain.kernels import NEVER
from coldchain.model import Excursion
from coldchain.readings import ABSOLUTE_ZERO_MC, Milliseconds

GAS_CONSTANT_J_MOL_K = 8.314462618
"""CODATA 2018, exact since the revision of the SI to ten digits."""

ZERO_CELSIUS_K = 273.15

NO_LOW_MC, NO_HIGH_MC = -(2**40), 2**40
"""Bounds that no temperature passes: for the side that a limit does not have."""

UNLIMITED_MS = 2**62


@dataclass(frozen=True, slots=True)
class Totals:
    """Known and unknown time [ms], extremes [milli-degC] and time-weighted mean of hot [degC]; None: nothing known."""

    known_ms: int
    unknown_ms: int
    longest_unknown_ms: int
    min_mc: int | None
    max_mc: int | None
    mean_c: float | None


@dataclass(frozen=True, slots=True)
class OutOfRange:
    """Time and runs out of range, worst cases, and the instants at which each passes what is allowed (None: never).

    `open_run_ms`: length of the run still open at the end of the history, 0 if none. `sides_now`: on
    how many sides the last segment is out of range, 0 if it is in range or unknown.
    """

    total_ms: int
    worst_total_ms: int
    longest_run_ms: int
    worst_longest_run_ms: int
    runs: int
    total_breach_ms: int | None
    single_breach_ms: int | None
    events_breach_ms: int | None
    open_run_ms: int
    sides_now: int


@dataclass(frozen=True, slots=True)
class TrailingMkt:
    """The highest MKT over a trailing window and the first reading at which it exceeds the limit.

    `peak_c` is None if no window was eligible: indeterminate, never passed.
    """

    peak_c: float | None
    breached_at_ms: int | None


def totals(history: History) -> Totals:
    """Known and unknown time, minimum of cold, maximum and mean of hot."""
    known, unknown, longest, weighted, hottest, coldest = (
        int(x) for x in kernels.totals(history.start_ms, history.end_ms, history.hot_mc, history.cold_mc)
    )
    if not known:
        return Totals(0, unknown, longest, None, None, None)
    return Totals(known, unknown, longest, coldest, hottest, weighted / known / 1000)


def out_of_range(
    history: History,
    low_mc: int | None,
    high_mc: int | None,
    *,
    allowed_total_ms: int = UNLIMITED_MS,
    allowed_single_ms: int = UNLIMITED_MS,
    allowed_events: int = UNLIMITED_MS,
) -> OutOfRange:
    """Time strictly below `low_mc` or above `high_mc`, its runs, and when they pass what is allowed."""
    found = kernels.out_of_range(
        history.start_ms,
        history.end_ms,
        history.hot_mc,
        history.cold_mc,
        NO_LOW_MC if low_mc is None else low_mc,
        NO_HIGH_MC if high_mc is None else high_mc,
        allowed_total_ms,
        allowed_single_ms,
        allowed_events,
    )
    total, worst, longest, worst_longest, runs, total_at, single_at, events_at, open_run, sides = found.tolist()
    instants = _instant(total_at), _instant(single_at), _instant(events_at)
    return OutOfRange(total, worst, longest, worst_longest, runs, *instants, open_run, sides)


def unknown_breaches(history: History, allowed_total_ms: int, allowed_single_ms: int) -> tuple[int | None, int | None]:
    """When unknown time in total, and in one stretch, passes what is allowed; None: never."""
    total_at, single_at = kernels.unknown_breach(
        history.start_ms, history.end_ms, history.hot_mc, allowed_total_ms, allowed_single_ms
    )
    return _instant(total_at), _instant(single_at)


def excursions(history: History, label_low_mc: int | None, label_high_mc: int | None) -> tuple[Excursion, ...]:
    """Every run above the label's high and below its low bound, by start."""
    sides = []
    if label_high_mc is not None:
        sides.append(("above", label_high_mc, NO_LOW_MC, label_high_mc))
    if label_low_mc is not None:
        sides.append(("below", label_low_mc, label_low_mc, NO_HIGH_MC))
    found = []
    for side, bound, low, high in sides:
        runs = kernels.excursion_runs(history.start_ms, history.end_ms, history.hot_mc, history.cold_mc, low, high)
        for start, end, known, extreme, closed in runs.tolist():
            found.append(Excursion(side, bound, start, end if closed else None, known, extreme))
    return tuple(sorted(found, key=lambda e: (e.start_ms, e.side)))


def mkt(history: History, activation_energy_j_mol: float) -> float | None:
    """MKT of the known time of a history [degC], None if nothing is known."""
    hottest_mc = _hottest_mc(history)
    if hottest_mc is None:
        return None
    a = activation_energy_j_mol / GAS_CONSTANT_J_MOL_K
    hottest_k = _kelvin(hottest_mc)
    sums = np.zeros(arrhenius.LIMBS, np.int64)
    known_ms = arrhenius.arrhenius_sum(history.start_ms, history.end_ms, history.hot_mc, a, hottest_k, sums)
    return _celsius(arrhenius.mean_weight(sums, known_ms), a, hottest_k)


def trailing_mkt(
    history: History,
    reading_at_ms: Milliseconds,
    *,
    window_ms: int,
    max_mc: int,
    min_coverage: Decimal,
    activation_energy_j_mol: float,
) -> TrailingMkt:
    """MKT over `(t - window, t]` at every reading: its peak, and the first t at which it exceeds `max_mc`.

    A window is eligible if it does not begin before the history and is known for at least `min_coverage` of its length.
    """
    hottest_mc = _hottest_mc(history)
    if hottest_mc is None:
        return TrailingMkt(None, None)
    a = activation_energy_j_mol / GAS_CONSTANT_J_MOL_K
    hottest_k = _kelvin(max(hottest_mc, max_mc))
    known_at_least_ms = math.ceil(Fraction(min_coverage) * window_ms)
    weight, eligible, exceeded_at = arrhenius.trailing_weight(
        history.start_ms,
        history.end_ms,
        history.hot_mc,
        reading_at_ms,
        window_ms,
        known_at_least_ms,
        a,
        hottest_k,
        max_mc,
    )
    return TrailingMkt(_celsius(weight, a, hottest_k) if eligible else None, _instant(exceeded_at))


def mean_kinetic_temperature(
    temperature_c: ArrayLike, duration: ArrayLike | None = None, *, activation_energy_j_mol: float = 83144.62618
) -> float:
    """Mean kinetic temperature of temperatures and how long each lasted.

    Parameters
    ----------
    temperature_c : array-like, shape (n,) [degC]
    duration : array-like, shape (n,), any unit of time; equal weights without it
    activation_energy_j_mol : float [J/mol]; the default gives a = 10 000 K

    Returns
    -------
    float [degC]

    Raises
    ------
    ValueError : empty, non-finite or below-absolute-zero input, durations that are negative or all zero

    Source: Haynes, J. Pharm. Sci. 60 (1971) 927.
    """
    t_c = np.atleast_1d(np.asarray(temperature_c, dtype=np.float64))
    weight = np.ones_like(t_c) if duration is None else np.atleast_1d(np.asarray(duration, dtype=np.float64))
    if t_c.ndim != 1 or t_c.shape != weight.shape or not t_c.size:
        raise ValueError(f"one duration per temperature, at least one: got shapes {t_c.shape} and {weight.shape}")
    if not np.isfinite(t_c).all() or (t_c <= -ZERO_CELSIUS_K).any():
        raise ValueError("temperatures must be finite and above absolute zero")
    if not np.isfinite(weight).all() or (weight < 0).any() or not weight.any():
        raise ValueError("durations must be finite, not negative, and not all zero")
    if not (math.isfinite(activation_energy_j_mol) and activation_energy_j_mol > 0):
        raise ValueError(f"activation energy must be positive, got {activation_energy_j_mol}")
    a = activation_energy_j_mol / GAS_CONSTANT_J_MOL_K
    t_k = t_c[weight > 0] + ZERO_CELSIUS_K
    weight = weight[weight > 0] / weight.max()
    hottest_k = float(t_k.max())
    relative = np.exp(a / hottest_k - a / t_k)
    mean = math.fsum(weight * relative) / math.fsum(weight)
    return a / (a / hottest_k - math.log(mean)) - ZERO_CELSIUS_K


def highest(values: Sequence[float | None]) -> float | None:
    """The highest of the values that could be computed."""
    return max((value for value in values if value is not None), default=None)


def _hottest_mc(history: History) -> int | None:
    """The hottest known value; None where nothing is known, or nothing above absolute zero, where no rate exists."""
    hottest = int(history.hot_mc.max(initial=kernels.UNKNOWN))
    return None if hottest <= ABSOLUTE_ZERO_MC else hottest


def _kelvin(temperature_mc: int) -> float:
    return temperature_mc / 1000 + ZERO_CELSIUS_K


def _celsius(mean_weight: float, a: float, hottest_k: float) -> float | None:
    """MKT of a mean Arrhenius weight relative to `hottest_k`; None where every weight is below 2**-120."""
    return None if mean_weight == 0.0 else a / (a / hottest_k - math.log(mean_weight)) - ZERO_CELSIUS_K


def _instant(at_ms: int) -> int | None:
    return None if at_ms == NEVER else int(at_ms)
