"""Mapping profiles: how to read the payloads of a gateway that does not speak the project's own form.

A profile is data (a TOML file, see `mapping_file`); this module applies it, as a pure function. What is refused and
what becomes a fault: a message whose identity, time or unit cannot be told is refused whole; a value that stands
where a temperature belongs and is none (null, a text, a sentinel, an absurdity) is a fault with its reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

from coldchain.errors import RejectedPayload
from coldchain.readings import FAULT_MC, ReadingBatch
from gateways.decoders import paths, payloads, series
from gateways.decoders.clocks import instant_ms
from gateways.decoders.identity import channel_of, logger_of
from gateways.decoders.mapping_rules import UNITS, Mapping, ReadingRule, Sentinel
from gateways.decoders.paths import Found, Path
from gateways.decoders.series import Columns
from gateways.decoders.values import MAX_READINGS
from gateways.units import Unit, milli_celsius, milli_celsius_of_float


@dataclass(slots=True)
class _Column:
    at_ms: list[int] = field(default_factory=list)
    temperature_mc: list[int] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)


class Read(NamedTuple):
    """The readings of one document, and what a person should know of it although it could be read."""

    batches: tuple[ReadingBatch, ...]
    flags: tuple[str, ...]


def read(mapping: Mapping, topic: str, found: dict[str, object], received_ms: int) -> Read:
    """The readings of one document by a mapping whose topics cover `topic`; RejectedPayload and nothing else."""
    for ignored in mapping.ignored:
        if paths.look_up(found, ignored.path) in ignored.values:
            raise RejectedPayload("not_a_reading", f"{mapping.name}: {_shown(found, ignored.path)}")
    found = _with_embedded(found, mapping.embedded)
    if mapping.decoded_at and all(paths.look_up(found, place) is None for place in mapping.decoded_at):
        wanted = " or ".join(place.text for place in mapping.decoded_at)
        raise RejectedPayload("undecoded", f"{mapping.name}: nothing at {wanted}; set a payload decoder at the server")
    columns = series.read(mapping, topic, found) or one_by_one(mapping, topic, found, received_ms)
    batches = tuple(
        ReadingBatch(logger, channel, at_ms, mc, received_ms, faults=faults)
        for (logger, channel), (at_ms, mc, faults) in columns.items()
    )
    return Read(batches, tuple(_disagreements(mapping, topic, found)))


def one_by_one(mapping: Mapping, topic: str, found: dict[str, object], received_ms: int) -> Columns:
    """The columns of one document, value by value; RejectedPayload saying what is wrong with the first that is."""
    columns: dict[tuple[str, str], _Column] = {}
    readings = 0
    for rule in mapping.readings:
        for place in rule.temperature:
            for one in paths.find(found, place):
                if rule.skip and any(fnmatchcase(one.place, pattern) for pattern in rule.skip):
                    continue
                if rule.skip_other_units and _stated_unit(rule, found, one) is None:
                    continue
                readings += 1
                if readings > MAX_READINGS:
                    raise RejectedPayload("bad_length", f"more than {MAX_READINGS} readings")
                logger, channel = logger_of(mapping.logger, topic, found, one)
                key = logger, channel or channel_of(rule, topic, found, one)
                column = columns.get(key)
                if column is None:
                    column = columns[key] = _Column()
                temperature, reason = _temperature(mapping, rule, found, one)
                if reason is not None:
                    column.faults[len(column.at_ms)] = reason
                column.at_ms.append(instant_ms(rule.time, found, one, received_ms))
                column.temperature_mc.append(temperature)
    if not columns:
        raise RejectedPayload("not_a_reading", f"{mapping.name}: no temperature where one is looked for")
    return {
        key: (np.array(one.at_ms, dtype=np.int64), np.array(one.temperature_mc, dtype=np.int32), one.faults)
        for key, one in columns.items()
    }


def _with_embedded(found: dict[str, object], embedded: Path | None) -> dict[str, object]:
    """The document with the JSON text that stands at a path replaced by what it says."""
    text = None if embedded is None else paths.look_up(found, embedded)
    if embedded is None or not isinstance(text, str) or not text:
        return found
    return found | {embedded[0].text: payloads.json_object(text.encode())}


def _disagreements(mapping: Mapping, topic: str, found: dict[str, object]) -> list[str]:
    levels = topic.split("/")
    return [
        f"topic_mismatch: {_shown(found, path)}, the topic says {levels[level - 1]!r:.80}"
        for path, level in mapping.agrees_with_topic
        if paths.look_up(found, path) != levels[level - 1]
    ]


def _temperature(mapping: Mapping, rule: ReadingRule, found: dict[str, object], one: Found) -> tuple[int, str | None]:
    """Milli-degC and None, or `FAULT_MC` and why."""
    value = one.value
    if value is None:
        return FAULT_MC, "null"
    if isinstance(value, str):
        reasons = (sentinel.reason for sentinel in mapping.sentinels if sentinel.what == value)
        return FAULT_MC, next(reasons, "not_a_number")
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        raise RejectedPayload("bad_type", f"{one.place} = {value!r:.80}, a number or null")
    if not math.isfinite(value):
        return FAULT_MC, "not_a_number"
    unit = rule.unit or _stated_unit(rule, found, one)
    if unit is None:
        raise RejectedPayload("bad_unit", f"{(rule.unit_path or Path()).text} of {one.place}: not C, F or K")
    mc = milli_celsius(value, unit) if isinstance(value, Decimal) else milli_celsius_of_float(value, unit)
    if mc is None:
        return FAULT_MC, "implausible"
    for sentinel in mapping.sentinels:
        if sentinel.what == mc and fnmatchcase(one.place, sentinel.only) and _all_hold(sentinel, found, value):
            return FAULT_MC, sentinel.reason
    return mc, None


def _all_hold(sentinel: Sentinel, found: dict[str, object], value: object) -> bool:
    return all(paths.look_up(found, path) == value for path in sentinel.together)


def _stated_unit(rule: ReadingRule, found: dict[str, object], one: Found) -> Unit | None:
    """The unit that stands in the message; None where none does, or another than of temperature."""
    if rule.unit_path is None:
        return rule.unit
    stated = paths.beside(found, rule.unit_path, one)
    return UNITS.get(stated) if isinstance(stated, str) else None


def _shown(found: dict[str, object], path: Path) -> str:
    return f"{path.text} = {paths.look_up(found, path)!r:.80}"
