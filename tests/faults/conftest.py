"""How much, by which seed, and where the figures go: `--full`, `--seed N`, `--figures FILE`."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.book import Book, MakeService
from faults.brokers import StoringBroker
from faults.running import Service
from faults.sizes import FULL, SHORT, Size
from faults.zygote import Zygote
from processes import PLAIN, Mosquitto


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--full", action="store_true", help="the full numbers, most of an hour")
    group.addoption("--seed", type=int, default=None, help="of everything random, to repeat a run")
    group.addoption("--figures", type=Path, default=None, help="write what was found into this file, one JSON a line")


def _option(request: pytest.FixtureRequest, name: str, default: object) -> object:
    # `make test` collects this folder with others, where pytest reads these options too late to know them
    return request.config.getoption(name, default)


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> Size:
    return FULL if _option(request, "--full", False) else SHORT


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given = _option(request, "--seed", None)
    found = given if isinstance(given, int) else secrets.randbelow(10**9)
    print(f"seed {found}")
    return found


@pytest.fixture
def chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 (no secret)


@pytest.fixture
def book(request: pytest.FixtureRequest, seed: int) -> Book:
    path = _option(request, "--figures", None)
    return Book(path if isinstance(path, Path) else None, request.node.name, seed)


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    found = Zygote()
    yield found
    found.close()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path, PLAIN)
    yield broker
    broker.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[StoringBroker]:
    """One that keeps its sessions on disk, as it is shipped."""
    found = StoringBroker(tmp_path / "broker")
    yield found
    found.stop()


@pytest.fixture
def make_service(tmp_path: Path, request: pytest.FixtureRequest, zygote: Zygote) -> Iterator[MakeService]:
    """Makes services over ledgers that know a registry, each in a folder of its own."""
    made: list[Service] = []

    def make(
        registry: str, more: str = "", *, port: int | None = None, folder: Path | None = None, log: Path | None = None
    ) -> Service:
        name = f"service-{len(made)}"
        more = f'client_id = "{name}"\n{more}'
        found = Service(
            folder or tmp_path / name, port or request.getfixturevalue("mosquitto").port, zygote, registry, more, log
        )
        made.append(found)
        return found

    yield make
    for service in made:
        if service.pid:
            service.kill()
