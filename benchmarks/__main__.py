"""Runs every benchmark and prints two tables. A benchmark is a module with `measure() -> list[Row] | list[Figure]`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import decoding, guarding, ingest, memory, replay_core, restart
from benchmarks.harness import ROUNDS, Figure, Row

RACES = (replay_core.measure, decoding.measure, guarding.measure)
QUICK_SHARE = 20
"""A quick run weighs and restarts one of so many parts of the full fleet."""


def main() -> None:
    """Print the tables; nothing else goes to standard output."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"one {QUICK_SHARE}th of the fleet and of the readings")
    share = QUICK_SHARE if parser.parse_args().quick else 1
    rows: list[Row] = []
    figures: list[Figure] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=len(RACES) + 3)
        for race in RACES:
            rows += race()
            progress.advance(task)
        both = ingest.measure(share)
        rows += [each for each in both if isinstance(each, Row)]
        figures += [each for each in both if isinstance(each, Figure)]
        progress.advance(task)
        figures += memory.measure(share)
        progress.advance(task)
        with tempfile.TemporaryDirectory() as folder:
            figures += restart.measure(Path(folder), share)
        progress.advance(task)
    show([*rows, *figures])


def show(found: Sequence[Row | Figure]) -> None:
    """Print what was measured, as tables."""
    console = Console()
    console.print(_table_of_races([each for each in found if isinstance(each, Row)]))
    console.print(_table_of_figures([each for each in found if isinstance(each, Figure)]))


def _table_of_races(rows: list[Row]) -> Table:
    table = Table(
        title="Throughput per CPU-second",
        caption=f"readings; ratio: median of {ROUNDS} rounds (lowest to highest), above 1 ours is faster",
    )
    table.add_column("job, readings")
    table.add_column("reference")
    for heading in ("ours", "its", "ratio", "goal"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            f"{row.job}, {row.items:,}",
            row.reference,
            _per_second(row.ours_per_s),
            _per_second(row.reference_per_s),
            f"{row.ratio:.2f} ({row.lowest:.2f} to {row.highest:.2f})",
            "" if row.goal is None else f"{row.goal:g} {_met(row.ratio >= row.goal)}",
        )
    return table


def _table_of_figures(figures: list[Figure]) -> Table:
    table = Table(title="End to end, memory and restart")
    table.add_column("what")
    for heading in ("measured", "goal"):
        table.add_column(heading, justify="right", no_wrap=True)
    for figure in figures:
        value = f"{figure.value:,.1f} {figure.unit}"
        bound = "at least" if figure.is_least else "at most"
        met = "" if figure.is_met is None else f"{bound} {figure.goal:,.0f} {_met(figure.is_met)}"
        table.add_row(figure.what, value, met)
    return table


def _per_second(count: float) -> str:
    return f"{count / 1e6:.3g} M/s" if count >= 1e5 else f"{count:,.0f} /s"


def _met(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


if __name__ == "__main__":
    main()
