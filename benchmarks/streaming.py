"""What a live reading costs: a whole step over many loggers in random order, and its compiled part over a million.

The limit is memory: what is known of a stream fills some cache lines, and loggers report in no order that helps. The
reference does nothing but touch that many lines at random, in the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.fleet import INTERVAL_MS, START_MS, fleet, profile
from benchmarks.harness import Figure, Found, race
from coldchain import pipeline, rings
from coldchain.model import OPEN_END_MS
from coldchain.readings import ReadingBatch
from coldchain.rings import DEPTH

PLACES, STREAMS, COMMIT = 25_000, 1_000_000, 10_000
ROUNDS = 5
LINE = 8
"""int64 in a cache line."""
THREE_LINES, ONE_LINE = "numba: three cache lines of 1 M streams", "numba: one cache line"
GOAL = 0.5
"""Of three lines: within twice the time (B2)."""
WARM_MC = 9_000
SINGLE = 2_000

_Ints = NDArray[np.int64]
Commit = list[ReadingBatch]


class Fleet:
    """A service over places with two loggers and one kit each, and what was sent to it."""

    def __init__(self, places: int) -> None:
        self._rng = np.random.default_rng(5)
        self.registry = fleet(places, places, routes_per_place=1)
        self.loggers = list(self.registry.loggers)
        self.sent: list[ReadingBatch] = []
        self.now_ms = START_MS
        self.state, found = pipeline.start(
            self.registry, {"mab": profile()}, now_ms=self.now_ms, is_live=True, archive=lambda _: self.sent
        )
        pipeline.adopt(self.state, found)

    def next(self, after_ms: int = INTERVAL_MS, share: float = 1.0, warm: float = 0.0) -> list[Commit]:
        """The next reading of a share of the loggers, in random order, each a message of its own."""
        self.now_ms += after_ms
        who = self._rng.permutation(len(self.loggers))[: round(share * len(self.loggers))]
        at_ms = self.now_ms - self._rng.integers(0, 1_000, len(who))
        mc = np.where(self._rng.random(len(who)) < warm, WARM_MC, self._rng.integers(4_500, 5_500, len(who)))
        mc = mc.astype(np.int32)
        messages = [
            ReadingBatch(self.loggers[logger], "1", at_ms[n : n + 1], mc[n : n + 1], self.now_ms)
            for n, logger in enumerate(who.tolist())
        ]
        return [messages[first : first + COMMIT] for first in range(0, len(messages), COMMIT)]

    def take(self, commits: Sequence[Commit]) -> None:
        """Step over commits, and adopt each."""
        for batches in commits:
            found = pipeline.step(self.state, batches, self.now_ms)
            pipeline.adopt(self.state, found)

    def fill_rings(self) -> None:
        """Let the loggers read until their rings are filled unevenly, as in a service that has run for a while."""
        for _ in range(3):
            self.take(self.next())
        for part in range(DEPTH):
            self.take(self.next(after_ms=1_500, share=part / DEPTH))


def check() -> None:
    """Streamed in commits, with some readings warm and some late and doubled, a fleet is where one replay is, and where
    counting by hand is."""
    small = Fleet(40)
    late: Commit = []
    for _ in range(60):
        commits = small.next(warm=0.01)
        messages = list(chain.from_iterable(commits))
        late, now = messages[:2], messages[2:] + late + messages[5:6]
        small.sent += messages
        small.take([now])
    small.take([late])
    groups = small.registry.groups
    streamed = pipeline.look(small.state, groups, small.now_ms)
    assert streamed == pipeline.replay(small.sent, small.registry, {"mab": profile()}).assessments
    for group_id, group in groups.items():
        (stay,) = group.fate.route
        above, known = _by_hand(small, stay.place, stay.from_ms)
        found = streamed[group_id]
        assert (found.limits[0].used, found.known_ms, found.unknown_ms) == (above, known, 0)


def _by_hand(small: Fleet, place: str, from_ms: int) -> tuple[int, int]:
    """Time above 8 degC and known time [ms] of a place from an instant on: either of its loggers warm is warm."""
    edges: dict[str, list[tuple[int, int, bool]]] = {}
    for key in small.registry.channels_of[place]:
        own = sorted((int(one.at_ms[0]), int(one.temperature_mc[0])) for one in small.sent if one.key == key)
        ends = [own[0][0] - INTERVAL_MS, *(at_ms for at_ms, _ in own)]
        edges[key.logger] = [
            (max(ends[n], from_ms), at_ms, mc > 8_000) for n, (at_ms, mc) in enumerate(own) if at_ms > from_ms
        ]
    spans = list(chain.from_iterable(edges.values()))
    instants = sorted({instant for begin, end, _ in spans for instant in (begin, end)})
    above = known = 0
    for begin, end in pairwise(instants):
        covering = [is_warm for first, last, is_warm in spans if first <= begin and end <= last]
        known += (end - begin) if covering else 0
        above += (end - begin) if any(covering) else 0
    return above, known


def measure(share: int = 1) -> list[Found]:
    """Both rows, and the cost of a step of one reading."""
    check()
    rng = np.random.default_rng(3)
    lines = np.zeros((STREAMS, 3 * LINE), np.int64)
    large = Fleet(PLACES // share)
    large.fill_rings()
    prepared = iter([large.next() for _ in range(ROUNDS + 1)])
    count = len(large.loggers)
    order = rng.permutation(STREAMS)[:count]
    references: dict[str, Callable[[], object]] = {
        THREE_LINES: lambda: _touch(lines, order, 3),
        ONE_LINE: lambda: _touch(lines, order, 1),
    }
    job = f"step, {count:,} channels with kits in random order, one reading a message"
    rows: list[Found] = []
    rows += race(job, count, lambda: large.take(next(prepared)), references, ROUNDS, {THREE_LINES: GOAL})
    assert not next(prepared, None)
    assert min(series.at_ms[-1] for series in large.state.series.values()) > large.now_ms - 1_000

    every = rng.permutation(STREAMS)
    references = {THREE_LINES: lambda: _touch(lines, every, 3), ONE_LINE: lambda: _touch(lines, every, 1)}
    quiet = _quiet(every)
    job = "its compiled part, 1 M streams in random order"
    rows += race(job, STREAMS, lambda: next(quiet), references, ROUNDS, {THREE_LINES: GOAL})
    return [*rows, _single()]


def _quiet(order: _Ints) -> Iterator[int]:
    """Every stream's next reading in this order, in commits, sifted and kept: so many times as a ring is deep."""
    table = np.zeros((STREAMS, rings.FIELDS), np.int64)
    ring_at = np.zeros((STREAMS, DEPTH), np.int64)
    ring_mc = np.zeros((STREAMS, DEPTH), np.int32)
    table[:, rings.UNTIL], table[:, rings.GAP_AFTER] = OPEN_END_MS, 2 * INTERVAL_MS
    table[:, rings.LOWEST], table[:, rings.HIGHEST] = 2_000, 8_000
    end, latest = np.arange(1, COMMIT + 1), np.full(COMMIT, OPEN_END_MS)
    is_quiet, mc = np.empty(COMMIT, np.bool_), np.full(COMMIT, 5_000, np.int32)
    for number in range(1, DEPTH + 1):
        at_ms = np.full(COMMIT, number * INTERVAL_MS)
        for first in range(0, STREAMS, COMMIT):
            row = order[first : first + COMMIT]
            assert rings.sift(table, row, end, latest, at_ms, mc, is_quiet) == COMMIT
            assert rings.append(table, ring_at, ring_mc, 0, row, at_ms, mc) == COMMIT
        assert (table[:, rings.COUNT] == number).all()
        yield number


@njit("void(int64[:, ::1], int64[::1], int64)", cache=True)
def _touch(lines: _Ints, order: _Ints, count: int) -> None:
    """Change one number in each of the first lines of what is known of each stream."""
    for i in range(len(order)):
        for line in range(count):
            lines[order[i], line * LINE] += i


def _single() -> Figure:
    """One quiet reading at a time."""
    one = Fleet(1)
    one.fill_rings()
    steps = [[message] for _ in range(SINGLE // 2) for message in chain.from_iterable(one.next())]
    began = time.process_time()
    one.take(steps)
    took = time.process_time() - began
    return Figure("a step of one quiet reading", took / SINGLE * 1e6, "us of CPU", None)
