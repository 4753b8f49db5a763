"""From what arrives to what is committed: each message with its readings, or the reason why it has none, or put back
because its gateway sends more than its share."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from coldchain.admission import Admission, admission
from coldchain.broker import Arrived
from coldchain.errors import RejectedPayload
from coldchain.ledger.entries import Message, Waiting, unstorable
from coldchain.readings import ReadingBatch
from coldchain.receipts import gateway_of
from coldchain.registry import Registry
from coldchain.throttle import Throttle
from gateways.decoders import Decoded, Decoder, Node, NodeKey, Request, decoder, node_key

MOST_TOPICS = 20_000
"""Topics of which it is remembered whose they are and who may speak on them."""

STALE = "a retained message is not a fresh reading"
NOTHING = Decoded(())


class Portion(NamedTuple):
    """What one commit writes of what has arrived, and what follows from it afterwards.

    `waiting`: messages to be read later; `waited`: those among `messages` that have waited till now. `nodes`: what edge
    nodes have said by then. `requests`: what to publish.
    """

    messages: tuple[Message, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    waited: tuple[Waiting, ...] = ()
    nodes: Mapping[NodeKey, Node] = {}
    requests: tuple[Request, ...] = ()


class Intake:
    """Reads messages, with what edge nodes have said before and how much each gateway has sent of late."""

    def __init__(self, reader: Decoder, throttle: Throttle) -> None:
        self._reader, self._throttle = reader, throttle
        self._registry: Registry | None = None
        self._admissions: dict[tuple[str, ...], Admission] = {}
        self.nodes: dict[NodeKey, Node] = {}

    def know(self, nodes: Mapping[NodeKey, Node]) -> None:
        """What edge nodes have said, now that it is stored."""
        self.nodes.update(nodes)

    def read(self, arrived: Iterable[Arrived], registry: Registry, now_s: float) -> Portion:
        """Messages at a monotonic instant [s]: those within their gateway's limit are read, the others put back."""
        within, beyond = [], []
        for one in arrived:
            sender = None if one.topic is None or one.is_retained else _sender(one.topic)
            if sender is None or self._throttle.admits(sender, now_s):
                within.append(one)
            else:
                beyond.append(Waiting(None, sender, one.received_ms, one.topic or "", one.payload))
        return self._read(within, registry)._replace(waiting=tuple(beyond))

    def read_waiting(self, waiting: tuple[Waiting, ...], registry: Registry) -> Portion:
        """Messages that were put back, as they arrived."""
        arrived = (Arrived(one.received_ms, one.topic, one.payload) for one in waiting)
        return self._read(arrived, registry)._replace(waited=waiting)

    def _read(self, arrived: Iterable[Arrived], registry: Registry) -> Portion:
        changed: dict[NodeKey, Node] = {}
        known = ChainMap(changed, self.nodes)
        messages: list[Message] = []
        requests: list[Request] = []
        for one in arrived:
            message, found = heard(one, self._reader, known)
            messages.append(self._admitted(message, registry) if message.batches else message)
            if found.nodes:
                changed.update(found.nodes)
            requests.extend(found.requests)
        return Portion(tuple(messages), nodes=changed, requests=tuple(requests))

    def _admitted(self, message: Message, registry: Registry) -> Message:
        """The message, without its readings if the registry does not let them in, or with what is odd about them."""
        received_ms, topic, payload, batches, reason, before, source = message
        said = self._admission(topic, batches, registry)
        if said.refused is not None:
            reason, detail = said.refused
            return Message(received_ms, topic, payload, (), reason, detail, source)
        if said.flags:
            detail = "; ".join((before, *said.flags) if before else said.flags)
            return Message(received_ms, topic, payload, batches, reason, detail, source)
        return message

    def _admission(self, topic: str, batches: tuple[ReadingBatch, ...], registry: Registry) -> Admission:
        """What the registry says, asked once for each topic and the loggers that speak on it."""
        if registry is not self._registry or len(self._admissions) >= MOST_TOPICS:
            self._registry, self._admissions = registry, {}
        who = (topic, batches[0].logger) if len(batches) == 1 else (topic, *{batch.logger for batch in batches})
        if who not in self._admissions:
            self._admissions[who] = admission(topic, batches, registry)
        return self._admissions[who]


@lru_cache(MOST_TOPICS)
def _sender(topic: str) -> str | None:
    """Whose limit a message counts against: its gateway's, on foreign topics that of their first two levels. None where
    it cannot be put back: the messages of an edge node make sense only in their order."""
    if node_key(topic) is not None:
        return None
    return gateway_of(topic) or "/".join(topic.split("/", 2)[:2])


def received(arrived: Arrived, reader: Decoder | None = None) -> Message:
    """What one MQTT message holds: readings, or the reason why it is kept without any.

    `reader` is what decodes it, by default with the built-in mappings only.
    """
    return heard(arrived, reader or decoder(), {})[0]


def heard(arrived: Arrived, reader: Decoder, nodes: Mapping[NodeKey, Node]) -> tuple[Message, Decoded]:
    """The same of a message that may depend on what edge nodes have said before, and all that was found in it."""
    received_ms, topic, payload = arrived[:3]
    if topic is None:
        return Message(received_ms, "", payload, reason="topic_not_utf8", detail="its topic is no text"), NOTHING
    if arrived.is_retained:
        return Message(received_ms, topic, payload, reason="retained", detail=STALE), NOTHING
    try:
        found = reader.read(topic, payload, received_ms, nodes)
    except RejectedPayload as rejected:
        return Message(received_ms, topic, payload, reason=rejected.reason, detail=rejected.detail), NOTHING
    for batch in found.batches:
        if why := unstorable(batch):
            return Message(received_ms, topic, payload, reason="unstorable", detail=why), found
    if found.refused is None and not found.flags:
        return Message(received_ms, topic, payload, found.batches), found
    reason, detail = found.refused or ("", "")
    details = "; ".join(filter(None, (detail, *found.flags)))
    return Message(received_ms, topic, payload, found.batches, reason, details), found
