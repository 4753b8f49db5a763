"""Receipts: what does the service say that it has, that it lacks, and that it cannot use?"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from coldchain.errors import RejectedPayload
from gateways.decoders import documents

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LARGEST = 2**63 - 1
_T = TypeVar("_T")


class Stored(NamedTuple):
    """Ranges of numbers (both ends included) that are on the service's disk, of one life of a channel's counter."""

    logger: str
    channel: str
    boot: int
    ranges: tuple[tuple[int, int], ...]


class Missing(NamedTuple):
    """Numbers that the service lacks between others that it has."""

    logger: str
    channel: str
    boot: int
    first: int
    last: int


class Refused(NamedTuple):
    """A message, known by its hash, that holds no readings for the service."""

    logger: str
    sha256: str
    reason: str


class Receipt(NamedTuple):
    """One receipt; `at_ms` is the service's time when it was written [ms UTC]."""

    at_ms: int
    stored: tuple[Stored, ...]
    resend: tuple[Missing, ...]
    refused: tuple[Refused, ...]
    hold: bool


def parse(payload: bytes) -> Receipt:
    """The receipt in a payload; RejectedPayload if it is not exactly of the form: a guess could delete readings."""
    document = documents.parse(payload)
    if document.get("v") != 1:
        raise RejectedPayload("unknown_version", f"v = {document.get('v')!r:.80}")
    hold = document.get("hold")
    if not isinstance(hold, bool):
        raise RejectedPayload("bad_type", f"hold = {hold!r:.80}, true or false")
    return Receipt(
        at_ms=_number(document, "at"),
        stored=_each(document, "stored", _stored),
        resend=_each(document, "resend", _missing),
        refused=_each(document, "refused", _refused),
        hold=hold,
    )


def _each(document: dict[str, Any], key: str, read: Callable[[dict[str, Any]], _T]) -> tuple[_T, ...]:
    entries = document.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RejectedPayload("bad_type", f"{key} is a list of objects")
    return tuple(map(read, entries))


def _stored(entry: dict[str, Any]) -> Stored:
    above = entry.get("above")
    if not isinstance(above, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in above):
        raise RejectedPayload("bad_type", "above is a list of pairs")
    ranges = [(entry.get("first"), entry.get("seq")), *map(tuple, above)]
    for first, last in ranges:
        if type(first) is not int or type(last) is not int or not 0 <= first <= last <= _LARGEST:
            raise RejectedPayload("bad_value", f"{first!r:.40} to {last!r:.40} is no range of numbers")
    return Stored(_text(entry, "logger"), _text(entry, "channel"), _number(entry, "boot"), tuple(ranges))


def _missing(entry: dict[str, Any]) -> Missing:
    first, last = _number(entry, "from"), _number(entry, "to")
    if first > last:
        raise RejectedPayload("bad_value", f"{first} to {last} is no range of numbers")
    return Missing(_text(entry, "logger"), _text(entry, "channel"), _number(entry, "boot"), first, last)


def _refused(entry: dict[str, Any]) -> Refused:
    sha256 = _text(entry, "sha256")
    if not _SHA256.fullmatch(sha256):
        raise RejectedPayload("bad_value", f"sha256 = {sha256!r:.80}")
    return Refused(_text(entry, "logger"), sha256, _text(entry, "reason"))


def _text(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise RejectedPayload("bad_type", f"{key} = {value!r:.80}, a text")
    return value


def _number(entry: dict[str, Any], key: str) -> int:
    value = entry.get(key)
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise RejectedPayload("bad_type", f"{key} = {value!r:.80}, a whole number up to 2**63 - 1")
    return value
