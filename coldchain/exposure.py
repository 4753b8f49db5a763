"""Metrics of a temperature history (SEMANTICS section 3): time out of range, runs, unknown time, MKT.

Mean kinetic temperature after Haynes, J. Pharm. Sci. 60 (1971) 927: `T_K = a / -ln(sum(w exp(-a/T)) / sum(w))` with
`a = activation energy / R`. A history can be judged at once (`totals`, `out_of_range`, `mkt` ...) or piece by piece, by
counting on in the kernels and reading the same figures off what was counted (`totals_of`, `out_of_range_of` ...).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coldchain import arrhenius, kernels
from coldchain.dwell import dwell
from coldchain.history import History
from coldchain.kernels import NEVER
from coldchain.model import Excursion
from coldchain.readings import MilliCelsius, Milliseconds

GAS_CONSTANT_J_MOL_K = 8.314462618
"""CODATA 2018, exact since the revision of the SI to ten digits."""

ZERO_CELSIUS_K = 273.15

NO_LOW_MC, NO_HIGH_MC = -(2**40), 2**40
"""Bounds that no temperature passes: for the side that a limit does not have."""

UNLIMITED_MS = 2**62

Rows = NDArray[np.int64]
"""Runs as `kernels.add_runs` gives them."""


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
    counted = kernels.no_totals()
    kernels.add_totals(counted, *columns(history))
    return totals_of(counted)


def totals_of(counted: Milliseconds) -> Totals:
    """What `kernels.add_totals` has counted."""
    known, unknown, longest, _, weighted, hottest, coldest = counted.tolist()
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
    tally = kernels.no_tallies(1)[0]
    limit = limit_row(low_mc, high_mc, allowed_total_ms, allowed_single_ms, allowed_events)
    kernels.add_out_of_range(tally, np.array(limit, np.int64), *columns(history))
    return out_of_range_of(tally.tolist())


def limit_row(
    low_mc: int | None,
    high_mc: int | None,
    allowed_total_ms: int = UNLIMITED_MS,
    allowed_single_ms: int = UNLIMITED_MS,
    allowed_events: int = UNLIMITED_MS,
) -> tuple[int, ...]:
    """What a limit on time out of range measures, in the columns of the kernels; None: no bound on that side."""
    low = NO_LOW_MC if low_mc is None else low_mc
    high = NO_HIGH_MC if high_mc is None else high_mc
    return 0, low, high, allowed_total_ms, allowed_single_ms, allowed_events


def unknown_row(allowed_total_ms: int, allowed_single_ms: int) -> tuple[int, ...]:
    """What a limit on unknown time measures, in the columns of the kernels."""
    return 1, NO_LOW_MC, NO_HIGH_MC, allowed_total_ms, allowed_single_ms, UNLIMITED_MS


def out_of_range_of(tally: Sequence[int]) -> OutOfRange:
    """What `kernels.add_out_of_range` has counted, the unknown time at the end next to a run included."""
    total, worst, longest, worst_longest, runs, total_at, single_at, events_at, run, worst_run, gap, sides, on = tally
    if on:
        worst += gap
        worst_longest = max(worst_longest, worst_run + gap)
    instants = _instant(total_at), _instant(single_at), _instant(events_at)
    return OutOfRange(total, worst, longest, worst_longest, runs, *instants, run, 0 if gap else sides)


def unknown_breaches(history: History, allowed_total_ms: int, allowed_single_ms: int) -> tuple[int | None, int | None]:
    """When unknown time in total, and in one stretch, passes what is allowed; None: never."""
    tally = kernels.no_tallies(1)[0]
    limit = np.array(unknown_row(allowed_total_ms, allowed_single_ms), np.int64)
    kernels.add_unknown_time(tally, limit, history.start_ms, history.end_ms, history.hot_mc)
    return _instant(tally[kernels.TOTAL_AT]), _instant(tally[kernels.SINGLE_AT])


def excursions(history: History, label_low_mc: int | None, label_high_mc: int | None) -> tuple[Excursion, ...]:
    """Every run above the label's high or below its low bound, by start."""
    above = add_runs(kernels.no_runs(), history, None, label_high_mc)
    below = add_runs(kernels.no_runs(), history, label_low_mc, None)
    return excursions_of(above, below, label_low_mc, label_high_mc)


