"""How contestants are timed: CPU seconds, in turns, and compared only within one round.

A shared machine drifts by a factor over minutes, so a figure from one run says little and a ratio of two runs says
nothing. Here every round times every contestant once, one after the other, and a ratio is taken inside its round.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

ROUNDS = 7


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


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the second table: something measured once. `goal` bounds it, from below if `is_least`."""

    what: str
    value: float
    unit: str
    goal: float | None
    is_least: bool = False

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.is_least else self.value <= self.goal


def race(
    job: str,
    items: int,
    ours: Callable[[], object],
    references: Mapping[str, Callable[[], object]],
    rounds: int = ROUNDS,
    goal: float | None = None,
) -> list[Row]:
    """Time `ours` and every reference on the same `items`; one row for each reference. `goal`: the least ratio."""
    contestants = [ours, *references.values()]
    for run in contestants:
        run()
    seconds: list[list[float]] = [[] for _ in contestants]
    for first in range(rounds):
        for turn in range(len(contestants)):
            # whoever comes right after a memory-hungry one pays for it: let the order go round
            who = (first + turn) % len(contestants)
            seconds[who].append(_cpu_seconds(contestants[who]))
    return [
        _row(job, name, items, seconds[0], theirs, goal) for name, theirs in zip(references, seconds[1:], strict=True)
    ]


def _cpu_seconds(run: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    began = time.process_time()
    run()
    took = time.process_time() - began
    gc.enable()
    return took


def _row(
    job: str, reference: str, items: int, ours_s: Sequence[float], reference_s: Sequence[float], goal: float | None
) -> Row:
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
        goal=goal,
    )
