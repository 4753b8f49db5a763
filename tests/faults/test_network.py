"""The network between service, gateways and broker is cut: reset, a black hole, one byte a second."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coldchain import broker as broker_module
from faults.account import settle
from faults.book import Book, MakeService
from faults.fleet import Fleet
from faults.proxy import Proxy
from faults.running import Act
from faults.senders import Gateways, come_to_rest, gateways
from faults.sizes import FULL, Size
from processes import Mosquitto

PER_S = 25
SHORT_KEEPALIVE_S = 2


@pytest.fixture
def proxies(mosquitto: Mosquitto) -> Iterator[tuple[Proxy, Proxy]]:
    """One in front of the broker for the service, one for the gateways."""
    found = Proxy(mosquitto.port), Proxy(mosquitto.port)
    yield found
    for each in found:
        each.close()


def recovered(sender: Gateways, within_s: float) -> float:
    """How long until everything that was published before now is promised [s]."""
    began = time.monotonic()
    waiting = set(sender.published)
    while not waiting <= sender.promised():
        assert time.monotonic() - began < within_s, (
            f"{len(waiting - sender.promised())} not there after {within_s:.0f} s"
        )
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.parametrize("kind", ["reset", "hole", "trickle"])
def test_a_cut_loses_nothing_and_is_over_within_the_stated_bound(
    tmp_path: Path,
    make_service: MakeService,
    proxies: tuple[Proxy, Proxy],
    size: Size,
    chance: random.Random,
    book: Book,
    kind: str,
) -> None:
    # As shipped where there is time for it; else the same with a shorter keepalive.
    acts: list[Act] = [] if size is FULL else [{"do": "patience", "keepalive_s": SHORT_KEEPALIVE_S}]
    keepalive_s = broker_module.KEEPALIVE_S if size is FULL else SHORT_KEEPALIVE_S
    longest_pause_s = broker_module.LONGEST_PAUSE_S if size is FULL else 2.0
    bound_s = 2 * keepalive_s + longest_pause_s + 10  # noticed, tried again, and published again
    cuts = size.cuts if kind == "reset" else 2
    lasts_s = {"reset": 0.0, "hole": size.hole_s, "trickle": size.trickle_s}[kind]
    count = int((lasts_s + 1.5) * cuts * PER_S) + 100
    fleet = Fleet(Fleet.loggers_for(count), chance.randrange(2**31))
    service = make_service(fleet.registry(), port=proxies[0].port)
    messages = fleet.messages(count)
    stop = threading.Event()
    service.start(*acts)
    service.connected()
    longest_s = 0.0
    with gateways(proxies[1].port, tmp_path / "journal.ndjson") as sender:

        def load() -> None:
            for one in messages:
                if stop.wait(1 / PER_S):
                    return
                sender.publish(one)

        publisher = threading.Thread(target=load)
        publisher.start()
        for number in range(cuts):
            time.sleep(chance.uniform(0.3, 0.8))
            cut = proxies[number % 2]
            if kind == "reset":
                cut.reset()
            else:
                cut.mode = "hole" if kind == "hole" else "trickle"
                time.sleep(lasts_s)
                cut.heal()
            longest_s = max(longest_s, recovered(sender, bound_s))
            book.step(number + 1, cuts)
        stop.set()
        publisher.join()
        come_to_rest(service, sender)
        account = settle(service, sender.published.values(), sender.promised())
    what = {"reset": "connections reset", "hole": "black hole", "trickle": "one byte a second"}[kind]
    note = f"each {lasts_s:.0f} s, recovered after {longest_s:.1f} s at most, bound {bound_s:.0f} s; "
    note += f"{account.messages} messages"
    book.promise("network", what, cuts, "cuts", account, note)


def test_control_a_gateway_that_forgets_what_it_has_written_to_the_network_loses_readings(
    tmp_path: Path, make_service: MakeService, proxies: tuple[Proxy, Proxy], chance: random.Random, book: Book
) -> None:
    """QoS 0: whoever does not wait for an answer cannot know."""
    fleet = Fleet(Fleet.loggers_for(100), chance.randrange(2**31))
    service = make_service(fleet.registry(), port=proxies[0].port)
    service.start()
    service.connected()
    with gateways(proxies[1].port, tmp_path / "journal.ndjson", forgets=True) as sender:
        sender.qos = 0
        proxies[1].mode = "hole"
        sender.publish(*fleet.messages(100))
        time.sleep(0.5)
        proxies[1].heal()
        come_to_rest(service, sender)
        account = settle(service, sender.published.values(), sender.promised())
    book.control("network", "QoS 0 into a black hole", 1, "cut", account, fails=account.lost > 0)
