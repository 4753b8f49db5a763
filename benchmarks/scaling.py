"""What a live reading costs by the number of everything there is: curves, which ought to be flat.

Each point is a service of its own that reads on for a while; before it is timed, its answers are compared with a
recount of all readings (`recount`). The points of a curve are timed in turns. `python -m benchmarks.scaling` prints
the curves alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from statistics import median

from benchmarks.fleet import cold_room, fleet, profile
from benchmarks.guarding import STEPS, Room
from benchmarks.harness import Curve, cpu_seconds
from benchmarks.recount import compare
from coldchain.model import Kind
from coldchain.profiles import StabilityProfile
from coldchain.registry import Registry

ROUNDS, ROUNDS_OF_A_SHARE = 5, 2
LIVE = "CPU time of a live reading"
JUDGED = "CPU time of a live reading and a judgement"
HOUR_MS, DAY_H = 3_600_000, 24
DAYS = 8
DAYS_OF_WINDOWS = 40


def measure(share: int = 1) -> list[Curve]:
    """All curves; with a `share` the largest sizes are left out and the rounds are fewer."""
    is_quick = share > 1

    def sizes(*every: int) -> tuple[int, ...]:
        return every[:-1] if is_quick else every

    def curve(what: str, against: str, rooms: Mapping[int, Room], read: Callable[[Room], object]) -> Curve:
        for room in rooms.values():
            read(room)
            compare(room)
        runs = {size: partial(read, room) for size, room in rooms.items()}
        return Curve(what, "us", against, timed(runs, ROUNDS_OF_A_SHARE if is_quick else ROUNDS))

    live = partial(curve, LIVE, read=Room.read)
    return [
        live("kits guarded", {n: Room(cold_room(n, 1), DAYS) for n in sizes(1, 100, 10_000, 1_000_000)}),
        live("routes of 10 000 kits", {n: Room(cold_room(10_000, n), DAYS) for n in sizes(1, 10, 100, 1_000)}),
        live("loggers of a place", {n: Room(fleet(100, 1, loggers_per_place=n), DAYS) for n in (1, 2, 4, 8)}),
        live("loggers of the fleet", {n: Room(_places(n), 2) for n in sizes(1, 10, 100, 1_000, 10_000)}),
        live("days of stored history", {n: Room(cold_room(1, 1), n) for n in sizes(2, 30, 365, 5 * 365)}),
        curve(
            JUDGED,
            "hours of the MKT window",
            {
                hours: Room(cold_room(1, 1), DAYS_OF_WINDOWS, _window(hours))
                for hours in (1, 6, DAY_H, 7 * DAY_H, 30 * DAY_H)
            },
            partial(Room.read_and_judge_each, count=STEPS),
        ),
    ]


def timed(runs: Mapping[int, Callable[[], object]], rounds: int) -> list[tuple[float, float]]:
    """Each size and the median of what one of its readings takes [us]."""
    seconds: dict[int, list[float]] = {size: [] for size in runs}
    for _ in range(rounds):
        for size, run in runs.items():
            seconds[size].append(cpu_seconds(run))
    return [(size, 1e6 * median(each) / STEPS) for size, each in seconds.items()]


def _places(count: int) -> Registry:
    """So many places with one logger and ten kits each."""
    return fleet(10 * count, count, loggers_per_place=1, routes_per_place=1)


def _window(hours: int) -> StabilityProfile:
    """The profile with its MKT over so many hours."""
    rules = profile()
    limits = (replace(one, window_ms=hours * HOUR_MS) if one.kind is Kind.MKT else one for one in rules.limits)
    return replace(rules, limits=tuple(limits))


if __name__ == "__main__":
    from benchmarks.__main__ import show

    show(measure())
