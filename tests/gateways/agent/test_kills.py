"""Kills at random moments, of the agent and of the broker: what the loggers measured is what the service has."""

from __future__ import annotations

import json
import random
import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway_agent import AgentProcess, Receiver
from processes import Mosquitto, eventually

StartAgent = Callable[..., AgentProcess]

KILLS = 8
HEADER = '"#","Date Time, GMT+00:00","Temp, °C (LGR S/N: {serial}, SEN S/N: 1)"\n'
SERIALS = {"20012345": "lg-1", "20012346": "lg-2"}
START_MS = 1_772_323_200_000  # 2026-03-01T00:00:00Z

FOLDER = """
[[source]]
kind = "folder"
folder = "drop"
serials = { "20012345" = "lg-1", "20012346" = "lg-2" }
every_s = 0.1
settle_s = 0.1
"""
POLL = """
[[source]]
kind = "http"
url = "http://127.0.0.1:{port}/"
logger = "lg-3"
every_s = 0.1
[[source.reading]]
temperature = "list.*.c"
unit = "C"
[[source.time]]
clock = "device"
path = ".at"
format = "ms"
"""
SENDING = "[sending]\nretry_s = 1\nlongest_retry_s = 4\n"


class Device:
    """A logger with an address: it measures every 20 ms, tells its newest readings, and keeps a log of its own."""

    def __init__(self, remembers: int) -> None:
        self.log: dict[tuple[str, str, int], int] = {}
        self._ends = threading.Event()
        device = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                newest = list(device.log.items())[-remembers:]
                body = json.dumps([{"at": at_ms, "c": mc / 1000} for (_, _, at_ms), mc in newest]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self._thread = threading.Thread(target=self._measure, daemon=True)
        self._thread.start()

    def _measure(self) -> None:
        while not self._ends.wait(0.02):
            number = len(self.log)
            self.log["lg-3", "1", START_MS + 1000 * number] = 5000 + number % 700

    def freeze(self) -> None:
        """Measure no more, and go on answering."""
        self._ends.set()
        self._thread.join()

    def close(self) -> None:
        self.freeze()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def device() -> Iterator[Callable[[int], Device]]:
    started: list[Device] = []

    def start(remembers: int) -> Device:
        started.append(Device(remembers))
        return started[-1]

    yield start
    for one in started:
        one.close()


class Dropper:
    """The loggers' software: drops a file of 20 readings every 50 ms, and keeps a log of its own."""

    def __init__(self, folder: Path) -> None:
        self.log: dict[tuple[str, str, int], int] = {}
        folder.mkdir()
        self._folder, self._ends = folder, threading.Event()
        self._thread = threading.Thread(target=self._drop, daemon=True)
        self._thread.start()

    def _drop(self) -> None:
        number = 0
        while not self._ends.wait(0.05):
            serial = list(SERIALS)[number % 2]
            rows = []
            for minute in range(20 * number, 20 * number + 20):
                at_ms, mc = START_MS + 60_000 * minute, 3000 + minute % 4000
                stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_ms / 1000))
                rows.append(f"{minute},{stamp},{mc / 1000:.3f}\n")
                self.log[SERIALS[serial], "1", at_ms] = mc
            (self._folder / f"{number}.csv").write_text(HEADER.format(serial=serial) + "".join(rows), encoding="utf-8")
            number += 1

    def stop(self) -> None:
        self._ends.set()
        self._thread.join()


def missing(log: dict[tuple[str, str, int], int], service: Receiver) -> set[tuple[str, str, int]]:
    """What the loggers have in their own log and the service has not, or otherwise."""
    return {key for key, mc in log.items() if service.readings.get(key) != mc}


def test_agent_and_broker_killed_at_random_moments_lose_nothing(
    broker: Mosquitto,
    service: Receiver,
    start_agent: StartAgent,
    device: Callable[[int], Device],
    tmp_path: Path,
) -> None:
    seed = random.randrange(2**32)  # noqa: S311 (moments, no secrets)
    print(f"seed {seed}")
    moments = random.Random(seed)  # noqa: S311
    logger, dropper = device(10_000), Dropper(tmp_path / "drop")
    agent = start_agent(FOLDER + POLL.format(port=logger.port) + SENDING)
    for kill in range(KILLS):
        time.sleep(moments.uniform(0.3, 1.8))
        if kill % 3 == 2:
            broker._process.kill()
            broker._process.wait()
            broker.start()
        agent.kill()
        agent.start()
    dropper.stop()
    logger.freeze()
    log = dropper.log | logger.log
    assert len(log) > 1000
    eventually(lambda: not missing(log, service), 60)
    assert service.readings.keys() == log.keys()
    eventually(lambda: pending(tmp_path) == 0, 60)
    assert agent.stop() == 0
    assert "Traceback" not in agent.log()
    boots = {(key[0], key[2]) for key in service.numbers}
    assert len(boots) == 3, "one life of each logger's counter"
    assert all(len(numbers.ranges) == 1 for numbers in service.numbers.values())


