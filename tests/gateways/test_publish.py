"""A gateway process against a real broker: it publishes all, waits, survives, and gives up in one line."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from gateways import publish
from gateways.simulator.demo_day import DEMO_START_MS, scenario

StartBroker = Callable[[int], "subprocess.Popen[bytes]"]


@pytest.fixture
def listener() -> Iterator[Callable[[int], list[MQTTMessage]]]:
    """Subscribes to everything on a port; the list fills as messages come."""
    clients: list[Client] = []

    def listen(port: int) -> list[MQTTMessage]:
        heard: list[MQTTMessage] = []
        ready = threading.Event()
        client = Client(CallbackAPIVersion.VERSION2, "listener")
        client.on_message = lambda _client, _data, message: heard.append(message)
        client.on_subscribe = lambda *_: ready.set()
        client.connect("127.0.0.1", port)
        client.subscribe("#", qos=1)
        client.loop_start()
        clients.append(client)
        assert ready.wait(10)
        return heard

    yield listen
    for client in clients:
        client.disconnect()
        client.loop_stop()


def arrived(heard: list[MQTTMessage], ending: str, count: int) -> list[tuple[str, bytes]]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [(message.topic, bytes(message.payload)) for message in heard if message.topic.endswith(ending)]
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"only {len(found)} of {count} messages came")


def run(port: int, *more: str) -> int:
    return publish.main(["--port", str(port), "--gateway", "gw-van-1", "--speed", "20", *more])


def test_every_message_arrives_as_it_is_written_and_one_line_says_so(
    free_port: int, start_broker: StartBroker, listener: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    start_broker(free_port)
    heard = listener(free_port)
    assert run(free_port) == 0
    assert capsys.readouterr().out == "gw-van-1: 7 messages, 162 readings published\n"
    expected = [(topic, payload) for _, topic, payload in scenario(1, DEMO_START_MS).messages("gw-van-1")]
    assert arrived(heard, "/readings", 7) == expected
    status = [payload for _, payload in arrived(heard, "coldchain/v1/courier/gw-van-1/status", 2)]
    assert status == [b'{"online":true}', b'{"online":false}']
    assert not any(message.retain for message in heard)


def test_readings_are_not_retained(free_port: int, start_broker: StartBroker, listener: Any) -> None:
    start_broker(free_port)
    assert run(free_port) == 0
    heard = listener(free_port)
    assert [topic for topic, _ in arrived(heard, "", 1)] == ["coldchain/v1/courier/gw-van-1/status"]


def test_a_gateway_that_dies_is_reported_offline_by_its_last_will(
    free_port: int, start_broker: StartBroker, listener: Any
) -> None:
    start_broker(free_port)
    heard = listener(free_port)
    command = [sys.executable, "-m", "gateways.publish", "--port", str(free_port), "--gateway", "gw-basel"]
    gateway = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    arrived(heard, "/readings", 1)
    gateway.kill()
    gateway.wait()
    status = [payload for _, payload in arrived(heard, "/gw-basel/status", 2)]
    assert status == [b'{"online":true}', b'{"online":false}']


def test_a_broker_that_comes_up_late_is_waited_for(free_port: int, start_broker: StartBroker) -> None:
    late = threading.Timer(3.0, start_broker, [free_port])
    late.start()
    try:
        assert run(free_port) == 0
    finally:
        late.join()  # a broker started after the test would outlive it


def test_what_a_broken_line_swallowed_is_sent_again(
    free_port: int, start_broker: StartBroker, listener: Any, line_to: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    start_broker(free_port)
    heard = listener(free_port)
    line = line_to(free_port)
    result: list[int] = []
    gateway = threading.Thread(target=lambda: result.append(run(line.port, "--speed", "1")))
    gateway.start()
    arrived(heard, "/readings", 2)
    line.cut()
    time.sleep(1.0)  # messages become due while the line is cut
    before = len(arrived(heard, "/readings", 2))
    assert before < 7
    line.mend()
    gateway.join(60)
    assert result == [0]
    assert capsys.readouterr().out == "gw-van-1: 7 messages, 162 readings published\n"
    written = [(topic, payload) for _, topic, payload in scenario(1, DEMO_START_MS).messages("gw-van-1")]
    assert set(arrived(heard, "/readings", 7)) == set(written)


def test_a_broker_that_acknowledges_nothing_is_one_line_and_exit_code_3(
    free_port: int,
    start_broker: StartBroker,
    listener: Any,
    line_to: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publish, "ACKNOWLEDGE_PATIENCE_S", 1.0)
    start_broker(free_port)
    heard = listener(free_port)
    line = line_to(free_port)
    result: list[int] = []
    gateway = threading.Thread(target=lambda: result.append(run(line.port, "--speed", "2")))
    gateway.start()
    arrived(heard, "/readings", 1)
    line.is_mute = True
    gateway.join(30)
    assert result == [3]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"broker: \d messages are not acknowledged\n", captured.err)


def test_no_broker_is_one_line_and_exit_code_3(
    free_port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "CONNECT_PATIENCE_S", 1.0)
    assert run(free_port) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"broker: 127.0.0.1:{free_port} cannot be reached (1 s tried)\n"


def test_wrong_arguments_are_exit_code_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for more in (
        ["--gateway", "gw-nowhere"],
        ["--speed", "0"],
        ["--username", "gw-van-1"],
        ["--username", "gw-van-1", "--password-file", str(tmp_path / "missing")],
    ):
        assert run(1, *more) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_gateways_of_the_scenario_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert publish.main(["--list"]) == 0
    assert capsys.readouterr().out.split() == list(scenario(1, DEMO_START_MS).gateways)
