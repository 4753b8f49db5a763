"""The rows of a native payload: one object for each reading, with its own time and unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from coldchain.errors import RejectedPayload
from coldchain.readings import FAULT_MC
from gateways.decoders.columns import Columns
from gateways.decoders.instants import instant_ms, instants_ms
from gateways.decoders.values import check_instants, check_number_of_readings, name, shown
from gateways.units import Unit, milli_celsius_of_float, milli_celsius_of_floats

_UNITS: tuple[Unit, ...] = ("c", "f", "k")
_FEW = 8
"""Below this many rows one after the other is as fast."""


def read(document: Mapping[str, object]) -> Columns:
    """The columns of a document that has `readings`."""
    rows = document["readings"]
    if not isinstance(rows, list):
        raise RejectedPayload("bad_type", "readings is a list")
    check_number_of_readings(len(rows))
    return _alike(rows) or _one_by_one(rows)


def _alike(rows: list[Any]) -> Columns | None:
    """Rows of the same keys, written alike and without faults; None if they are not, or too few to gain by it."""
    if len(rows) < _FEW or set(map(type, rows)) != {dict}:
        return None
    keys = set().union(*rows)
    units = [unit for unit in _UNITS if unit in keys]
    if len(units) != 1 or "fault" in keys:
        return None
    try:
        at, values = [row["at"] for row in rows], [row[units[0]] for row in rows]
    except KeyError:
        return None
    if set(map(type, at)) != {str} or not set(map(type, values)) <= {int, float}:
        return None
    at_ms = instants_ms(at)
    mc = milli_celsius_of_floats(np.array(values, dtype=np.float64), units[0])
    return None if at_ms is None or mc is None else (at_ms, mc, {})


def _one_by_one(rows: list[Any]) -> Columns:
    at_ms: list[int] = []
    temperature_mc: list[int] = []
    faults: dict[int, str] = {}
    for position, row in enumerate(rows):
        if not isinstance(row, dict):
            raise RejectedPayload("bad_type", f"reading {position} is an object")
        at_ms.append(_instant(row.get("at")))
        mc, reason = _temperature(row)
        temperature_mc.append(mc)
        if reason is not None:
            faults[position] = reason
        elif row.get("fault") is not None:
            raise RejectedPayload("bad_value", f"reading {position} has both a temperature and a fault")
    return np.array(at_ms, dtype=np.int64), np.array(temperature_mc, dtype=np.int32), faults


def _instant(at: object) -> int:
    if type(at) is int:
        at_ms = at
    elif isinstance(at, str):
        at_ms = instant_ms(at)
    else:
        raise RejectedPayload("bad_type", f"{shown('at', at)}, a text or an integer of ms")
    check_instants(at_ms, at_ms)
    return at_ms


def _temperature(row: Mapping[str, object]) -> tuple[int, str | None]:
    """Milli-degC and None, or `FAULT_MC` and why."""
    units = [unit for unit in _UNITS if unit in row]
    if len(units) != 1:
        raise RejectedPayload("missing_field", "a reading holds exactly one of c, f and k")
    value = row[units[0]]
    if value is None:
        return FAULT_MC, "null" if row.get("fault") is None else name(row, "fault")
    if type(value) is not int and (type(value) is not float or not math.isfinite(value)):
        raise RejectedPayload("bad_type", f"{shown(units[0], value)}, a number or null")
    mc = milli_celsius_of_float(value, units[0])
    return (FAULT_MC, "implausible") if mc is None else (mc, None)