def pending(tmp_path: Path) -> int:
    db = sqlite3.connect(tmp_path / "spool.db")
    try:
        found: int = db.execute("SELECT count(*) FROM reading").fetchone()[0]
    finally:
        db.close()
    return found


def taken_then_killed(
    broker: Mosquitto, service: Receiver, start_agent: StartAgent, logger: Device, prelude: str
) -> int:
    """How many readings are lost that were taken while there was no broker, when the agent is killed."""
    broker.stop()
    agent = start_agent(POLL.format(port=logger.port) + SENDING, prelude)
    eventually(lambda: "broker" in agent.log())
    since = len(logger.log)
    eventually(lambda: len(logger.log) > since + 80)
    logger.freeze()
    time.sleep(0.5)  # the last poll
    agent.kill()
    broker.start()
    agent.start()
    newest = max(logger.log)
    eventually(lambda: newest in service.readings)
    log = {key: mc for key, mc in logger.log.items() if key[2] >= START_MS + 1000 * since}
    # Everything has one way to the service: what was taken before the newest has come when a last receipt is there.
    eventually(lambda: not missing(log, service) or prelude != "", 10)
    return len(missing(log, service))


def test_what_was_taken_is_on_the_disk_when_the_agent_is_killed(
    broker: Mosquitto, service: Receiver, start_agent: StartAgent, device: Callable[[int], Device]
) -> None:
    assert taken_then_killed(broker, service, start_agent, device(20), "") == 0


def test_control_a_spool_in_memory_loses_what_was_taken(
    broker: Mosquitto, service: Receiver, start_agent: StartAgent, device: Callable[[int], Device]
) -> None:
    assert taken_then_killed(broker, service, start_agent, device(20), IN_MEMORY) >= 40


IN_MEMORY = """
import sqlite3
connect = sqlite3.connect
sqlite3.connect = lambda path, **more: connect(":memory:", **more)
"""


def test_a_disk_that_takes_no_more_is_an_alarm_not_an_end_and_what_can_be_read_again_is_not_lost(
    service: Receiver, start_agent: StartAgent, tmp_path: Path
) -> None:
    dropper = Dropper(tmp_path / "drop")
    agent = start_agent(FOLDER + SENDING)
    eventually(lambda: len(service.readings) >= 100)
    # No file of this process may grow beyond 4 KiB: every write of the spool fails.
    unlimited = resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (4096, -1))
    eventually(lambda: "disk_full" in {one["alarm"] for one in service.status[-1].get("alarms", [])})
    since = len(dropper.log)
    eventually(lambda: len(dropper.log) >= since + 400)
    assert agent.process.poll() is None
    assert len(missing(dropper.log, service)) >= 300
    resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, unlimited)
    dropper.stop()
    eventually(lambda: not missing(dropper.log, service), 60)
    eventually(lambda: pending(tmp_path) == 0)
    eventually(lambda: not service.status[-1]["alarms"])
    assert agent.stop() == 0
    assert "Traceback" not in agent.log()


CRASHES_AT_THIRD_PUT = """
import os
from gateways.agent.spool import Spool
put, calls = Spool.put, []
def crashing(self, batches, clock):
    spans = put(self, batches, clock)
    calls.append(1 if spans else 0)
    if sum(calls) == 3:
        os._exit(9)
    return spans
Spool.put = crashing
"""
REMEMBERS_FIRST = """
from gateways.agent.agent import Agent
keep = Agent._put
def remembers_first(self, given):
    with self._spool.transaction():
        for one in given:
            self._spool.remember(one.source, one.taken.memory)
    return keep(self, given)
Agent._put = remembers_first
"""


def dropped_then_crashed(service: Receiver, start_agent: StartAgent, folder: Path, prelude: str) -> int:
    dropper = Dropper(folder)
    eventually(lambda: len(dropper.log) >= 200)
    dropper.stop()
    agent = start_agent(FOLDER, CRASHES_AT_THIRD_PUT + prelude)
    assert agent.process.wait(20) == 9
    healthy = start_agent(FOLDER, prelude)
    newest = max(dropper.log, key=lambda key: key[2])
    eventually(lambda: newest in service.readings)
    eventually(lambda: not missing(dropper.log, service) or prelude != "", 10)
    healthy.stop()
    return len(missing(dropper.log, service))


def test_a_file_is_remembered_in_the_transaction_that_keeps_its_readings(
    service: Receiver, start_agent: StartAgent, tmp_path: Path
) -> None:
    assert dropped_then_crashed(service, start_agent, tmp_path / "drop", "") == 0


def test_control_a_file_that_is_remembered_first_is_lost_in_a_crash(
    service: Receiver, start_agent: StartAgent, tmp_path: Path
) -> None:
    assert dropped_then_crashed(service, start_agent, tmp_path / "drop", REMEMBERS_FIRST) == 20
