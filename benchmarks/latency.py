"""How long a published reading takes until it is durable, and until the event that it raises can be seen.

A real Mosquitto, `coldchain run` as a user starts it, and a publisher at a steady pace: each of many loggers says every
second what it measures, each watches a room with a kit, and every tenth measures once above a limit of its kit. Another
connection to the ledger looks all the time at what is committed. An instant counts only once every message is found
stored and the events are those that the readings were made to raise. Nothing is durable before the disk says so: what
an append with fdatasync takes on the same disk right before and after is a line of its own.

`python -m benchmarks.latency` prints these figures alone.
"""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from benchmarks import raw_publisher
from benchmarks.fleet import write_rules
from benchmarks.harness import Figure
from benchmarks.ingest import mosquitto
from coldchain.instant import iso
from coldchain.ledger import queries
from coldchain.ledger.ledger import Ledger

PER_S, SECONDS, GATEWAYS = 2000, 30, 40
BREACH_EVERY = 10
"""Of so many loggers one measures above the limit."""

WARM_S = 5
"""At the start, not counted: a service is started once and then runs for months."""

SECOND_MS = 1000
UNTIL_FIRST_MS = 5000
"""Service and publisher are started before the first reading is measured, as far as one can know."""

LIMIT, USUAL_MC, ABOVE_MC = "above-15", 5000, 16_000
LOOK_EVERY_S = 0.0005
APPENDS = 500
GOAL_MS = 10.0


class Sent(NamedTuple):
    """A message, and the kit whose limit it breaches, if any, since when [ms UTC]."""

    packet: bytes
    payload: bytes
    kit: str | None
    breached_at_ms: int


class Looks(NamedTuple):
    """What could be seen from another connection: instants [monotonic s], and the newest message and event at each."""

    at_s: NDArray[np.float64]
    message: NDArray[np.int64]
    event: NDArray[np.int64]


