"""What the agent's tests share: a broker, a service, the agent as a process, a spool; all ended afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gateway_agent import AgentProcess, Receiver, written_settings
from processes import PLAIN, Mosquitto

from gateways.agent.settings import Store
from gateways.agent.spool import Spool


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Without persistence, as Mosquitto is by default."""
    started = Mosquitto(tmp_path, PLAIN)
    yield started
    started.stop()


@pytest.fixture
def service(broker: Mosquitto) -> Iterator[Receiver]:
    receiver = Receiver(broker.port)
    receiver.start()
    yield receiver
    receiver.stop()
    assert receiver.problem is None, receiver.problem


StartAgent = Callable[..., AgentProcess]


@pytest.fixture
def start_agent(tmp_path: Path, broker: Mosquitto) -> Iterator[StartAgent]:
    """Starts the agent with these lines in its settings file."""
    started: list[AgentProcess] = []

    def start(more: str, prelude: str = "") -> AgentProcess:
        agent = AgentProcess(tmp_path, written_settings(tmp_path, broker.port, more), prelude)
        agent.start()
        started.append(agent)
        return agent

    yield start
    for agent in started:
        agent.end()


@pytest.fixture
def open_spool(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    """Opens the spool of this test, again and again if asked to."""
    opened: list[Spool] = []

    def open_(**changes: object) -> Spool:
        for spool in opened:
            spool.close()
        opened.clear()
        store = Store(
            tmp_path / "spool.db",
            **{name: changes[name] for name in ("max_bytes", "keep_free_bytes") if name in changes},
        )  # type: ignore[arg-type]
        free_bytes = changes.get("free_bytes", shutil.disk_usage(tmp_path).free)
        bits = changes.get("bits", 7)
        now_ms = changes.get("now_ms", 1_760_000_000_000)
        spool = Spool(
            store, "basel", str(changes.get("gateway", "gw-1")), lambda: now_ms, lambda _: bits, lambda: free_bytes
        )  # type: ignore[arg-type, return-value]
        opened.append(spool)
        return spool

    yield open_
    for spool in opened:
        spool.close()
