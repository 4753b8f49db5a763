"""The payload of Sparkplug B 3.0: bytes to metrics, by the field numbers of its specification (section 6.4).

What is no number (texts, data sets, templates, files) is passed over: no temperature is written so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from coldchain.errors import RejectedPayload
from gateways.decoders.documents import MAX_PAYLOAD_BYTES
from gateways.decoders.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    bytes_field,
    fields,
    float32,
    float64,
    varint_field,
)

BOOLEAN = 11
REBIRTH = "Node Control/Rebirth"
BD_SEQ = "bdSeq"

MAX_METRICS = 5000

# Section 6.4.16: data types 1 to 8 are integers of these widths; the first four are signed.
_BITS = {1: 8, 2: 16, 3: 32, 4: 64, 5: 8, 6: 16, 7: 32, 8: 64}
_SIGNED = {1, 2, 3, 4}
_FLOATS = {9, 10}

_UNIT_PROPERTIES = {"engunit", "engineering units", "unit", "units"}
"""Names of the property that states a metric's unit. The specification names none; Ignition writes engUnit."""

_UNIT_WORDS = {"c": "C", "degc": "C", "cel": "C", "celsius": "C", "f": "F", "degf": "F", "fahrenheit": "F"} | {
    "k": "K",
    "kelvin": "K",
}


class Metric(NamedTuple):
    """One metric. `raw` is the integer or float of the wire, None if it is null or no number."""

    name: str = ""
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    is_historical: bool = False
    is_null: bool = False
    unit: str | None = None
    raw: int | float | None = None

    def value(self, datatype: int | None) -> int | float | None:
        """The number by its data type: signed integers travel as two's complement. None for what is no number."""
        kind = self.datatype if self.datatype is not None else datatype
        if self.is_null or self.raw is None or isinstance(self.raw, bool):
            return None
        if isinstance(self.raw, float):
            return self.raw if kind in _FLOATS else None
        bits = _BITS.get(kind or 0)
        if bits is None:
            return None
        value = self.raw & ((1 << bits) - 1)
        return value - (1 << bits) if kind in _SIGNED and value >> (bits - 1) else value

    def is_number(self, datatype: int | None) -> bool:
        """Whether a number is what a metric of this data type holds."""
        kind = self.datatype if self.datatype is not None else datatype
        return kind in _BITS or kind in _FLOATS


class Payload(NamedTuple):
    """One message: when it was sent, its sequence number, its metrics."""

    timestamp_ms: int | None
    seq: int | None
    metrics: tuple[Metric, ...]

    def bd_seq(self) -> int | None:
        """The number of the session that a birth or death belongs to."""
        return next((one.raw for one in self.metrics if one.name == BD_SEQ and isinstance(one.raw, int)), None)


def parse(payload: bytes) -> Payload:
    """The payload that bytes hold; RejectedPayload and nothing else if they hold none."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise RejectedPayload("too_large", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
    timestamp_ms = seq = None
    metrics: list[Metric] = []
    for number, wire_type, value in fields(payload):
        if number == 1:
            timestamp_ms = _integer(number, wire_type, value)
        elif number == 2:
            metrics.append(_metric(_message(number, wire_type, value)))
            if len(metrics) > MAX_METRICS:
                raise RejectedPayload("bad_length", f"more than {MAX_METRICS} metrics")
        elif number == 3:
            seq = _integer(number, wire_type, value)
    if seq is not None and seq > 255:
        raise RejectedPayload("bad_value", f"seq = {seq}, 0 to 255")
    return Payload(timestamp_ms, seq, tuple(metrics))


def rebirth_request(now_ms: int) -> bytes:
    """The payload that asks an edge node for its births again: Node Control/Rebirth = true (section 5.17)."""
    metric = bytes_field(1, REBIRTH.encode()) + varint_field(3, now_ms) + varint_field(4, BOOLEAN) + varint_field(14, 1)
    return varint_field(1, now_ms) + bytes_field(2, metric)


def _metric(message: bytes) -> Metric:
    found: dict[str, object] = {}
    for number, wire_type, value in fields(message):
        if number in _METRIC_FIELDS:
            key, read = _METRIC_FIELDS[number]
            found[key] = read(number, wire_type, value)
        elif 15 <= number <= 19:
            found["raw"] = None  # the last of the alternatives that hold a value counts, as protobuf says
    if not found.get("name") and found.get("alias") is None:
        raise RejectedPayload("missing_field", "a metric has neither name nor alias")
    return Metric(**found)  # type: ignore[arg-type]  # each reader gives what its key holds


def _integer(number: int, wire_type: int, value: int | bytes) -> int:
    if wire_type != VARINT or isinstance(value, bytes):
        raise RejectedPayload("not_sparkplug", f"field {number} is no integer")
    return value


def _uint32(number: int, wire_type: int, value: int | bytes) -> int:
    return _integer(number, wire_type, value) & 0xFFFF_FFFF


def _flag(number: int, wire_type: int, value: int | bytes) -> bool:
    return _integer(number, wire_type, value) != 0


def _message(number: int, wire_type: int, value: int | bytes) -> bytes:
    if wire_type != BYTES or isinstance(value, int):
        raise RejectedPayload("not_sparkplug", f"field {number} is neither text nor message")
    return value


def _text(number: int, wire_type: int, value: int | bytes) -> str:
    try:
        return _message(number, wire_type, value).decode()
    except UnicodeDecodeError as exc:
        raise RejectedPayload("not_sparkplug", f"field {number} is no UTF-8: {exc}") from exc


def _float(number: int, wire_type: int, value: int | bytes) -> float:
    if wire_type != FIXED32 or isinstance(value, int):
        raise RejectedPayload("not_sparkplug", f"field {number} is no float")
    return _tidy(float32(value))


def _double(number: int, wire_type: int, value: int | bytes) -> float:
    if wire_type != FIXED64 or isinstance(value, int):
        raise RejectedPayload("not_sparkplug", f"field {number} is no double")
    return float64(value)


def _tidy(value: float) -> float:
    """A float of 32 bits as people write it: 5.1, not 5.099999904632568 (seven digits are all it holds)."""
    return float(f"{value:.7g}") if math.isfinite(value) else value


def _unit(number: int, wire_type: int, value: int | bytes) -> str | None:
    """The unit that a set of properties states: keys and values are two lists of equal order."""
    keys: list[str] = []
    values: list[bytes] = []
    for inner, kind, content in fields(_message(number, wire_type, value)):
        if inner == 1:
            keys.append(_text(inner, kind, content))
        elif inner == 2:
            values.append(_message(inner, kind, content))
    for key, one in zip(keys, values, strict=False):
        if key.lower() in _UNIT_PROPERTIES:
            for inner, kind, content in fields(one):
                if inner == 8:
                    stated = _text(inner, kind, content)
                    return _UNIT_WORDS.get(stated.lower().replace("\N{DEGREE SIGN}", "").replace(" ", ""), stated)
    return None


_METRIC_FIELDS: dict[int, tuple[str, Callable[[int, int, int | bytes], object]]] = {
    1: ("name", _text),
    2: ("alias", _integer),
    3: ("timestamp_ms", _integer),
    4: ("datatype", _uint32),
    5: ("is_historical", _flag),
    7: ("is_null", _flag),
    9: ("unit", _unit),
    10: ("raw", _uint32),
    11: ("raw", _integer),
    12: ("raw", _float),
    13: ("raw", _double),
    14: ("raw", _flag),
}
