"""The agent as a process, a real broker and a service that sends receipts: what leaves the spool, and what stays."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from gateway_agent import TOPIC, AgentProcess, Receiver
from gateways.decoders import documents
from processes import Mosquitto, eventually, publish

StartAgent = Callable[..., AgentProcess]

SIMULATED = """
[[source]]
kind = "simulated"
loggers = ["lg-1", "lg-2"]
every_s = 0.1
"""


def pending(tmp_path: Path) -> int:
    db = sqlite3.connect(tmp_path / "spool.db")
    try:
        found: int = db.execute("SELECT count(*) FROM reading").fetchone()[0]
    finally:
        db.close()
    return found


def test_a_live_reading_is_published_at_once_and_leaves_the_spool_with_its_receipt(
    service: Receiver, start_agent: StartAgent, tmp_path: Path
) -> None:
    agent = start_agent(SIMULATED)
    eventually(lambda: len(service.heard) >= 20)
    # What came before the connection is backlog.
    assert all(one.is_json and one.readings == 1 for one in service.heard[-10:])
    assert agent.stop() == 0
    eventually(lambda: service.status[-1]["online"] is False)
    assert pending(tmp_path) <= 4
    assert {one.logger for one in service.heard} == {"lg-1", "lg-2"}
    assert all(len(numbers.ranges) == 1 for numbers in service.numbers.values())


def test_without_receipts_nothing_leaves_the_spool_although_the_broker_acknowledges(
    service: Receiver, start_agent: StartAgent, tmp_path: Path
) -> None:
    service.answers = False
    agent = start_agent(SIMULATED)
    eventually(lambda: len(service.heard) >= 20)
    agent.stop()
    assert pending(tmp_path) >= 20


def test_control_an_agent_that_deletes_on_acknowledgement_keeps_nothing(
    service: Receiver, start_agent: StartAgent, tmp_path: Path
) -> None:
    service.answers = False
    agent = start_agent(SIMULATED, DELETES_ON_ACKNOWLEDGEMENT)
    eventually(lambda: len(service.heard) >= 20)
    agent.stop()
    assert pending(tmp_path) <= 4


DELETES_ON_ACKNOWLEDGEMENT = """
from gateways.agent import flow
def acknowledged(self, sha256):
    flight = self.flights.of(sha256)
    if flight is not None:
        with self._spool.transaction():
            self._spool.delete([flight.span])
        self._forget(flight)
flow.Flow.acknowledged = acknowledged
"""


def lost_with_the_broker(
    broker: Mosquitto, service: Receiver, start_agent: StartAgent, tmp_path: Path, prelude: str
) -> set[tuple[str, str, int]]:
    """Readings that were taken and that the service never got, after a broker without persistence was killed."""
    agent = start_agent(SIMULATED, prelude)
    eventually(lambda: len(service.heard) >= 10)
    service.stop()  # the broker acknowledges, and keeps for the service what it will lose
    time.sleep(1.5)
    broker._process.kill()
    broker._process.wait()
    broker.start()
    service.start()
    since = len(service.heard)
    eventually(lambda: len(service.heard) >= since + 20)
    eventually(lambda: pending(tmp_path) <= 6)
    agent.stop()
    return {
        (logger, channel, seq)
        for (logger, channel, _), numbers in service.numbers.items()
        for (_, last), (first, _) in zip(numbers.ranges, numbers.ranges[1:], strict=False)
        for seq in range(last + 1, first)
    }


def test_what_a_killed_broker_had_acknowledged_and_lost_is_published_again(
    broker: Mosquitto, service: Receiver, start_agent: StartAgent, tmp_path: Path
) -> None:
    assert lost_with_the_broker(broker, service, start_agent, tmp_path, "") == set()


def test_control_an_agent_that_deletes_on_acknowledgement_loses_it(
    broker: Mosquitto, service: Receiver, start_agent: StartAgent, tmp_path: Path
) -> None:
    lost = lost_with_the_broker(broker, service, start_agent, tmp_path, DELETES_ON_ACKNOWLEDGEMENT)
    assert len(lost) >= 10


def test_a_refused_message_is_set_aside_with_its_reason_reported_and_not_sent_again(
    service: Receiver, start_agent: StartAgent, tmp_path: Path
) -> None:
    refused: list[bytes] = []

    def refuses(topic: str, payload: bytes) -> str:
        if "/lg-2/" in topic and len(refused) < 3:
            refused.append(payload)
            return "bad_value"
        return ""

    service.refuses = refuses
    agent = start_agent(SIMULATED + "[sending]\nretry_s = 0.5\n")
    eventually(lambda: len(service.heard) >= 40)
    eventually(lambda: bool(service.status) and service.status[-1]["refused"] == 3)
    alarm = next(one for one in service.status[-1]["alarms"] if one["alarm"] == "refused")
    assert alarm["problem"] == "3 readings are refused by the service and kept apart"
    agent.stop()
    assert len(set(refused)) == 3
    assert not {documents.parse(payload)["seq"] for payload in refused} & {
        one.first for one in service.heard if one.logger == "lg-2"
    }
    db = sqlite3.connect(tmp_path / "spool.db")
    rows = db.execute("SELECT seq, reason FROM refused ORDER BY seq").fetchall()
    db.close()
    assert rows == [(documents.parse(payload)["seq"], "bad_value") for payload in refused]


def test_status_is_retained_and_says_offline_after_a_kill(
    broker: Mosquitto, service: Receiver, start_agent: StartAgent
) -> None:
    agent = start_agent(SIMULATED + '[[logger]]\nid = "lg-1"\nserial = "20012345"\ninterval_s = 60\n')
    eventually(lambda: bool(service.status) and bool(service.meta))
    assert service.status[-1]["online"] is True
    assert service.meta["lg-1"] == {"v": 1, "logger": "lg-1", "serial": "20012345", "interval": 60_000}
    agent.kill()
    eventually(lambda: service.status[-1] == {"online": False})
    late = Receiver(broker.port)
    late.start(name="late")
    eventually(lambda: late.status == [{"online": False}] and "lg-1" in late.meta)
    late.stop()


def test_what_is_no_receipt_deletes_nothing_and_is_an_alarm(
    broker: Mosquitto, service: Receiver, start_agent: StartAgent
) -> None:
    agent = start_agent(SIMULATED)
    eventually(lambda: bool(service.heard))
    for payload in (b"", b"\xff", b"[]", b"{}", b'{"v":1,"at":1,"stored":[{}],"resend":[],"refused":[],"hold":0}'):
        publish(broker.port, (f"{TOPIC}/receipt", payload))
    eventually(lambda: any(one["alarms"] for one in service.status))
    assert agent.process.poll() is None
    heard = len(service.heard)
    eventually(lambda: len(service.heard) >= heard + 10)
    eventually(lambda: not service.status[-1]["alarms"])
    assert agent.log().count("alarm bad_receipt: a receipt") >= 1


def test_a_second_agent_does_not_start_with_the_same_spool(service: Receiver, start_agent: StartAgent) -> None:
    first = start_agent(SIMULATED)
    eventually(lambda: bool(service.heard))
    second = start_agent(SIMULATED)
    assert second.process.wait(10) == 3
    assert "another agent is running with" in second.log()
    assert first.process.poll() is None
