"""Gateways under test, and the journal of all they did."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from faults.fleet import Sent
from faults.running import Service
from processes import eventually


class Gateways:
    """Publishers after the contract of receipts, and a journal of all they did, which is what the account goes by.

    A message is kept until a receipt covers it, and published again if none comes for a while; with `forgets` it is
    gone once the broker has taken it: what a gateway must not do.
    """

    AGAIN_S = 3.0

    def __init__(self, port: int, journal: Path, *, forgets: bool = False, client_id: str = "gateways") -> None:
        self._port, self._forgets = port, forgets
        self._journal = journal.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.RLock()
        self._kept: dict[int, Sent] = {}
        self._unreceipted: dict[int, Sent] = {}
        self._published_at: dict[int, float] = {}
        self._mids: dict[int, int] = {}
        self._answered: set[int] = set()
        self.receipts, self.qos = 0, 1
        self.published: dict[int, Sent] = {}
        self.taken: set[int] = set()
        self.receipted: set[int] = set()
        self.refused: list[dict[str, Any]] = []
        self.holds = False
        self._stopped = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id, clean_session=False)
        self._client.max_inflight_messages_set(1000)
        self._client.max_queued_messages_set(0)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("coldchain/v1/basel/+/receipt", 1)
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port, keepalive=10)
        self._client.loop_start()
        self._again = threading.Thread(target=self._publish_again, daemon=True)
        self._again.start()

    def publish(self, *messages: Sent, pause_s: float = 0.0) -> None:
        """Hand messages over, each for the first time."""
        for one in messages:
            with self._lock:
                self._kept[one.number] = self._unreceipted[one.number] = one
                self.published[one.number] = one
                self._note("published", one.number)
            self._send(one)
            if pause_s:
                time.sleep(pause_s)

    def repeat(self, *messages: Sent) -> None:
        """Send messages once more, as a device does that has not heard the answer."""
        for one in messages:
            self._send(one)

    def settled(self) -> bool:
        """Whether everything published is promised: receipted, or by gateways that forget, taken by the broker."""
        with self._lock:
            return self.promised() >= self.published.keys()

    def promised(self) -> set[int]:
        """The messages that must not be lost."""
        with self._lock:
            return self.taken | self.receipted if self._forgets else set(self.receipted)

    def close(self) -> None:
        self._stopped.set()
        self._again.join()
        self._client.disconnect()
        self._client.loop_stop()
        self._journal.close()

    def _send(self, one: Sent) -> None:
        # not under the lock: the client has one of its own, which its callbacks hold
        mid = self._client.publish(one.topic, one.payload, qos=self.qos).mid
        with self._lock:
            self._published_at[one.number] = time.monotonic()
            if mid in self._answered:
                self._answered.discard(mid)
                self._take(one.number)
            else:
                self._mids[mid] = one.number

    def _take(self, number: int) -> None:
        if number not in self.taken:
            self.taken.add(number)
            self._note("taken", number)
        if self._forgets:
            self._kept.pop(number, None)

    def _note(self, what: str, number: int) -> None:
        self._journal.write(f'{{"{what}":{number}}}\n')

    def _on_publish(self, _client: Client, _data: Any, mid: int, *_: Any) -> None:
        with self._lock:
            number = self._mids.pop(mid, None)
            if number is None:
                self._answered.add(mid)  # before `publish` returned
            else:
                self._take(number)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        receipt = json.loads(message.payload)
        gateway = message.topic.split("/")[3]
        again: list[Sent] = []
        with self._lock:
            self.receipts += 1
            self.holds = receipt["hold"]
            self.refused += receipt["refused"]
            for entry in receipt["stored"]:
                ranges = [(entry["first"], entry["seq"]), *map(tuple, entry["above"])]
                self._strike_off(gateway, entry["logger"], entry["boot"], ranges)
            for entry in receipt["resend"] if not self._forgets else ():
                again += [
                    one
                    for one in self._kept.values()
                    if (one.gateway, one.logger, one.boot) == (gateway, entry["logger"], entry["boot"])
                    and one.first <= entry["to"]
                    and one.last >= entry["from"]
                    and time.monotonic() - self._published_at.get(one.number, 0.0) > 1.0
                ]
        for one in again:
            self._send(one)

    def _strike_off(self, gateway: str, logger: str, boot: int, ranges: Iterable[tuple[int, int]]) -> None:
        covered = list(ranges)
        for number, one in list(self._unreceipted.items()):
            if (one.gateway, one.logger, one.boot) == (gateway, logger, boot) and any(
                first <= one.first and one.last <= last for first, last in covered
            ):
                del self._unreceipted[number]
                self._kept.pop(number, None)
                self.receipted.add(number)
                self._note("receipted", number)

    def _publish_again(self) -> None:
        while not self._stopped.wait(0.5):
            if self._forgets or self.holds:
                continue
            with self._lock:
                due = [
                    one
                    for number, one in self._kept.items()
                    if time.monotonic() - self._published_at.get(number, time.monotonic()) > self.AGAIN_S
                ]
            for one in due[:500]:
                self._send(one)


@contextmanager
def gateways(port: int, journal: Path, **more: Any) -> Iterator[Gateways]:
    found = Gateways(port, journal, **more)
    try:
        yield found
    finally:
        found.close()


def come_to_rest(service: Service, sender: Gateways, within_s: float = 120.0) -> None:
    """Wait until the service has taken all that will come, and end it."""
    try:
        eventually(lambda: sender.settled() and service.pending() == 0, within_s)
    except AssertionError:
        print("it did not settle: the account tells")
    eventually_still(service)
    service.stop()


def eventually_still(service: Service) -> None:
    """Wait until no reading has come for half a second."""
    before, since = service.readings(), time.monotonic()
    until = since + 120
    while time.monotonic() - since < 0.5 and time.monotonic() < until:
        time.sleep(0.1)
        if (now := service.readings()) != before:
            before, since = now, time.monotonic()


def forget_session(port: int, *client_ids: str) -> None:
    """Let the broker forget what it keeps for clients that will not come back."""
    for client_id in client_ids:
        client = Client(CallbackAPIVersion.VERSION2, client_id, clean_session=True)
        done = threading.Event()
        client.on_connect = lambda *_, done=done: done.set()
        client.connect("127.0.0.1", port)
        client.loop_start()
        assert done.wait(10)
        client.disconnect()
        client.loop_stop()
