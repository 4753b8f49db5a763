"""The core of a replay: MKT, time above 8 degC and the longest single event of many loggers, from sorted columns.

The references are what a careful person would write with numpy or pandas for all loggers at once, with the same
semantics: preceding-interval rule, gaps unknown, unknown time neither ends an event nor adds to it. `replay_race` adds
polars and DuckDB and lets them run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from coldchain import exposure
from coldchain.history import Series, channel_record
from coldchain.model import Logger
from coldchain.profile_file import DEFAULT_ACTIVATION_ENERGY_J_MOL as ACTIVATION_ENERGY_J_MOL
from coldchain.readings import ChannelKey
from gateways.simulator.places import (
    BUFFERED_PROBE_S,
    FRIDGE,
    KINDS,
    STEP_S,
    STEPS,
    Trouble,
    no_trouble,
    store_days_c,
)
from gateways.simulator.recorder import probes, recorded_days_mc

INTERVAL_MS, GAP_AFTER_MS = 300_000, 600_000
_READINGS_PER_DAY = 86_400_000 // INTERVAL_MS
HIGH_MC = 8_000
A_K = ACTIVATION_ENERGY_J_MOL / exposure.GAS_CONSTANT_J_MOL_K
CHANNEL = ChannelKey("lg", "1")
LOGGER = Logger("lg", INTERVAL_MS, GAP_AFTER_MS)


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings of many loggers, sorted by logger, then instant; logger i owns `first[i]` to `first[i + 1]`."""

    logger: NDArray[np.int64]
    at_ms: NDArray[np.int64]
    temperature_mc: NDArray[np.int32]
    first: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.at_ms)

    def by_logger(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32]]]:
        """Instants and temperatures of each logger."""
        for first, after in pairwise(self.first.tolist()):
            yield self.at_ms[first:after], self.temperature_mc[first:after]


@dataclass(frozen=True, slots=True)
class Answer:
    """Per logger: MKT [degC], time above [ms], longest single event above [ms]."""

    mkt_c: NDArray[np.float64]
    above_ms: NDArray[np.int64]
    longest_ms: NDArray[np.int64]


def refrigerators(loggers: int, readings: int, seed: int = 7, lost: float = 0.02, failing: float = 0.2) -> Columns:
    """Site fridges of the simulator, read to 0.01: doors, defrosts, and on each day a share `failing` that has no power
    for four hours; of the readings a share is `lost`."""
    rng = np.random.default_rng(seed)
    days = -(-readings // _READINGS_PER_DAY)
    inside_c = store_days_c(
        KINDS["fridge"], FRIDGE, loggers, (_failures(loggers, failing, rng) for _ in range(days)), days, rng
    )
    gear = probes(loggers, BUFFERED_PROBE_S, 10, rng)
    recorded = recorded_days_mc(inside_c, np.arange(loggers), gear, STEP_S, INTERVAL_MS, rng)
    temperature_mc = np.concatenate(list(recorded))[:readings].T
    kept = rng.random((loggers, readings)) >= lost
    at = np.broadcast_to(np.arange(1, readings + 1) * INTERVAL_MS, kept.shape)
    logger = np.broadcast_to(np.arange(loggers)[:, None], kept.shape)
    first = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return Columns(logger[kept], 1_760_000_000_000 + at[kept], temperature_mc[kept], first)


def restless(columns: Columns) -> Columns:
    """The same instants with a temperature on the other side of the limit at every second reading: the worst case."""
    temperature_mc = columns.temperature_mc % 1000 + np.where(np.arange(len(columns)) % 2, HIGH_MC, HIGH_MC - 2_000)
    return replace(columns, temperature_mc=temperature_mc.astype(np.int32))


def _failures(places: int, share: float, rng: np.random.Generator) -> Trouble:
    """A day on which a share of the fridges is without power for four hours."""
    trouble = no_trouble(places)
    for place in np.flatnonzero(rng.random(places) < share).tolist():
        begin = int(rng.integers(STEPS))
        trouble.has_power[begin : begin + 4 * 3600 // STEP_S, place] = False
    return trouble


def ours(columns: Columns) -> Answer:
    """The way of the service, logger by logger: channel history, then its metrics."""
    n = len(columns.first) - 1
    answer = Answer(np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64))
    for i, readings in enumerate(columns.by_logger()):
        history = channel_record(CHANNEL, Series(*readings), LOGGER).history
        assert history is not None
        found = exposure.out_of_range(history, None, HIGH_MC)
        answer.mkt_c[i] = exposure.mkt(history, ACTIVATION_ENERGY_J_MOL)
        answer.above_ms[i], answer.longest_ms[i] = found.total_ms, found.longest_run_ms
    return answer


def numpy_script(columns: Columns) -> Answer:
    """All loggers at once with numpy: differences, prefix sums, reductions by logger."""
    starts = columns.first[:-1]
    covered = np.diff(columns.at_ms, prepend=0)
    covered[(covered > GAP_AFTER_MS) | (covered < 0)] = INTERVAL_MS
    covered[starts] = INTERVAL_MS
    above = columns.temperature_mc > HIGH_MC
    above_ms = np.where(above, covered, 0)
    opens = above.copy()
    opens[1:] &= ~above[:-1]
    opens[starts] = above[starts]
    run_starts = np.flatnonzero(opens)
    longest = np.zeros(len(starts), np.int64)
    if len(run_starts):
        # the zeros between two runs do not matter: a run's sum may reach as far as the next run's start
        np.maximum.at(longest, columns.logger[run_starts], np.add.reduceat(above_ms, run_starts))
    weight = covered * np.exp(-A_K / (columns.temperature_mc / 1000 + 273.15))
    mean = np.add.reduceat(weight, starts) / np.add.reduceat(covered, starts)
    return Answer(A_K / -np.log(mean) - 273.15, np.add.reduceat(above_ms, starts), longest)


def pandas_script(frame: pd.DataFrame) -> Answer:
    """All loggers at once with pandas: group by logger, run-length by a change counter."""
    by_logger = frame.groupby("logger", sort=True)
    delta = by_logger["at_ms"].diff()
    covered = delta.where(delta <= GAP_AFTER_MS, INTERVAL_MS).astype("int64")
    above = frame["temperature_mc"] > HIGH_MC
    run = above.ne(above.shift()).cumsum()
    above_ms = covered.where(above, 0)
    runs = above_ms.groupby([frame["logger"], run]).sum()
    weight = covered * np.exp(-A_K / (frame["temperature_mc"] / 1000 + 273.15))
    per_logger = pd.DataFrame({"logger": frame["logger"], "w": weight, "ms": covered, "above": above_ms})
    sums = per_logger.groupby("logger", sort=True).sum()
    mkt = A_K / -np.log(sums["w"] / sums["ms"]) - 273.15
    return Answer(mkt.to_numpy(), sums["above"].to_numpy(), runs.groupby(level=0).max().to_numpy())


def as_frame(columns: Columns) -> pd.DataFrame:
    """The same columns as pandas holds them."""
    return pd.DataFrame({"logger": columns.logger, "at_ms": columns.at_ms, "temperature_mc": columns.temperature_mc})


def assert_agree(mine: Answer, theirs: Answer) -> None:
    """Times must be equal to the millisecond, MKT to a billionth of a degree."""
    np.testing.assert_array_equal(mine.above_ms, theirs.above_ms)
    np.testing.assert_array_equal(mine.longest_ms, theirs.longest_ms)
    np.testing.assert_allclose(mine.mkt_c, theirs.mkt_c, rtol=0, atol=1e-9)
