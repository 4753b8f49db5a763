"""What one reading costs by the number of kits it guards, by their routes, and by the history behind it.

Brute force is the same service without its groups: after every reading each kit is judged by itself. Its answers are
those of the groups, and both are those of a replay of all readings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property, partial

import numpy as np

from benchmarks.fleet import DAY_MS, INTERVAL_MS, START_MS, cold_room, profile
from benchmarks.harness import Row, race
from coldchain import pipeline, retention
from coldchain.model import Assessment
from coldchain.pipeline import State
from coldchain.profiles import StabilityProfile
from coldchain.readings import MilliCelsius, ReadingBatch
from coldchain.registry import KitGroup, Registry

KEEP_MS = 3 * DAY_MS
STEPS = KEEP_MS // INTERVAL_MS
"""So many readings until the service puts the older part away again."""
MOST_KITS = 1_000_000
BRUTE_ROUNDS = 3
BRUTE_READINGS, BRUTE_READINGS_OF_A_SHARE = 3, 2


class Room:
    """A cold room, or several, whose service has put all but the last days away and goes on reading.

    Every logger reads every `INTERVAL_MS`; if there are several, one after the other.
    """

    def __init__(self, registry: Registry, days: int, rules: StabilityProfile | None = None) -> None:
        self._rng = np.random.default_rng(11)
        self._rules = {"mab": rules or profile()}
        self.loggers = list(registry.loggers)
        self._turn_ms = INTERVAL_MS // len(self.loggers)
        at = START_MS + np.arange(1, days * 288 + 1) * INTERVAL_MS
        self.all_readings = [
            ReadingBatch(logger, "1", at + number * self._turn_ms, self._temperatures(len(at)), int(at[-1]))
            for number, logger in enumerate(self.loggers)
        ]
        self.now_ms, self._turn = int(at[-1]) + INTERVAL_MS - self._turn_ms, 0
        by_logger = {batch.key: [batch] for batch in self.all_readings}
        self.state, found = pipeline.start(
            registry, self._rules, self.all_readings, now_ms=self.now_ms, is_live=True, archive=by_logger.__getitem__
        )
        self._by_logger = by_logger
        pipeline.adopt(self.state, found)
        self.put_away()

    def read(self, count: int = STEPS) -> State:
        """The next readings, one at a time, as live loggers send them."""
        for temperature in self._temperatures(count):
            self._take(temperature)
        return self.state

    def read_on(self) -> State:
        """The same, and what is older than some days is put away."""
        self.read()
        self.put_away()
        return self.state

    def read_and_judge_each(self, count: int) -> dict[str, Assessment]:
        """The next readings, and after every one each group is judged."""
        found: dict[str, Assessment] = {}
        for temperature in self._temperatures(count):
            self._take(temperature)
            found = self.judged()
        return found

    def judged(self) -> dict[str, Assessment]:
        """The assessment of each group as of now."""
        return pipeline.look(self.state, self.state.registry.groups, self.now_ms)

    def replayed(self) -> Mapping[str, Assessment]:
        """The same from all readings since the first, without anything kept."""
        return pipeline.replay(self.all_readings, self.state.registry, self._rules, as_of_ms=self.now_ms).assessments

    def put_away(self) -> None:
        """Forget what the service would forget."""
        pipeline.adopt(self.state, retention.put_away(self.state, self.now_ms - KEEP_MS, self.now_ms))

    def _take(self, temperature: np.int32) -> None:
        self.now_ms += self._turn_ms
        logger = self.loggers[self._turn]
        self._turn = (self._turn + 1) % len(self.loggers)
        one = ReadingBatch(logger, "1", np.array([self.now_ms]), np.array([temperature], np.int32), self.now_ms)
        self.all_readings.append(one)
        self._by_logger[one.key].append(one)
        pipeline.adopt(self.state, pipeline.step(self.state, [one], self.now_ms))

    def _temperatures(self, count: int) -> MilliCelsius:
        return (5_000 + 10 * self._rng.integers(-50, 50, count)).astype(np.int32)


class Ungrouped(Registry):
    """A registry that does not see which kits share a fate: each is a group of its own, by its id."""

    @cached_property
    def groups(self) -> Mapping[str, KitGroup]:
        """One group for each kit."""
        return {kit: KitGroup(kit, (kit,), group.fate) for group in super().groups.values() for kit in group.kits}


def ungrouped(registry: Registry) -> Ungrouped:
    """The same registry without its groups."""
    return Ungrouped(**{field.name: getattr(registry, field.name) for field in fields(registry)})


def measure(share: int = 1) -> list[Row]:
    """Each race in one run: the ratio is what a reading costs there, against here; of the most kits a `share`."""
    most_kits = MOST_KITS // share
    one, many, most = (Room(cold_room(kits, 1), 8) for kits in (1, 10_000, most_kits))
    spread, old = Room(cold_room(10_000, 100), 8), Room(cold_room(1, 1), 5 * 365)
    for room, kits, groups in ((many, 10_000, 1), (most, most_kits, 1), (spread, 10_000, 100)):
        registry = room.state.registry
        assert (len(registry.kits), len(registry.groups)) == (kits, groups)
    for room in (one, many, most, spread, old):
        room.read_on()
        assert room.judged() == room.replayed()
    rows = race("a reading, 10,000 kits guarded", STEPS, many.read_on, {"1 kit": one.read_on}, goal=1 / 1.5)
    rows += race(f"a reading, {most_kits:,} kits guarded", STEPS, most.read_on, {"1 kit": one.read_on}, goal=1 / 2)
    judged = {"1 kit": partial(one.read_and_judge_each, STEPS)}
    judged_most = partial(most.read_and_judge_each, STEPS)
    rows += race(f"a reading, {most_kits:,} kits judged after it", STEPS, judged_most, judged, goal=1 / 2)
    rows += race("a reading, 10,000 kits of 100 deliveries", STEPS, spread.read_on, {"1 kit": one.read_on})
    rows += race("a reading, five years of them stored", STEPS, old.read_on, {"8 days": one.read_on})
    return rows + _against_brute_force(is_quick=share > 1)


def _against_brute_force(*, is_quick: bool) -> list[Row]:
    registry = cold_room(10_000, 1)
    groups, by_hand = Room(registry, 8), Room(ungrouped(registry), 8)
    (together,) = groups.read_and_judge_each(1).values()
    assert by_hand.read_and_judge_each(1) == dict.fromkeys(registry.kits, together)
    assert list(groups.replayed().values()) == [together]
    readings = BRUTE_READINGS_OF_A_SHARE if is_quick else BRUTE_READINGS
    return race(
        "a reading, 10,000 kits judged after it",
        readings,
        partial(groups.read_and_judge_each, readings),
        {"brute force: kit by kit": partial(by_hand.read_and_judge_each, readings)},
        rounds=1 if is_quick else BRUTE_ROUNDS,
        goal=1_000,
    )
