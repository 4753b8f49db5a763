"""How contestants are timed: CPU seconds, in turns, and compared only within one round.

A shared machine drifts by a factor over minutes, so a figure from one run says little and a ratio of two runs says
nothing. Here every round times every contestant once, one after the other, and a ratio is taken inside its round.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TypeVar

ROUNDS, ROUNDS_OF_A_SHARE = 7, 3
"""Of a race, in a full run and in a quick one."""

_rounds = ROUNDS

GOALS = {
    "B1": "core of a replay from columns",
    "B2": "streaming step, a million streams in random order",
    "B3": "exact MKT of a trailing window",
    "B4": "a reading that guards many kits",
    "B5": "differences of cumulative exposure after years",
    "B6": "end to end over a real broker",
    "B7": "time from publishing to the visible event",
    "B8": "replay of a year of a large fleet",
    "B9": "start",
    "B10": "against what else one would use",
}
"""What each goal is about. docs/benchmarks.md has their numbers, and every line that stands for one has its bound."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: how many items a CPU-second does with ours and with a reference, and their ratio.

    `ratio` is the median over the rounds, `lowest` and `highest` its spread; above 1 means that ours is faster.
    """

    job: str
    items: int
    reference: str
    ours_per_s: float
    reference_per_s: float
    ratio: float
    lowest: float
    highest: float
    goal: float | None = None
    goal_id: str | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        return None if self.goal is None else self.ratio >= self.goal


@dataclass(frozen=True, slots=True)
class Absent:
    """What could not be measured here, and why: said instead of a line of a table."""

    what: str
    why: str
    goal_id: str | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: something measured by itself. `goal` bounds it, from below if `is_least`."""

    what: str
    value: float
    unit: str
    goal: float | None
    is_least: bool = False
    goal_id: str | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.is_least else self.value <= self.goal


@dataclass(frozen=True, slots=True)
class Peer:
    """One line of the table of peers.

    `readings_per_s`: per CPU-second of what `counted` names, clean data. `lines` of code of the job. `right`: on how
    many of the `kits` the answer is right, by scenario.
    """

    name: str
    counted: str
    readings_per_s: float
    lines: int
    kits: int
    right: Mapping[str, int]
    goal_id: str | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """What one thing costs [`unit`] by the number of another. `points`: number and cost, by rising number."""

    what: str
    unit: str
    against: str
    points: Sequence[tuple[float, float]]
    goal_id: str | None = None


Found = Row | Figure | Peer | Curve | Absent
"""Whatever a benchmark brings home. `goal_id`: one of `GOALS` that the line stands for, or None."""

Line = TypeVar("Line", bound=Found)


def standing_for(goal_id: str | None, lines: Iterable[Found]) -> list[Found]:
    """The lines; those that name no goal stand for this one."""
    return [_named(line, goal_id) for line in lines]


def _named(line: Line, goal_id: str | None) -> Line:
    return line if line.goal_id is not None else replace(line, goal_id=goal_id)


def without_a_line(lines: Iterable[Found]) -> list[Absent]:
    """For each goal that none of the lines stands for, a line that says so."""
    present = {line.goal_id for line in lines}
    return [Absent(what, "nothing measures it", goal_id) for goal_id, what in GOALS.items() if goal_id not in present]


def by_goal(lines: Iterable[Line]) -> list[Line]:
    """In the order of the goals; what stands for none comes last."""
    order = [*GOALS, None]
    return sorted(lines, key=lambda line: order.index(line.goal_id))


def hurry() -> None:
    """From now on every race that does not say how many rounds it needs has fewer."""
    global _rounds
    _rounds = ROUNDS_OF_A_SHARE


def race(
    job: str,
    items: int,
    ours: Callable[[], object],
    references: Mapping[str, Callable[[], object]],
    rounds: int | None = None,
    goal: float | Mapping[str, float] | None = None,
    goal_id: str | None = None,
) -> list[Row]:
    """Time `ours` and every reference on the same `items`; one row for each reference.

    `goal`: the least ratio, to all references or by reference; `goal_id`: which of `GOALS` it is of.
    """
    goals = goal if isinstance(goal, Mapping) else dict.fromkeys(references, goal)
    contestants = [ours, *references.values()]
    for run in contestants:
        run()
    seconds: list[list[float]] = [[] for _ in contestants]
    for first in range(rounds or _rounds):
        for turn in range(len(contestants)):
            # whoever comes right after a memory-hungry one pays for it: let the order go round
            who = (first + turn) % len(contestants)
            seconds[who].append(cpu_seconds(contestants[who]))
    return [
        replace(_row(job, name, items, seconds[0], theirs), goal=goals.get(name), goal_id=goal_id)
        for name, theirs in zip(references, seconds[1:], strict=True)
    ]


def cpu_seconds(run: Callable[[], object]) -> float:
    """What a run takes of this process, without collecting garbage meanwhile [s]."""
    gc.collect()
    gc.disable()
    began = time.process_time()
    run()
    took = time.process_time() - began
    gc.enable()
    return took


def _row(job: str, reference: str, items: int, ours_s: Sequence[float], reference_s: Sequence[float]) -> Row:
    ratios = [theirs / mine for mine, theirs in zip(ours_s, reference_s, strict=True)]
    return Row(
        job=job,
        items=items,
        reference=reference,
        ours_per_s=items / median(ours_s),
        reference_per_s=items / median(reference_s),
        ratio=median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
    )
