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
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from benchmarks import (
    decoding,
    exactness,
    guarding,
    ingest,
    latency,
    mass_replay,
    memory,
    record,
    replay_race,
    restart,
    scaling,
    start,
    streaming,
    trailing,
)
from benchmarks.harness import Found, hurry, standing_for, without_a_line
from benchmarks.peers import contest
from benchmarks.tables import tables

WIDTH_IN_A_FILE = 160
QUICK_SHARE = 20
"""A quick run weighs and restarts one of so many parts of the full fleet."""


def steps(share: int, folder: Path) -> list[tuple[str | None, Callable[[], Sequence[Found]]]]:
    """Every benchmark, and the goal that its lines stand for unless they name one; of what takes long a `share`."""
    return [
        ("B1", lambda: replay_race.measure(share)),
        ("B2", lambda: streaming.measure(share)),
        ("B3", lambda: trailing.measure(share)),
        ("B4", lambda: guarding.measure(share)),
        ("B5", exactness.measure),
        ("B6", lambda: ingest.measure(share)),
        ("B7", lambda: latency.measure(share)),
        ("B8", lambda: mass_replay.measure(share)),
        ("B9", lambda: start.measure(share)),
        ("B9", lambda: restart.measure(folder, share)),
        ("B10", lambda: contest.measure(share)),
        (None, decoding.measure),
        (None, lambda: memory.measure(share)),
        (None, lambda: scaling.measure(share)),
    ]


def main() -> None:
    """Print the tables; nothing else goes to standard output."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"one {QUICK_SHARE}th of the fleet, fewer rounds")
    is_quick = parser.parse_args().quick
    if is_quick:
        hurry()
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
    """Print what was measured, as tables."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH_IN_A_FILE)
    for each in tables(found):
        table = Table(title=each.title, caption=each.caption)
        for heading in each.headings:
            is_number = heading in each.numeric
            table.add_column(heading, justify="right" if is_number else "left", no_wrap=is_number)
        for row in each.rows:
            table.add_row(*(escape(cell) for cell in row))
        console.print(table)


if __name__ == "__main__":
    main()