def add_runs(before: Rows, history: History, low_mc: int | None, high_mc: int | None) -> Rows:
    """The runs on one side of a label, `before` and over this history; none on a side without a bound."""
    if low_mc is None and high_mc is None:
        return before
    low = NO_LOW_MC if low_mc is None else low_mc
    return kernels.add_runs(before, *columns(history), low, NO_HIGH_MC if high_mc is None else high_mc)


def excursions_of(
    above: Rows, below: Rows, label_low_mc: int | None, label_high_mc: int | None
) -> tuple[Excursion, ...]:
    """The runs of both sides as excursions, by start."""
    found = [
        Excursion(side, bound or 0, start, end if closed else None, known, extreme)
        for side, bound, rows in (("above", label_high_mc, above), ("below", label_low_mc, below))
        for start, end, known, extreme, closed in rows.tolist()
    ]
    return tuple(sorted(found, key=lambda e: (e.start_ms, e.side)))


def mkt(history: History, activation_energy_j_mol: float) -> float | None:
    """MKT of the known time of a history [degC], None if nothing is known."""
    a = activation_energy_j_mol / GAS_CONSTANT_J_MOL_K
    sums = np.zeros(arrhenius.LIMBS, np.int64)
    temperature_mc, duration_ms = dwell(history.start_ms, history.end_ms, history.hot_mc)
    arrhenius.add_arrhenius(sums, temperature_mc, duration_ms, a)
    return mkt_of(sums, int(duration_ms.sum()), a)


def mkt_of(sums: Milliseconds, known_ms: int, a_k: float) -> float | None:
    """MKT [degC] of Arrhenius sums over `known_ms`, None if nothing is known. `a_k`: activation energy / R [K]."""
    return celsius(arrhenius.mean_weight(sums, known_ms), a_k) if known_ms else None


def celsius(mean_weight: float, a_k: float) -> float | None:
    """MKT [degC] of a mean Arrhenius weight; None where every temperature was too near to absolute zero for a rate."""
    if mean_weight == 0.0:
        return None
    return a_k / (a_k / arrhenius.REFERENCE_K - math.log(mean_weight)) - ZERO_CELSIUS_K


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
    window = arrhenius.no_window(history.start_ms)
    a = activation_energy_j_mol / GAS_CONSTANT_J_MOL_K
    peak = arrhenius.slide(
        window,
        0.0,
        history.start_ms,
        history.end_ms,
        history.hot_mc,
        reading_at_ms,
        window_ms,
        known_at_least_ms(window_ms, min_coverage),
        a,
        max_mc,
    )
    return trailing_mkt_of(window, peak, a)


def known_at_least_ms(window_ms: int, min_coverage: Decimal) -> int:
    """How much of a window must be known: `min_coverage` of its length, rounded up to the ms."""
    return math.ceil(Fraction(min_coverage) * window_ms)


def trailing_mkt_of(window: Milliseconds, peak_weight: float, a_k: float) -> TrailingMkt:
    """What `arrhenius.slide` has found."""
    peak_c = celsius(peak_weight, a_k) if window[arrhenius.ELIGIBLE] else None
    return TrailingMkt(peak_c, _instant(window[arrhenius.EXCEEDED_AT]))


def columns(history: History) -> tuple[int, Milliseconds, MilliCelsius, MilliCelsius]:
    """A history as the kernels take it."""
    return history.start_ms, history.end_ms, history.hot_mc, history.cold_mc


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


def _instant(at_ms: int) -> int | None:
    return None if at_ms == NEVER else int(at_ms)
