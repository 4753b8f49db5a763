"""Decoders: what readings does an MQTT message hold? Pure: bytes in, `ReadingBatch` or `RejectedPayload` out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from coldchain.errors import RejectedPayload
from coldchain.readings import ReadingBatch
from gateways.decoders import documents, mapping, mapping_file, native, paths
from gateways.decoders.mapping import Decoded, Mapping

__all__ = ["Decoded", "Decoder", "decode", "decoder"]

_NATIVE_TOPIC = re.compile(r"coldchain/v1/[a-z0-9-]+/[a-z0-9-]+/(?P<logger>[a-z0-9-]+)/readings")


@dataclass(frozen=True, slots=True)
class Decoder:
    """What reads messages: the project's own form, then these mappings, the first that covers the topic."""

    mappings: tuple[Mapping, ...]

    def read(self, topic: str, payload: bytes, received_ms: int) -> Decoded:
        """The readings in one message, column by column, and what to know of it.

        Parameters
        ----------
        topic : `coldchain/v1/{site}/{gateway}/{logger}/readings`, or one that a mapping covers
        payload : JSON columns, JSON rows or CBOR of one logger channel; on other topics what the mapping says
        received_ms : when the message arrived [ms UTC]

        Raises
        ------
        RejectedPayload : and nothing else, whatever the bytes; the caller keeps them with the reason
        """
        native_topic = _NATIVE_TOPIC.fullmatch(topic)
        if native_topic is not None:
            return Decoded((native.read(documents.parse(payload), native_topic["logger"], received_ms),))
        mine = [one for one in self.mappings if _covers(one.topics, topic)]
        parsed: dict[str, dict[str, object]] = {}
        for one in mine:
            if one.payload not in parsed:
                parsed[one.payload] = mapping.document(one.payload, payload)
            document = parsed[one.payload]
            if one.when is None or paths.look_up(document, one.when) is not None:
                return mapping.read(one, topic, document, received_ms)
        if mine:
            names = ", ".join(one.name for one in mine)
            raise RejectedPayload("not_a_reading", f"not of the form that {names} expects")
        for one in self.mappings:
            if _covers(one.ignored_topics, topic):
                raise RejectedPayload("not_a_reading", f"{one.name}: a message of another kind")
        raise RejectedPayload("unknown_topic", repr(topic[:200]))


def decode(topic: str, payload: bytes, received_ms: int) -> tuple[ReadingBatch, ...]:
    """The readings in one message by the built-in mappings: `Decoder.read` says how."""
    return _default().read(topic, payload, received_ms).batches


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


def _covers(filters: Iterable[str], topic: str) -> bool:
    return any(paths.covers(one, topic) for one in filters)
