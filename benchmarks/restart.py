"""How long a service with years of readings takes to be ready again: from its checkpoint, and from all readings."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.fleet import INTERVAL_MS, START_MS, write_rules
from benchmarks.harness import Figure
from coldchain import keeper, pipeline
from coldchain.instant import iso
from coldchain.ledger.entries import Message
from coldchain.ledger.ledger import Ledger
from coldchain.readings import ReadingBatch
from coldchain.state import Step

READINGS, LOGGERS, PER_MESSAGE = 100_000_000, 1_000, 5_000
KEEP_MS = 3 * 86_400_000


def fill(folder: Path, readings: int) -> int:
    """A ledger with so many stored readings of a thousand loggers, each with ten kits in its room; now [ms]."""
    count = readings // LOGGERS
    at = START_MS + np.arange(1, count + 1) * INTERVAL_MS
    rng = np.random.default_rng(5)
    with Ledger.open(folder / "coldchain.db") as ledger:
        ledger.register("registry.toml", registry(START_MS), "benchmark", START_MS)
        for first in range(0, count, PER_MESSAGE):
            messages = []
            for number in range(LOGGERS):
                own = at[first : first + PER_MESSAGE]
                mc = rng.integers(4_000, 6_000, len(own), np.int32)
                batch = ReadingBatch(f"lg-{number}", "1", own, mc, int(own[-1]))
                payload = hashlib.sha256(mc.tobytes()).digest()  # the raw message is not what this measures
                messages.append(Message(int(own[-1]), "coldchain/v1/x/gw/lg/readings", payload, (batch,)))
            fresh = tuple(message.batches[0] for message in messages)
            ledger.save(messages, Step(fresh=fresh), (), int(at[first]))
    return int(at[-1])


def registry(start_ms: int) -> str:
    """A room for each logger, with ten kits since the start."""
    rows = []
    for number in range(LOGGERS):
        kits = json.dumps([f"K-{number:04}-{kit}" for kit in range(10)])
        start = iso(start_ms)
        rows.append(f'[[logger]]\nid = "lg-{number}"\nlogging_interval = "5min"\n')
        rows.append(f'[[place]]\nid = "room-{number}"\nkind = "storage"\n')
        rows.append(f'[[monitoring]]\nplace = "room-{number}"\nlogger = "lg-{number}"\nfrom = {start}\n')
        rows.append(f'[[custody]]\nkits = {kits}\nplace = "room-{number}"\nfrom = {start}\n')
        for kit in json.loads(kits):
            rows.append(f'[[kit]]\nid = "{kit}"\nbatch = "B"\ntrial = "T"\nprofile = "mab"\n')
    return "".join(rows)


def ready(folder: Path, now_ms: int) -> dict[str, float | str]:
    """Start from the ledger as the service does; how long it took [s], and a hash of every assessment."""
    began = time.monotonic()
    with Ledger.open(folder / "coldchain.db") as ledger:
        ((kept, found),) = keeper.catch_up(ledger, folder / "rules", None, now_ms)
        pipeline.adopt(kept.state, found)
        took_s = time.monotonic() - began
        said = hashlib.sha256(repr(sorted(kept.state.assessments.items())).encode()).hexdigest()
        while keeper.put_away(kept, now_ms, KEEP_MS, LOGGERS):
            pass
        keeper.write_checkpoint(ledger, kept, now_ms)
    return {"took_s": took_s, "said": said}


def measure(folder: Path, share: int = 1) -> list[Figure]:
    """Both ways to start, each in a process of its own; they must say the same of every kit."""
    readings = READINGS // share
    write_rules(folder)
    now_ms = fill(folder, readings)
    command = [sys.executable, "-m", "benchmarks.restart", str(folder), str(now_ms)]
    cold, warm = (
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(2)
    )
    assert cold["said"] == warm["said"]
    return [
        Figure(f"restart from a checkpoint of {readings:,} readings", warm["took_s"], "s", goal=10),
        Figure(f"restart from all of {readings:,} readings", cold["took_s"], "s", goal=900),
    ]


if __name__ == "__main__":
    print(json.dumps(ready(Path(sys.argv[1]), int(sys.argv[2]))))
