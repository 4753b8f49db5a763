"""What would a data logger have recorded? True temperatures in, readings with noise and resolution out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from coldchain.readings import Milliseconds, ReadingBatch
from gateways.thermal import Celsius, Seconds


@dataclass(frozen=True, slots=True)
class Probe:
    """How a logger's probe errs.

    Parameters
    ----------
    offset_c : constant error [K]
    noise_c : standard deviation of a single reading [K]
    resolution_c : readings are multiples of it [degC], 0.1 for most loggers, 0.001 at the finest
    """

    offset_c: float = 0.0
    noise_c: float = 0.03
    resolution_c: float = 0.1


def measured_mc(true_c: Celsius, probe: Probe, rng: np.random.Generator) -> list[int]:
    """What a probe shows of true temperatures [integer milli-degC]."""
    shown_c = true_c + probe.offset_c + rng.normal(0.0, probe.noise_c, len(true_c))
    step_mc = round(probe.resolution_c * 1000)
    counts = np.rint(shown_c * 1000 / step_mc).astype(np.int64)
    return [int(count) * step_mc for count in counts]


def record(
    logger: str,
    at_ms: Milliseconds,
    model_s: Seconds,
    model_c: Celsius,
    start_ms: int,
    probe: Probe,
    rng: np.random.Generator,
) -> ReadingBatch:
    """The readings of one logger, numbered from 1, of a model's temperature.

    Parameters
    ----------
    at_ms : int64[n], when the logger measures [ms UTC]
    model_s, model_c : time since `start_ms` [s] and true temperature [degC] of the place
    rng : source of the noise; the same state gives the same readings
    """
    true_c = np.interp((at_ms - start_ms) / 1000, model_s, model_c)
    shown_mc = measured_mc(true_c, probe, rng)
    return ReadingBatch(logger, "1", at_ms, np.array(shown_mc, dtype=np.int32), boot=1, seq=1)


def parts(batch: ReadingBatch, readings: int) -> Iterator[ReadingBatch]:
    """A recording cut into uploads of at most `readings`, each numbered where the one before it ends."""
    for first in range(0, len(batch), readings):
        last = first + readings
        yield ReadingBatch(
            batch.logger,
            batch.channel,
            batch.at_ms[first:last],
            batch.temperature_mc[first:last],
            batch.received_ms,
            batch.boot,
            None if batch.seq is None else batch.seq + first,
            {position - first: reason for position, reason in batch.faults.items() if first <= position < last},
        )
