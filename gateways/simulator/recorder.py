"""What would a data logger have recorded? True temperatures in, readings with lag, noise and resolution out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coldchain.readings import MilliCelsius, Milliseconds, ReadingBatch
from gateways.simulator.thermal import Celsius, Floats, lagged_c


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """How the probes of n loggers err.

    Parameters
    ----------
    time_constant_s : float64[n], lag behind the place [s]
    offset_c : float64[n], constant error [K]
    noise_c : standard deviation of a single reading [K]
    resolution_mc : readings are multiples of it [milli-degC], 100 for most loggers
    """

    time_constant_s: Floats
    offset_c: Floats
    noise_c: float
    resolution_mc: int


def probes(loggers: int, time_constant_s: float, resolution_mc: int, rng: np.random.Generator) -> Probes:
    """The probes of calibrated loggers: errors of 0.1 K between instruments, 0.03 K between readings."""
    return Probes(np.full(loggers, time_constant_s), rng.normal(0.0, 0.1, loggers), 0.03, resolution_mc)


def shown_mc(
    true_c: Celsius, offset_c: Floats | float, noise_c: float, resolution_mc: int, rng: np.random.Generator
) -> MilliCelsius:
    """What probes show of true temperatures [milli-degC], in the shape of `true_c`."""
    measured_c = true_c + offset_c + noise_c * rng.standard_normal(np.shape(true_c))
    return (resolution_mc * np.rint(measured_c * (1000 / resolution_mc))).astype(np.int32)


def recorded_days_mc(
    days_c: Iterable[Celsius],
    place: NDArray[np.intp],
    gear: Probes,
    step_s: int,
    interval_ms: int,
    rng: np.random.Generator,
) -> Iterator[MilliCelsius]:
    """What n loggers record of their places, day by day: int32[readings, n] [milli-degC], in order of time.

    Parameters
    ----------
    days_c : float64[steps, places], at the end of each step of `step_s` [degC]
    place : int[n], the place of each logger
    interval_ms : the loggers' logging interval, a multiple of the step; the first reading is one interval after
        midnight, the last one at the next midnight
    """
    every = interval_ms // (1000 * step_s)
    felt_c: Celsius | None = None

    def one_day(inside_c: Celsius) -> MilliCelsius:
        nonlocal felt_c
        around_c = inside_c[:, place]
        follows_c = lagged_c(around_c, around_c[0] if felt_c is None else felt_c, gear.time_constant_s, step_s)
        felt_c = follows_c[-1].copy()
        return shown_mc(follows_c[every - 1 :: every], gear.offset_c, gear.noise_c, gear.resolution_mc, rng)

    return map(one_day, days_c)


def record(
    logger: str,
    at_ms: Milliseconds,
    model_s: Floats,
    model_c: Celsius,
    start_ms: int,
    offset_c: float,
    resolution_mc: int,
    rng: np.random.Generator,
) -> ReadingBatch:
    """The readings of one bare probe, numbered from 1, at any instants of a model's temperature.

    Parameters
    ----------
    at_ms : int64[n], when the logger measures [ms UTC]
    model_s, model_c : time since `start_ms` [s] and true temperature [degC] of the place
    rng : source of the noise; the same state gives the same readings
    """
    true_c = np.interp((at_ms - start_ms) / 1000, model_s, model_c)
    return ReadingBatch(logger, "1", at_ms, shown_mc(true_c, offset_c, 0.03, resolution_mc, rng), boot=1, seq=1)


def piece(batch: ReadingBatch, first: int, last: int) -> ReadingBatch:
    """The readings from position `first` up to `last` of a recording, numbered as they are in it."""
    return ReadingBatch(
        batch.logger,
        batch.channel,
        batch.at_ms[first:last],
        batch.temperature_mc[first:last],
        batch.received_ms,
        batch.boot,
        None if batch.seq is None else batch.seq + first,
        {position - first: reason for position, reason in batch.faults.items() if first <= position < last},
    )


def parts(batch: ReadingBatch, readings: int) -> Iterator[ReadingBatch]:
    """A recording cut into uploads of at most `readings`, each numbered where the one before it ends."""
    for first in range(0, len(batch), readings):
        yield piece(batch, first, first + readings)
