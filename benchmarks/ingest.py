"""From the broker to the ledger: the service with all its guarantees, and a subscriber that only acknowledges.

Both drain the same messages from a queue that a real Mosquitto holds for them, so the publisher does not count, and CPU
seconds are those of their own process. What the service has stored is compared with what was published, reading by
reading, before a figure counts. The last figures are end to end: publisher, broker and service at once on one machine;
their lines say how much of a core each of the three used meanwhile, hence which of them, or the machine, is the limit.

`python -m benchmarks.ingest` prints these rows alone.
"""

from __future__ import annotations

import contextlib
import gc
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import structlog
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import raw_publisher
from benchmarks.harness import Figure, Row
from coldchain.alerts.outbox import Outbox
from coldchain.broker import Broker
from coldchain.jobs import Watchdog
from coldchain.ledger.ledger import Ledger
from coldchain.readings import ReadingBatch
from coldchain.service import Service
from coldchain.settings import Settings, load_settings
from gateways.encoders import cbor_columns, json_columns

ROUNDS = 3
RULES = Path(__file__).parents[1] / "rules"
START_MS = 1_772_359_200_000
TOPIC = "coldchain/v1/basel/gw-1/lg-1/readings"
CONF = "allow_anonymous true\nmax_inflight_messages 1000\nmax_queued_messages 1000000\nset_tcp_nodelay true\n"
UNLIMITED = "[gateways]\nmessages_per_s = 100000\nburst = 1000000\n"


class Run(NamedTuple):
    """CPU and wall seconds of the service, and what broker and publisher used of the processor meanwhile [s]."""

    service_s: float
    wall_s: float
    broker_s: float
    publisher_s: float

    @property
    def shares(self) -> str:
        """How much of a core each used."""
        used = {"service": self.service_s, "broker": self.broker_s, "publisher": self.publisher_s}
        return ", ".join(f"{who} {seconds / self.wall_s:.0%}" for who, seconds in used.items())


class Shape(NamedTuple):
    """So many messages of so many readings in one form."""

    job: str
    messages: int
    readings: int
    encode: Callable[[ReadingBatch], bytes]
    goal_per_s: float | None = None

    def batches(self) -> list[ReadingBatch]:
        """One logger, a reading every second, temperatures that differ."""
        count = self.messages * self.readings
        at_ms = START_MS + 1000 * np.arange(count, dtype=np.int64)
        mc = (5000 + 10 * (np.arange(count) % 97)).astype(np.int32)
        parts = [slice(n, n + self.readings) for n in range(0, count, self.readings)]
        return [ReadingBatch("lg-1", "1", at_ms[part], mc[part], boot=1, seq=part.start) for part in parts]


SHAPES = (
    Shape("JSON, 1 reading a message", 20_000, 1, json_columns),
    Shape("JSON, 10 readings a message", 20_000, 10, json_columns),
    Shape("JSON, 100 readings a message", 10_000, 100, json_columns, 1.5e6),
    Shape("JSON, 1 000 readings a message", 3_000, 1000, json_columns),
    Shape("CBOR, 100 readings a message", 10_000, 100, cbor_columns, 2e6),
    Shape("CBOR, 1 000 readings a message", 3_000, 1000, cbor_columns, 1e7),
)


