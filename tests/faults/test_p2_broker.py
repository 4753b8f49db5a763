"""P2: the broker is killed too. Its acknowledgement promises nothing; what a receipt names is never lost."""

from __future__ import annotations

import random
import time
from pathlib import Path

from faults.account import settle
from faults.book import Book, MakeService
from faults.brokers import StoringBroker
from faults.fleet import Fleet
from faults.senders import come_to_rest, gateways
from faults.sizes import Size

MESSAGES_EACH = 60


def test_kills_of_broker_and_service_lose_nothing_that_a_receipt_names(
    tmp_path: Path, broker: StoringBroker, make_service: MakeService, size: Size, chance: random.Random, book: Book
) -> None:
    count = size.broker_kills * MESSAGES_EACH
    fleet = Fleet(Fleet.loggers_for(count), chance.randrange(2**31))
    service = make_service(fleet.registry(), port=broker.port)
    messages = fleet.messages(count)
    kills_of_service = 0
    service.start()
    service.connected()
    with gateways(broker.port, tmp_path / "journal.ndjson") as sender:
        for number in range(size.broker_kills):
            sender.publish(*(next(messages) for _ in range(MESSAGES_EACH)), pause_s=chance.choice((0.0, 0.002, 0.005)))
            time.sleep(chance.uniform(0.0, 0.3))
            is_service_too = chance.random() < 0.5
            if is_service_too and chance.random() < 0.5:
                service.kill()
            broker.kill()
            if is_service_too:
                service.kill()
                kills_of_service += 1
            time.sleep(chance.uniform(0.0, 0.3))
            broker.start()
            if is_service_too:
                service.start()
                service.connected()
            book.step(number + 1, size.broker_kills)
            time.sleep(chance.choice((0.0, 1.5)))
        come_to_rest(service, sender)
        account = settle(service, sender.published.values(), sender.promised())
        forgotten = len(sender.published.keys() - sender.receipted)
    if forgotten:
        account.wrong.append(f"{forgotten} messages never got a receipt")
    note = f"{kills_of_service} of them with the service; {account.messages} messages, {account.readings} readings"
    book.promise("P2", "SIGKILL of the broker, with or without the service", size.broker_kills, "kills", account, note)


def test_control_a_gateway_that_forgets_what_the_broker_has_taken_loses_readings(
    tmp_path: Path, broker: StoringBroker, make_service: MakeService, chance: random.Random, book: Book
) -> None:
    count = 2 * MESSAGES_EACH
    fleet = Fleet(Fleet.loggers_for(count), chance.randrange(2**31))
    service = make_service(fleet.registry(), port=broker.port)
    messages = fleet.messages(count)
    service.start()
    service.connected()
    with gateways(broker.port, tmp_path / "journal.ndjson", forgets=True) as sender:
        for _ in range(2):
            service.kill()
            sender.publish(*(next(messages) for _ in range(MESSAGES_EACH)))
            until = time.monotonic() + 10
            while not sender.settled() and time.monotonic() < until:
                time.sleep(0.01)
            broker.kill()
            broker.start()
            service.start()
            service.connected()
        come_to_rest(service, sender)
        account = settle(service, sender.published.values(), sender.promised())
    book.control("P2", "gateways that forget on PUBACK", 2, "kills", account, fails=account.lost > 0)
