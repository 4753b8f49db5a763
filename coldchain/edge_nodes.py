"""Edge nodes of Sparkplug after a restart: what they have said before, from the raw messages in the ledger.

Births are never passed over, so an alias means after a restart what it meant before. Of the other messages only the
newest are heard again; where that passes some over, the values of the node are not known until they come again.
"""

from __future__ import annotations

from collections import defaultdict, deque

from coldchain.errors import RejectedPayload
from coldchain.ledger.ledger import Ledger
from gateways.decoders import sparkplug
from gateways.decoders.sparkplug_node import NAMESPACE, Node, Topic, topic_of

HEARD_AGAIN = 1000
"""Messages of one node since its last births; a busy one sends so many in minutes and is asked for its births."""


def load(ledger: Ledger) -> dict[tuple[str, str], Node]:
    """Every edge node whose messages are in the ledger, as it was after the last of them."""
    births: dict[tuple[str, str], list[tuple[int, bool]]] = defaultdict(list)
    others: dict[tuple[str, str], deque[int]] = defaultdict(lambda: deque(maxlen=HEARD_AGAIN))
    passed_over: dict[tuple[str, str], bool] = defaultdict(bool)
    for number, text in ledger.message_topics(NAMESPACE + "/"):
        topic = topic_of(text)
        if topic is None:
            continue
        key = (topic.group, topic.node)
        if topic.kind in {"NDATA", "DDATA"}:
            passed_over[key] |= len(others[key]) == HEARD_AGAIN
            others[key].append(number)
            continue
        if topic.kind == "NBIRTH":
            _forget_before_the_last_birth(births[key], others[key])
            passed_over[key] = False
        births[key].append((number, topic.kind == "NBIRTH"))
    return {
        key: _heard_again(ledger, births[key], others[key], is_whole=not passed_over[key])
        for key in births.keys() | others.keys()
    }


def _forget_before_the_last_birth(births: list[tuple[int, bool]], others: deque[int]) -> None:
    """Keep what has come since the birth of the node before the one that comes now: messages may have waited for it."""
    last = max((number for number, is_nbirth in births if is_nbirth), default=0)
    births[:] = [one for one in births if one[0] >= last]
    while others and others[0] < last:
        others.popleft()


def _heard_again(ledger: Ledger, births: list[tuple[int, bool]], others: deque[int], *, is_whole: bool) -> Node:
    node = Node()
    first = others[0] if others else 0
    has_resumed = is_whole
    for number in sorted([number for number, _ in births] + list(others)):
        if not has_resumed and number >= first:
            node, has_resumed = sparkplug.resumed(node), True
        received_ms, text, payload = ledger.raw_message(number)
        topic = topic_of(text)
        assert isinstance(topic, Topic)  # noqa: S101 (it was one when it was listed)
        try:
            node = sparkplug.step(node, topic, payload, received_ms).node
        except RejectedPayload:
            continue  # kept with its reason when it arrived
    return node
