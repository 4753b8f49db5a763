"""Runs every benchmark and prints its tables; a full run also writes them into `docs` (`record`).

A benchmark is a module with a `measure` that returns a list of what `harness.Found` names.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import (
    decoding,
    guarding,
    ingest,
    memory,
    record,
    replay_race,
    restart,
    scaling,
    start,
)
from benchmarks.harness import ROUNDS, Absent, Curve, Figure, Found, Peer, Row, by_goal, standing_for, without_a_line
from benchmarks.peers import contest

WIDTH_IN_A_FILE = 160
QUICK_SHARE = 20
"""A quick run weighs and restarts one of so many parts of the full fleet."""


def steps(share: int, folder: Path) -> list[tuple[str | None, Callable[[], Sequence[Found]]]]:
    """Every benchmark, and the goal that its lines stand for unless they name one; of what takes long a `share`."""
    return [
        ("B1", replay_race.measure),
        (None, decoding.measure),
        ("B4", lambda: guarding.measure(share)),
        ("B6", lambda: ingest.measure(share)),
        (None, lambda: memory.measure(share)),
        ("B9", lambda: start.measure(share)),
        ("B9", lambda: restart.measure(folder, share)),
        (None, lambda: scaling.measure(share)),
        ("B10", lambda: contest.measure(share)),
    ]


def main() -> None:
    """Print the tables; nothing else goes to standard output."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"one {QUICK_SHARE}th of the fleet and of the readings")
    is_quick = parser.parse_args().quick
    load_before = os.getloadavg()[0]
    found = measure(QUICK_SHARE if is_quick else 1)
    show(found)
    if not is_quick:
        record.write(found, load_before)


def measure(share: int) -> list[Found]:
    """Everything, one after the other, and a line for each goal that has none."""
    found: list[Found] = []
    with tempfile.TemporaryDirectory() as folder, Progress(console=Console(stderr=True), transient=True) as progress:
        for goal_id, step in progress.track(steps(share, Path(folder)), description="measuring"):
            found += standing_for(goal_id, step())
    return found + without_a_line(found)


def show(found: Sequence[Found]) -> None:
    """Print what was measured, as tables; a table without a line is left out."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH_IN_A_FILE)
    lines = [one for one in found if isinstance(one, Row | Figure | Absent)]
    curves = [one for one in found if isinstance(one, Curve)]
    peers = [one for one in found if isinstance(one, Peer)]
    for table in (_table(lines), _table_of_curves(curves), _table_of_peers(peers)):
        if table.row_count:
            console.print(table)


def _table(lines: Sequence[Row | Figure | Absent]) -> Table:
    """Races, figures and what is absent, in the order of the goals."""
    table = Table(
        title="Goals, and what stands beside them",
        caption="in brackets: readings of a round; a rate is per CPU-second unless it says otherwise; a ratio above 1: "
        f"ours is faster, the median of {ROUNDS} rounds or fewer (lowest to highest)",
    )
    for heading in ("", "what"):
        table.add_column(heading)
    table.add_column("ours", justify="right", no_wrap=True)
    table.add_column("reference")
    for heading in ("ratio", "goal"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("met")
    for one in by_goal(lines):
        table.add_row(one.goal_id or "", *_cells(one))
    return table


def _cells(one: Row | Figure | Absent) -> tuple[str, ...]:
    if isinstance(one, Row):
        return (
            f"{one.job} ({one.items:,})",
            _per_second(one.ours_per_s),
            f"{one.reference}: {_per_second(one.reference_per_s)}",
            f"{_number(one.ratio)} ({_number(one.lowest)} to {_number(one.highest)})",
            "" if one.goal is None else f"at least {_number(one.goal)}",
            _met(one.is_met),
        )
    if isinstance(one, Figure):
        bound = "at least" if one.is_least else "at most"
        goal = "" if one.goal is None else f"{bound} {_number(one.goal)} {one.unit}"
        return one.what, f"{_number(one.value)} {one.unit}", "", "", goal, _met(one.is_met)
    return one.what, "not measured", one.why, "", "", ""


def _table_of_curves(curves: Sequence[Curve]) -> Table:
    table = Table(title="Scaling: the cost of one thing against the number of another")
    for heading in ("", "what", "against", "at: cost"):
        table.add_column(heading)
    for curve in curves:
        points = ", ".join(f"{size:,.0f}: {_number(cost)}" for size, cost in curve.points)
        table.add_row(curve.goal_id or "", f"{curve.what}, {curve.unit}", curve.against, points)
    return table


def _table_of_peers(peers: list[Peer]) -> Table:
    kits = peers[0].kits if peers else 0
    table = Table(
        title="B10, peers: the same messages, the same rule, and whether the answer is right",
        caption="readings per CPU-second of what is counted, clean data in order; lines of code, ours of the rules "
        f"file; then on how many of {kits} kits time above 8 degC, known and unknown time are right to the ms and MKT "
        "to 1e-7 degC, by what befalls the messages",
    )
    for heading in ("", "by", "counted"):
        table.add_column(heading)
    for heading in ("readings", "ours / its", "lines", *(peers[0].right if peers else ())):
        table.add_column(heading, justify="right", no_wrap=True)
    for peer in peers:
        right = (str(count) for count in peer.right.values())
        ratio = f"{_number(peers[0].readings_per_s / peer.readings_per_s)}"
        speed = _per_second(peer.readings_per_s)
        table.add_row(peer.goal_id or "", peer.name, peer.counted, speed, ratio, str(peer.lines), *right)
    return table


def _per_second(count: float) -> str:
    return f"{count / 1e6:.3g} M/s" if count >= 1e5 else f"{_number(count)} /s"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _met(is_met: bool | None) -> str:
    return {None: "", True: "met", False: "MISSED"}[is_met]


if __name__ == "__main__":
    main()
