"""Decoders: what readings does an MQTT message hold? Pure: bytes in, `ReadingBatch` or `RejectedPayload` out."""

from __future__ import annotations

import re

from coldchain.errors import RejectedPayload
from coldchain.readings import ReadingBatch
from gateways.decoders import documents, native

__all__ = ["decode"]

_NATIVE_TOPIC = re.compile(r"coldchain/v1/[a-z0-9-]+/[a-z0-9-]+/(?P<logger>[a-z0-9-]+)/readings")


def decode(topic: str, payload: bytes, received_ms: int) -> tuple[ReadingBatch, ...]:
    """The readings in one message, column by column.

    Parameters
    ----------
    topic : `coldchain/v1/{site}/{gateway}/{logger}/readings`
    payload : JSON columns, JSON rows or CBOR, of one logger channel
    received_ms : when the message arrived [ms UTC]

    Raises
    ------
    RejectedPayload : and nothing else, whatever the bytes; the caller keeps them with the reason
    """
    native_topic = _NATIVE_TOPIC.fullmatch(topic)
    if native_topic is None:
        raise RejectedPayload("unknown_topic", repr(topic[:200]))
    return (native.read(documents.parse(payload), native_topic["logger"], received_ms),)
