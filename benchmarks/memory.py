"""What a service holds in memory: bytes for each kit and for each reading it keeps, in a process of its own."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.fleet import DAY_MS, INTERVAL_MS, START_MS, fleet, profile
from benchmarks.harness import Figure
from coldchain import pipeline, retention
from coldchain.readings import ChannelKey, ReadingBatch

KITS, PLACES, LOGGERS_PER_PLACE = 1_000_000, 10_000, 2
DAYS, KEEP_DAYS = 2, 1
PAGE_BYTES = 4096


def resident_bytes() -> int:
    """How much memory of this process is in use."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES


def weigh(kits: int, places: int) -> dict[str, float]:
    """A fleet of kits, registered, judged and guarded for some days; the memory after each."""
    rules = {"mab": profile()}
    empty = resident_bytes()
    stored: dict[ChannelKey, list[ReadingBatch]] = {}
    began = time.process_time()
    registry = fleet(kits, places, loggers_per_place=LOGGERS_PER_PLACE)
    state, found = pipeline.start(
        registry, rules, now_ms=START_MS, is_live=True, archive=lambda key: stored.get(key, [])
    )
    pipeline.adopt(state, found)
    started = time.process_time() - began
    registered = resident_bytes()
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
    guarded = resident_bytes()
    retained = sum(len(series) for series in state.series.values())
    return {
        "kits": len(registry.kits),
        "groups": len(registry.groups),
        "loggers": len(registry.loggers),
        "registered": registered - empty,
        "guarded": guarded - empty,
        "whole": guarded,
        "retained": retained,
        "start_s": started,
    }


def measure(share: int = 1) -> list[Figure]:
    """The figures of the full fleet, or of one `share`-th of it."""
    kits, places = KITS // share, PLACES // share
    command = [sys.executable, "-m", "benchmarks.memory", str(kits), str(places)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    fleet_words = f"{found['kits']:,} kits, {places:,} places, {found['loggers']:,} loggers"
    per_kit = found["registered"] / found["kits"]
    per_reading = (found["guarded"] - found["registered"]) / found["retained"]
    return [
        Figure(f"memory for each kit ({fleet_words}, {found['groups']:,} groups)", per_kit, "bytes", at_most=200),
        Figure(f"memory for each reading kept ({found['retained']:,})", per_reading, "bytes", at_most=64),
        Figure("memory of the whole process", found["whole"] / 2**30, "GiB", at_most=4),
    ]


if __name__ == "__main__":
    print(json.dumps(weigh(int(sys.argv[1]), int(sys.argv[2]))))
