"""Sequence numbers of readings: which are stored, and which are missing between those that are.

A gateway numbers the readings of each logger channel; `boot` names one life of that counter. What is stored of a
counter is a set of runs, whatever the order in which they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from coldchain.readings import Lost, ReadingBatch

MOST_RUNS = 256
"""Runs that are remembered of one counter. A counter in more pieces than that is none; the oldest are let go, which
claims less than is stored, never more."""


class Counter(NamedTuple):
    """One life of the counter of a logger channel at a gateway, which is named as in its topics: `basel/gw-1`."""

    gateway: str
    logger: str
    channel: str
    boot: int


class Run(NamedTuple):
    """The readings numbered `first` to `last`, and the device times of these two [ms UTC]."""

    first: int
    last: int
    first_ms: int
    last_ms: int


class Gap(NamedTuple):
    """The readings numbered `first` to `last` are not stored, those before and after them are: taken when [ms UTC]."""

    first: int
    last: int
    after_ms: int
    before_ms: int

    @property
    def lost(self) -> Lost:
        """What this is if it is never filled."""
        return Lost(self.after_ms, self.before_ms)


Runs = tuple[Run, ...]
"""Ascending; between two there is always a gap."""


def run_of(batch: ReadingBatch) -> Run | None:
    """The run that a batch is; None if its readings are not numbered, or by a counter without a name."""
    at_ms, seq = batch.at_ms, batch.seq
    if batch.boot is None or seq is None or not len(at_ms):
        return None
    return Run(seq, seq + len(at_ms) - 1, at_ms.item(0), at_ms.item(-1))


def add(runs: Runs, more: Iterable[Run]) -> Runs:
    """The runs with more of them; the same in any order, except for what is let go beyond `MOST_RUNS`."""
    joined: list[Run] = []
    for run in sorted((*runs, *more)):
        if joined and run.first <= joined[-1].last + 1:
            joined[-1] = _united(joined[-1], run)
        else:
            joined.append(run)
    return tuple(joined[-MOST_RUNS:])


def _united(one: Run, other: Run) -> Run:
    first, first_ms = min((one.first, one.first_ms), (other.first, other.first_ms))
    last, last_ms = max((one.last, one.last_ms), (other.last, other.last_ms))
    return Run(first, last, first_ms, last_ms)


def gaps(runs: Runs) -> tuple[Gap, ...]:
    """What is missing between the runs, in order."""
    return tuple(Gap(a.last + 1, b.first - 1, a.last_ms, b.first_ms) for a, b in pairwise(runs))


def covering(runs: Runs, run: Run) -> Run:
    """The run among these that holds another; that one itself if it has been let go."""
    return next((each for each in runs if each.first <= run.first and run.last <= each.last), run)
