"""SenML (RFC 8428), JSON and CBOR: which temperatures does a pack hold, of which names, at which instants?

Base fields stay in force for all records that follow; name = bn + n, time = bt + t, value = bv + v, unit = u, else bu.
Only `Cel` and `K` are temperatures (section 12.1), so a record of any other unit is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coldchain.errors import RejectedPayload
from gateways.decoders import documents
from gateways.decoders.values import LATEST_MS

VERSION = 10
"""Of RFC 8428; a pack that states a higher `bver` is refused (section 4.4)."""

RELATIVE_BELOW_S = 2**28
"""A resolved time below this is relative to now (section 4.5.3)."""

TEMPERATURE_UNITS = {"Cel": "C", "K": "K"}

# Section 6, table 4.
_CBOR_LABELS = {
    -1: "bver",
    -2: "bn",
    -3: "bt",
    -4: "bu",
    -5: "bv",
    -6: "bs",
    0: "n",
    1: "u",
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*", re.ASCII)
_LARGEST_S = 10**12
_LATEST_S = 10**10
_LONG = 8
"""Below this many records one after the other is as fast."""


class Resolved(NamedTuple):
    """One record with the base fields worked in: time in seconds since 1970, `value` None if it holds no number."""

    name: str
    unit: str | None
    time_s: Decimal
    value: Decimal | None
    text: str | None = None


def document(payload: bytes, received_ms: int) -> dict[str, object]:
    """The temperatures of a pack as a mapping reads them: `records` of `n`, `unit` (C or K), `value` and `ms`."""
    pack = documents.parse_list(payload)
    following = _following(pack)
    resolved = _resolved(pack if following is None else pack[:1], received_ms)
    records = [_record(one) for one in resolved if one.unit in TEMPERATURE_UNITS]
    return {"records": records if following is None else records + following}


def _following(pack: list[Any]) -> list[dict[str, object]] | None:
    """What follows the first record of a pack where the bases stand in that alone and the others hold plain numbers of
    one name at absolute times, as most packs do; None where every record must be resolved by itself."""
    if len(pack) < _LONG or set(map(type, pack)) != {dict}:
        return None
    labels = set().union(*pack[1:])
    t: str | int
    v: str | int
    if labels == {"t", "v"}:
        t, v = "t", "v"
    elif labels == {6, 2} and set(map(type, labels)) == {int}:
        t, v = 6, 2
    else:
        return None
    base: dict[str, Any] = _labelled(pack[0])
    name, base_s, unit = base.get("bn"), base.get("bt", 0), base.get("bu")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or "bv" in base:
        return None
    if not isinstance(unit, str) or unit not in TEMPERATURE_UNITS:
        return None
    values, times_s = [one.get(v) for one in pack[1:]], [one.get(t) for one in pack[1:]]
    if not {type(base_s), *map(type, values), *map(type, times_s)} <= {int, float}:
        return None
    ms = _absolute_ms(base_s, np.array(times_s, dtype=np.float64))
    if ms is None:
        return None
    unit = TEMPERATURE_UNITS[unit]
    return [{"n": name, "unit": unit, "value": value, "ms": at} for value, at in zip(values, ms, strict=True)]


def _absolute_ms(base_s: float, times_s: NDArray[np.float64]) -> list[int] | None:
    """Times [s] after a base to the nearest ms; None unless all are absolute, within the years 1970 to 2200, and so far
    from a tie that floats, off by less than 3e-3 ms, round them as decimals do."""
    if not max(abs(base_s), np.abs(times_s).max()) < _LATEST_S:  # nor where there is a NaN
        return None
    unrounded = (times_s + base_s) * 1000
    ms = np.rint(unrounded)
    if unrounded.min() < RELATIVE_BELOW_S * 1000 + 1 or ms.max() > LATEST_MS or np.abs(unrounded - ms).max() > 0.49:
        return None
    found: list[int] = ms.astype(np.int64).tolist()
    return found


def _record(one: Resolved) -> dict[str, object]:
    ms = int((one.time_s * 1000).to_integral_value())
    value = one.text if one.value is None else one.value
    return {"n": one.name, "unit": TEMPERATURE_UNITS[one.unit or ""], "value": value, "ms": ms}


def resolve(payload: bytes, received_ms: int) -> Iterator[Resolved]:
    """Every record of a pack that holds a value, resolved; times are absolute, `received_ms` being now.

    Raises
    ------
    RejectedPayload : not a pack, a version above 10, or a label that ends in `_` (its sender says: refuse the pack
        unless you understand it; section 4.4)
    """
    return _resolved(documents.parse_list(payload), received_ms)


def _resolved(pack: list[object], received_ms: int) -> Iterator[Resolved]:
    records = [_labelled(record) for record in pack]
    if not records:
        raise RejectedPayload("bad_length", "a pack holds at least one record")
    base_name, base_unit = "", None
    base_time_s = base_value = Decimal(0)
    for record in records:
        version = record.get("bver", VERSION)
        if type(version) is not int or not 1 <= version <= VERSION:
            raise RejectedPayload("unknown_version", f"bver = {version!r:.80}, at most {VERSION}")
        stated = _text(record, "bn")
        base_name = base_name if stated is None else stated
        base_unit = _text(record, "bu") or base_unit
        base_time_s = _finite(record, "bt", base_time_s)
        base_value = _finite(record, "bv", base_value)
        if not record.keys() & {"v", "vs", "vb", "vd", "s"}:
            continue  # base fields alone
        name = base_name + (_text(record, "n") or "")
        if not _NAME.fullmatch(name):
            raise RejectedPayload("bad_value", f"{name!r:.80} is no SenML name")
        time_s = base_time_s + _finite(record, "t", Decimal(0))
        if time_s < RELATIVE_BELOW_S:
            time_s += Decimal(received_ms) / 1000
        if not 0 <= time_s < _LARGEST_S:
            raise RejectedPayload("bad_time", f"{name}: {time_s} s is not within the years 1970 to 2200")
        unit = _text(record, "u") or base_unit
        if record.keys() & {"v", "vs"}:
            value = _number(record, "v")
            yield Resolved(name, unit, time_s, None if value is None else base_value + value, _text(record, "vs"))


def _labelled(record: object) -> dict[str, object]:
    """A record by its JSON labels; CBOR may write them as integers."""
    if not isinstance(record, dict):
        raise RejectedPayload("bad_type", f"{record!r:.80}: a record is an object")
    found: dict[str, object] = {}
    for label, value in record.items():
        name = label if isinstance(label, str) else _CBOR_LABELS.get(label) if type(label) is int else None
        if name is None:
            continue
        if name.endswith("_"):
            raise RejectedPayload("must_understand", f"label {name!r:.80}")
        if name in found:
            raise RejectedPayload("duplicate_key", f"label {name!r} stands twice in one record")
        found[name] = value
    return found


def _text(record: Mapping[str, object], label: str) -> str | None:
    value = record.get(label)
    if value is not None and not isinstance(value, str):
        raise RejectedPayload("bad_type", f"{label} = {value!r:.80}, a text")
    return value


def _number(record: Mapping[str, object], label: str) -> Decimal | None:
    value = record.get(label)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise RejectedPayload("bad_type", f"{label} = {value!r:.80}, a number")
    return Decimal(str(value))


def _finite(record: Mapping[str, object], label: str, default: Decimal) -> Decimal:
    value = _number(record, label)
    if value is None:
        return default
    if not value.is_finite():
        raise RejectedPayload("bad_value", f"{label} = {value}, a finite number")
    return value
