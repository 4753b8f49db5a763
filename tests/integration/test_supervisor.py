"""The real service under a supervisor: ready, alive by its loop alone, stopping; a loop that hangs is ended."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processes import Mosquitto, ServiceProcess, eventually, publish
from service_values import payload, topic

MakeService = Callable[..., ServiceProcess]

HANGS = """
import os, socket, time
from coldchain.service import Service
def hang(self):
    if self._broker.arrived:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.sendto(b"X_HANGS=1", os.environ["NOTIFY_SOCKET"])
        time.sleep(3600)
Service.take = hang
"""

FED_BY_A_THREAD = """
import threading, time
from coldchain.jobs import Watchdog
from coldchain.supervisor import Supervisor
def feed():
    while True:
        Supervisor.of_process().feed()
        time.sleep(0.2)
threading.Thread(target=feed, daemon=True).start()
"""


@pytest.fixture
def notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        monkeypatch.setenv("WATCHDOG_USEC", "90000000")
        yield manager


def drained(manager: socket.socket, into: list[str]) -> list[str]:
    while True:
        try:
            into.append(manager.recv(4096).decode())
        except BlockingIOError:
            return into


def test_it_is_told_when_the_service_is_ready_alive_and_stopping(
    mosquitto: Mosquitto, make_service: MakeService, notified: socket.socket
) -> None:
    assert mosquitto.port
    service, heard = make_service(), list[str]()
    service.start()
    eventually(lambda: drained(notified, heard).count("WATCHDOG=1") >= 6)
    ready = heard.index("READY=1")
    assert "EXTEND_TIMEOUT_USEC=900000000" in heard[:ready], "a large ledger may take its time at the start"
    assert heard[ready:].count("WATCHDOG=1") >= 1
    assert service.stop() == 0
    assert drained(notified, heard)[-1] == "STOPPING=1"
    assert heard.count("STOPPING=1") == 1


@pytest.mark.parametrize(
    ("prelude", "is_fed"),
    [pytest.param("", False, id="by the loop"), pytest.param(FED_BY_A_THREAD, True, id="control: by a thread")],
)
def test_a_loop_that_hangs_ends_the_process_and_nobody_says_meanwhile_that_it_is_alive(
    mosquitto: Mosquitto, make_service: MakeService, notified: socket.socket, prelude: str, is_fed: bool
) -> None:
    service, heard = make_service("[service]\nstall_after_s = 3\n"), list[str]()
    service.start(prelude=HANGS + prelude)
    eventually(lambda: "READY=1" in drained(notified, heard))
    publish(mosquitto.port, (topic(), payload(0, 5000)))
    eventually(lambda: "X_HANGS=1" in drained(notified, heard))
    assert service.process.wait(30) == 3
    assert "the loop stood still" in service.log()
    after = drained(notified, heard)[heard.index("X_HANGS=1") + 1 :]
    assert ("WATCHDOG=1" in after) is is_fed
