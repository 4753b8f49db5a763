"""Sparkplug B 3.0, host side: which metrics does a message report, once births, aliases and sequence are known?

A message is read against what its edge node has said before. That is a value, `Node`: it goes in, and the one that
holds afterwards comes out, so nothing here changes anything. What a message reports becomes documents for a mapping
profile (`sparkplug-b`), which says what is a temperature.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from coldchain.errors import RejectedPayload
from gateways.decoders import sparkplug_payload, sparkplug_report
from gateways.decoders.sparkplug_node import (
    NAMESPACE,
    OFFLINE,
    SEQUENCE_GAP,
    Definition,
    Held,
    Name,
    Node,
    Parked,
    Request,
    Topic,
    broken,
)
from gateways.decoders.sparkplug_payload import Payload
from gateways.decoders.sparkplug_report import Document

ASK_EVERY_MS = 30_000
MAX_PARKED = 1000
"""Messages of one node that wait for a birth; older ones are in the ledger, but are not waited for."""

MAX_PARKED_BYTES = 4 * 1024 * 1024


class Heard(NamedTuple):
    """What one message means. `parked`: why it waits, empty if it does not."""

    node: Node
    documents: tuple[Document, ...] = ()
    flags: tuple[str, ...] = ()
    parked: str = ""
    request: Request | None = None


def order(topic: Topic, payload: bytes) -> tuple[int, int, int]:
    """Where a message belongs among those that arrived in the same millisecond: by when it was sent, births first.

    A death does not tell when it was sent and comes last: behind a birth it is of the session before, and ignored.
    """
    try:
        found = sparkplug_payload.parse(payload)
    except RejectedPayload:
        return (0, 0, 0)
    sent_ms = 2**64 if topic.kind == "NDEATH" or found.timestamp_ms is None else found.timestamp_ms
    return (sent_ms, topic.kind != "NBIRTH", found.seq or 0)


def step(node: Node, topic: Topic, message: bytes, received_ms: int) -> Heard:
    """What a message of a node means, and the node afterwards. RejectedPayload if it is none; the node is as before."""
    payload = sparkplug_payload.parse(message)
    if topic.kind == "NDEATH":
        return _node_died(node, topic, payload, received_ms)
    if payload.seq is None or payload.timestamp_ms is None:
        raise RejectedPayload("missing_field", f"{topic.kind} without {'seq' if payload.seq is None else 'timestamp'}")
    if topic.kind == "NBIRTH":
        return _node_born(node, topic, payload, received_ms)
    if not node.is_alive:
        return _park(node, Parked(topic, message, received_ms), "no NBIRTH of this node is known")
    node, flags = _followed(node, payload)
    if topic.kind == "DBIRTH":
        heard = _device_born(node, topic, payload, received_ms)
    elif topic.kind == "DDEATH":
        heard = _device_died(node, topic, payload, received_ms)
    elif missing := _unreadable(node, topic, payload):
        heard = _park(node, Parked(topic, message, received_ms), missing)
    else:
        heard = Heard(*sparkplug_report.said(node, topic, payload, received_ms))
    if flags and heard.request is None:
        node, request = _asked(heard.node, topic, received_ms)
        heard = heard._replace(node=node, request=request)
    return heard._replace(flags=flags + heard.flags)


def resumed(node: Node) -> Node:
    """The node where messages after its births were passed over: values are not known until they come again."""
    return replace(node, expected=None, held=broken(node.held, SEQUENCE_GAP))


def _followed(node: Node, payload: Payload) -> tuple[Node, tuple[str, ...]]:
    """The node after a sequence number, and a flag if messages were missed. One that repeats changes nothing."""
    seq, sent_ms = payload.seq or 0, payload.timestamp_ms or 0
    after = (seq + 1) % 256
    if node.expected is None or seq == node.expected:
        return replace(node, expected=after, newest_ms=max(node.newest_ms, sent_ms)), ()
    is_behind = (seq - node.expected) % 256 >= 128
    if is_behind and node.born_ms <= sent_ms <= node.newest_ms:
        return node, ()
    gap = f"{SEQUENCE_GAP}: seq {seq} where {node.expected} follows"
    held = broken(node.held, SEQUENCE_GAP)
    return replace(node, expected=after, newest_ms=sent_ms, is_trusted=False, held=held), (gap,)


def _node_born(node: Node, topic: Topic, payload: Payload, received_ms: int) -> Heard:
    born_ms, bd_seq = payload.timestamp_ms or 0, payload.bd_seq()
    if node.is_alive and (node.born_ms, node.bd_seq) == (born_ms, bd_seq):
        return Heard(*sparkplug_report.repeated(node, topic, payload, received_ms))  # the broker sent it again
    if node.is_alive and node.bd_seq != bd_seq:
        # the death of the session before was missed; what waited since then belongs to it
        waiting = tuple(
            one for one in node.parked if (sparkplug_payload.parse(one.payload).timestamp_ms or 0) >= born_ms
        )
        node = replace(node, parked=waiting)
    born = replace(
        node,
        is_alive=True,
        is_trusted=True,
        bd_seq=bd_seq,
        expected=((payload.seq or 0) + 1) % 256,
        born_ms=born_ms,
        newest_ms=born_ms,
        swept_ms=born_ms,
        aliases={"": _aliases(payload)},
        definitions=_definitions("", payload),
        held=broken(node.held, SEQUENCE_GAP),
        asked_ms=None,
    )
    born, released, flags = _released(born)
    born = replace(born, held=broken(born.held, SEQUENCE_GAP))
    report = sparkplug_report.said(born, topic, payload, received_ms, is_birth=True)
    return Heard(report.node, (*released, *report.documents), flags)


def _device_born(node: Node, topic: Topic, payload: Payload, received_ms: int) -> Heard:
    if topic.device not in node.aliases:
        node = replace(node, held=broken(node.held, SEQUENCE_GAP, topic.device))
    node, released, flags = _released(_with_device(node, topic, payload))
    report = sparkplug_report.said(node, topic, payload, received_ms, is_birth=True)
    return Heard(report.node, (*released, *report.documents), flags)


def _with_device(node: Node, topic: Topic, payload: Payload) -> Node:
    return replace(
        node,
        aliases={**node.aliases, topic.device: _aliases(payload)},
        definitions={**node.definitions, **_definitions(topic.device, payload)},
    )


def _node_died(node: Node, topic: Topic, payload: Payload, received_ms: int) -> Heard:
    if not node.is_alive or payload.bd_seq() != node.bd_seq:
        return Heard(node, flags=(f"NDEATH of another session: bdSeq {payload.bd_seq()}",))
    offline = [(name, Held(OFFLINE, received_ms)) for name, held in node.held.items() if held.ms < received_ms]
    # What waits for a birth was sent in the session that has ended: the births of the next may number metrics anew.
    after = replace(
        node,
        is_alive=False,
        is_trusted=False,
        expected=None,
        aliases={},
        definitions={},
        held={**node.held, **dict(offline)},
        parked=(),
    )
    return Heard(after, sparkplug_report.documents(topic, node, (), offline, received_ms))


def _device_died(node: Node, topic: Topic, payload: Payload, received_ms: int) -> Heard:
    at_ms = payload.timestamp_ms or 0
    mine = [(name, held) for name, held in node.held.items() if name[0] == topic.device]
    offline = [(name, Held(OFFLINE, at_ms)) for name, held in mine if held.ms < at_ms]
    aliases = {device: known for device, known in node.aliases.items() if device != topic.device}
    after = replace(node, aliases=aliases, held={**node.held, **dict(offline)})
    return Heard(after, sparkplug_report.documents(topic, node, (), offline, received_ms))


def _unreadable(node: Node, topic: Topic, payload: Payload) -> str:
    """Why a message must wait for a birth; empty if it need not."""
    if topic.device not in node.aliases:
        return "no DBIRTH of this device is known"
    known = node.aliases[topic.device]
    for metric in payload.metrics:
        if not metric.name and metric.alias not in known:
            return f"alias {metric.alias} is of no known birth"
        if not metric.name and not node.is_trusted:
            return "messages were missed: an alias may mean something else since"
    return ""


def _park(node: Node, parked: Parked, why: str) -> Heard:
    waiting = (*node.parked, parked)[-MAX_PARKED:]
    while sum(len(one.payload) for one in waiting) > MAX_PARKED_BYTES:
        waiting = waiting[1:]
    node, request = _asked(replace(node, parked=waiting), parked.topic, parked.received_ms)
    return Heard(node, parked=why, request=request)


def _asked(node: Node, topic: Topic, now_ms: int) -> tuple[Node, Request | None]:
    """Ask the node for its births, unless it was asked just now."""
    if node.asked_ms is not None and 0 <= now_ms - node.asked_ms < ASK_EVERY_MS:
        return node, None
    where = "/".join((NAMESPACE, topic.group, "NCMD", topic.node))
    return replace(node, asked_ms=now_ms), Request(where, sparkplug_payload.rebirth_request(now_ms))


def _released(node: Node) -> tuple[Node, tuple[Document, ...], tuple[str, ...]]:
    """The node without the parked messages that can be read now, and what those report in the order they were sent."""
    documents: list[Document] = []
    waiting: list[Parked] = []
    devices: set[str] = set()
    last_seq: int | None = None
    read = 0
    parsed = [(sparkplug_payload.parse(one.payload), one) for one in node.parked]
    for payload, one in sorted(parsed, key=lambda both: (both[0].timestamp_ms or 0, both[0].seq or 0)):
        seq, is_birth = payload.seq or 0, one.topic.kind == "DBIRTH"
        if one.topic.kind == "DDEATH" or (is_birth and (payload.timestamp_ms or 0) < node.born_ms):
            continue  # of a time before the births that are known now
        if is_birth:
            node = _with_device(node, one.topic, payload)
        if _unreadable(node, one.topic, payload):
            waiting.append(one)
            continue
        if last_seq is not None and seq != (last_seq + 1) % 256:
            node = replace(node, held=broken(node.held, SEQUENCE_GAP))
        report = sparkplug_report.said(node, one.topic, payload, one.received_ms, is_birth=is_birth)
        node, last_seq, read = report.node, seq, read + 1
        documents.extend(report.documents)
        devices.add(one.topic.device)
    for device in devices:
        node = replace(node, held=broken(node.held, SEQUENCE_GAP, device))
    flags = (f"reads {read} messages that waited for this birth",) if read else ()
    return replace(node, parked=tuple(waiting)), tuple(documents), flags


def _aliases(payload: Payload) -> dict[int, str]:
    return {metric.alias: metric.name for metric in payload.metrics if metric.alias is not None and metric.name}


def _definitions(device: str, payload: Payload) -> dict[Name, Definition]:
    return {(device, one.name): Definition(one.datatype, one.unit) for one in payload.metrics if one.name}
