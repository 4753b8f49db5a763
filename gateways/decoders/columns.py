"""The columns of a native payload: times and temperatures as two lists or typed arrays.

What everyday messages hold, lists of integers and nothing else, is packed and checked as a whole. Whatever does not
pack is read value by value, which says what is wrong with it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coldchain.errors import RejectedPayload
from coldchain.readings import ABSOLUTE_ZERO_MC, FAULT_MC, HIGHEST_MC, MilliCelsius, Milliseconds
from gateways.decoders.values import MAX_READINGS, check_instants, check_number_of_readings, name, shown

Columns = tuple[Milliseconds, MilliCelsius, dict[int, str]]
"""Instants [ms UTC], temperatures [milli-degC] and the reasons of faults by position."""


_NO_LIST = "mc is a list of integers or null"
_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)


def read(document: Mapping[str, object]) -> Columns:
    """The columns of a document that has `mc`."""
    column = document["mc"]
    mc = column if isinstance(column, np.ndarray) else _packed(column, "i", _INT32)
    if mc is None:
        mc = _temperatures(column)
    check_number_of_readings(len(mc))
    # `argmin` and an index take a third of the time of `min` where columns are short.
    coldest_mc, hottest_mc = mc.item(mc.argmin()), mc.item(mc.argmax())
    # What was packed may have been booleans if a 0 or 1 is in it.
    if coldest_mc <= 1 and isinstance(column, list) and bool in map(type, column):
        raise RejectedPayload("bad_type", _NO_LIST)
    at_ms = _times(document, len(mc))

    faults: dict[int, str] = {}
    if coldest_mc < ABSOLUTE_ZERO_MC or hottest_mc > HIGHEST_MC:
        implausible = (mc < ABSOLUTE_ZERO_MC) | (mc > HIGHEST_MC)
        faults = {i: "null" if mc[i] == FAULT_MC else "implausible" for i in np.flatnonzero(implausible).tolist()}
        mc = np.where(implausible, np.int32(FAULT_MC), mc)
    if document.get("fault") is not None:
        faults |= _stated_reasons(document, faults)
    return at_ms, mc, faults


def _packed(column: object, letter: Literal["i", "q"], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """A list of integers as an array, booleans among them as 0 and 1. None for anything else, and where a value does
    not fit or they are too many."""
    if type(column) is not list or len(column) > MAX_READINGS:
        return None
    array = np.empty(len(column), dtype)
    try:
        struct.pack_into(f"{len(column)}{letter}", array, 0, *column)  # type: ignore[arg-type]  # a buffer in all but the stubs
    except struct.error:
        return None
    return array


def _temperatures(column: object) -> MilliCelsius:
    """A list of integers and nulls as a column; RejectedPayload saying why it is none."""
    if not isinstance(column, list) or not set(map(type, column)) <= {int, type(None)}:
        raise RejectedPayload("bad_type", _NO_LIST)
    try:
        return np.array([FAULT_MC if value is None else value for value in column], dtype=np.int32)
    except OverflowError as exc:
        raise RejectedPayload("bad_value", "mc holds a value outside int32") from exc


def _times(document: Mapping[str, object], readings: int) -> Milliseconds:
    t0 = document.get("t0")
    if type(t0) is not int:
        raise RejectedPayload("bad_type", f"{shown('t0', t0)}, an integer of ms")
    check_instants(t0, t0)
    every, dt = document.get("every"), document.get("dt")
    if every is not None and dt is not None:
        raise RejectedPayload("bad_value", "every and dt exclude each other")
    if dt is not None:
        offsets = _offsets(dt, readings)
        check_instants(t0 + offsets.item(offsets.argmin()), t0 + offsets.item(offsets.argmax()))
        at_ms: Milliseconds = offsets + np.array(t0, dtype=np.int64)  # not a scalar: converting one takes longer
        return at_ms
    if every is None:
        if readings > 1:
            raise RejectedPayload("missing_field", "more than one reading needs every or dt")
        every = 1
    if type(every) is not int:
        raise RejectedPayload("bad_type", f"{shown('every', every)}, an integer of ms")
    if every <= 0:
        raise RejectedPayload("bad_value", f"{shown('every', every)}, more than 0 ms")
    check_instants(t0, t0 + every * (readings - 1))
    # One reading has no second to be late for: its `every` may be any number, also one that no column can hold.
    step = every if readings > 1 else 1
    return np.arange(t0, t0 + step * readings, step, dtype=np.int64)


def _offsets(dt: object, readings: int) -> NDArray[Any]:
    """Offsets from `t0` [ms], int32[n] or int64[n]."""
    offsets: NDArray[Any] | None
    if isinstance(dt, np.ndarray):
        offsets = dt
    elif isinstance(dt, list) and set(map(type, dt)) <= {int}:
        offsets = _packed(dt, "q", _INT64)
    else:
        raise RejectedPayload("bad_type", "dt is a list of integers")
    if len(dt) != readings:
        raise RejectedPayload("length_mismatch", f"{len(dt)} times for {readings} readings")
    if offsets is None:
        raise RejectedPayload("bad_value", "dt holds a value outside int64")
    return offsets


def _stated_reasons(document: Mapping[str, object], faults: Mapping[int, str]) -> dict[int, str]:
    stated = document["fault"]
    if not isinstance(stated, dict):
        raise RejectedPayload("bad_type", "fault is a map of position to reason")
    reasons = {}
    for position in stated:
        if not (isinstance(position, str) and position.isascii() and position.isdecimal() and len(position) <= 4):
            raise RejectedPayload("bad_value", f"fault: {position!r:.80} is no position")
        if str(int(position)) != position or int(position) not in faults:
            raise RejectedPayload("bad_value", f"fault: there is no fault at position {position!r}")
        reasons[int(position)] = name(stated, position)
    return reasons
