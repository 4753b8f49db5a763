"""What systemd hears, on a real socket of its kind, and whether its units say what the service does."""

from __future__ import annotations

import configparser
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from coldchain import supervisor
from coldchain.jobs import Watchdog
from coldchain.settings import Service
from coldchain.supervisor import Supervisor

UNITS = Path(__file__).parents[1] / "deploy" / "systemd"


class Manager:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        found: list[str] = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    found = Manager(str(tmp_path / "notify"))
    yield found
    found.close()


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    monkeypatch.setattr(supervisor, "FED_EVERY_S", 0.0)
    return Supervisor.of_process({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "90000000"})


def test_the_beat_of_the_loop_feeds_it(manager: Manager, told: Supervisor) -> None:
    watchdog = Watchdog(60, supervisor=told)
    watchdog.beat()
    watchdog.beat()
    assert manager.heard() == ["WATCHDOG=1", "WATCHDOG=1"]
    told.ready()
    told.stopping()
    assert manager.heard() == ["READY=1", "STOPPING=1"]


def test_a_long_load_asks_for_time_and_gives_it_back(manager: Manager, told: Supervisor) -> None:
    watchdog = Watchdog(60, supervisor=told)
    watchdog.allow(900)
    assert manager.heard() == ["EXTEND_TIMEOUT_USEC=900000000", "WATCHDOG_USEC=900000000"]
    watchdog.beat()
    watchdog.beat()
    assert manager.heard() == ["WATCHDOG_USEC=90000000", "WATCHDOG=1", "WATCHDOG=1"]


def test_it_is_fed_once_a_second_however_often_the_loop_comes_round(manager: Manager, tmp_path: Path) -> None:
    busy = Supervisor(str(tmp_path / "notify"))
    for _ in range(1000):
        busy.feed()
    assert len(manager.heard()) < 10


def test_an_abstract_address_is_understood() -> None:
    found = Manager("\0coldchain-test-notify")
    Supervisor("@coldchain-test-notify").ready()
    assert found.heard() == ["READY=1"]
    found.close()


@pytest.mark.parametrize("address", ["", "/nowhere/notify"])
def test_without_anybody_to_tell_nothing_happens(address: str) -> None:
    alone = Supervisor.of_process({"NOTIFY_SOCKET": address} if address else {})
    alone.ready()
    alone.feed()
    alone.allow(10)
    alone.stopping()


def unit(name: str) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case
    parser.read(UNITS / name, encoding="utf-8")
    return parser["Service"]


def test_the_unit_waits_for_the_beat_longer_than_the_service_itself_does() -> None:
    service = unit("coldchain.service")
    assert (service["Type"], service["NotifyAccess"], service["Restart"]) == ("notify", "main", "always")
    assert int(service["WatchdogSec"]) > Service().stall_after_s
    assert {"LimitNOFILE", "LimitCORE", "TasksMax", "MemoryHigh", "MemoryMax"} <= set(service)
    assert "AF_UNIX" in service["RestrictAddressFamilies"], "it could not tell anything else"


@pytest.mark.parametrize("name", ["coldchain.service", "coldchain-watch.service"])
def test_systemd_understands_every_line_of_the_units(name: str, tmp_path: Path) -> None:
    text = (UNITS / name).read_text(encoding="utf-8")
    command = "/opt/coldchain/.venv/bin/coldchain"
    assert f"\nExecStart={command} " in text
    program = shutil.which("systemd-analyze")
    if program is None:
        print(f"{name}: only its command was checked, there is no systemd-analyze here")
        return
    # The program is not installed under its name here; no other line is touched.
    (tmp_path / name).write_text(text.replace(command, "/bin/true"), encoding="utf-8")
    verify = [program, "verify", "--man=no", str(tmp_path / name)]
    found = subprocess.run(verify, check=False, capture_output=True, text=True)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")
    (tmp_path / name).write_text(text.replace("/opt/coldchain", "/x").replace("TasksMax", "TaskMax"), encoding="utf-8")
    control = subprocess.run(verify, check=False, capture_output=True, text=True)
    assert "TaskMax" in control.stderr, "the check would not notice a line that is not understood"
