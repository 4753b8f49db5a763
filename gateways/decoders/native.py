"""The project's own payload: columns (JSON, CBOR) and the tolerant row form, read strictly.

What is refused and what becomes a fault: a document that is not exactly of the form is refused whole; a value of
the right type that no probe can have measured is a fault with reason "implausible". Unknown keys are ignored. An
optional key that is null counts as absent, except `v`: null is no version.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np

from coldchain.errors import RejectedPayload
from coldchain.readings import ABSOLUTE_ZERO_MC, FAULT_MC, HIGHEST_MC, MilliCelsius, Milliseconds, ReadingBatch
from gateways.units import Unit, milli_celsius

MAX_READINGS = 5000
LATEST_MS = 7_289_654_399_999
"""The last millisecond of the year 2200; the first instant is 1970."""

_COLDEST = np.uint32(ABSOLUTE_ZERO_MC % 2**32)
_SPAN_MC = HIGHEST_MC - ABSOLUTE_ZERO_MC
_LARGEST = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The hour and the zone are bounded here: `fromisoformat` takes +00:60 as an hour, and from Python 3.13 on 24:00.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?[0-5]\d)", re.ASCII)
_UNITS: tuple[Unit, ...] = ("c", "f", "k")
_INTEGERS: set[type] = {int}
_INTEGERS_OR_NULL: set[type] = {int, type(None)}


def read(document: Mapping[str, object], logger: str, received_ms: int) -> ReadingBatch:
    """The readings of one document of `logger`, the logger that the message's topic names."""
    version = document.get("v", 1)
    if type(version) is not int or version != 1:
        raise RejectedPayload("unknown_version", _shown("v", version))
    stated = _name(document, "logger")
    if stated != logger:
        raise RejectedPayload("logger_mismatch", f"{_shown('logger', stated)}, the topic says {logger!r}")
    channel = "1" if document.get("channel") is None else _name(document, "channel")
    boot, seq = _count(document, "boot"), _count(document, "seq")
    if ("mc" in document) == ("readings" in document):
        raise RejectedPayload("missing_field", "exactly one of mc and readings holds the temperatures")
    at_ms, mc, faults = _columns(document) if "mc" in document else _rows(document)
    return ReadingBatch(logger, channel, at_ms, mc, received_ms, boot, seq, faults)


Columns = tuple[Milliseconds, MilliCelsius, dict[int, str]]


def _columns(document: Mapping[str, object]) -> Columns:
    column = document["mc"]
    if isinstance(column, np.ndarray):
        mc = column
    elif isinstance(column, list) and (types := set(map(type, column))) <= _INTEGERS_OR_NULL:
        if types != _INTEGERS:
            column = [FAULT_MC if value is None else value for value in column]
        try:
            mc = np.array(column, dtype=np.int32)
        except OverflowError as exc:
            raise RejectedPayload("bad_value", "mc holds a value outside int32") from exc
    else:
        raise RejectedPayload("bad_type", "mc is a list of integers or null")
    _check_number_of_readings(len(mc))
    at_ms = _times(document, len(mc))

    faults: dict[int, str] = {}
    # Seen from absolute zero, without a sign, what is below it is far above everything: one comparison for both ends.
    if np.maximum.reduce(mc.view(np.uint32) - _COLDEST) > _SPAN_MC:
        implausible = (mc < ABSOLUTE_ZERO_MC) | (mc > HIGHEST_MC)
        faults = {i: "null" if mc[i] == FAULT_MC else "implausible" for i in np.flatnonzero(implausible).tolist()}
        mc = np.where(implausible, np.int32(FAULT_MC), mc)
    faults |= _stated_reasons(document, faults)
    return at_ms, mc, faults


def _times(document: Mapping[str, object], readings: int) -> Milliseconds:
    t0 = document.get("t0")
    if type(t0) is not int:
        raise RejectedPayload("bad_type", f"{_shown('t0', t0)}, an integer of ms")
    _check_instants(t0, t0)
    every, dt = document.get("every"), document.get("dt")
    if every is not None and dt is not None:
        raise RejectedPayload("bad_value", "every and dt exclude each other")
    if dt is not None:
        offsets = _offsets(dt, readings)
        _check_instants(t0 + int(np.minimum.reduce(offsets)), t0 + int(np.maximum.reduce(offsets)))
        return t0 + offsets
    if every is None:
        if readings > 1:
            raise RejectedPayload("missing_field", "more than one reading needs every or dt")
        every = 1
    if type(every) is not int:
        raise RejectedPayload("bad_type", f"{_shown('every', every)}, an integer of ms")
    if every <= 0:
        raise RejectedPayload("bad_value", f"{_shown('every', every)}, more than 0 ms")
    _check_instants(t0, t0 + every * (readings - 1))
    # One reading has no second to be late for: its `every` may be any number, also one that no column can hold.
    step = every if readings > 1 else 1
    return np.arange(t0, t0 + step * readings, step, dtype=np.int64)