def measure(share: int = 1) -> list[Figure]:
    """Five figures; a `share` of the time."""
    seconds = max(10, SECONDS // share)
    begin_ms = time.time_ns() // 1_000_000 + UNTIL_FIRST_MS
    sent = messages(begin_ms, PER_S * seconds)
    with tempfile.TemporaryDirectory() as folder, mosquitto(Path(folder)) as port:
        ledger, settings = _prepared(Path(folder), port, begin_ms)
        disk_ms = _appends(Path(folder))
        with _service(Path(folder), settings):
            publisher, sent_s = raw_publisher.timed(port, [one.packet for one in sent], PER_S)
            gc.disable()  # of this process, which would look away meanwhile
            looks = _look(ledger, len(sent), sum(one.kit is not None for one in sent))
            gc.enable()
            publisher.join()
        durable_ms, visible_ms = latencies(ledger, sent, np.array(sent_s), looks, WARM_S * PER_S)
        disk_ms += _appends(Path(folder))
    figures = [Figure("an append of 4 KiB to the same disk, p99", float(np.percentile(disk_ms, 99)), "ms", None)]
    for what, found_ms in (("durable", durable_ms), ("its event visible", visible_ms)):
        job = f"published to {what}, {PER_S:,} messages/s of one reading, {len(found_ms):,} times"
        figures.append(Figure(f"{job}, median", float(np.median(found_ms)), "ms", None))
        figures.append(Figure(f"{job}, p99", float(np.percentile(found_ms, 99)), "ms", GOAL_MS))
    return figures


def messages(begin_ms: int, count: int) -> list[Sent]:
    """Of each logger a reading every second, one logger after the other; of every tenth one is above the limit.

    A reading stands for the second before it, so the limit is breached when that begins.
    """
    seconds = count // PER_S
    found = []
    for number in range(count):
        second, which = divmod(number, PER_S)
        is_above = not which % BREACH_EVERY and second == 1 + which // BREACH_EVERY % (seconds - 1)
        document = {
            "v": 1,
            "logger": f"lg-{which}",
            "boot": 1,
            "seq": second,
            "t0": begin_ms + (second + 1) * SECOND_MS,
            "mc": [ABOVE_MC if is_above else USUAL_MC],
        }
        payload = orjson.dumps(document)
        topic = f"coldchain/v1/basel/gw-{which % GATEWAYS}/lg-{which}/readings"
        packet = raw_publisher.message(number, topic, payload)
        found.append(Sent(packet, payload, f"K-{which}" if is_above else None, begin_ms + second * SECOND_MS))
    return found


def latencies(
    ledger: Path, sent: list[Sent], sent_s: NDArray[np.float64], looks: Looks, skip: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of all messages but the first: until each was durable; of those that raise an event until it was visible [ms].

    Raises AssertionError if anything is not stored as it was sent, or the events are others than were to be raised.
    """
    number_of = {one.payload: number for number, one in enumerate(sent)}
    with queries.reading(ledger) as connection:
        stored = [number_of[payload] for (payload,) in connection.execute("SELECT payload FROM message ORDER BY id")]
        readings = {(batch.logger, int(at)) for batch in queries.batches(connection) for at in batch.at_ms}
        raised = connection.execute(
            "SELECT kit, limit_id, breached_at_ms, revision FROM event ORDER BY rowid"
        ).fetchall()
    due = {one.kit: (number, one.breached_at_ms) for number, one in enumerate(sent) if one.kit is not None}
    assert sorted(stored) == list(range(len(sent))), "not every message is stored once"
    assert len(readings) == len(sent), "not every reading is stored"
    assert {row[0]: row[1:] for row in raised} == {kit: (LIMIT, at_ms, 1) for kit, (_, at_ms) in due.items()}, (
        "the events are not those that the readings were made to raise"
    )
    seen_s = looks.at_s[np.searchsorted(looks.message, np.arange(1, len(sent) + 1))]
    numbers = np.array(stored)
    durable_ms = 1000 * (seen_s - sent_s[numbers])[numbers >= skip]
    numbers = np.array([due[row[0]][0] for row in raised])
    seen_s = looks.at_s[np.searchsorted(looks.event, np.arange(1, len(raised) + 1))]
    return durable_ms, 1000 * (seen_s - sent_s[numbers])[numbers >= skip]


def _look(ledger: Path, message: int, event: int) -> Looks:
    """Look until that many messages and events can be seen."""
    looks = [(0.0, 0, 0)]
    until_s = time.monotonic() + 120 + message / PER_S
    with queries.reading(ledger) as connection:
        query = "SELECT coalesce((SELECT max(id) FROM message), 0), coalesce((SELECT max(rowid) FROM event), 0)"
        while looks[-1][1] < message or looks[-1][2] < event:
            assert time.monotonic() < until_s, f"seen are only {looks[-1][1:]} messages and events"
            newest = connection.execute(query).fetchone()
            if newest != looks[-1][1:]:
                looks.append((time.monotonic(), *newest))
            time.sleep(LOOK_EVERY_S)
    at_s, messages, events = zip(*looks, strict=True)
    return Looks(np.array(at_s), np.array(messages), np.array(events))


def _appends(folder: Path) -> list[float]:
    """How long appends to a file take until they are on the disk [ms]."""
    found = []
    with (folder / "appended").open("ab", buffering=0) as file:
        for _ in range(APPENDS):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            found.append(1000 * (time.perf_counter() - began))
    return found


@contextlib.contextmanager
def _service(folder: Path, settings: Path) -> Iterator[None]:
    """`coldchain run` in a process of its own, connected, as long as it is needed."""
    said = folder / "service.log"
    with (
        said.open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "coldchain", "run", "--settings", str(settings)], stdout=log, stderr=log
        ) as process,
    ):
        try:
            while b"service started" not in said.read_bytes():
                assert process.poll() is None, f"the service has ended: {said.read_text(encoding='utf-8')}"
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


def _prepared(folder: Path, port: int, begin_ms: int) -> tuple[Path, Path]:
    """Ledger and settings of a service."""
    write_rules(folder)
    settings, path = folder / "settings.toml", folder / "coldchain.db"
    guard = "[ledger]\nalarm_percent = 100\nstop_percent = 100\n"
    settings.write_text(f"[mqtt]\nport = {port}\n{guard}", encoding="utf-8")
    start = iso(begin_ms)
    rows = []
    for number in range(PER_S):
        rows.append(f'[[logger]]\nid = "lg-{number}"\nlogging_interval = "10s"\n')
        rows.append(f'[[place]]\nid = "room-{number}"\nkind = "storage"\n')
        rows.append(f'[[monitoring]]\nplace = "room-{number}"\nlogger = "lg-{number}"\nfrom = {start}\n')
        rows.append(f'[[kit]]\nid = "K-{number}"\nbatch = "B"\ntrial = "T"\nprofile = "mab"\n')
        rows.append(f'[[custody]]\nkits = ["K-{number}"]\nplace = "room-{number}"\nfrom = {start}\n')
    with Ledger.open(path) as ledger:
        ledger.register("registry.toml", "".join(rows), "benchmark", begin_ms)
    return path, settings


if __name__ == "__main__":
    from benchmarks.__main__ import show

    show(measure())
