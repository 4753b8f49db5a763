"""The rows of a native payload: one object for each reading, with its own time and unit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np

from coldchain.errors import RejectedPayload
from coldchain.readings import FAULT_MC
from gateways.decoders.columns import Columns
from gateways.decoders.values import check_instants, check_number_of_readings, name, shown
from gateways.units import Unit, milli_celsius

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The hour and the zone are bounded here: `fromisoformat` takes +00:60 as an hour, and from Python 3.13 on 24:00.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?[0-5]\d)", re.ASCII)
_UNITS: tuple[Unit, ...] = ("c", "f", "k")


def read(document: Mapping[str, object]) -> Columns:
    """The columns of a document that has `readings`."""
    rows = document["readings"]
    if not isinstance(rows, list):
        raise RejectedPayload("bad_type", "readings is a list")
    check_number_of_readings(len(rows))
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
            raise RejectedPayload("bad_time", f"{shown('at', at)}, ISO 8601 with a zone such as Z or +01:00")
        try:
            at_ms = (datetime.fromisoformat(at) - _EPOCH) // timedelta(milliseconds=1)
        except ValueError as exc:
            raise RejectedPayload("bad_time", f"{shown('at', at)}: {exc}") from exc
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
    mc = milli_celsius(Decimal(str(value)), units[0])
    return (FAULT_MC, "implausible") if mc is None else (mc, None)
