"""The answer for every kit group of a `guarding.Room`, counted again from all readings in the plainest way.

Where one logger watches a place, all of it: known time, time out of range, MKT over the whole life and over every
window. Where several do, what does not depend on how they go together: the extremes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.guarding import Room
from coldchain.exposure import GAS_CONSTANT_J_MOL_K
from coldchain.model import Assessment, Kind
from coldchain.profile_file import DEFAULT_ACTIVATION_ENERGY_J_MOL
from coldchain.profiles import Limit, StabilityProfile
from coldchain.readings import MilliCelsius, Milliseconds

A_K = DEFAULT_ACTIVATION_ENERGY_J_MOL / GAS_CONSTANT_J_MOL_K
MKT_TOLERANCE_C = 1e-9


def compare(room: Room) -> None:
    """Raises AssertionError if an assessment of the room is not what a recount gives."""
    by_logger: dict[str, list[tuple[Milliseconds, MilliCelsius]]] = {logger: [] for logger in room.loggers}
    for batch in room.all_readings:
        by_logger[batch.logger].append((batch.at_ms, batch.temperature_mc))
    registry = room.state.registry
    for group, found in room.judged().items():
        (segment,) = registry.groups[group].fate.route
        loggers = [entry.logger for entry in registry.monitoring_of[segment.place]]
        own = [batch for logger in loggers for batch in by_logger[logger]]
        at_ms, mc = (np.concatenate(column) for column in zip(*own, strict=True))
        assert found.start_ms == segment.from_ms
        since = at_ms > segment.from_ms
        at_ms, mc = at_ms[since], mc[since]
        assert (found.min_mc, found.max_mc) == (mc.min(), mc.max())
        if len(loggers) == 1:
            _compare_all(found, segment.from_ms, at_ms, mc, room.state.rules[group])


def _compare_all(
    found: Assessment, from_ms: int, at_ms: Milliseconds, mc: MilliCelsius, rules: StabilityProfile
) -> None:
    ends_ms = np.concatenate([[from_ms], at_ms])
    covered_ms = np.diff(ends_ms)
    assert found.as_of_ms == at_ms[-1]
    assert (found.known_ms, found.unknown_ms) == (covered_ms.sum(), 0)
    weights = np.concatenate([[0.0], np.cumsum(covered_ms * np.exp(-A_K / (mc / 1000 + 273.15)))])
    assert _agree(found.mkt_c, _mkt_c(weights[-1] / covered_ms.sum()))
    for finding, limit in zip(found.limits, rules.limits, strict=True):
        if limit.kind is Kind.MKT:
            peak_c = _peak_c(ends_ms, weights, limit)
            assert _agree(finding.peak_c, peak_c)
        elif limit.kind is Kind.ACCUMULATED:
            is_out = np.zeros(len(mc), np.bool_)
            if limit.high_mc is not None:
                is_out |= mc > limit.high_mc
            if limit.low_mc is not None:
                is_out |= mc < limit.low_mc
            assert finding.used == covered_ms[is_out].sum()


def _peak_c(ends_ms: Milliseconds, weights: NDArray[np.float64], limit: Limit) -> float | None:
    """The highest MKT of a window that begins in custody and ends with a reading; None without one.

    `weights`: up to each of the ends.
    """
    ends = ends_ms[ends_ms >= ends_ms[0] + limit.window_ms]
    if not len(ends):
        return None
    begins = ends - limit.window_ms
    inside = np.interp(ends, ends_ms, weights) - np.interp(begins, ends_ms, weights)
    return _mkt_c(float(inside.max()) / limit.window_ms)


def _mkt_c(mean_weight: float) -> float:
    return float(A_K / -np.log(mean_weight) - 273.15)


def _agree(one_c: float | None, other_c: float | None) -> bool:
    return one_c is other_c if one_c is None or other_c is None else abs(one_c - other_c) < MKT_TOLERANCE_C
