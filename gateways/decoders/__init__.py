"""Decoders: what readings does an MQTT message hold? Pure: bytes in, `ReadingBatch` or `RejectedPayload` out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from coldchain.errors import RejectedPayload
from coldchain.readings import ReadingBatch
from gateways.decoders import documents, mapping, mapping_file, native, paths, payloads, sparkplug
from gateways.decoders.mapping_rules import Mapping as MappingProfile
from gateways.decoders.sparkplug_node import Node, Request, topic_of

__all__ = ["Decoded", "Decoder", "Node", "NodeKey", "Request", "decode", "decoder", "node_key"]

_NATIVE_TOPIC = re.compile(r"coldchain/v1/[a-z0-9-]+/[a-z0-9-]+/(?P<logger>[a-z0-9-]+)/readings")

NodeKey = tuple[str, str]
"""Group and name of a Sparkplug edge node."""

_NO_NODES: Mapping[NodeKey, Node] = {}
_UNHEARD = Node()


class Decoded(NamedTuple):
    """What one message holds.

    batches : its readings, and those of earlier messages that it makes readable
    flags : what a person should know of it although it could be read
    refused : reason and detail if it holds no readings for now, although it changes `nodes`
    nodes : the edge nodes that are different after it, to be handed in with the next message once this one is stored
    requests : messages to publish
    """

    batches: tuple[ReadingBatch, ...]
    flags: tuple[str, ...] = ()
    refused: tuple[str, str] | None = None
    nodes: Mapping[NodeKey, Node] = _NO_NODES
    requests: tuple[Request, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Decoder:
    """What reads messages: the project's own form, then these mappings, the first that covers the topic."""

    mappings: tuple[MappingProfile, ...]

    def read(self, topic: str, payload: bytes, received_ms: int, nodes: Mapping[NodeKey, Node] = _NO_NODES) -> Decoded:
        """The readings in one message, column by column, and what to know of it.

        Parameters
        ----------
        topic : `coldchain/v1/{site}/{gateway}/{logger}/readings`, or one that a mapping covers
        payload : JSON columns, JSON rows or CBOR of one logger channel; on other topics what the mapping says
        received_ms : when the message arrived [ms UTC]
        nodes : what the edge nodes of Sparkplug have said before; no other form depends on earlier messages

        Raises
        ------
        RejectedPayload : and nothing else, whatever the bytes; the caller keeps them with the reason
        """
        native_topic = _NATIVE_TOPIC.fullmatch(topic)
        if native_topic is not None:
            return Decoded((native.read(documents.parse(payload), native_topic["logger"], received_ms),))
        mine = _covering(self, topic)
        key = node_key(topic)
        if key is not None and any(one.payload == "sparkplug" for one in mine):
            return self._heard(key, topic, payload, received_ms, nodes)
        parsed: dict[str, dict[str, object]] = {}
        for one in mine:
            if one.payload == "sparkplug":
                continue
            if one.payload not in parsed:
                parsed[one.payload] = payloads.document(one.payload, payload, received_ms)
            document = parsed[one.payload]
            if one.when is None or paths.look_up(document, one.when) is not None:
                return Decoded(*mapping.read(one, topic, document, received_ms))
        if mine:
            names = ", ".join(one.name for one in mine)
            raise RejectedPayload("not_a_reading", f"not of the form that {names} expects")
        for one in self.mappings:
            if _covers(one.ignored_topics, topic):
                raise RejectedPayload("not_a_reading", f"{one.name}: a message of another kind")
        raise RejectedPayload("unknown_topic", repr(topic[:200]))

    def _heard(
        self, key: NodeKey, topic: str, payload: bytes, received_ms: int, nodes: Mapping[NodeKey, Node]
    ) -> Decoded:
        """A Sparkplug message: the mapping reads what the message means after all that its node has said."""
        parts = topic_of(topic)
        assert parts is not None  # noqa: S101 (a node's key is made of them)
        heard = sparkplug.step(nodes.get(key, _UNHEARD), parts, payload, received_ms)
        batches: list[ReadingBatch] = []
        flags = list(heard.flags)
        refused = ("parked", heard.parked) if heard.parked else None
        for document in heard.documents:
            profiles = [one for one in _covering(self, document.topic) if one.payload == "sparkplug"]
            try:
                for one in profiles:
                    if one.when is None or paths.look_up(document.content, one.when) is not None:
                        read = mapping.read(one, document.topic, document.content, document.received_ms)
                        batches.extend(read.batches)
                        flags.extend(read.flags)
                        break
            except RejectedPayload as rejected:
                if rejected.reason == "not_a_reading":
                    continue  # most metrics are no temperatures
                refused = (rejected.reason, rejected.detail)
        if batches and refused:
            flags.append(": ".join(refused))
            refused = None
        requests = () if heard.request is None else (heard.request,)
        return Decoded(tuple(batches), tuple(flags), refused, {key: heard.node}, requests)


def decode(topic: str, payload: bytes, received_ms: int) -> tuple[ReadingBatch, ...]:
    """The readings in one message by the built-in mappings: `Decoder.read` says how."""
    return _default().read(topic, payload, received_ms).batches


def node_key(topic: str) -> NodeKey | None:
    """The edge node whose earlier messages decide what one on this topic means; None where each stands alone."""
    parts = topic_of(topic)
    return None if parts is None else (parts.group, parts.node)


def decoder(folder: Path | None = None) -> Decoder:
    """A decoder with the built-in mappings and before them those of a folder, one of which replaces its namesake.

    Raises BadInput naming file, key and value of the first mistake.
    """
    if folder is None:
        return _default()
    own = mapping_file.load(folder)
    names = {one.name for one in own}
    return Decoder(own + tuple(one for one in _default().mappings if one.name not in names))


@cache
def _default() -> Decoder:
    return Decoder(mapping_file.load(mapping_file.BUILT_IN))


@lru_cache(maxsize=4096)  # every message of a logger comes on the same topic
def _covering(reader: Decoder, topic: str) -> tuple[MappingProfile, ...]:
    return tuple(one for one in reader.mappings if _covers(one.topics, topic))


def _covers(filters: Iterable[str], topic: str) -> bool:
    return any(paths.covers(one, topic) for one in filters)
