"""A real broker, the real service as a process, a real mail server: each on a port and in a folder of its own."""

from __future__ import annotations

import getpass
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from service_values import written_settings

PLAIN = "allow_anonymous true\nmax_inflight_messages 1000\nmax_queued_messages 100000\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(what: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait until something is true; fail if it does not become so."""
    until = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.02)


class Heard(NamedTuple):
    topic: str
    document: dict[str, Any]


def publish(port: int, *messages: tuple[str, bytes], pause_s: float = 0.0) -> None:
    """Publish with QoS 1 and wait until the broker has taken everything."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    pending = []
    for where, body in messages:
        pending.append(client.publish(where, body, qos=1))
        time.sleep(pause_s)
    for info in pending:
        info.wait_for_publish(20)
        assert info.is_published()
    client.disconnect()
    client.loop_stop()


@contextmanager
def listening(port: int, *topics: str) -> Iterator[list[Heard]]:
    """What is published on some topics meanwhile."""
    heard: list[Heard] = []
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: heard.append(Heard(message.topic, json.loads(message.payload)))
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe([(topic, 1) for topic in topics])
    assert subscribed.wait(10)
    yield heard
    client.disconnect()
    client.loop_stop()


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """A disk of its own of so many MiB, as a new folder."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)]
    found = subprocess.run(mount, check=False, capture_output=True, text=True)
    assert found.returncode == 0, (
        f"this test mounts a tmpfs of {mib} MiB, for which it must run as root: {found.stderr}"
    )
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Mosquitto:
    """A broker that can be killed and started again on the same port."""

    def __init__(self, folder: Path, conf: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._conf = folder / "mosquitto.conf"
        lines = f"listener {self.port} 127.0.0.1\nuser {getpass.getuser()}\n{conf}"
        self._conf.write_text(lines, encoding="utf-8")
        self.start()

    def start(self) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        assert program is not None, "these tests need mosquitto"
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(self._conf)], stdout=log, stderr=log)
        eventually(self._listens)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


class ServiceProcess:
    """`coldchain run` as a process."""

    def __init__(self, folder: Path, port: int, more: str = "") -> None:
        self.ledger = folder / "coldchain.db"
        self.settings = written_settings(folder, port, more)
        self._log = folder / "service.log"

    def start(self, *, prelude: str = "") -> None:
        """Start it; `prelude` is Python that runs first, to make it fail at a chosen step."""
        before = self.log().count("broker connected")
        code = f"{prelude}\nfrom coldchain.cli import main\nmain()"
        with self._log.open("ab") as log:
            command = [sys.executable, "-c", code, "run", "--settings", str(self.settings)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(lambda: self.log().count("broker connected") > before or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.log()

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


class Inbox:
    """A mail server that keeps what it gets."""

    def __init__(self, port: int) -> None:
        self.letters: list[EmailMessage] = []
        self._port = port
        self._controller: Controller | None = None

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        self.letters.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    def start(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self._port)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
