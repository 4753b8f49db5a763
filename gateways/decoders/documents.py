"""Payload bytes to one document (a map of named values, or a list), with every ambiguity of JSON and CBOR refused."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from decimal import Decimal
from itertools import chain
from typing import Any, NoReturn

import cbor2
import numpy as np
import orjson

from coldchain.errors import RejectedPayload
from coldchain.readings import MilliCelsius

MAX_PAYLOAD_BYTES = 1024 * 1024
MAX_DEPTH = 16
"""Nesting of maps and lists; the native forms need three."""

_CBOR_LIST, _CBOR_MAP = 4, 5
_DECIMAL_FRACTION, _SINT32_LE = 4, 78
_LARGEST_EXPONENT = 32
_SINT32, _INT32 = np.dtype("<i4"), np.dtype(np.int32)
_NUMBERS = {int, float, bool, type(None)}
_WHITESPACE = b" \t\r\n"

# Always matches from a quote to the end of its string or of the input, without backtracking: linear on any bytes.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)


def parse(payload: bytes) -> dict[str, object]:
    """The document in a payload: JSON if it starts with `{`, CBOR if with a map.

    Bytes over the limit are refused before anything is decoded. Values are what the parsers give; an RFC 8746 array of
    sint32 little-endian comes as int32[n].
    """
    document: dict[str, object]
    if payload[:1] == b"{" and len(payload) <= MAX_PAYLOAD_BYTES:  # most messages
        document = _json(payload)
    else:
        document = _parsed(payload, b"{", _CBOR_MAP, _TAGS, "neither a JSON object nor a CBOR map")
    return document


def parse_list(payload: bytes) -> list[object]:
    """The list in a payload: JSON if it starts with `[`, CBOR if with an array; a CBOR decimal fraction is a Decimal.

    Refused as in `parse`.
    """
    found: list[object] = _parsed(payload, b"[", _CBOR_LIST, _LIST_TAGS, "neither a JSON array nor a CBOR array")
    return found


def _parsed(payload: bytes, opening: bytes, major_type: int, tags: _Tags, problem: str) -> Any:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise RejectedPayload("too_large", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
    start = payload.lstrip(_WHITESPACE)[:1]
    if start == opening:
        return _json(payload)
    if start and start[0] >> 5 == major_type:
        return _cbor(payload, tags)
    raise RejectedPayload("not_a_document", f"{problem}, starts with {payload[:8]!r}")


def _json(payload: bytes) -> Any:
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError as exc:
        _check_depth(payload)
        raise RejectedPayload("not_json", str(exc)) from exc
    # orjson silently keeps the last of two equal keys. A document has two quotes to each string that it kept; if there
    # are more in the text, strings were dropped or hold quotes themselves: a slow parser looks at all keys.
    quotes = payload.count(b'"')
    if quotes == 2 * _plain_strings(document) and payload.count(b"{") + payload.count(b"[") <= MAX_DEPTH:
        return document
    if quotes != 2 * _strings(document):
        _check_depth(payload)
        _check_keys(payload)
    return document


def _check_depth(payload: bytes) -> None:
    """Refuse JSON text that nests too deep, strings aside."""
    text = np.frombuffer(_STRING.sub(b"", payload), dtype=np.uint8)
    opened = (text == ord("{")) | (text == ord("["))
    closed = (text == ord("}")) | (text == ord("]"))
    if np.cumsum(opened.astype(np.int64) - closed).max(initial=0) > MAX_DEPTH:
        raise _too_deep()


def _too_deep() -> RejectedPayload:
    return RejectedPayload("too_deep", f"more than {MAX_DEPTH} levels")


def _check_keys(payload: bytes) -> None:
    """Refuse JSON text in which a key stands twice, with a slow parser that shows them all."""
    try:
        json.loads(payload, object_pairs_hook=_distinct, parse_int=len)
    except ValueError as exc:
        raise RejectedPayload("not_json", str(exc)) from exc


def _plain_strings(document: object) -> int:
    """The keys of a document and the strings beside them, without what is nested: all there is in a usual message.

    Never more than `_strings`, so where it accounts for every quote, nothing was dropped.
    """
    return len(document) + list(map(type, document.values())).count(str) if isinstance(document, dict) else 0


def _strings(value: Any, levels: int = MAX_DEPTH) -> int:
    """How many strings (keys and values) a parsed JSON map or list holds; RejectedPayload if it nests too deep."""
    found, inner = 0, value
    if type(value) is dict:
        found, inner = len(value), value.values()
    elif (kinds := set(map(type, value))) <= _NUMBERS:
        return 0
    elif kinds == {dict} and levels > 1:  # rows, all at once
        found, inner, levels = sum(map(len, value)), chain.from_iterable(map(dict.values, value)), levels - 1
    for one in inner:
        kind = type(one)
        if kind is str:
            found += 1
        elif kind is dict or kind is list:
            if levels == 1:
                raise _too_deep()
            found += _strings(one, levels - 1)
    return found


def _distinct(pairs: list[tuple[str, object]]) -> None:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise RejectedPayload("duplicate_key", "a key stands twice in one object")


def _cbor(payload: bytes, tags: _Tags) -> object:
    stream = io.BytesIO(payload)
    decoder = cbor2.CBORDecoder(
        stream,
        max_depth=MAX_DEPTH,
        allow_duplicate_keys=False,
        strict_hashable_types=tags is _TAGS,  # the labels of a list's maps may be integers
        semantic_decoders=tags,
    )
    try:
        document: object = decoder.decode()
    except cbor2.CBORError as exc:
        raise RejectedPayload("not_cbor", str(exc)[:200]) from exc
    if stream.tell() != len(payload):
        raise RejectedPayload("not_cbor", f"{len(payload) - stream.tell()} bytes after the document")
    return document


def _sint32_array(data: object, _immutable: bool) -> MilliCelsius:
    if type(data) is not bytes or len(data) % 4:
        raise cbor2.CBORDecodeError("a sint32 array is a byte string of 4 bytes a value")
    return np.frombuffer(data, _SINT32).astype(_INT32, copy=False)


def _decimal_fraction(data: object, _immutable: bool) -> Decimal:
    if isinstance(data, list | tuple) and [type(part) for part in data] == [int, int]:
        exponent, mantissa = data
        if abs(exponent) <= _LARGEST_EXPONENT:
            return Decimal(mantissa).scaleb(exponent)
    raise cbor2.CBORDecodeError("a decimal fraction is an exponent of at most 32 digits and an integer")


class _Tags(dict[int, Callable[[object, bool], object]]):
    """Refuses every tag that is not listed: no dates, big numbers, regular expressions or shared references."""

    def __missing__(self, tag: int) -> Callable[[object, bool], NoReturn]:
        def refuse(_value: object, _immutable: bool) -> NoReturn:
            raise cbor2.CBORDecodeError(f"tag {tag} has no place in a payload")

        return refuse


_TAGS = _Tags({_SINT32_LE: _sint32_array})
_LIST_TAGS = _Tags({_DECIMAL_FRACTION: _decimal_fraction})
