"""Replay of a fleet's whole year from one Parquet archive, as a user runs it: wall time and memory of the command.

The year of a few fridges is simulated; every logger of the fleet has that of one of them, shifted in time and
temperature by some amount of its own. What is expected of a kit is counted once for each fridge by a plain loop.
`python -m benchmarks.mass_replay` prints these figures alone.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet import fleet_tables, write_rules
from benchmarks.harness import Figure
from benchmarks.replay_core import A_K, GAP_AFTER_MS, HIGH_MC, INTERVAL_MS, refrigerators
from coldchain import archive
from coldchain.readings import ChannelKey, ReadingBatch

LOGGERS, FRIDGES, YEAR = 10_000, 40, 365 * 86_400_000 // INTERVAL_MS
KITS_PER_LOGGER = 4
LOOK_EVERY_S = 0.05
FAILING = 0.01
"""On so many of all days a fridge has no power for four hours."""
BEGIN_MS = 1_760_086_400_000
"""A day after the custody of every kit began."""


class Fridge(NamedTuple):
    """A year of one fridge, and what a kit in it was exposed to: known time, time above, and MKT [degC]."""

    at_ms: NDArray[np.int64]
    temperature_mc: NDArray[np.int32]
    known_ms: int
    above_ms: int
    mkt_c: float


def fridges(count: int, readings: int) -> list[Fridge]:
    """So many years, each read off a simulated fridge."""
    columns = refrigerators(count, readings, failing=FAILING)
    found = []
    for at_ms, temperature_mc in columns.by_logger():
        at_ms = at_ms - at_ms[0] + BEGIN_MS
        found.append(Fridge(at_ms, temperature_mc, *counted(at_ms.tolist(), temperature_mc.tolist())))
    return found


def counted(at_ms: list[int], temperature_mc: list[int]) -> tuple[int, int, float]:
    """Known time, time above and MKT by the text of SEMANTICS 2.2 and 3."""
    known_ms = above_ms = 0
    weights = []
    before_ms = at_ms[0] - INTERVAL_MS
    for instant_ms, mc in zip(at_ms, temperature_mc, strict=True):
        covered_ms = instant_ms - before_ms
        if covered_ms > GAP_AFTER_MS:
            covered_ms = INTERVAL_MS
        before_ms = instant_ms
        known_ms += covered_ms
        above_ms += covered_ms if mc > HIGH_MC else 0
        weights.append(covered_ms * math.exp(-A_K / (mc / 1000 + 273.15)))
    return known_ms, above_ms, A_K / -math.log(math.fsum(weights) / known_ms) - 273.15


def shift_ms(logger: int) -> int:
    """Loggers do not read at the same instant."""
    return logger * 977 % INTERVAL_MS


def channels(years: list[Fridge], loggers: int) -> Iterator[tuple[ChannelKey, list[ReadingBatch]]]:
    """Every logger's year."""
    for logger in range(loggers):
        year, name = years[logger % len(years)], f"lg-{logger + 1}"
        yield ChannelKey(name, "1"), [ReadingBatch(name, "1", year.at_ms + shift_ms(logger), year.temperature_mc)]


def replayed(folder: Path) -> tuple[dict[str, Any], float, float]:
    """The answer of the command, its wall time [s] and the most memory it held [GiB]."""
    command = [sys.executable, "-m", "coldchain", "replay", "year.parquet", "--rules", "rules", "--json"]
    registry = (argument for path in sorted(folder.glob("*.csv")) for argument in ("--registry", path.name))
    began, held_kib = time.monotonic(), 0
    with (
        (folder / "answer.json").open("wb") as answer,
        subprocess.Popen([*command, *registry], cwd=folder, stdout=answer) as process,
    ):
        # what `wait4` tells would include what this process held when it started the other
        while process.poll() is None:
            held_kib = max(held_kib, _most_kib(process.pid))
            time.sleep(LOOK_EVERY_S)
    took_s = time.monotonic() - began
    assert process.returncode == 0
    return json.loads((folder / "answer.json").read_bytes()), took_s, held_kib / 2**20


def _most_kib(pid: int) -> int:
    """The most that a process has held in memory so far; 0 if it has just ended."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def check(answer: dict[str, Any], years: list[Fridge], loggers: int) -> None:
    """Every kit has been exposed to what its fridge's year says."""
    assert len(answer["kits"]) == loggers * KITS_PER_LOGGER
    assert answer["inputs"]["readings"] == sum(len(years[logger % len(years)].at_ms) for logger in range(loggers))
    for kit in answer["kits"]:
        year = years[int(kit["kit"].removeprefix("K-")) // KITS_PER_LOGGER % len(years)]
        above_ms = next(limit["used_ms"] for limit in kit["limits"] if limit["id"] == "above-8-accumulated")
        assert (kit["known_ms"], above_ms) == (year.known_ms, year.above_ms), kit["kit"]
        assert abs(kit["mkt_c"] - year.mkt_c) < 1e-9, kit["kit"]


def measure(share: int = 1) -> list[Figure]:
    """A tenth of the fleet and the fleet: memory must be the same."""
    years = fridges(FRIDGES, YEAR)
    found = []
    for loggers in (LOGGERS // share // 10, LOGGERS // share):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for table, content in fleet_tables(
                loggers * KITS_PER_LOGGER, loggers, loggers_per_place=1, routes_per_place=1
            ):
                (folder / table).write_text(content, encoding="utf-8")
            write_rules(folder)
            readings = archive.write(folder / "year.parquet", channels(years, loggers))
            stored = (folder / "year.parquet").stat().st_size
            answer, took_s, memory_gib = replayed(folder)
            check(answer, years, loggers)
        found.append((readings, stored, took_s, memory_gib))
    (_, _, _, small_gib), (readings, stored, took_s, memory_gib) = found
    return [
        Figure(
            f"coldchain replay, a year of {LOGGERS // share:,} loggers, {readings:,} readings in Parquet",
            took_s,
            "s",
            60,
        ),
        Figure("... most memory, against a tenth of the loggers", memory_gib / small_gib, "times", None),
        Figure("... most memory", memory_gib, "GiB", None),
        Figure("... the archive, for each reading", stored / readings, "bytes", None),
    ]


if __name__ == "__main__":
    from benchmarks.__main__ import show

    show(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
