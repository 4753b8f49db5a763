"""P2 with the real agent: agent, broker and service are killed, and the service has what the loggers measured."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from faults.account import Account, settle
from faults.book import Book, MakeService
from faults.brokers import StoringBroker
from faults.fleet import Fleet, Sent
from faults.senders import eventually_still
from faults.sizes import Size
from gateway_agent import AgentProcess, written_settings
from processes import eventually
from service_values import MINUTE_MS, START_MS

FILES_EACH, ROWS, FILES_OF_A_LOGGER = 6, 20, 20
HEADER = '"#","Date Time, GMT+00:00","Temp, °C (LGR S/N: {serial}, SEN S/N: 1)"\n'
SETTINGS = """
[sending]
retry_s = 1
longest_retry_s = 4
[[source]]
kind = "folder"
folder = "drop"
every_s = 0.1
settle_s = 0.1
serials = {{ {serials} }}
"""

DELETES_ON_PUBACK = """
from gateways.agent.flow import Flow
acknowledged = Flow.acknowledged
def careless(self, sha256):
    flight = self.flights.of(sha256)
    acknowledged(self, sha256)
    if flight is not None:
        self._spool.delete([flight.span])
        self._forget(flight)
Flow.acknowledged = careless
"""


def dropped(folder: Path, number: int, chance: random.Random) -> Sent:
    """One file of a logger's software, and the same readings as a message."""
    logger, first = number // FILES_OF_A_LOGGER, number % FILES_OF_A_LOGGER * ROWS
    level = chance.choice((5000, 5000, 5000, 9000, 26_000))
    mc = [level + chance.randint(-50, 50) for _ in range(ROWS)]
    rows = []
    for row, value in enumerate(mc):
        at_s = (START_MS + (first + row) * MINUTE_MS) / 1000
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_s))
        rows.append(f"{row},{stamp},{value / 1000:.3f}\n")
    text = HEADER.format(serial=serial(logger)) + "".join(rows)
    (folder / f"{number:05}.csv").write_text(text, encoding="utf-8")
    document = {
        "v": 1,
        "logger": f"lg-{logger}",
        "t0": START_MS + first * MINUTE_MS,
        "every": MINUTE_MS,
        "mc": mc,
    }
    return Sent(number, "gw-1", f"lg-{logger}", 0, first, first + ROWS - 1, json.dumps(document).encode())


def serial(logger: int) -> str:
    return f"2001{logger:04}"


def spooled(spool: Path) -> tuple[int, int]:
    """How many readings an agent has taken, and how many of them it still keeps."""
    if not spool.exists():
        return 0, 0
    with closing(sqlite3.connect(f"{spool.as_uri()}?mode=ro", uri=True)) as db:
        if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'reading'").fetchone():
            return 0, 0
        taken = db.execute("SELECT coalesce(sum(next_seq - 1), 0) FROM channel").fetchone()[0]
        return taken, db.execute("SELECT count(*) FROM reading").fetchone()[0]


class Site:
    """A gateway's folder, its agent, the broker and the service."""

    def __init__(
        self, folder: Path, make_service: MakeService, broker: StoringBroker, files: int, prelude: str = ""
    ) -> None:
        loggers = files // FILES_OF_A_LOGGER + 1
        self.service = make_service(Fleet(loggers, 1).registry(), port=broker.port)
        self.sent: list[Sent] = []
        self.broker, self._drop = broker, folder / "drop"
        self._drop.mkdir()
        serials = ", ".join(f'"{serial(number)}" = "lg-{number}"' for number in range(loggers))
        settings = written_settings(folder, broker.port, SETTINGS.format(serials=serials))
        self.agent = AgentProcess(folder, settings, prelude)
        self.service.start()
        self.service.connected()
        self.agent.start()

    def drop(self, chance: random.Random, files: int) -> None:
        for _ in range(files):
            self.sent.append(dropped(self._drop, len(self.sent), chance))

    def start(self, victims: Collection[str]) -> None:
        """Start again what was killed."""
        if "broker" in victims:
            self.broker.start()
        if "service" in victims:
            self.service.start()
            self.service.connected()
        if "agent" in victims:
            self.agent.start()

    def settle(self, within_s: float) -> Account:
        """The account, once all has come or the time is over."""
        readings = len(self.sent) * ROWS
        try:
            eventually(lambda: self.service.readings() >= readings and not self.service.pending(), within_s)
        except AssertionError:
            print("it did not settle: the account tells")
        eventually_still(self.service)
        self.service.stop()
        account = settle(self.service, self.sent, {one.number for one in self.sent}, raw=False)
        account.uncaught += self.agent.log().count("Traceback (most recent call last)")
        return account


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path, make_service: MakeService, broker: StoringBroker) -> Iterator[MakeSite]:
    made: list[Site] = []

    def make(files: int, prelude: str = "") -> Site:
        made.append(Site(tmp_path, make_service, broker, files, prelude))
        return made[-1]

    yield make
    for site in made:
        site.agent.end()


def test_kills_of_agent_broker_and_service_lose_nothing_that_a_logger_measured(
    make_site: MakeSite, size: Size, chance: random.Random, book: Book
) -> None:
    kills = size.agent_kills
    site = make_site(kills * FILES_EACH)
    kill = {"agent": site.agent.kill, "broker": site.broker.kill, "service": site.service.kill}
    times = dict.fromkeys(kill, 0)
    for number in range(kills):
        site.drop(chance, FILES_EACH)
        time.sleep(chance.uniform(0.0, 1.5))
        victims = chance.sample(sorted(kill), chance.randint(1, 3))
        for victim in victims:
            kill[victim]()
            times[victim] += 1
        time.sleep(chance.uniform(0.0, 0.3))
        site.start(victims)
        book.step(number + 1, kills)
    account = site.settle(90)
    told = ", ".join(f"{name} {count}" for name, count in times.items())
    note = "; ".join([f"{told} times; {account.readings} readings, {account.events} events", *account.wrong])
    book.promise("P2", "SIGKILL of the real agent, broker and service", sum(times.values()), "kills", account, note)


def test_control_an_agent_that_deletes_on_puback_loses_readings(
    tmp_path: Path, make_site: MakeSite, chance: random.Random, book: Book
) -> None:
    site = make_site(FILES_EACH, DELETES_ON_PUBACK)
    site.service.kill()
    site.drop(chance, FILES_EACH)
    eventually(lambda: spooled(tmp_path / "spool.db") == (FILES_EACH * ROWS, 0))  # all taken, all deleted
    site.broker.kill()
    site.start(("broker", "service"))
    account = site.settle(6)
    book.control("P2", "an agent that deletes on PUBACK", 1, "kill", account, fails=account.lost > 0)
