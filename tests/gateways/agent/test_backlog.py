"""Weeks of backlog, a full spool, a wrong clock, and a broker that lets nobody speak for another."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coldchain.readings import ReadingBatch
from gateway_agent import ROOT, TOPIC, AgentProcess, Heard, Receiver, written_settings
from gateways.agent.settings import Store
from gateways.agent.spool import Spool
from processes import PLAIN, Mosquitto, eventually, free_port

StartAgent = Callable[..., AgentProcess]

LIVE = '[[source]]\nkind = "simulated"\nloggers = ["lg-live"]\nevery_s = 0.2\n'
MINUTE_MS = 60_000
START_MS = 1_772_323_200_000  # 2026-03-01T00:00:00Z
IN_FLIGHT = 20


def filled_spool(folder: Path, readings: int, loggers: int) -> None:
    """A spool as weeks without a connection leave it: one reading of each logger a minute."""
    store = Store(folder / "spool.db", keep_free_bytes=0)
    spool = Spool(store, "basel", "gw-1", lambda: START_MS, lambda _: 5, lambda: 2**40)
    for first in range(0, readings // loggers, 1000):
        count = min(1000, readings // loggers - first)
        at_ms = START_MS + MINUTE_MS * np.arange(first, first + count, dtype=np.int64)
        mc = np.full(count, 5000, dtype=np.int32)
        with spool.transaction():
            spool.put([ReadingBatch(f"lg-{logger}", "1", at_ms, mc) for logger in range(loggers)], None)
    spool.close()


def pending(folder: Path) -> int:
    db = sqlite3.connect(folder / "spool.db")
    try:
        found: int = db.execute("SELECT count(*) FROM reading").fetchone()[0]
    finally:
        db.close()
    return found


def overtaken_by(service: Receiver) -> list[int]:
    """For each live reading: how many messages of the backlog came between its measuring and its arrival."""
    backlog = np.array([one.at_ms for one in service.heard if one.logger != "lg-live"])
    return [
        int(np.count_nonzero((backlog > one.document["t0"]) & (backlog < one.at_ms)))
        for one in service.heard
        if one.logger == "lg-live" and one.is_json
    ]


@pytest.mark.parametrize("readings", [500_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_live_readings_stay_live_while_a_backlog_is_published(
    service: Receiver, start_agent: StartAgent, tmp_path: Path, readings: int
) -> None:
    filled_spool(tmp_path, readings, 20)
    service.keeps_values = False
    agent = start_agent(LIVE + f"[sending]\nbacklog_per_s = 1000000\nbacklog_in_flight = {IN_FLIGHT}\n")
    eventually(lambda: sum(one.readings for one in service.heard if one.logger != "lg-live") >= readings, 240)
    overtaken = overtaken_by(service)
    assert len(overtaken) >= 5
    # What was on its way already, and what leaves in one turn: never the queue.
    assert max(overtaken) <= 3 * IN_FLIGHT
    eventually(lambda: pending(tmp_path) <= 2)
    status = Path(f"/proc/{agent.process.pid}/status").read_text(encoding="ascii")
    assert int(status.split("VmHWM:")[1].split()[0]) < 200_000, "KiB at most"
    assert agent.stop() == 0
    for (logger, _, _), numbers in service.numbers.items():
        assert logger == "lg-live" or numbers.ranges == [(1, readings // 20)]


def test_control_live_readings_without_priority_wait_behind_the_backlog(
    service: Receiver, start_agent: StartAgent, tmp_path: Path
) -> None:
    filled_spool(tmp_path, 200_000, 1)
    service.keeps_values = False
    start_agent(
        LIVE + f"[sending]\nbacklog_per_s = 1000000\nbacklog_in_flight = {IN_FLIGHT}\n",
        ONE_AFTER_THE_OTHER,
    )
    eventually(lambda: any(one.logger == "lg-live" for one in service.heard), 60)
    before = next(i for i, one in enumerate(service.heard) if one.logger == "lg-live")
    assert sum(one.readings for one in service.heard[:before]) == 200_000


ONE_AFTER_THE_OTHER = """
from gateways.agent import flow
flow.LIVE_READINGS = 0
from collections import deque
class Queue(deque):
    def append(self, channel):
        self.appendleft(channel) if channel == 1 else super().append(channel)
