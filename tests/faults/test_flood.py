"""A flood from one gateway does not delay the readings of the others."""

from __future__ import annotations

import json
import threading
import time

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import raw_publisher
from faults.account import Account
from faults.book import Book, MakeService
from faults.brokers import StoringBroker
from faults.running import Act, Service
from faults.sizes import SHORT, Size
from processes import eventually
from service_values import PAST_REGISTRY, START_MS

OTHERS, PAUSE_S, BOUND_S = 20, 0.025, 5.0


class Others:
    """Gateways that send a reading each now and then, and note how long its receipt takes."""

    def __init__(self, port: int) -> None:
        self._sent: dict[tuple[str, int], float] = {}
        self._lock = threading.Lock()
        self.delays_s: list[float] = []
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(0)
        self._client.on_message = self._on_receipt
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([(f"coldchain/v1/basel/gw-{number}/receipt", 1) for number in range(OTHERS)])
        self._client.loop_start()

    def _on_receipt(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        now_s = time.monotonic()
        for entry in json.loads(message.payload)["stored"]:
            ranges = [[entry["first"], entry["seq"]], *entry["above"]]
            with self._lock:
                covered = [
                    key
                    for key in self._sent
                    if key[0] == entry["logger"] and any(first <= key[1] <= last for first, last in ranges)
                ]
                self.delays_s += [now_s - self._sent.pop(key) for key in covered]

    def send_for(self, seconds: float) -> int:
        """How many were sent."""
        until_s, number = time.monotonic() + seconds, 0
        while time.monotonic() < until_s:
            logger, turn = f"lg-{number % OTHERS}", number // OTHERS
            document = {"v": 1, "logger": logger, "boot": 1, "seq": turn, "t0": START_MS + turn * 1000, "mc": [5000]}
            with self._lock:
                self._sent[logger, turn] = time.monotonic()
            topic = f"coldchain/v1/basel/gw-{number % OTHERS}/{logger}/readings"
            self._client.publish(topic, json.dumps(document), qos=1)
            number += 1
            time.sleep(PAUSE_S)
        return number

    def waiting(self) -> int:
        with self._lock:
            return len(self._sent)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def flood(per_s: int, seconds: int) -> list[bytes]:
    """What the gateway gone wild publishes: small messages, one reading each."""
    documents = (
        {"v": 1, "logger": "lg-wild", "boot": 1, "seq": number, "t0": START_MS + number * 1000, "mc": [5000]}
        for number in range(per_s * seconds)
    )
    topic = "coldchain/v1/basel/gw-wild/lg-wild/readings"
    return [
        raw_publisher.message(number, topic, json.dumps(document).encode()) for number, document in enumerate(documents)
    ]


def flooded(port: int, size: Size) -> tuple[Others, int]:
    """Other gateways in a flood, and how many messages they sent; each has been given the bound to be receipted."""
    others = Others(port)
    packets = flood(size.flood_per_s, size.flood_s)
    wild = raw_publisher.started(port, packets, size.flood_per_s)
    sent = others.send_for(size.flood_s)
    until_s = time.monotonic() + BOUND_S
    while others.waiting() and time.monotonic() < until_s:
        time.sleep(0.05)
    wild.join(300)
    assert wild.exitcode == 0, "the broker has not taken the flood"
    return others, sent


def accounted(service: Service, broker: StoringBroker, size: Size) -> tuple[Account, str]:
    """What became of a flood and of the others in it, and how long they waited."""
    others, sent = flooded(broker.port, size)
    eventually(lambda: not others.waiting(), 300)
    whole = sent + size.flood_per_s * size.flood_s
    eventually(lambda: service.readings() == whole and not service.pending(), 600)
    delays_s = sorted(others.delays_s)
    others.close()
    service.stop()
    account = Account(messages=whole, readings=service.readings(), uncaught=service.uncaught)
    account.lost = whole - account.readings
    middle_s, late_s = delays_s[len(delays_s) // 2], delays_s[len(delays_s) * 99 // 100]
    if late_s > BOUND_S:
        account.wrong.append(f"others waited {late_s:.1f} s (99th percentile)")
    return account, f"others: median {middle_s:.2f} s, 99th percentile {late_s:.2f} s (bound {BOUND_S:.0f} s)"


def started(make_service: MakeService, broker: StoringBroker, more: str = "", *acts: Act) -> Service:
    service = make_service(PAST_REGISTRY, more, port=broker.port)
    service.start(*acts)
    service.connected()
    return service


def test_the_readings_of_others_are_stored_within_seconds_while_one_gateway_floods(
    make_service: MakeService, broker: StoringBroker, size: Size, book: Book
) -> None:
    account, note = accounted(started(make_service, broker), broker, size)
    book.promise("flood", f"for {size.flood_s} s from one gateway", size.flood_per_s, "messages/s", account, note)


SLOW: Act = {"do": "slow_machine", "seconds": 0.002}
"""A machine that reads 500 messages a second at the most."""


def test_they_are_on_a_machine_that_is_too_slow_for_the_flood(
    make_service: MakeService, broker: StoringBroker, book: Book
) -> None:
    account, note = accounted(started(make_service, broker, "[gateways]\nburst = 200\n", SLOW), broker, SHORT)
    book.promise("flood", "the same on a slow machine", SHORT.flood_per_s, "messages/s", account, note)


def test_without_a_limit_they_wait_behind_the_flood_there(
    make_service: MakeService, broker: StoringBroker, book: Book
) -> None:
    unlimited = "[gateways]\nmessages_per_s = 100000\nburst = 1000000\n"
    service = started(make_service, broker, unlimited, SLOW)
    others, sent = flooded(broker.port, SHORT)
    waiting = others.waiting()
    others.close()
    service.kill()
    note = f"{waiting} of {sent} messages of others not there {BOUND_S:.0f} s after the last"
    late = waiting > sent // 100
    book.control("flood", "no limit", SHORT.flood_per_s, "messages/s", Account(), fails=late, note=note)
