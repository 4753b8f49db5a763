"""Where the service spends its time while it takes in all it can: docs/flame-ingest.svg (`make flame`).

A publisher, a real Mosquitto and `coldchain run` on one machine: native JSON of 100 readings a message from a thousand
loggers in turns, each in a room with ten kits. py-spy looks at the service a hundred times a second; the start is over
by then. It may only look at processes of others than its own children as root, or where ptrace is allowed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import raw_publisher
from benchmarks.fleet import write_rules
from benchmarks.ingest import UNLIMITED, mosquitto
from benchmarks.peers.processes import program
from benchmarks.record import DOCS
from benchmarks.restart import LOGGERS, registry
from benchmarks.start import LEDGER, service
from coldchain.ledger.ledger import Ledger
from coldchain.readings import ReadingBatch
from gateways.encoders import json_columns

MESSAGES_OF_A_LOGGER, PER_MESSAGE = 150, 100
INTERVAL_MS = 20
"""Fast, so that all of it is of the last minutes: what is older than a gap makes a place silent for a while."""

LOOK_S = 10
TITLE = "coldchain run, end to end, native JSON, 100 readings a message"


def main(out: Path) -> None:
    """Record, and say at what rate the readings came in meanwhile."""
    spy = program("py-spy")
    if spy is None:
        raise SystemExit("this needs py-spy: make flame installs it")
    begin_ms = time.time_ns() // 1_000_000 - MESSAGES_OF_A_LOGGER * PER_MESSAGE * INTERVAL_MS
    sent = _batches(begin_ms)
    packets = [
        raw_publisher.message(number, f"coldchain/v1/basel/gw-1/{batch.logger}/readings", json_columns(batch))
        for number, batch in enumerate(sent)
    ]
    with tempfile.TemporaryDirectory() as name, mosquitto(Path(name)) as port:
        folder = Path(name)
        write_rules(folder)
        with Ledger.open(folder / LEDGER) as ledger:
            ledger.register("registry.toml", registry(begin_ms), "benchmark", begin_ms)
        with service(folder, port, UNLIMITED) as pid:
            publisher = raw_publisher.started(port, packets)
            seen = subprocess.run(
                [spy, "record", "--function", "--pid", str(pid), "--duration", str(LOOK_S), "--output", str(out)],
                check=False,
            )
        publisher.terminate()  # the service has had enough
        if seen.returncode:
            raise SystemExit(seen.returncode)
        with Ledger.open(folder / LEDGER) as ledger:
            stored = list(ledger.load_batches())
    compare(stored, sent)
    entitle(out)
    readings = sum(len(batch) for batch in stored)
    if len(stored) == len(sent):
        raise SystemExit(f"all {readings:,} readings were taken in: the graph shows a service that waits, too")
    print(f"{out}: {readings:,} readings were taken in")


def compare(stored: Sequence[ReadingBatch], sent: Sequence[ReadingBatch]) -> None:
    """Raises AssertionError if of any logger something else is stored than the first of what it sent."""
    for column in ("at_ms", "temperature_mc"):
        ours, theirs = _by_logger(stored, column), _by_logger(sent, column)
        for logger, values in ours.items():
            assert np.array_equal(values, theirs[logger][: len(values)])


def entitle(drawing: Path) -> None:
    """Say what is drawn; py-spy writes how it was called."""
    text = drawing.read_text(encoding="utf-8")
    drawing.write_text(re.sub(r"[^<>]*py-spy record[^<>]*", TITLE, text), encoding="utf-8")


def _by_logger(batches: Sequence[ReadingBatch], column: str) -> dict[str, NDArray[np.generic]]:
    parts: dict[str, list[NDArray[np.generic]]] = {}
    for batch in batches:
        parts.setdefault(batch.logger, []).append(getattr(batch, column))
    return {logger: np.concatenate(own) for logger, own in parts.items()}


def _batches(begin_ms: int) -> list[ReadingBatch]:
    """Every logger in turn, again and again; `INTERVAL_MS` between two readings."""
    rng = np.random.default_rng(3)
    found = []
    for first in range(0, MESSAGES_OF_A_LOGGER * PER_MESSAGE, PER_MESSAGE):
        at_ms = begin_ms + INTERVAL_MS * np.arange(first + 1, first + PER_MESSAGE + 1)
        for number in range(LOGGERS):
            mc = rng.integers(4_000, 6_000, PER_MESSAGE, np.int32)
            found.append(ReadingBatch(f"lg-{number}", "1", at_ms, mc, boot=1, seq=first))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else DOCS / "flame-ingest.svg")
