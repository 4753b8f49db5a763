"""An independent second opinion on native payloads, written from WIRE.md and the rules that docs and docstrings state.

It shares no code with the reader under test: the standard library's `json` with hooks, and a CBOR reader of its own.
It is slow and obvious. What it says of a payload is either None (refused) or the readings as plain values.

The rules, as they stand written:

* At most 1 MiB. JSON (UTF-8, one object) if it starts with `{`, CBOR (one map) if with a map; leading white space of
  JSON is allowed, a byte order mark is not. At most 16 levels. Nothing follows the document.
* Refused: NaN, infinity, a number that no double holds, a key twice in one object, text that is not Unicode, any CBOR
  tag but 78 (sint32 little-endian, whole multiples of 4 bytes), a CBOR map whose keys are neither text nor bytes; the
  latter are unknown keys. An empty list or map of CBOR counts as no level.
* `v` is 1 or absent; `logger` is that of the topic; `channel` is a name, "1" if absent; `boot`, `seq` are counters of
  63 bits or absent. A name is 1 to 64 printable characters without "/". An optional key that is null counts as absent,
  except `v`: null is no version.
* Exactly one of `mc` and `readings`, 1 to 5000 readings, instants within the years 1970 to 2200.
* `mc`: integers of 32 bits or null; with `t0` and `every` (more than 0) or `dt` (as many integers of 64 bits), neither
  of which one reading needs. null and -2**31 are faults, outside -273.150 to 1000 degC is a fault "implausible".
  `fault` states reasons, by position in canonical decimal, only where there is a fault.
* `readings`: objects with `at` (integer ms, or ISO 8601 with a zone) and exactly one of `c`, `f`, `k`: a finite number
  or null; `fault` only beside null. Rounded to the nearest milli-degC, ties to even.
"""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from typing import Any, NamedTuple

from faults.second_cbor import MOST_LEVELS, Cbor, Refused, Sint32

MOST_BYTES, MOST_READINGS = 1_048_576, 5000
LAST_MS = 7_289_654_399_999
FAULT = -(2**31)


class Read(NamedTuple):
    """The readings of a payload. `faults`: (position, reason), ascending."""

    channel: str
    boot: int | None
    seq: int | None
    at_ms: tuple[int, ...]
    mc: tuple[int, ...]
    faults: tuple[tuple[int, str], ...]


def read(payload: bytes, logger: str) -> Read | None:
    """The readings of a payload on the topic of `logger`, None if it has to be refused."""
    try:
        return _document(_parsed(payload), logger)
    except Refused:
        return None


def _parsed(payload: bytes) -> Any:
    if len(payload) > MOST_BYTES:
        raise Refused
    start = payload.lstrip(b" \t\r\n")[:1]
    if start == b"{":
        return _json(payload)
    if payload and payload[0] >> 5 == 5:
        reader = Cbor(payload)
        found = reader.item(1)
        if reader.at != len(payload):
            raise Refused
        return found
    raise Refused


def _json(payload: bytes) -> Any:
    try:
        text = payload.decode("utf-8", "strict")
    except UnicodeDecodeError as exc:
        raise Refused from exc
    _check_levels(text)
    try:
        found = json.loads(
            text,
            object_pairs_hook=_pairs,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_double,
        )
    except (ValueError, RecursionError) as exc:
        raise Refused from exc
    return found


def _check_levels(text: str) -> None:
    level, is_text, is_escaped = 0, False, False
    for character in text:
        if is_text:
            if is_escaped:
                is_escaped = False
            elif character == "\\":
                is_escaped = True
            elif character == '"':
                is_text = False
        elif character == '"':
            is_text = True
        elif character in "{[":
            level += 1
            if level > MOST_LEVELS:
                raise Refused
        elif character in "}]":
            level -= 1


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = dict(pairs)
    if len(found) != len(pairs):
        raise Refused
    for text in (*found, *found.values()):
        _check_text(text)
    return found


def _check_text(value: Any) -> None:
    """A lone surrogate is no Unicode text."""
    if isinstance(value, str) and any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise Refused
    if isinstance(value, list):
        for each in value:
            _check_text(each)


def _no_constant(_name: str) -> Any:
    raise Refused


def _integer(text: str) -> int | float:
    if len(text) > 400 or math.isinf(float(text)):
        raise Refused
    number = int(text)
    # JSON does not tell integers from numbers: what 64 bits do not hold is a number, no integer
    return number if -(2**63) <= number < 2**64 else float(text)


