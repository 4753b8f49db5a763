"""P1: the service is killed at random moments under load, and nothing is lost, doubled or judged otherwise."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

from faults.account import Account, settle
from faults.book import Book, MakeService
from faults.fleet import Fleet, Sent
from faults.running import Act, Service
from faults.senders import Gateways, come_to_rest, gateways
from faults.sizes import Size
from processes import Mosquitto

MESSAGES_EACH = 30
"""Published during each life of the service."""

COLD_EVERY = 50
STEPS_OF_A_COMMIT = 120
MOST_ROUNDS = 30
"""Of the control, which ends with the first that loses something."""


def a_life(service: Service, chance: random.Random, number: int, acts: list[Act]) -> None:
    """Start it and kill it: while it loads, after it has connected, or at a step of its commits."""
    is_cold = number % COLD_EVERY == COLD_EVERY - 1
    when = chance.random()
    at_step: list[Act] = [{"do": "die_at_step", "step": chance.randint(1, STEPS_OF_A_COMMIT)}] if when < 0.4 else []
    service.start(*acts, *at_step, cold=is_cold)
    if when < 0.4:
        until = time.monotonic() + (8.0 if is_cold else 1.5)
        while service.ended() is None and time.monotonic() < until:
            time.sleep(0.01)
    elif when < 0.55:
        time.sleep(chance.uniform(0.0, 3.0 if is_cold else 0.2))
    else:
        service.connected()
        time.sleep(chance.uniform(0.0, 0.4))
    service.kill()


def load(sender: Gateways, messages: list[Sent], again: list[Sent]) -> None:
    """Publish messages, then some of them once more."""
    sender.publish(*messages, pause_s=0.004)
    sender.repeat(*again)


def lives(
    service: Service, sender: Gateways, messages: list[Sent], chance: random.Random, kills: int, book: Book, *acts: Act
) -> None:
    """Publish all the messages, some twice, while the service dies `kills` times."""
    share = len(messages) // kills + 1
    publisher: threading.Thread | None = None
    for number in range(kills):
        now = messages[number * share : (number + 1) * share]
        again = chance.sample(now, len(now) // 15)
        if publisher is not None:
            publisher.join()
        publisher = threading.Thread(target=load, args=(sender, now, again))
        publisher.start()
        a_life(service, chance, number, list(acts))
        if number % 25 == 24:
            # a clean end now and then leaves a checkpoint, from which the next starts begin
            service.start(*acts)
            service.connected()
            service.stop()
        book.step(number + 1, kills)
    assert publisher is not None
    publisher.join()


def killed(
    folder: Path,
    make_service: MakeService,
    broker: Mosquitto,
    chance: random.Random,
    kills: int,
    book: Book,
    *acts: Act,
) -> tuple[Service, Account]:
    """The account after so many kills."""
    count = kills * MESSAGES_EACH
    fleet = Fleet(Fleet.loggers_for(count), chance.randrange(2**31))
    service = make_service(fleet.registry())
    journal = folder / "journal.ndjson"
    service.start()  # so that the broker keeps a session for it
    service.connected()
    service.stop()
    with gateways(broker.port, journal, forgets=True) as sender:
        lives(service, sender, list(fleet.messages(count)), chance, kills, book, *acts)
        service.start()
        service.connected()
        come_to_rest(service, sender)
        return service, settle(service, sender.published.values(), sender.promised())


def test_kills_under_load_lose_nothing_double_nothing_and_change_no_verdict(
    tmp_path: Path, mosquitto: Mosquitto, make_service: MakeService, size: Size, chance: random.Random, book: Book
) -> None:
    service, account = killed(tmp_path, make_service, mosquitto, chance, size.kills, book)
    note = f"{account.messages} messages, {account.readings} readings, {account.events} events"
    assert service.ends[-9] >= size.kills
    book.promise("P1", "SIGKILL of the service under load", service.ends[-9], "kills", account, note)


def test_control_a_service_that_acknowledges_before_the_commit_loses_readings(
    tmp_path: Path, mosquitto: Mosquitto, make_service: MakeService, size: Size, chance: random.Random, book: Book
) -> None:
    kills = 0
    for number in range(MOST_ROUNDS):  # a commit is so short that a few kills may all miss it
        folder = tmp_path / f"round-{number}"
        folder.mkdir()
        act: Act = {"do": "acknowledges_first"}
        service, account = killed(folder, make_service, mosquitto, chance, size.control_kills, book, act)
        kills += service.ends[-9]
        if account.lost:
            break
    book.control("P1", "acknowledges before the commit", kills, "kills", account, fails=account.lost > 0)
