"""A foreign gateway at a real broker: an edge node is asked for its births, answers, and what waited is read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from coldchain.ledger import queries
from processes import Mosquitto, ServiceProcess, eventually
from sparkplug_values import UINT64, metric, parsed, payload

MakeService = Callable[..., ServiceProcess]

TOPICS = 'topics = ["coldchain/v1/+/+/+/readings", "spBv1.0/#", "senml/#"]\n'


class EdgeNode:
    """A node that sends by alias and answers a request for its births, as Sparkplug demands."""

    def __init__(self, port: int) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._subscribed = threading.Event()
        self.requests = 0
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _data, message: self._asked(bytes(message.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe("spBv1.0/basel/NCMD/gw-1", 1)
        assert self._subscribed.wait(10)

    def say(self, kind: str, body: bytes) -> None:
        self._client.publish(f"spBv1.0/basel/{kind}/gw-1", body, qos=0).wait_for_publish(10)

    def _asked(self, body: bytes) -> None:
        (command,) = parsed(body).metrics
        assert (command.name, command.boolean_value) == ("Node Control/Rebirth", True)
        self.requests += 1
        air = metric("Air", 6.0, unit="C", alias=1)
        self._client.publish(
            "spBv1.0/basel/NBIRTH/gw-1", payload(now_ms(), 0, metric("bdSeq", 1, datatype=UINT64), air), qos=0
        )

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # paho closes its inner sockets when a client is freed: no circle may keep it until the collector comes
        self._client.on_message = self._client.on_subscribe = None


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def node(mosquitto: Mosquitto) -> Iterator[EdgeNode]:
    made = EdgeNode(mosquitto.port)
    yield made
    made.stop()


def stored(service: ServiceProcess) -> dict[int, int]:
    """Temperature by instant of everything that is no fault."""
    with queries.reading(service.ledger) as connection:
        batches = list(queries.batches(connection))
    assert {batch.key for batch in batches} <= {("basel:gw-1", "Air")}
    pairs = (zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True) for batch in batches)
    return {at: mc for batch in pairs for at, mc in batch if mc > -100_000}


def test_an_edge_node_is_asked_for_its_births_and_a_crash_forgets_no_alias(
    make_service: MakeService, node: EdgeNode
) -> None:
    service = make_service(TOPICS)
    service.start()
    first_ms = now_ms()
    node.say("NDATA", payload(first_ms, 7, metric("", 5.0, alias=1)))
    eventually(lambda: len(stored(service)) >= 2)
    assert node.requests == 1
    assert (stored(service)[first_ms], 6000 in stored(service).values()) == (5000, True)

    service.kill()
    service.start()
    second_ms = now_ms()
    node.say("NDATA", payload(second_ms, 1, metric("", 6.5, alias=1)))
    eventually(lambda: second_ms in stored(service))
    assert (stored(service)[second_ms], node.requests) == (6500, 1)
