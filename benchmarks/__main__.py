"""Runs every benchmark of `SUITE` and prints one table. A benchmark is a module with `measure() -> list[Row]`."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from benchmarks import decoding, replay_core
from benchmarks.harness import ROUNDS

SUITE = (replay_core.measure, decoding.measure)


def main() -> None:
    """Print the table; nothing else goes to standard output."""
    table = Table(
        title="Throughput per CPU-second",
        caption=f"millions of readings; ratio: median of {ROUNDS} rounds (lowest to highest), above 1 ours is faster",
    )
    table.add_column("job, readings")
    table.add_column("reference")
    for heading in ("ours", "its", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for measure in SUITE:
        for row in measure():
            table.add_row(
                f"{row.job}, {row.items:,}",
                row.reference,
                f"{row.ours_per_s / 1e6:.3g} M/s",
                f"{row.reference_per_s / 1e6:.3g} M/s",
                f"{row.ratio:.2f} ({row.lowest:.2f} to {row.highest:.2f})",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