def _double(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise Refused
    return number


def _document(document: Any, logger: str) -> Read:
    version = document.get("v", 1)
    if type(version) is not int or version != 1:
        raise Refused
    if document.get("logger") != logger or type(document.get("logger")) is not str:
        raise Refused
    channel = "1" if document.get("channel") is None else _name(document["channel"])
    boot, seq = _counter(document.get("boot")), _counter(document.get("seq"))
    if ("mc" in document) == ("readings" in document):
        raise Refused
    at_ms, mc, faults = _columns(document) if "mc" in document else _rows(document["readings"])
    return Read(channel, boot, seq, tuple(at_ms), tuple(mc), tuple(sorted(faults.items())))


def _name(value: Any) -> str:
    if type(value) is not str or not 1 <= len(value) <= 64 or not value.isprintable() or "/" in value:
        raise Refused
    return value


def _counter(value: Any) -> int | None:
    if value is not None and (type(value) is not int or not 0 <= value < 2**63):
        raise Refused
    return value


Columns = tuple[list[int], list[int], dict[int, str]]


def _columns(document: dict[str, Any]) -> Columns:
    column = document["mc"]
    if type(column) not in {list, Sint32} or not 1 <= len(column) <= MOST_READINGS:
        raise Refused
    mc, faults = [], {}
    for position, value in enumerate(column):
        if value is not None and (type(value) is not int or not -(2**31) <= value < 2**31):
            raise Refused
        if value is None or value == FAULT:
            faults[position] = "null"
        elif not -273_150 <= value <= 1_000_000:
            faults[position] = "implausible"
        mc.append(FAULT if position in faults else value)
    stated = document.get("fault")
    if stated is not None:
        if type(stated) is not dict:
            raise Refused
        for position, reason in stated.items():
            if (
                type(position) is not str
                or not re.fullmatch(r"0|[1-9][0-9]{0,3}", position)
                or int(position) not in faults
            ):
                raise Refused
            faults[int(position)] = _name(reason)
    return _times(document, len(mc)), mc, faults


def _times(document: dict[str, Any], count: int) -> list[int]:
    t0, every, dt = document.get("t0"), document.get("every"), document.get("dt")
    if type(t0) is not int or (every is not None and dt is not None):
        raise Refused
    if dt is not None:
        if type(dt) not in {list, Sint32} or len(dt) != count:
            raise Refused
        if any(type(offset) is not int or not -(2**63) <= offset < 2**63 for offset in dt):
            raise Refused
        at_ms = [t0 + offset for offset in dt]
    elif every is None:
        if count > 1:
            raise Refused
        at_ms = [t0]
    else:
        if type(every) is not int or every <= 0:
            raise Refused
        at_ms = [t0 + number * every for number in range(count)]
    for instant in (t0, *at_ms):
        _check_instant(instant)
    return at_ms


def _check_instant(at_ms: int) -> None:
    if not 0 <= at_ms <= LAST_MS:
        raise Refused


def _rows(rows: Any) -> Columns:
    if type(rows) is not list or not 1 <= len(rows) <= MOST_READINGS:
        raise Refused
    at_ms, mc, faults = [], [], {}
    for position, row in enumerate(rows):
        if type(row) is not dict:
            raise Refused
        at_ms.append(_at(row.get("at")))
        units = [unit for unit in "cfk" if unit in row]
        if len(units) != 1:
            raise Refused
        value, reason = row[units[0]], row.get("fault")
        if value is None:
            mc.append(FAULT)
            faults[position] = "null" if reason is None else _name(reason)
            continue
        if type(value) not in {int, float} or not math.isfinite(value):
            raise Refused
        found = _milli(value, units[0])
        if not -273_150 <= found <= 1_000_000:
            mc.append(FAULT)
            faults[position] = "implausible"
        elif reason is not None:
            raise Refused
        else:
            mc.append(found)
    return at_ms, mc, faults


def _milli(value: float, unit: str) -> int:
    exact = Fraction(repr(value))
    if unit == "f":
        return round((exact - 32) * 5000 / 9)
    return round(exact * 1000) if unit == "c" else round(exact * 1000 - 273_150)


_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_AT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(Z|([+-])([0-9]{2}):?([0-9]{2}))"
)


def _at(value: Any) -> int:
    if type(value) is int:
        _check_instant(value)
        return value
    parts = _AT.fullmatch(value) if type(value) is str else None
    if parts is None:
        raise Refused
    year, month, day, hour, minute = (int(parts[number]) for number in range(1, 6))
    second, fraction = int(parts[6] or 0), (parts[7] or "0").ljust(9, "0")
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= _DAYS[month - 1] + (month == 2 and is_leap):
        raise Refused
    if hour > 23 or minute > 59 or second > 59:
        raise Refused
    offset_min = 0
    if parts[9]:
        if int(parts[10]) > 23 or int(parts[11]) > 59:
            raise Refused
        offset_min = (int(parts[10]) * 60 + int(parts[11])) * (-1 if parts[9] == "-" else 1)
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 - 719_162
    days += sum(_DAYS[: month - 1]) + (month > 2 and is_leap) + day - 1
    at_ms = ((days * 24 + hour) * 60 + minute - offset_min) * 60_000 + second * 1000 + int(fraction[:3])
    _check_instant(at_ms)
    return at_ms
