"""`coldchain watch`: somebody else notices that the service is dead, or the broker, and writes to the operators."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processes import Inbox, Mosquitto, ServiceProcess, eventually

MakeService = Callable[..., ServiceProcess]
StartWatch = Callable[[], subprocess.Popen[bytes]]


def settings(folder: Path, port: int, mail_port: int, *, addresses: str = '["ops@example.org"]') -> Path:
    path = folder / "watch.toml"
    path.write_text(
        f"[mqtt]\nport = {port}\n[alerts.email]\noperator = {addresses}\n"
        "[alarms]\nservice_after_s = 1\nbroker_after_s = 1\n"
        f'[smtp]\nhost = "127.0.0.1"\nport = {mail_port}\nsender = "coldchain@example.org"\nstarttls = false\n',
        encoding="utf-8",
    )
    return path


def command(path: Path) -> list[str]:
    return [sys.executable, "-m", "coldchain.cli", "watch", "--settings", str(path)]


@pytest.fixture
def start_watch(tmp_path: Path, mosquitto: Mosquitto, inbox: Inbox, mail_port: int) -> Iterator[StartWatch]:
    inbox.start()
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        with (tmp_path / "watch.log").open("wb") as log:
            started.append(subprocess.Popen(command(settings(tmp_path, mosquitto.port, mail_port)), stderr=log))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def told(inbox: Inbox) -> list[str]:
    return [letter["Subject"].removeprefix("coldchain: ") for letter in inbox.letters]


def test_a_service_that_is_not_there_is_told_and_that_it_is_again(
    make_service: MakeService, inbox: Inbox, start_watch: StartWatch
) -> None:
    watching = start_watch()
    expected = ["ALARM: the service is offline"]
    eventually(lambda: told(inbox) == expected)
    service = make_service()
    service.start()
    expected.append("works again: the service is offline")
    eventually(lambda: told(inbox) == expected)
    service.kill()
    expected.append("ALARM: the service is offline")
    eventually(lambda: told(inbox) == expected)
    watching.terminate()
    assert watching.wait(10) == 0


def test_a_broker_that_is_not_there_is_told_and_nothing_is_said_of_a_service_that_may_be_well(
    tmp_path: Path, mosquitto: Mosquitto, make_service: MakeService, inbox: Inbox, start_watch: StartWatch
) -> None:
    service = make_service()
    service.start()
    watching = start_watch()
    eventually(lambda: "broker connected" in (tmp_path / "watch.log").read_text(encoding="utf-8"))
    mosquitto.stop()
    eventually(lambda: told(inbox) == ["ALARM: the broker is not connected"])
    mosquitto.start()
    eventually(lambda: "works again: the broker is not connected" in told(inbox), 60)
    assert watching.poll() is None


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("operator =", "site ="), "alerts.email.operator"),
        (('host = "127.0.0.1"', 'host = ""'), "smtp.host"),
        (("[mqtt]", '[mqtt]\nservice_status = ""'), "mqtt.service_status"),
    ],
)
def test_a_watch_that_could_tell_nobody_does_not_start(tmp_path: Path, change: tuple[str, str], key: str) -> None:
    path = settings(tmp_path, 1883, 25)
    path.write_text(path.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    found = subprocess.run(command(path), check=False, capture_output=True, text=True, timeout=30)
    assert (found.returncode, len(found.stderr.splitlines())) == (2, 1), found.stderr
    assert key in found.stderr