init = flow.Flow.__init__
def queued(self, spool, pace):
    init(self, spool, pace)
    self._busy = Queue(self._busy)
flow.Flow.__init__ = queued
"""


def test_hold_keeps_the_backlog_back_and_live_readings_go_on(
    service: Receiver, start_agent: StartAgent, tmp_path: Path
) -> None:
    filled_spool(tmp_path, 12_000, 1)
    service.hold = True
    agent = start_agent(LIVE + f"[sending]\nbacklog_per_s = 2000\nbacklog_in_flight = {IN_FLIGHT}\n")
    eventually(lambda: sum(one.logger == "lg-live" for one in service.heard) >= 10)
    held = sum(one.logger == "lg-0" for one in service.heard)
    assert held <= IN_FLIGHT
    assert service.status[-1]["hold"] is True
    service.hold = False
    eventually(lambda: sum(one.readings for one in service.heard if one.logger == "lg-0") >= 12_000, 60)
    assert agent.stop() == 0


def test_what_the_service_asks_for_is_published_again_from_the_spool(
    service: Receiver, start_agent: StartAgent
) -> None:
    service.answers = False
    start_agent(LIVE + "[sending]\nretry_s = 3600\n")
    eventually(lambda: len(service.heard) >= 10)
    asked = service.heard[4]
    lost = {"logger": "lg-live", "channel": "1", "boot": asked.boot, "from": asked.first, "to": asked.first}

    def asks_and_gets() -> bool:
        # Requests of the first seconds cross the message on its way; the service asks again.
        service.receipt(resend=[lost])
        return again(service, asked) >= 1

    eventually(asks_and_gets)
    assert again(service, asked) == 1
    others = [one.first for one in service.heard if one.first != asked.first]
    assert len(set(others)) == len(others)


def again(service: Receiver, asked: Heard) -> int:
    """How often a message came again."""
    return sum(one.first == asked.first for one in service.heard) - 1


def test_weeks_without_a_broker_arrive_whole_when_it_is_back(
    broker: Mosquitto, service: Receiver, start_agent: StartAgent, tmp_path: Path
) -> None:
    broker.stop()
    (tmp_path / "drop").mkdir()
    log = {}
    for logger in ("lg-1", "lg-2"):
        rows = [f'"#","Date Time, GMT+00:00","Temp, °C (LGR S/N: {logger[-1]}, SEN S/N: 1)"']
        for minute in range(28 * 1440):
            at_ms, mc = START_MS + MINUTE_MS * minute, 2000 + minute % 6000
            rows.append(f"{minute},{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(at_ms / 1000))},{mc / 1000:.3f}")
            log[logger, "1", at_ms] = mc
        (tmp_path / "drop" / f"{logger}.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    folder = '[[source]]\nkind = "folder"\nfolder = "drop"\nevery_s = 0.2\nsettle_s = 0.2\n'
    serials = 'serials = { "1" = "lg-1", "2" = "lg-2" }\n'
    agent = start_agent(folder + serials + "[sending]\nbacklog_per_s = 1000000\n")
    eventually(lambda: (tmp_path / "spool.db").exists() and pending_or_none(tmp_path) == len(log), 30)
    broker.start()
    eventually(lambda: len(service.readings) >= len(log), 60)
    assert service.readings == log
    eventually(lambda: pending(tmp_path) == 0)
    assert agent.stop() == 0
    assert not any(one.is_json for one in service.heard)


def pending_or_none(folder: Path) -> int | None:
    try:
        return pending(folder)
    except sqlite3.OperationalError:  # the file is there, its tables are not yet
        return None


def test_a_full_spool_drops_the_oldest_and_says_so_everywhere(
    service: Receiver, start_agent: StartAgent, tmp_path: Path
) -> None:
    filled_spool(tmp_path, 250_000, 1)
    service.answers = False
    agent = start_agent(LIVE.replace("0.2", "0.05"), SMALL)
    eventually(lambda: bool(service.status) and service.status[-1]["dropped"] > 0)
    [alarm] = [one for one in service.status[-1]["alarms"] if one["alarm"] == "dropping"]
    assert "readings were dropped, the oldest first" in alarm["problem"]
    assert "alarm dropping: the spool is full" in agent.log()
    eventually(lambda: any(one.logger == "lg-live" for one in service.heard))
    assert agent.stop() == 0
    db = sqlite3.connect(tmp_path / "spool.db")
    [(first, last, first_ms, last_ms)] = db.execute("SELECT first, last, first_ms, last_ms FROM dropped").fetchall()
    kept = db.execute("SELECT min(seq), max(seq) FROM reading WHERE channel = 1").fetchone()
    db.close()
    assert (first, first_ms, last_ms) == (1, START_MS, START_MS + MINUTE_MS * (last - 1))
    assert kept == (last + 1, 250_000)
    code = "import sys; from gateways.agent.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "status", "--settings", str(tmp_path / "gateway.toml")]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert f"lg-0 channel 1: DROPPED 1 to {last}, measured 2026-03-01T00:00:00Z to " in said
    assert "ALARM dropping since " in said


SMALL = """
from dataclasses import replace
from gateways.agent import settings_file
store = settings_file._store
settings_file._store = lambda *args: replace(store(*args), max_bytes=8_000_000)
"""


def test_a_wrong_clock_is_reported_and_recorded_with_its_readings_which_stay_as_they_are(
    service: Receiver, start_agent: StartAgent
) -> None:
    hour_ms = 3_600_000
    late = f"from gateways.agent import cli\nreal = cli.now_ms\ncli.now_ms = lambda: real() - {hour_ms}\n"
    start_agent(LIVE, late)
    eventually(lambda: any(one["alarms"] for one in service.status))
    said = next(one for one in service.status if one["alarms"])
    assert said["alarms"][0]["alarm"] == "clock_wrong"
    assert abs(said["clock_offset"] - hour_ms) < 2000
    heard = len(service.heard)
    eventually(lambda: len(service.heard) > heard + 5)
    last = service.heard[-1]
    assert last.document["clock"]["source"] == "gateway"
    assert abs(last.document["clock"]["offset"] - hour_ms) < 2000
    assert abs(last.at_ms - hour_ms - last.document["t0"]) < 5000


SECURE = """
listener {port} 127.0.0.1
cafile {folder}/ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
allow_anonymous false
password_file {folder}/passwords
acl_file {folder}/acl
use_username_as_clientid true
"""


@pytest.fixture
def secure(tmp_path: Path) -> dict[str, Any]:
    """Certificates of a test's own authority, users, and the ACL of deploy/mosquitto."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority")
    openssl(
        "req", "-x509", *new, "-keyout", "broker.key", "-out", "broker.pem", "-subj", "/CN=broker",
        "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1",
        "-addext", "basicConstraints=critical,CA:FALSE",
    )  # fmt: skip
    passwords = tmp_path / "passwords"
    passwords.touch(0o600)
    for user, password in (("basel/gw-1", "gateway-secret"), ("coldchain-service", "service-secret")):
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, password], check=True, capture_output=True)
    shutil.copy(ROOT / "deploy" / "mosquitto" / "acl", tmp_path / "acl")
    (tmp_path / "password").write_text("gateway-secret\n", encoding="utf-8")
    port = free_port()
    conf = PLAIN.replace("allow_anonymous true", "per_listener_settings false") + SECURE.format(
        port=port, folder=tmp_path
    )
    return {"conf": conf, "port": port}


def test_with_certificates_a_password_and_the_delivered_acl_it_works_the_same(
    secure: dict[str, Any], tmp_path: Path
) -> None:
    broker = Mosquitto(tmp_path, secure["conf"])
    service = Receiver(broker.port, ("coldchain-service", "service-secret"))
    service.start()
    path = written_settings(tmp_path, secure["port"], LIVE)
    more = f'port = {secure["port"]}\npassword_file = "password"\nca_file = "ca.pem"'
    path.write_text(path.read_text(encoding="utf-8").replace(f"port = {secure['port']}", more), encoding="utf-8")
    agent = AgentProcess(tmp_path, path)
    agent.start()
    try:
        eventually(lambda: len(service.heard) >= 5 and bool(service.status))
        assert agent.stop() == 0
        assert pending(tmp_path) <= 2
        (tmp_path / "password").write_text("wrong\n", encoding="utf-8")
        agent.start()
        eventually(lambda: "refuses the connection: Not authorized" in agent.log())
        assert agent.process.poll() is None, "it goes on taking readings"
    finally:
        agent.end()
        service.stop()
        broker.stop()
    assert f"{TOPIC}/receipt" not in agent.log()
