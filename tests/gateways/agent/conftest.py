"""What the agent's tests share: a broker, a service, the agent as a process, a spool; all ended afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway_agent import AgentProcess, Receiver, written_settings
from gateways.agent.settings import MIB, Store
from gateways.agent.spool import Spool
from processes import PLAIN, Mosquitto


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

    def open_(
        *, max_bytes: int = 1024 * MIB, keep_free_bytes: int = 0, free_bytes: int = 1, gateway: str = "gw-1"
    ) -> Spool:
        for spool in opened:
            spool.close()
        opened.clear()
        store = Store(tmp_path / "spool.db", max_bytes, keep_free_bytes)
        spool = Spool(store, "basel", gateway, lambda: 1_760_000_000_000, lambda _: 7, lambda: free_bytes)
        opened.append(spool)
        return spool

    yield open_
    for spool in opened:
        spool.close()
