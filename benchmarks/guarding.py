"""What one reading costs by the number of kits it guards, by their routes, and by the history behind it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.fleet import DAY_MS, INTERVAL_MS, START_MS, cold_room, profile
from benchmarks.harness import Row, race
from coldchain import pipeline, retention
from coldchain.pipeline import State
from coldchain.readings import ReadingBatch

STEPS = 200
KEEP_MS = 3 * DAY_MS


class Room:
    """A cold room whose service has put all but the last days away, and which goes on reading."""

    def __init__(self, kits: int, routes: int, days: int) -> None:
        self._rng = np.random.default_rng(11)
        at = START_MS + np.arange(1, days * 288 + 1) * INTERVAL_MS
        stored = [ReadingBatch("lg-1", "1", at, self._temperatures(len(at)), int(at[-1]))]
        self._now_ms = int(at[-1])
        registry, rules = cold_room(kits, routes), {"mab": profile()}
        self._state, found = pipeline.start(
            registry, rules, stored, now_ms=self._now_ms, is_live=True, archive=lambda _: stored
        )
        pipeline.adopt(self._state, found)
        put_away = retention.put_away(self._state, self._now_ms - KEEP_MS, self._now_ms)
        pipeline.adopt(self._state, put_away)

    def read(self) -> State:
        """The next readings, one at a time, as a live logger sends them."""
        for temperature in self._temperatures(STEPS):
            self._now_ms += INTERVAL_MS
            one = ReadingBatch("lg-1", "1", np.array([self._now_ms]), np.array([temperature], np.int32), self._now_ms)
            pipeline.adopt(self._state, pipeline.step(self._state, [one], self._now_ms))
        put_away = retention.put_away(self._state, self._now_ms - KEEP_MS, self._now_ms)
        pipeline.adopt(self._state, put_away)
        return self._state

    def _temperatures(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        return (5_000 + 10 * self._rng.integers(-50, 50, count)).astype(np.int32)


def by_hand(kits: int) -> Callable[[], object]:
    """Brute force: every kit judged on its own, as a script does that knows no groups (a tenth of the readings)."""
    rooms = Room(kits, kits, 4)
    state = rooms.read()
    groups = list(state.registry.groups)
    return lambda: [pipeline.look(state, groups, START_MS + 40 * DAY_MS) for _ in range(STEPS // 100)]


def measure() -> list[Row]:
    """Each race in one run: the ratio is what a reading costs there, against here."""
    one, many = Room(1, 1, 8), Room(10_000, 1, 8)
    spread, old = Room(10_000, 100, 8), Room(1, 1, 5 * 365)
    assert len(many.read().registry.kits) == 10_000
    assert len(spread.read().registry.groups) == 100
    rows = race("a reading that guards 10,000 kits of one route", STEPS, many.read, {"1 kit": one.read}, goal=0.5)
    rows += race("... 10,000 kits of 100 deliveries", STEPS, spread.read, {"1 kit": one.read}, goal=0.5)
    rows += race("... 1 kit with five years behind it", STEPS, old.read, {"8 days": one.read}, goal=0.5)
    return rows
