"""What the watch makes of what it sees, with a broker that only remembers and clocks that a test sets."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from coldchain.alerts.alarm_watch import MOST_WAITING, AlarmWatch
from coldchain.broker import Arrived
from coldchain.commits import Commits
from coldchain.disk import DiskGuard
from coldchain.gateway_status import Alarm, Status, gateway_of, status_of
from coldchain.settings import Alarms, Settings
from coldchain.timeseries.projection import Lag

START_MS = 1_772_359_200_000
STATUS = "coldchain/v1/basel/gw-1/status"


@dataclass
class MemoryBroker:
    """Remembers what is announced."""

    statuses: list[Arrived] = field(default_factory=list)
    is_linked: bool = True
    announced: list[dict[str, Any]] = field(default_factory=list)

    def announce(self, _topic: str, body: bytes) -> None:
        self.announced.append(json.loads(body))


@dataclass
class Undelivered:
    """An outbox without e-mail."""

    email_waiting_since_s: float | None = None
    email_error: str = ""


@dataclass
class Projecting:
    """A projection that makes a pass whenever the test says so."""

    lag: Lag = field(default_factory=Lag)


class Watched:
    """A watch that looks once a second of a clock that starts at 0."""

    def __init__(self, projection: Projecting | None = None) -> None:
        self.broker, self.projection, self.second = MemoryBroker(), projection or Projecting(), 0
        self.moves = projection is None
        settings = Settings(alarms=Alarms())
        guard = DiskGuard(Path("coldchain.db"), 80, 95, lambda _path: 10.0)
        self.watch = AlarmWatch(
            settings,
            lambda: START_MS,
            guard=guard,
            commits=Commits(),
            broker=self.broker,  # type: ignore[arg-type]  # stands in for a Broker
            outbox=Undelivered(),  # type: ignore[arg-type]  # stands in for an Outbox
            projection=self.projection,
        )
        self.watch._moved_s = 0.0

    def look(self, seconds: int) -> None:
        for _ in range(seconds):
            self.second += 1
            if self.moves:
                self.projection.lag = Lag()
            self.watch.turn()
            self.watch.look(float(self.second), START_MS + 1000 * self.second)
        self.watch.turn()

    def hear(self, body: bytes, topic: str = STATUS) -> None:
        self.broker.statuses.append(Arrived(START_MS, topic, body))

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(each["kind"], each["state"]) for each in self.broker.announced]


def test_a_last_will_that_is_heard_again_does_not_make_the_absence_shorter() -> None:
    watched = Watched()
    watched.hear(b'{"online":true}')
    watched.look(10)
    watched.hear(b'{"online":false}')
    watched.look(200)
    watched.hear(b'{"online":false}')  # the retained one, after a reconnect of the service
    watched.look(100)
    assert watched.told == []
    watched.look(2)
    assert watched.told == [("gateway_offline", "raised")]


def test_a_broker_that_was_away_for_long_does_not_make_its_gateways_offline_at_its_return() -> None:
    watched = Watched()
    watched.hear(b'{"online":false}')  # a broker that ends sends the last wills of all
    watched.look(1)
    watched.broker.is_linked = False
    watched.look(1000)
    watched.broker.is_linked = True
    watched.look(30)
    watched.hear(b'{"online":true}')
    watched.look(600)
    assert {kind for kind, _ in watched.told} == {"broker_lost"}


def test_a_gateway_that_does_not_come_back_with_the_broker_is_told_by_its_own_bound() -> None:
    watched = Watched()
    watched.hear(b'{"online":false}')
    watched.look(1)
    watched.broker.is_linked = False
    watched.look(1000)
    watched.broker.is_linked = True
    watched.look(299)
    assert ("gateway_offline", "raised") not in watched.told
    watched.look(2)
    assert watched.told[-1] == ("gateway_offline", "raised")


def test_a_gateway_that_was_told_offline_stays_so_while_the_broker_is_away() -> None:
    watched = Watched()
    watched.hear(b'{"online":false}')
    watched.look(302)
    watched.broker.is_linked = False
    watched.look(100)
    watched.broker.is_linked = True
    watched.look(100)
    assert [change for kind, change in watched.told if kind == "gateway_offline"] == ["raised"]


def test_a_projection_that_makes_passes_is_well_and_one_that_makes_none_is_told_after_an_hour() -> None:
    moving = Watched()
    moving.look(4000)
    assert moving.told == []
    standing = Watched(Projecting())
    standing.look(3599)
    assert standing.told == []
    standing.look(2)
    assert standing.told == [("projection_stalled", "raised")]


def test_passes_that_fail_are_no_movement() -> None:
    watched = Watched(Projecting())
    for _ in range(3601):
        watched.projection.lag = Lag(error="the server is dead")
        watched.look(1)
    assert watched.told == [("projection_stalled", "raised")]
    assert watched.broker.announced[0]["details"] == ["the server is dead"]


def test_alarms_wait_for_the_broker_and_there_is_an_end_to_it() -> None:
    watched = Watched()
    watched.broker.is_linked = False
    for number in range(MOST_WAITING + 50):
        watched.hear(b'{"online":true,"alarms":[{"alarm":"a%d"}]}' % number)
        watched.look(1)
    watched.broker.is_linked = True
    watched.watch.turn()
    assert len(watched.broker.announced) == MOST_WAITING


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        (b"", None),
        (b'{"online":true}', Status(True)),
        (b'{"online":false,"at":1,"hold":false}', Status(False)),
        (b'{"online":true,"alarms":[]}', Status(True, ())),
        (
            b'{"online":true,"alarms":[{"alarm":"disk_full","since":1,"problem":"4 readings\\n are dropped"}]}',
            Status(True, (Alarm("disk_full", "4 readings are dropped"),)),
        ),
    ],
)
def test_a_status_is_understood(payload: bytes, status: Status | None) -> None:
    assert status_of(payload) == status


@pytest.mark.parametrize(
    "payload",
    [
        b"online",
        b"[]",
        b'{"online":1}',
        b'{"alarms":[]}',
        b'{"online":true,"alarms":"many"}',
        b'{"online":true,"alarms":["x"]}',
        b'{"online":true,"x":"' + bytes(20_000) + b'"}',
        b"[" * 10_000,
    ],
)
def test_what_is_no_status_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"status|alarms|unexpected|depth"):
        status_of(payload)


@pytest.mark.parametrize(
    ("topic", "gateway"),
    [
        (STATUS, "basel/gw-1"),
        ("coldchain/v1/service/status", None),
        ("coldchain/v1/basel/gw-1/receipt", None),
        ("coldchain/v1/basel/gw\n1/status", None),
        ("other/v1/basel/gw-1/status", None),
    ],
)
def test_a_status_belongs_to_a_gateway_by_its_topic(topic: str, gateway: str | None) -> None:
    assert gateway_of(topic) == gateway
