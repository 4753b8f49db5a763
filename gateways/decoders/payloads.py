"""Payload kinds: how the bytes of a foreign message become the document that a mapping profile reads."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from coldchain.errors import RejectedPayload
from gateways.decoders import documents, ruuvi, senml

PayloadKind = Literal["json", "number", "senml", "ruuvi", "sparkplug"]

_NUMBER = re.compile(rb"-?[0-9]{1,6}(\.[0-9]{1,9})?")
_NUMBER_BYTES = 32


def document(kind: PayloadKind, payload: bytes, received_ms: int) -> dict[str, object]:
    """The document in a payload; RejectedPayload and nothing else. `sparkplug` needs what was said before: it is not
    read here."""
    return _READERS[kind](payload, received_ms)


def json_object(payload: bytes, _received_ms: int = 0) -> dict[str, object]:
    """The JSON object in a payload."""
    if payload.lstrip(b" \t\r\n")[:1] != b"{":
        raise RejectedPayload("not_a_document", f"not a JSON object, starts with {payload[:8]!r}")
    return documents.parse(payload)


def _number(payload: bytes, _received_ms: int) -> dict[str, object]:
    """A bare number is the document `{"value": number}`."""
    text = payload.strip() if len(payload) <= _NUMBER_BYTES else b""
    if not _NUMBER.fullmatch(text):
        raise RejectedPayload("not_a_number", f"{payload[:_NUMBER_BYTES]!r}")
    return {"value": float(text)}


def _advertisement(payload: bytes, _received_ms: int) -> dict[str, object]:
    return ruuvi.document(payload)


_READERS: dict[str, Callable[[bytes, int], dict[str, object]]] = {
    "json": json_object,
    "number": _number,
    "senml": senml.document,
    "ruuvi": _advertisement,
}
