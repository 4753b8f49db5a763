"""What the tests of the gateway agent share: the agent as a process, and a service that stores and sends receipts."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from gateways.decoders import documents, native

ROOT = Path(__file__).parents[1]
TOPIC = "coldchain/v1/basel/gw-1"

SETTINGS = """\
site = "basel"
gateway = "gw-1"
status_every_s = 0.5
[mqtt]
host = "127.0.0.1"
port = {port}
[spool]
path = "spool.db"
keep_free_mib = 1
"""


def written_settings(folder: Path, port: int, more: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(SETTINGS.format(port=port) + more, encoding="utf-8")
    return path


class AgentProcess:
    """`coldchain-gateway run` as a process; `prelude` is Python that runs first, to take a protection away."""

    def __init__(self, folder: Path, settings: Path, prelude: str = "") -> None:
        self._settings, self._prelude = settings, prelude
        self._log = folder / "agent.log"

    def start(self) -> None:
        code = f"import sys\n{self._prelude}\nfrom gateways.agent.cli import main\nsys.exit(main())"
        with self._log.open("ab") as log:
            command = [sys.executable, "-c", code, "run", "--settings", str(self._settings)]
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def end(self) -> None:
        if self.process.poll() is None:
            self.kill()


class Ranges:
    """Whole numbers as ranges, both ends included: slow and obvious."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []

    def add(self, first: int, last: int) -> None:
        touching = [one for one in self.ranges if one[0] <= last + 1 and one[1] >= first - 1]
        apart = [one for one in self.ranges if one not in touching]
        merged = min(first, *(one[0] for one in touching), first), max(last, *(one[1] for one in touching), last)
        self.ranges = sorted([*apart, merged])

    def holding(self, seq: int) -> tuple[int, int]:
        return next(one for one in self.ranges if one[0] <= seq <= one[1])


class Heard(NamedTuple):
    """One message of readings as the service got it; `at_ms` by the wall clock."""

    at_ms: int
    logger: str
    boot: int
    first: int
    readings: int
    is_json: bool
    document: dict[str, Any]


class Receiver:
    """The other end of the contract: stores what arrives, then sends a receipt, then acknowledges.

    `readings` is its ledger: temperature by (logger, channel, instant). Without `answers` it sends no receipts.
    """

    def __init__(self, port: int, credentials: tuple[str, str] | None = None) -> None:
        self.readings: dict[tuple[str, str, int], int] = {}
        self.numbers: dict[tuple[str, str, int], Ranges] = {}
        self.heard: list[Heard] = []
        self.status: list[dict[str, Any]] = []
        self.meta: dict[str, dict[str, Any]] = {}
        self.answers, self.hold, self.keeps_values = True, False, True
        self.refuses: Callable[[str, bytes], str] = lambda _topic, _payload: ""
        self.problem: BaseException | None = None
        self._by_number: dict[tuple[str, str, int, int], tuple[int, int]] = {}
        self._credentials = credentials
        self._subscribed = threading.Event()
        self._port = port

    def start(self, *, name: str = "coldchain-service") -> None:
        """Connect, with the session of before if there is one."""
        self._subscribed.clear()
        # A new client each time: paho leaves sockets open when its loop is started twice.
        client = Client(CallbackAPIVersion.VERSION2, name, clean_session=False, manual_ack=True)
        if self._credentials is not None:
            client.username_pw_set(*self._credentials)
        client.max_inflight_messages_set(1000)
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda client, *_: client.subscribe([(f"{TOPIC}/#", 1)])
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        client.connect("127.0.0.1", self._port)
        client.loop_start()
        self._client = client
        assert self._subscribed.wait(10)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def receipt(self, **parts: Any) -> None:
        """Publish a receipt; what is not given is empty."""
        document = {"v": 1, "at": self.now_ms(), "stored": [], "resend": [], "refused": [], "hold": self.hold} | parts
        self._client.publish(f"{TOPIC}/receipt", json.dumps(document), qos=1)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def _on_message(self, client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            kind = message.topic.rpartition("/")[2]
            if kind == "readings":
                assert not message.retain
                self._store(message.topic, bytes(message.payload))
            elif kind == "status":
                self.status.append(json.loads(message.payload))
            elif kind == "meta":
                self.meta[message.topic.split("/")[4]] = json.loads(message.payload)
            client.ack(message.mid, message.qos)
        except BaseException as exc:
            self.problem = exc
            raise

    def _store(self, topic: str, payload: bytes) -> None:
        reason = self.refuses(topic, payload)
        logger = topic.split("/")[4]
        if reason:
            self.receipt(refused=[{"logger": logger, "sha256": hashlib.sha256(payload).hexdigest(), "reason": reason}])
            return
        document = documents.parse(payload)
        batch = native.read(document, logger, self.now_ms())
        assert batch.boot is not None
        assert batch.seq is not None
        self.heard.append(
            Heard(
                self.now_ms(),
                logger,
                batch.boot,
                batch.seq,
                len(batch),
                payload[:1] == b"{",
                document if len(batch) < 10 else {},
            )
        )
        if self.keeps_values:
            for i, pair in enumerate(zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True)):
                self.readings[logger, batch.channel, pair[0]] = pair[1]
                number = logger, batch.channel, batch.boot, batch.seq + i
                assert self._by_number.setdefault(number, pair) == pair, f"{number} stands for two readings"
        numbers = self.numbers.setdefault((logger, batch.channel, batch.boot), Ranges())
        numbers.add(batch.seq, batch.seq + len(batch) - 1)
        if self.answers:
            self.receipt(stored=[self.stored(logger, batch.channel, batch.boot, batch.seq)])

    def stored(self, logger: str, channel: str, boot: int, seq: int) -> dict[str, Any]:
        """The entry of a receipt for a message that began with a number."""
        numbers = self.numbers[logger, channel, boot]
        first, last = numbers.ranges[0]
        own = numbers.holding(seq)
        above = [] if own == (first, last) else [list(own)]
        return {"logger": logger, "channel": channel, "boot": boot, "first": first, "seq": last, "above": above}
