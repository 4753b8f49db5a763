"""What a kit has been exposed to so far, counted in such a form that counting can go on.

A `Tally` holds everything that later data may still add to: totals, one row for every limit and for every stage's share
of one, Arrhenius sums, trailing windows, excursions. `advance` counts a further piece of the kit's record. Counting a
life in pieces gives the bits of counting it at once, so a kit's past need not be kept in memory to judge its present.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coldchain import arrhenius, exposure, history, kernels
from coldchain.dwell import dwell
from coldchain.exposure import GAS_CONSTANT_J_MOL_K, UNLIMITED_MS, Rows
from coldchain.history import History, Record
from coldchain.model import Conflict, Kind, Stage
from coldchain.profiles import Limit, StabilityProfile
from coldchain.readings import Milliseconds
from coldchain.stages import Stays

Table = NDArray[np.int64]


class Window(NamedTuple):
    """One limit on MKT over a trailing window, in the terms of `arrhenius.slide`."""

    length_ms: int
    known_at_least_ms: int
    a_k: float
    max_mc: int


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """What is counted for a profile and opening balances: int64[n, 6] rows of limits on time, runs and unknown time,
    rows of stages' shares and the stage of each, windows of limits on MKT, `a = activation energy / R` [K] of the
    lifelong MKT, bounds of the label."""

    limits: Table
    shares: Table
    stages: tuple[Stage, ...]
    windows: tuple[Window, ...]
    rates_k: tuple[float, ...]
    label_low_mc: int | None
    label_high_mc: int | None

    @property
    def longest_window_ms(self) -> int:
        """How far back from the instant of a tally the record must still be known to go on."""
        return max((window.length_ms for window in self.windows), default=0)


def measures(profile: StabilityProfile, opening: Mapping[str, int]) -> Measures:
    """What has to be counted to judge kits by this profile. `opening`: balances already spent, by limit id."""
    rows = [_row(limit, opening.get(limit.id, 0)) for limit in profile.limits if limit.kind is not Kind.MKT]
    shares = [(limit, share) for limit in profile.limits for share in limit.stages]
    share_rows = [
        exposure.limit_row(limit.low_mc, limit.high_mc, share.allowed_ms, UNLIMITED_MS, UNLIMITED_MS)
        for limit, share in shares
    ]
    return Measures(
        np.array(rows, np.int64).reshape(-1, 6),
        np.array(share_rows, np.int64).reshape(-1, 6),
        tuple(share.stage for _, share in shares),
        tuple(
            Window(
                limit.window_ms,
                exposure.known_at_least_ms(limit.window_ms, limit.min_coverage),
                limit.activation_energy_j_mol / GAS_CONSTANT_J_MOL_K,
                limit.allowed,
            )
            for limit in profile.limits
            if limit.kind is Kind.MKT
        ),
        () if profile.is_frozen else tuple(e / GAS_CONSTANT_J_MOL_K for e in profile.activation_energies_j_mol),
        profile.label_low_mc,
        profile.label_high_mc,
    )


def _row(limit: Limit, opening: int) -> tuple[int, ...]:
    match limit.kind:
        case Kind.UNKNOWN_ACCUMULATED | Kind.UNKNOWN_SINGLE:
            return exposure.unknown_row(limit.allowed - opening, limit.allowed)
        case Kind.EVENTS:
            return exposure.limit_row(limit.low_mc, limit.high_mc, UNLIMITED_MS, UNLIMITED_MS, limit.allowed - opening)
        case _:
            return exposure.limit_row(limit.low_mc, limit.high_mc, limit.allowed - opening, limit.allowed)


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Everything counted over a kit's record `(start_ms, as_of_ms]`; never changed, `advance` makes a new one.

    `totals`: fields of `kernels.add_totals`. `limits`, `shares`: a row for every row of the measures; that of a share
    covers the time in its stage alone. `sums`: Arrhenius sums for every rate. `windows`, `peak_weights`: for every
    trailing window. `above`, `below`: runs outside the label.
    """

    start_ms: int
    as_of_ms: int
    totals: Milliseconds
    limits: Table
    shares: Table
    sums: Table
    windows: Table
    peak_weights: NDArray[np.float64]
    above: Rows
    below: Rows
    conflicts: tuple[Conflict, ...]


def begin(counted: Measures, start_ms: int) -> Tally:
    """The tally of a kit whose custody begins at `start_ms`."""
    return Tally(
        start_ms,
        start_ms,
        kernels.no_totals(),
        kernels.no_tallies(len(counted.limits)),
        kernels.no_tallies(len(counted.shares)),
        np.zeros((len(counted.rates_k), arrhenius.LIMBS), np.int64),
        np.array([arrhenius.no_window(start_ms) for _ in counted.windows], np.int64).reshape(
            -1, arrhenius.WINDOW_FIELDS
        ),
        np.zeros(len(counted.windows)),
        kernels.no_runs(),
        kernels.no_runs(),
        (),
    )


def advance(tally: Tally, counted: Measures, record: Record, stays: Stays) -> Tally:
    """The tally up to the end of a record, which reaches back to the tally's instant less the longest window.

    `stays`: when the kit is in which stage. A record that ends at or before the tally's instant adds nothing.
    """
    if record.history is None:
        return tally
    added = history.clip(record.history, tally.as_of_ms, record.history.as_of_ms)
    if added is None:
        return tally
    columns = exposure.columns(added)
    totals, limits, sums = tally.totals.copy(), tally.limits.copy(), tally.sums.copy()
    windows, peak_weights = tally.windows.copy(), tally.peak_weights.copy()
    kernels.add_totals(totals, *columns)
    kernels.add_to_tallies(limits, counted.limits, *columns)
    shares = _with_stages(tally.shares, counted, added, stays) if counted.stages else tally.shares
    if counted.rates_k:
        lasted = dwell(*columns[:3])
        for total, a_k in zip(sums, counted.rates_k, strict=True):
            arrhenius.add_arrhenius(total, *lasted, a_k)
    if counted.windows:
        first = np.searchsorted(record.reading_at_ms, tally.as_of_ms, side="right")
        instants = record.reading_at_ms[first:]
        for number, window in enumerate(counted.windows):
            peak_weights[number] = arrhenius.slide(
                windows[number],
                peak_weights[number],
                tally.start_ms,
                record.history.end_ms,
                record.history.hot_mc,
                instants,
                *window,
            )
    return Tally(
        tally.start_ms,
        added.as_of_ms,
        totals,
        limits,
        shares,
        sums,
        windows,
        peak_weights,
        exposure.add_runs(tally.above, added, None, counted.label_high_mc),
        exposure.add_runs(tally.below, added, counted.label_low_mc, None),
        tally.conflicts + tuple(c for c in record.conflicts if c.at_ms > tally.as_of_ms),
    )


def _with_stages(before: Table, counted: Measures, added: History, stays: Stays) -> Table:
    """The tallies of the shares, each continued over what its stage has of a history."""
    shares = before.copy()
    for number, stage in enumerate(counted.stages):
        own = slice(number, number + 1)
        for from_ms, to_ms in stays.get(stage, ()):
            there = history.clip(added, from_ms, to_ms)
            if there is not None:
                kernels.add_to_tallies(shares[own], counted.shares[own], *exposure.columns(there))
    return shares
