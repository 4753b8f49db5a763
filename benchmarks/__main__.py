"""Runs every benchmark and prints its tables; a full run also writes `docs/benchmarks.json` and `docs/benchmarks.svg`.

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

from benchmarks import decoding, guarding, ingest, latency, memory, record, replay_race, restart
from benchmarks.harness import ROUNDS, Absent, Figure, Found, Peer, Row
from benchmarks.peers import contest

RACES = (replay_race.measure, decoding.measure, guarding.measure)
WIDTH_IN_A_FILE = 140
QUICK_SHARE = 20
"""A quick run weighs and restarts one of so many parts of the full fleet."""


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
    """Everything, one after the other; of what takes long a `share`."""
    found: list[Found] = []
    with tempfile.TemporaryDirectory() as folder, Progress(console=Console(stderr=True), transient=True) as progress:
        steps: list[Callable[[], Sequence[Found]]] = [
            *RACES,
            lambda: ingest.measure(share),
            lambda: latency.measure(share),
            lambda: memory.measure(share),
            lambda: restart.measure(Path(folder), share),
            lambda: contest.measure(share),
        ]
        for step in progress.track(steps, description="measuring"):
            found += step()
    return found


def show(found: Sequence[Found]) -> None:
    """Print what was measured, as tables; a table without a line is left out."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH_IN_A_FILE)
    rows, figures, peers = (
        [one for one in found if isinstance(one, Row)],
        [one for one in found if isinstance(one, Figure)],
        [one for one in found if isinstance(one, Peer)],
    )
    for table in (_table_of_races(rows), _table_of_figures(figures), _table_of_peers(peers)):
        if table.row_count:
            console.print(table)
    for one in found:
        if isinstance(one, Absent):
            console.print(f"not measured: {one.what}: {one.why}")


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


def _table_of_peers(peers: list[Peer]) -> Table:
    kits = peers[0].kits if peers else 0
    table = Table(
        title="Peers: the same messages, the same rule, and whether the answer is right",
        caption="readings per CPU-second of what is counted, clean data in order; lines of code, ours of the rules "
        f"file; then on how many of {kits} kits time above 8 degC, known and unknown time are right to the ms and MKT "
        "to 1e-7 degC, by what befalls the messages",
    )
    table.add_column("by")
    table.add_column("counted")
    for heading in ("readings", "lines", *(peers[0].right if peers else ())):
        table.add_column(heading, justify="right", no_wrap=True)
    for peer in peers:
        right = (str(count) for count in peer.right.values())
        table.add_row(peer.name, peer.counted, _per_second(peer.readings_per_s), str(peer.lines), *right)
    return table


def _per_second(count: float) -> str:
    return f"{count / 1e6:.3g} M/s" if count >= 1e5 else f"{count:,.0f} /s"


def _met(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


if __name__ == "__main__":
    main()