def _offsets(dt: object, readings: int) -> Milliseconds:
    if not isinstance(dt, np.ndarray) and not (isinstance(dt, list) and set(map(type, dt)) <= _INTEGERS):
        raise RejectedPayload("bad_type", "dt is a list of integers")
    if len(dt) != readings:
        raise RejectedPayload("length_mismatch", f"{len(dt)} times for {readings} readings")
    try:
        return np.array(dt, dtype=np.int64)
    except OverflowError as exc:
        raise RejectedPayload("bad_value", "dt holds a value outside int64") from exc


def _stated_reasons(document: Mapping[str, object], faults: Mapping[int, str]) -> dict[int, str]:
    stated = document.get("fault")
    if stated is None:
        return {}
    if not isinstance(stated, dict):
        raise RejectedPayload("bad_type", "fault is a map of position to reason")
    reasons = {}
    for position in stated:
        if not (isinstance(position, str) and position.isascii() and position.isdecimal() and len(position) <= 4):
            raise RejectedPayload("bad_value", f"fault: {position!r:.80} is no position")
        if str(int(position)) != position or int(position) not in faults:
            raise RejectedPayload("bad_value", f"fault: there is no fault at position {position!r}")
        reasons[int(position)] = _name(stated, position)
    return reasons


def _rows(document: Mapping[str, object]) -> Columns:
    rows = document["readings"]
    if not isinstance(rows, list):
        raise RejectedPayload("bad_type", "readings is a list")
    _check_number_of_readings(len(rows))
    at_ms = np.empty(len(rows), dtype=np.int64)
    mc = np.empty(len(rows), dtype=np.int32)
    faults = {}
    for position, row in enumerate(rows):
        if not isinstance(row, dict):
            raise RejectedPayload("bad_type", f"reading {position} is an object")
        at_ms[position] = _instant(row.get("at"))
        mc[position], reason = _temperature(row)
        if reason is not None:
            faults[position] = reason
        elif row.get("fault") is not None:
            raise RejectedPayload("bad_value", f"reading {position} has both a temperature and a fault")
    return at_ms, mc, faults


def _instant(at: object) -> int:
    if type(at) is int:
        at_ms = at
    elif isinstance(at, str):
        if not _INSTANT.fullmatch(at):
            raise RejectedPayload("bad_time", f"{_shown('at', at)}, ISO 8601 with a zone such as Z or +01:00")
        try:
            at_ms = (datetime.fromisoformat(at) - _EPOCH) // timedelta(milliseconds=1)
        except ValueError as exc:
            raise RejectedPayload("bad_time", f"{_shown('at', at)}: {exc}") from exc
    else:
        raise RejectedPayload("bad_type", f"{_shown('at', at)}, a text or an integer of ms")
    _check_instants(at_ms, at_ms)
    return at_ms


def _temperature(row: Mapping[str, object]) -> tuple[int, str | None]:
    """Milli-degC and None, or `FAULT_MC` and why."""
    units = [unit for unit in _UNITS if unit in row]
    if len(units) != 1:
        raise RejectedPayload("missing_field", "a reading holds exactly one of c, f and k")
    value = row[units[0]]
    if value is None:
        return FAULT_MC, "null" if row.get("fault") is None else _name(row, "fault")
    if type(value) is not int and (type(value) is not float or not math.isfinite(value)):
        raise RejectedPayload("bad_type", f"{_shown(units[0], value)}, a number or null")
    mc = milli_celsius(Decimal(str(value)), units[0])
    return (FAULT_MC, "implausible") if mc is None else (mc, None)


def _check_number_of_readings(readings: int) -> None:
    if not 1 <= readings <= MAX_READINGS:
        raise RejectedPayload("bad_length", f"{readings} readings, 1 to {MAX_READINGS} are allowed")


def _check_instants(first_ms: int, last_ms: int) -> None:
    if first_ms < 0 or last_ms > LATEST_MS:
        raise RejectedPayload("bad_time", f"{first_ms} to {last_ms} ms is not within the years 1970 to 2200")


def _name(document: Mapping[str, object], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        raise RejectedPayload("bad_type", f"{_shown(key, value)}, a text")
    if not (1 <= len(value) <= 64 and value.isprintable() and "/" not in value):
        raise RejectedPayload("bad_value", f"{_shown(key, value)}, 1 to 64 printable characters without '/'")
    return value


def _count(document: Mapping[str, object], key: str) -> int | None:
    value = document.get(key)
    if value is None:
        return None
    if type(value) is not int:
        raise RejectedPayload("bad_type", f"{_shown(key, value)}, an integer")
    if not 0 <= value <= _LARGEST:
        raise RejectedPayload("bad_value", f"{_shown(key, value)}, 0 to 2**63 - 1")
    return value


def _shown(key: str, value: object) -> str:
    return f"{key} = {value!r:.80}"
