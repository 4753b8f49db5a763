"""Bytewax: a flow that adds the interval of each reading as it arrives, and one that puts them in order before.

The state of a stream must end somewhere: the second flow waits `WAIT_MS` for what is late, and leaves out what comes
after that, or again. A flow without an end to its waiting would be a script that runs when all is over.
"""

from __future__ import annotations

import copy
import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulLogic
from bytewax.testing import TestingSink, TestingSource, run_main

from benchmarks.peers.job import (
    A_K,
    DAY_MS,
    GAP_AFTER_MS,
    HIGH_MC,
    INTERVAL_MS,
    Exposure,
    Exposures,
    Message,
)

WAIT_MS = DAY_MS
Reading = tuple[int, int | None]


@dataclass
class Sums:
    """The state of a logger."""

    before_ms: int = 0
    above_ms: int = 0
    known_ms: int = 0
    weight: float = 0.0

    def add(self, at_ms: int, mc: int | None) -> None:
        """What is not newer than the last is a repetition, or too late."""
        delta_ms = at_ms - self.before_ms
        if delta_ms <= 0:
            return
        covered_ms = delta_ms if delta_ms <= GAP_AFTER_MS else INTERVAL_MS
        self.before_ms = at_ms
        if mc is None:
            return
        self.known_ms += covered_ms
        self.above_ms += covered_ms if mc > HIGH_MC else 0
        self.weight += covered_ms * math.exp(-A_K / (mc / 1000 + 273.15))

    def exposure(self) -> Exposure:
        mkt_c = A_K / -math.log(self.weight / self.known_ms) - 273.15 if self.known_ms else None
        return Exposure(self.above_ms, self.known_ms, mkt_c)


class Waiting(StatefulLogic):
    """A logger whose readings wait, the earliest first, until they are older than the newest by `WAIT_MS`."""

    def __init__(self, resumed: Any = None) -> None:
        state: tuple[Sums, list[Reading], set[int], int, int] = resumed or (Sums(), [], set(), 0, 0)
        self.sums, self.heap, self.held, self.newest_ms, self.done_ms = state

    def on_item(self, value: Reading) -> tuple[Iterable[Exposure], bool]:
        at_ms = value[0]
        if at_ms > self.done_ms and at_ms not in self.held:
            heapq.heappush(self.heap, value)
            self.held.add(at_ms)
        self.newest_ms = max(self.newest_ms, at_ms)
        return self._let_go(self.newest_ms - WAIT_MS), StatefulLogic.RETAIN

    def on_eof(self) -> tuple[Iterable[Exposure], bool]:
        return self._let_go(self.newest_ms), StatefulLogic.RETAIN

    def snapshot(self) -> Any:
        return copy.deepcopy((self.sums, self.heap, self.held, self.newest_ms, self.done_ms))

    def _let_go(self, until_ms: int) -> Iterable[Exposure]:
        before_ms = self.done_ms
        while self.heap and self.heap[0][0] <= until_ms:
            self.done_ms, mc = heapq.heappop(self.heap)
            self.held.remove(self.done_ms)
            self.sums.add(self.done_ms, mc)
        return (self.sums.exposure(),) if self.done_ms > before_ms else ()


def readings(message: Message) -> Iterable[tuple[str, Reading]]:
    """The readings of a message by logger."""
    document = orjson.loads(message.payload)
    t0, every = document["t0"], document.get("every", 0)
    return [(document["logger"], (t0 + i * every, mc)) for i, mc in enumerate(document["mc"])]


def add(state: Sums | None, reading: Reading) -> tuple[Sums, Exposure]:
    """The state with one reading more."""
    state = state or Sums()
    state.add(*reading)
    return state, state.exposure()


def as_it_arrives(messages: Sequence[Message], _end_ms: int) -> Exposures:
    """Every reading at once."""
    return run(messages, lambda stream: op.stateful_map("exposure", stream, add))


def in_order(messages: Sequence[Message], _end_ms: int) -> Exposures:
    """The careful way: readings wait for what is late."""
    return run(messages, lambda stream: op.stateful("exposure", stream, Waiting))


def run(messages: Sequence[Message], step: Callable[[Any], Any]) -> Exposures:
    """The last that the flow says of each logger."""
    said: list[tuple[str, Exposure]] = []
    flow = Dataflow("exposure")
    arrived = op.input("messages", flow, TestingSource(messages, batch_size=100))
    op.output("said", step(op.flat_map("readings", arrived, readings)), TestingSink(said))
    run_main(flow)
    return dict(said)
