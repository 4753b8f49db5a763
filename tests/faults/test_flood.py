"""A flood from one gateway does not delay the readings of the others."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from faults.account import Account
from faults.book import Book, MakeService
from faults.brokers import StoringBroker
from faults.sizes import Size
from faults.zygote import ENVIRONMENT
from processes import eventually
from service_values import PAST_REGISTRY, START_MS

OTHERS, PAUSE_S, BOUND_S = 20, 0.025, 5.0
NO_LIMIT = "[gateways]\nmessages_per_s = 100000\nburst = 1000000\n"


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


def flooded(
    make_service: MakeService, broker: StoringBroker, size: Size, more: str = ""
) -> tuple[Account, float, float]:
    """The account of a flood, and the median and 99th percentile of the others' delays [s]."""
    service = make_service(PAST_REGISTRY, more, port=broker.port)
    service.start()
    service.connected()
    others = Others(broker.port)
    command = [sys.executable, "-m", "faults.flooder", str(broker.port), str(size.flood_per_s), str(size.flood_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as wild:
        assert wild.stdout is not None
        assert wild.stdout.readline() == "connected\n"
        sent = others.send_for(size.flood_s)
        assert wild.wait(300) == 0
    flood = size.flood_per_s * size.flood_s
    eventually(lambda: not others.waiting(), 300)
    eventually(lambda: service.readings() == sent + flood and not service.pending(), 600)
    delays_s = sorted(others.delays_s)
    others.close()
    service.stop()
    account = Account(messages=sent + flood, readings=service.readings(), uncaught=service.uncaught)
    account.lost = sent + flood - account.readings
    return account, delays_s[len(delays_s) // 2], delays_s[len(delays_s) * 99 // 100]


def test_the_readings_of_others_are_stored_within_seconds_while_one_gateway_floods(
    make_service: MakeService, broker: StoringBroker, size: Size, book: Book
) -> None:
    account, middle_s, late_s = flooded(make_service, broker, size)
    if late_s > BOUND_S:
        account.wrong.append(f"others waited {late_s:.1f} s (99th percentile)")
    note = f"others: median {middle_s:.2f} s, 99th percentile {late_s:.2f} s (bound {BOUND_S:.0f} s)"
    book.promise("flood", f"for {size.flood_s} s from one gateway", size.flood_per_s, "messages/s", account, note)


def test_without_a_limit_they_wait_behind_the_flood(
    make_service: MakeService, broker: StoringBroker, size: Size, book: Book
) -> None:
    account, middle_s, late_s = flooded(make_service, broker, size, NO_LIMIT)
    note = f"others: median {middle_s:.2f} s, 99th percentile {late_s:.2f} s"
    book.control("flood", "no limit for a gateway", size.flood_per_s, "messages/s", account, fails=True, note=note)
