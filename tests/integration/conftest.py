"""Brokers, services and mail servers that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coldchain.ledger.ledger import Ledger
from processes import PLAIN, Inbox, Mosquitto, ServiceProcess, free_port
from service_values import PAST_REGISTRY, START_MS


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path, PLAIN)
    yield broker
    broker.stop()


MakeService = Callable[..., ServiceProcess]


@pytest.fixture
def make_service(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[MakeService]:
    """Makes services, each with a ledger that knows the registry, in a folder of its own."""
    made: list[ServiceProcess] = []

    def make(more: str = "", *, registry: str | None = PAST_REGISTRY) -> ServiceProcess:
        folder = tmp_path / f"service-{len(made)}"
        folder.mkdir()
        service = ServiceProcess(folder, mosquitto.port, f'client_id = "service-{len(made)}"\n{more}')
        made.append(service)
        if registry is not None:
            with Ledger.open(service.ledger) as ledger:
                ledger.register("registry.toml", registry, "ann", START_MS)
        return service

    yield make
    for service in made:
        if service.process.poll() is None:
            service.kill()


@pytest.fixture
def mail_port() -> int:
    return free_port()


@pytest.fixture
def inbox(mail_port: int) -> Iterator[Inbox]:
    server = Inbox(mail_port)
    yield server
    server.stop()
