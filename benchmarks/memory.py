"""What a service holds in memory: bytes for each kit and for each reading it keeps, in a process of its own."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.fleet import DAY_MS, INTERVAL_MS, START_MS, fleet, profile
from benchmarks.harness import Curve, Figure
from coldchain import pipeline, retention
from coldchain.readings import ChannelKey, ReadingBatch

KITS, PLACES, LOGGERS_PER_PLACE = 1_000_000, 10_000, 2
DAYS, KEEP_DAYS = 2, 1
PAGE_BYTES = 4096


def resident_bytes() -> int:
    """How much memory of this process is in use."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


def allocated_bytes() -> int:
    """What is allocated and in use, without what the allocator holds back."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def weigh(kits: int, places: int, in_use: Callable[[], int]) -> dict[str, float]:
    """A fleet of kits, registered, judged and guarded for some days; the memory after each."""
    rules = {"mab": profile()}
    empty = in_use()
    stored: dict[ChannelKey, list[ReadingBatch]] = {}
    registry = fleet(kits, places, loggers_per_place=LOGGERS_PER_PLACE)
    state, found = pipeline.start(
        registry, rules, now_ms=START_MS, is_live=True, archive=lambda key: stored.get(key, [])
    )
    pipeline.adopt(state, found)
    registered = in_use()
    rng = np.random.default_rng(3)
    for day in range(DAYS):
        at = START_MS + day * DAY_MS + np.arange(1, 289) * INTERVAL_MS
        for place in range(places):
            loggers = [f"lg-{place * LOGGERS_PER_PLACE + number + 1}" for number in range(LOGGERS_PER_PLACE)]
            batches = [
                ReadingBatch(logger, "1", at + 1000 * number, rng.integers(4_000, 6_000, 288, np.int32), int(at[-1]))
                for number, logger in enumerate(loggers)
            ]
            pipeline.adopt(state, pipeline.step(state, batches, int(at[-1])))
    now_ms = START_MS + DAYS * DAY_MS
    pipeline.adopt(state, retention.put_away(state, now_ms - KEEP_DAYS * DAY_MS, now_ms))
    guarded = in_use()
    retained = sum(len(series) for series in state.series.values())
    # a day and the longest window before it, which is another
    assert retained == places * LOGGERS_PER_PLACE * DAYS * 288
    assert all(one.known_ms for one in state.assessments.values())
    return {
        "kits": len(registry.kits),
        "groups": len(registry.groups),
        "loggers": len(registry.loggers),
        "registered": registered - empty,
        "guarded": guarded - empty,
        "whole": resident_bytes(),
        "retained": retained,
    }


def measure(share: int = 1) -> list[Figure | Curve]:
    """Of the full fleet, or of one `share`-th of it: the process as a whole, and in a tenth of the fleet and less
    every allocation by itself, which takes long."""
    whole = _weighed(KITS // share, PLACES // share, "resident")
    places = [max(1, PLACES // share // part) for part in (1000, 100, 10)]
    fleets = [_weighed(KITS // PLACES * each, each, "allocated") for each in places]
    exact = fleets[-1]
    per_kit = exact["registered"] / exact["kits"]
    per_reading = (exact["guarded"] - exact["registered"]) / exact["retained"]
    of_whole = f"{whole['kits']:,} kits, {whole['loggers']:,} loggers, {whole['retained']:,} readings"
    return [
        Figure(f"allocated for a kit, {exact['groups']:,} groups and their places in it", per_kit, "bytes", goal=200),
        Figure("allocated for a reading that is kept", per_reading, "bytes", goal=64),
        Figure(f"process of {of_whole}", whole["whole"] / 2**30, "GiB", goal=4),
        Curve(
            "memory for each kit, its place and loggers included",
            "bytes",
            "kits",
            [(one["kits"], one["registered"] / one["kits"]) for one in fleets],
        ),
        Curve(
            "memory for each reading kept",
            "bytes",
            "readings kept",
            [(one["retained"], (one["guarded"] - one["registered"]) / one["retained"]) for one in fleets],
        ),
    ]


def _weighed(kits: int, places: int, how: str) -> dict[str, int]:
    command = [sys.executable, "-m", "benchmarks.memory", str(kits), str(places), how]
    found: dict[str, int] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main(kits: int, places: int, how: str) -> None:
    """Weigh in this process and print what was found."""
    if how == "allocated":
        tracemalloc.start(1)
        weigh(1, 1, allocated_bytes)  # what the first of all brings with it, once, is not of a kit
    print(json.dumps(weigh(kits, places, allocated_bytes if how == "allocated" else resident_bytes)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
