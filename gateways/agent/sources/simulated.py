"""Invented loggers in fridges that swing around 5 degC: to try a gateway without a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from coldchain.readings import ReadingBatch
from gateways.agent.settings import SimulatedSource
from gateways.agent.sources import Taken
from gateways.simulator.recorder import shown_mc
from gateways.simulator.thermal import DAY_S, day_curve_c

MEAN_C, SWING_C = 5.0, 1.5
_COMPRESSOR_S = 1800


class Simulated:
    """One reading of each logger every time; the same seed gives the same course of the day."""

    def __init__(self, settings: SimulatedSource, clock_ms: Callable[[], int]) -> None:
        self.name, self.every_s = settings.name, settings.every_s
        self._settings, self._clock_ms = settings, clock_ms
        self._rng = np.random.default_rng(settings.seed)
        self._warmest_s = self._rng.uniform(0, DAY_S, len(settings.loggers))

    def take(self) -> Iterator[Taken]:
        """The present temperature of each logger: the day's course and the compressor's."""
        now_ms = self._clock_ms()
        at_s = np.full(len(self._settings.loggers), now_ms / 1000)
        true_c = day_curve_c(at_s, MEAN_C, SWING_C, self._warmest_s)
        true_c = true_c + 0.5 * np.sin(2 * np.pi * at_s / _COMPRESSOR_S)
        shown = shown_mc(true_c, 0.0, 0.03, 10, self._rng)
        yield Taken(
            tuple(
                ReadingBatch(logger, "1", np.array([now_ms], dtype=np.int64), shown[i : i + 1])
                for i, logger in enumerate(self._settings.loggers)
            ),
            is_stamped=True,
        )
