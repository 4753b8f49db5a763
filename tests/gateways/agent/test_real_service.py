"""The agent and the service itself, with kills of both: what the agent took is in the ledger, and in no spool."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway_agent import ROOT, AgentProcess
from gateways.decoders import decode
from processes import Mosquitto, ServiceProcess, eventually

StartAgent = Callable[..., AgentProcess]

SIMULATED = """
[[source]]
kind = "simulated"
loggers = ["lg-1", "lg-2"]
every_s = 0.1
[sending]
retry_s = 1
"""


def query(path: Path, text: str) -> list[tuple[object, ...]]:
    db = sqlite3.connect(path)
    try:
        return db.execute(text).fetchall()
    finally:
        db.close()


def test_after_kills_of_both_everything_taken_is_in_the_ledger(
    broker: Mosquitto, start_agent: StartAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "service").mkdir()
    service = ServiceProcess(tmp_path / "service", broker.port)
    service.start()
    agent = start_agent(SIMULATED)
    try:
        for _ in range(2):
            time.sleep(1)
            service.kill()
            time.sleep(1)
            agent.kill()
            agent.start()
            service.start()
        time.sleep(1)
        agent.stop()
        spool = tmp_path / "spool.db"
        ends = query(spool, "SELECT logger, next_seq FROM channel")
        taken = {(str(logger), seq) for logger, end in ends for seq in range(1, int(str(end)))}
        agent.start()
        newest = max(seq for _, seq in taken)
        eventually(lambda: int(str(query(spool, "SELECT coalesce(min(seq), 1 << 40) FROM reading")[0][0])) > newest)
    finally:
        agent.end()
        service.stop()
    stored = set()
    for topic, payload in query(service.ledger, "SELECT topic, payload FROM message WHERE topic LIKE '%/readings'"):
        assert isinstance(payload, bytes)
        for batch in decode(str(topic), payload, 2**42):
            assert batch.seq is not None
            stored |= {(batch.logger, batch.seq + i) for i in range(len(batch))}
    assert len(taken) > 40
    assert taken <= stored