def measure(share: int = 1) -> list[Row | Figure]:
    """One row and one figure for each shape; of a `share` of the messages, one round."""
    structlog.configure(processors=[_dropped])
    gc.collect()
    gc.freeze()  # what other benchmarks have left here is not looked through, as little as what a service begins with
    found: list[Row | Figure] = []
    for shape in SHAPES:
        found += _measured(shape._replace(messages=max(200, shape.messages // share)), ROUNDS if share == 1 else 1)
    return found


def _measured(shape: Shape, rounds: int) -> list[Row | Figure]:
    batches = shape.batches()
    packets = [raw_publisher.message(n, TOPIC, shape.encode(batch)) for n, batch in enumerate(batches)]
    ours, theirs, together = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, _broker(Path(folder)) as broker:
            theirs.append(_idle_subscriber(broker.port, packets))
            ours.append(_service(Path(folder), broker, packets, batches, is_queued=True).service_s)
            together.append(_service(Path(folder), broker, packets, batches, is_queued=False))
    count = shape.messages * shape.readings
    ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
    row = Row(
        f"broker to ledger, {shape.job}",
        count,
        "a subscriber that does nothing",
        count / median(ours),
        count / median(theirs),
        median(ratios),
        min(ratios),
        max(ratios),
        0.8 if shape.readings == 1 else None,
    )
    usual = sorted(together, key=lambda run: run.wall_s)[rounds // 2]
    what = f"end to end, {shape.job} (of a core: {usual.shares})"
    return [row, Figure(what, count / usual.wall_s, "readings/s", shape.goal_per_s, is_least=True)]


def _cpu_s(pid: int) -> float:
    """What a process has used of the processor [s]."""
    user, system = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class RunningBroker(NamedTuple):
    """A broker that runs: where, and as which process."""

    port: int
    pid: int


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """A broker on a port of its own, as long as it is needed."""
    with _broker(folder) as broker:
        yield broker.port


@contextlib.contextmanager
def _broker(folder: Path) -> Iterator[RunningBroker]:
    """The same, with its process."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        raise SystemExit("this benchmark needs mosquitto: make test installs it")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    conf = folder / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nuser {getpass.getuser()}\n{CONF}", encoding="utf-8")
    with subprocess.Popen([program, "-c", str(conf)], stderr=subprocess.DEVNULL) as broker:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        try:
            yield RunningBroker(port, broker.pid)
        finally:
            broker.terminate()


def _idle_subscriber(port: int, packets: Sequence[bytes]) -> float:
    """CPU seconds of a paho subscriber that takes everything, acknowledges it and forgets it."""
    received = 0

    def count(*_: object) -> None:
        nonlocal received
        received += 1

    def connected() -> Client:
        client = Client(CallbackAPIVersion.VERSION2, "idle", clean_session=False)
        client.max_inflight_messages_set(1000)
        client.on_message = count
        client.connect("127.0.0.1", port)
        client.subscribe(TOPIC, qos=1)
        return client

    client = connected()
    for _ in range(20):
        client.loop(0.05)
    client.disconnect()
    raw_publisher.started(port, packets).join()
    client = connected()
    began = time.process_time()
    while received < len(packets):
        client.loop(1.0)
    took = time.process_time() - began
    client.unsubscribe(TOPIC)
    for _ in range(20):
        client.loop(0.05)
    client.disconnect()
    return took


def _service(
    folder: Path, mqtt: RunningBroker, packets: Sequence[bytes], batches: Sequence[ReadingBatch], *, is_queued: bool
) -> Run:
    """What it takes until all is committed and acknowledged; `is_queued`: published before the service begins."""
    work = Path(tempfile.mkdtemp(dir=folder))
    settings = _settings(work, mqtt.port)
    with Ledger.open(settings.ledger.path) as ledger:
        broker = Broker(settings.mqtt, _clock)
        service = Service(settings, ledger, broker, Outbox(ledger, broker, None, _clock), Watchdog(600), _clock)
        service.load()
        broker.connect()
        if is_queued:
            broker.close()
        publisher = raw_publisher.started(mqtt.port, packets)
        if is_queued:
            publisher.join()
            broker = Broker(settings.mqtt, _clock)
            service = Service(settings, ledger, broker, Outbox(ledger, broker, None, _clock), Watchdog(600), _clock)
            service.load()
            broker.connect()
        pids = (mqtt.pid,) if is_queued or publisher.pid is None else (mqtt.pid, publisher.pid)
        before = [_cpu_s(pid) for pid in pids]
        wall, cpu, taken = time.perf_counter(), time.process_time(), 0
        while taken < len(packets):
            broker.turn(0.2)
            taken += len(broker.arrived)
            service.take()
            service.tell_receipts()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        used = [*(_cpu_s(pid) - then for pid, then in zip(pids, before, strict=True)), 0.0]
        publisher.join()
        broker.close()
        _compare(list(ledger.load_batches()), batches)
    return Run(cpu, wall, *used[:2])


def _compare(stored: Sequence[ReadingBatch], published: Sequence[ReadingBatch]) -> None:
    """What is in the ledger is what was published, reading by reading."""
    for name in ("at_ms", "temperature_mc"):
        ours, theirs = (np.concatenate([getattr(batch, name) for batch in each]) for each in (stored, published))
        assert np.array_equal(ours, theirs), f"{name} differs"


def _settings(folder: Path, port: int) -> Settings:
    path = folder / "settings.toml"
    mqtt = f'[mqtt]\nport = {port}\nclient_id = "{folder.name}"\n'
    path.write_text(f'{mqtt}[rules]\ndir = "{RULES}"\n{UNLIMITED}', encoding="utf-8")
    return load_settings(path, {})


def _clock() -> int:
    return START_MS + 10**11


def _dropped(*_: object) -> dict[str, object]:
    raise structlog.DropEvent


if __name__ == "__main__":
    from benchmarks.__main__ import show

    show(measure())
