"""What the gateway tests share: a free port and a private broker on it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

StartBroker = Callable[[int], subprocess.Popen[bytes]]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[StartBroker]:
    """Starts a Mosquitto on a port, as often as a test asks; all are ended after it."""
    mosquitto = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert mosquitto is not None, "these tests need mosquitto"
    running: list[subprocess.Popen[bytes]] = []

    def start(port: int) -> subprocess.Popen[bytes]:
        settings = tmp_path / f"mosquitto-{len(running)}.conf"
        settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", encoding="utf-8")
        broker = subprocess.Popen(
            [mosquitto, "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        running.append(broker)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return broker
            time.sleep(0.02)
        raise AssertionError("mosquitto does not start")

    yield start
    for broker in running:
        broker.kill()
        broker.wait()


class Line:
    """A line to the broker that a test can cut, losing what is under way, or mute, so that no answer returns."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._whole = True
        self.is_mute = False
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._whole = False
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def mend(self) -> None:
        self._whole = True

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if not self._whole:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._broker_port))
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink, sink is near), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if not (answers and self.is_mute):
                    sink.sendall(data)
        sink.close()


@pytest.fixture
def line_to() -> Iterator[Callable[[int], Line]]:
    """Makes a line to a broker's port."""
    lines: list[Line] = []

    def make(broker_port: int) -> Line:
        lines.append(Line(broker_port))
        return lines[-1]

    yield make
    for line in lines:
        line.close()
