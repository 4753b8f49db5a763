"""What a message of an edge node reports: what it states, and by exception what was held until then.

A reading covers the time before it, and a node that reports by exception says the opposite: a value holds until the
next one. So a change at T gives the held value just before T and the new one at T. Where the sequence was broken, a
fault stands in the place of the held value: that time is unknown (docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from gateways.decoders.sparkplug_node import SEQUENCE_GAP, Definition, Held, Name, Node, Topic
from gateways.decoders.sparkplug_payload import Metric, Payload

HOLD_EVERY_MS = 60_000
"""A metric that a message does not mention is still unchanged: said at most this often."""


class Document(NamedTuple):
    """What a device reports, for a mapping to read."""

    topic: str
    content: dict[str, object]
    received_ms: int


class Report(NamedTuple):
    """The node after a message, and what it reports."""

    node: Node
    documents: tuple[Document, ...]


def said(node: Node, topic: Topic, payload: Payload, received_ms: int, *, is_birth: bool = False) -> Report:
    """What a message in unbroken sequence reports, with the values that were held until it came."""
    sent_ms = payload.timestamp_ms or 0
    node = _restated(node, topic, payload)
    entries = list(_mentioned(node, topic, payload))
    held = dict(node.held)
    extra: list[tuple[Name, Held]] = []
    for name, entry, is_historical in entries:
        before = held.get(name)
        is_older = before is not None and not isinstance(before.value, str) and entry.ms <= before.ms
        if is_historical and before is not None and before.ms < entry.ms:
            # it was stored before it was sent and need not hold now; but what was held does not either
            held[name] = Held(SEQUENCE_GAP, entry.ms)
        if is_historical or is_older:
            continue
        # A birth states what holds now, with the time of its last change.
        known_ms = max(entry.ms, sent_ms) if is_birth else entry.ms
        is_room_before = entry.ms != known_ms - 1  # the change itself stands there
        if before is not None and before.ms < known_ms - 1 and is_room_before:
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
    stated = [(name, entry) for name, entry, _ in entries]
    return Report(after, documents(topic, node, stated, extra, received_ms))


def repeated(node: Node, topic: Topic, payload: Payload, received_ms: int) -> Report:
    """What a message reports that is not the newest of its node: what it states, and nothing of the time between."""
    stated = [(name, entry) for name, entry, _ in _mentioned(node, topic, payload)]
    return Report(node, documents(topic, node, stated, (), received_ms))


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


def documents(
    topic: Topic,
    node: Node,
    stated: Iterable[tuple[Name, Held]],
    extra: Iterable[tuple[Name, Held]],
    received_ms: int,
) -> tuple[Document, ...]:
    """One document for each device: `metrics` holds what was stated and what is held, `reported` the former alone."""
    found: dict[str, dict[str, dict[str, list[dict[str, object]]]]] = {}
    for is_extra, entries in ((True, extra), (False, stated)):
        for (device, name), one in entries:
            unit = node.definitions.get((device, name), Definition(None, None)).unit
            entry: dict[str, object] = {"value": one.value, "ms": one.ms, "unit": unit}
            groups = found.setdefault(device, {"metrics": {}, "reported": {}})
            groups["metrics"].setdefault(name, []).append(entry)
            if not is_extra:
                groups["reported"].setdefault(name, []).append(entry)
    made = []
    for device, groups in found.items():
        identity = ":".join(filter(None, (topic.group, topic.node, device)))
        names = {"id": identity, "group": topic.group, "node": topic.node, "device": device}
        made.append(Document(topic.of(device), {**names, **groups}, received_ms))
    return tuple(made)
