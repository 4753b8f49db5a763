"""Sparkplug B 3.0, host side: which metrics does a message report, once births, aliases and sequence are known?

A message is read against what its edge node has said before. That is a value, `Node`: it goes in, and the one that
holds afterwards comes out, so nothing here changes anything. What a message reports becomes documents for a mapping
profile (`sparkplug-b`), which says what is a temperature.

**Report by exception.** A node that is alive and sends nothing says that nothing has changed. A reading covers the time
before it, so a change at T gives two readings: the held value just before T, and the new one at T. The held value
proves the silence, but never beyond the logger's `gap_after` in the registry. Where the sequence is broken, a fault
stands in its place: that time is unknown. `reported` holds what was sent and nothing else, for nodes that report at
fixed intervals. (docs/decisions.md)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from coldchain.errors import RejectedPayload
from gateways.decoders import sparkplug_payload
from gateways.decoders.sparkplug_payload import Metric, Payload

NAMESPACE = "spBv1.0"
KINDS = {"NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"}

HOLD_EVERY_MS = 60_000
"""A metric that a message does not mention is still unchanged: said at most this often."""

ASK_EVERY_MS = 30_000
MAX_PARKED = 1000
"""Messages of one node that wait for a birth; older ones are in the ledger, but are not waited for."""

MAX_PARKED_BYTES = 4 * 1024 * 1024

SEQUENCE_GAP, OFFLINE = "sequence_gap", "node_offline"


class Topic(NamedTuple):
    """`spBv1.0/{group}/{kind}/{node}` or `.../{node}/{device}`."""

    group: str
    kind: str
    node: str
    device: str = ""

    def of(self, device: str, kind: str = "DATA") -> str:
        """The topic on which a device (the node itself: "") reports."""
        levels = (NAMESPACE, self.group, ("D" if device else "N") + kind, self.node)
        return "/".join((*levels, device) if device else levels)


class Definition(NamedTuple):
    """What a birth says of a metric."""

    datatype: int | None
    unit: str | None


class Held(NamedTuple):
    """The last value of a metric, and when. A text is the reason why what follows it is not known."""

    value: int | float | str | None
    ms: int


class Parked(NamedTuple):
    """A message that waits for its birth, as it arrived."""

    topic: Topic
    payload: bytes
    received_ms: int


class Request(NamedTuple):
    """A message to be published."""

    topic: str
    payload: bytes


Name = tuple[str, str]
"""Device ("" for the node itself) and metric."""


@dataclass(frozen=True, slots=True)
class Node:
    """What an edge node has said so far.

    `aliases`: by device, of those that were born. `is_trusted`: no message was missed since the last birth, so that
    an alias certainly means what that birth said. `expected`: the next sequence number, None if any may come.
    `born_ms`, `newest_ms`: when its last birth and its newest message were sent; `swept_ms`: when all that it does not
    mention was last said to be unchanged.
    """

    is_alive: bool = False
    is_trusted: bool = False
    bd_seq: int | None = None
    expected: int | None = None
    born_ms: int = 0
    newest_ms: int = 0
    swept_ms: int = 0
    aliases: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    definitions: Mapping[Name, Definition] = field(default_factory=dict)
    held: Mapping[Name, Held] = field(default_factory=dict)
    parked: tuple[Parked, ...] = ()
    asked_ms: int | None = None


class Document(NamedTuple):
    """What a device reports, for a mapping to read."""

    topic: str
    content: dict[str, object]
    received_ms: int


class Heard(NamedTuple):
    """What one message means. `parked`: why it waits, empty if it does not."""

    node: Node
    documents: tuple[Document, ...] = ()
    flags: tuple[str, ...] = ()
    parked: str = ""
    request: Request | None = None


def topic_of(topic: str) -> Topic | None:
    """The parts of a topic that this module reads, None for any other."""
    levels = topic.split("/")
    if len(levels) not in {4, 5} or levels[0] != NAMESPACE or levels[2] not in KINDS or not all(levels):
        return None
    if (levels[2][0] == "D") != (len(levels) == 5):
        return None
    return Topic(*levels[1:])


def order(topic: Topic, payload: bytes) -> tuple[int, int, int]:
    """Where a message belongs among those that arrived in the same millisecond: births first, then by sequence."""
    try:
        found = sparkplug_payload.parse(payload)
    except RejectedPayload:
        return (0, 0, 0)
    return (found.timestamp_ms or 0, topic.kind != "NBIRTH", found.seq or 0)


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
        heard = _said(node, topic, payload, received_ms)
    if flags and heard.request is None:
        node, request = _asked(heard.node, topic, received_ms)
        heard = heard._replace(node=node, request=request)
    return heard._replace(flags=flags + heard.flags)


def resumed(node: Node) -> Node:
    """The node where messages after its births were passed over: values are not known until they come again."""
    return replace(node, expected=None, held=_broken(node.held, SEQUENCE_GAP))


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
    broken = replace(node, expected=after, newest_ms=sent_ms, is_trusted=False, held=_broken(node.held, SEQUENCE_GAP))
    return broken, (gap,)


def _node_born(node: Node, topic: Topic, payload: Payload, received_ms: int) -> Heard:
    born_ms, bd_seq = payload.timestamp_ms or 0, payload.bd_seq()
    if node.is_alive and (node.born_ms, node.bd_seq) == (born_ms, bd_seq):
        return _reported(node, topic, payload, received_ms)  # the broker sent it again
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
        held=_broken(node.held, SEQUENCE_GAP),
        asked_ms=None,
    )
    born, released, flags = _released(born)
    born = replace(born, held=_broken(born.held, SEQUENCE_GAP))
    heard = _said(born, topic, payload, received_ms, is_birth=True)
    return heard._replace(documents=(*released, *heard.documents), flags=flags)


def _device_born(node: Node, topic: Topic, payload: Payload, received_ms: int) -> Heard:
    if topic.device not in node.aliases:
        node = replace(node, held=_broken(node.held, SEQUENCE_GAP, topic.device))
    node, released, flags = _released(_with_device(node, topic, payload))
    heard = _said(node, topic, payload, received_ms, is_birth=True)
    return heard._replace(documents=(*released, *heard.documents), flags=flags)


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
    return Heard(after, _documents(topic, node, [], offline, received_ms))


def _device_died(node: Node, topic: Topic, payload: Payload, received_ms: int) -> Heard:
    at_ms = payload.timestamp_ms or 0
    mine = [(name, held) for name, held in node.held.items() if name[0] == topic.device]
    offline = [(name, Held(OFFLINE, at_ms)) for name, held in mine if held.ms < at_ms]
    aliases = {device: known for device, known in node.aliases.items() if device != topic.device}
    after = replace(node, aliases=aliases, held={**node.held, **dict(offline)})
    return Heard(after, _documents(topic, node, [], offline, received_ms))


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
            node = replace(node, held=_broken(node.held, SEQUENCE_GAP))
        heard = _said(node, one.topic, payload, one.received_ms, is_birth=is_birth)
        node, last_seq, read = heard.node, seq, read + 1
        documents.extend(heard.documents)
        devices.add(one.topic.device)
    for device in devices:
        node = replace(node, held=_broken(node.held, SEQUENCE_GAP, device))
    flags = (f"reads {read} messages that waited for this birth",) if read else ()
    return replace(node, parked=tuple(waiting)), tuple(documents), flags


def _said(node: Node, topic: Topic, payload: Payload, received_ms: int, *, is_birth: bool = False) -> Heard:
    """What a message in unbroken sequence reports, with the values that were held until it came."""
    sent_ms = payload.timestamp_ms or 0
    node = _restated(node, topic, payload)
    entries = list(_mentioned(node, topic, payload))
    held = dict(node.held)
    extra: list[tuple[Name, Held]] = []
    for name, entry, is_historical in entries:
        before = held.get(name)
        is_older = before is not None and not isinstance(before.value, str) and entry.ms <= before.ms
        if is_historical or is_older:
            continue
        # A birth states what holds now, with the time of its last change.
        known_ms = max(entry.ms, sent_ms) if is_birth else entry.ms
        if before is not None and before.ms < known_ms - 1 and (entry.ms == known_ms or entry.ms < known_ms - 1):
            extra.append((name, Held(before.value, known_ms - 1)))
        if entry.ms < known_ms:
            extra.append((name, Held(entry.value, known_ms)))
        held[name] = Held(entry.value, known_ms)
    swept_ms = node.swept_ms
    if not is_birth and sent_ms - swept_ms >= HOLD_EVERY_MS:
        swept_ms = sent_ms
        for name, before in node.held.items():
            if held[name] is before and before.ms < sent_ms and not isinstance(before.value, str):
                held[name] = Held(before.value, sent_ms)
                extra.append((name, held[name]))
    after = replace(node, held=held, swept_ms=swept_ms)
    said = [(name, entry) for name, entry, _ in entries]
    return Heard(after, _documents(topic, node, said, extra, received_ms))


def _restated(node: Node, topic: Topic, payload: Payload) -> Node:
    """The node where a message states another unit than the birth: what was held was held in the other one."""
    known = node.aliases.get(topic.device, {})
    changed: dict[Name, Definition] = {}
    for metric in payload.metrics:
        name = (topic.device, _name(metric, known))
        before = node.definitions.get(name, Definition(None, None))
        if metric.unit is not None and metric.unit != before.unit:
            changed[name] = before._replace(unit=metric.unit)
    if not changed:
        return node
    held = {name: one for name, one in node.held.items() if name not in changed}
    return replace(node, definitions={**node.definitions, **changed}, held=held)


def _reported(node: Node, topic: Topic, payload: Payload, received_ms: int) -> Heard:
    """What a message reports that is not the newest of its node: what it states, and nothing of the time between."""
    said = [(name, entry) for name, entry, _ in _mentioned(node, topic, payload)]
    return Heard(node, _documents(topic, node, said, [], received_ms))


def _mentioned(node: Node, topic: Topic, payload: Payload) -> Iterator[tuple[Name, Held, bool]]:
    """The numbers that a message states: metric, value and time, and whether it was stored before it was sent."""
    known = node.aliases.get(topic.device, {})
    for metric in payload.metrics:
        name = (topic.device, _name(metric, known))
        definition = node.definitions.get(name, Definition(None, None))
        if metric.is_number(definition.datatype):
            at_ms = metric.timestamp_ms if metric.timestamp_ms is not None else payload.timestamp_ms or 0
            yield name, Held(metric.value(definition.datatype), at_ms), metric.is_historical


def _name(metric: Metric, aliases: Mapping[int, str]) -> str:
    return metric.name or aliases.get(-1 if metric.alias is None else metric.alias, "")


def _documents(
    topic: Topic,
    node: Node,
    said: Iterable[tuple[Name, Held]],
    extra: Iterable[tuple[Name, Held]],
    received_ms: int,
) -> tuple[Document, ...]:
    """One document for each device: `metrics` holds what was said and what is held, `reported` the former alone."""
    found: dict[str, dict[str, dict[str, list[dict[str, object]]]]] = {}
    for is_extra, entries in ((True, extra), (False, said)):
        for (device, name), one in entries:
            unit = node.definitions.get((device, name), Definition(None, None)).unit
            entry: dict[str, object] = {"value": one.value, "ms": one.ms, "unit": unit}
            groups = found.setdefault(device, {"metrics": {}, "reported": {}})
            groups["metrics"].setdefault(name, []).append(entry)
            if not is_extra:
                groups["reported"].setdefault(name, []).append(entry)
    documents = []
    for device, groups in found.items():
        identity = ":".join(filter(None, (topic.group, topic.node, device)))
        names = {"id": identity, "group": topic.group, "node": topic.node, "device": device}
        documents.append(Document(topic.of(device), {**names, **groups}, received_ms))
    return tuple(documents)


def _aliases(payload: Payload) -> dict[int, str]:
    return {metric.alias: metric.name for metric in payload.metrics if metric.alias is not None and metric.name}


def _definitions(device: str, payload: Payload) -> dict[Name, Definition]:
    return {(device, one.name): Definition(one.datatype, one.unit) for one in payload.metrics if one.name}


def _broken(held: Mapping[Name, Held], why: str, device: str | None = None) -> dict[Name, Held]:
    """The same metrics with their values no longer known."""
    return {
        name: one if isinstance(one.value, str) or device not in {None, name[0]} else Held(why, one.ms)
        for name, one in held.items()
    }
