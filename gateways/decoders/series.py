"""Series in foreign payloads: lists of objects with a reading in each, taken as columns.

Long messages are such lists: packs of SenML, the stored values of an edge node. Where one is not of this form, or
holds anything but plain temperatures, `mapping` reads it one by one; it alone says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from coldchain.errors import RejectedPayload
from coldchain.readings import MilliCelsius, Milliseconds
from gateways.decoders import paths
from gateways.decoders.identity import channel_of, logger_of
from gateways.decoders.mapping_rules import UNITS, WILDCARD_TEXT, Mapping, ReadingRule
from gateways.decoders.paths import Found, Path
from gateways.decoders.values import LATEST_MS, MAX_READINGS
from gateways.units import Unit, milli_celsius_of_floats

_SHORT = 8
"""Lists that are shorter on average are read as fast one by one."""

Columns = dict[tuple[str, str], tuple[Milliseconds, MilliCelsius, dict[int, str]]]
"""Instants [ms UTC], temperatures [milli-degC] and the reasons of faults by position, by logger and channel."""

_Series = list[dict[str, Any]]


class _Layout(NamedTuple):
    """Where the lists of a mapping stand, and under which keys their objects hold what belongs to a reading."""

    rule: ReadingRule
    lists: Path
    value: str
    time: str
    unit: str | None
    logger: str | None
    sentinels: frozenset[int | str]


def read(mapping: Mapping, topic: str, document: dict[str, object]) -> Columns | None:
    """The readings of a document by a mapping that looks for lists; None if they must be read one by one."""
    layout = _layout(mapping)
    if layout is None:
        return None
    lists: list[tuple[Any, tuple[str, ...]]] = [(one.value, one.taken) for one in paths.find(document, layout.lists)]
    if any(type(entries) is not list for entries, _ in lists):
        return None
    if not _SHORT * len(lists) <= sum(len(entries) for entries, _ in lists) <= MAX_READINGS:
        return None
    columns: Columns = {}
    for entries, taken in lists:
        if set(map(type, entries)) != {dict}:
            return None
        for stated, series in _apart(layout, entries):
            unit = layout.rule.unit or (UNITS.get(stated) if isinstance(stated, str) else None)
            if unit is None and layout.rule.skip_other_units:
                continue
            column = None if unit is None else _column(layout, series, unit)
            key = _key(mapping, layout, topic, document, Found(None, (*taken, "0"), "", series[0]))
            if column is None or key is None or key in columns:
                return None
            columns[key] = (*column, {})
    return columns


@lru_cache(maxsize=256)
def _layout(mapping: Mapping) -> _Layout | None:
    """How a mapping finds its lists; None if it looks elsewhere, or at where exactly each value stands."""
    rule = mapping.readings[0]
    path, clock = rule.temperature[0], rule.time[0]
    is_one = len(mapping.readings) == len(rule.temperature) == len(rule.time) == 1
    is_list = len(path) > 2 and path[-2].text == "*" and path[-1].pattern is None
    if not is_one or not is_list or rule.skip or rule.channel_path is not None or clock.format != "ms":
        return None
    if any(sentinel.only != "*" or sentinel.together for sentinel in mapping.sentinels):
        return None
    lists = Path(path[:-2])
    wildcards = [mapping.logger.wildcard or 0, *map(int, WILDCARD_TEXT.findall(rule.channel))]
    where = mapping.logger.path
    time, unit, logger = _beside(clock.path), _beside(rule.unit_path), _beside(where)
    is_one_logger = where is None or (where.is_exact and where.from_holder is None)
    if time is None or not (unit or rule.unit) or not (logger or is_one_logger):
        return None
    if max(wildcards) > paths.wildcards(lists):  # the number of the object in its list
        return None
    sentinels = frozenset(sentinel.what for sentinel in mapping.sentinels)
    return _Layout(rule, lists, path[-1].text, time, unit, logger, sentinels)


def _beside(path: Path | None) -> str | None:
    """The key of a path that is one key beside the value; None for any other."""
    inner = None if path is None else path.from_holder
    return inner[0].text if inner is not None and inner.is_exact and len(inner) == 1 else None


def _apart(layout: _Layout, entries: _Series) -> Iterable[tuple[object, _Series]]:
    """The objects of a list, apart by the name of their logger and the unit that they state; each with that unit."""
    units = [None if layout.unit is None else entry.get(layout.unit) for entry in entries]
    names = [None if layout.logger is None else entry.get(layout.logger) for entry in entries]
    if names.count(names[0]) == units.count(units[0]) == len(entries):
        return ((units[0], entries),)
    found: dict[tuple[object, object], _Series] = {}
    for name, unit, entry in zip(names, units, entries, strict=True):
        key = (name if isinstance(name, str) else None, unit if isinstance(unit, str) else None)
        found.setdefault(key, []).append(entry)
    return ((unit, series) for (_, unit), series in found.items())


def _key(
    mapping: Mapping, layout: _Layout, topic: str, document: dict[str, object], first: Found
) -> tuple[str, str] | None:
    try:
        logger, channel = logger_of(mapping.logger, topic, document, first)
        return logger, channel or channel_of(layout.rule, topic, document, first)
    except RejectedPayload:
        return None


def _column(layout: _Layout, series: _Series, unit: Unit) -> tuple[Milliseconds, MilliCelsius] | None:
    times: list[Any] = [entry.get(layout.time) for entry in series]
    values = [entry.get(layout.value) for entry in series]
    if set(map(type, times)) != {int} or not set(map(type, values)) <= {int, float, Decimal}:
        return None
    if not 0 <= min(times) <= max(times) <= LATEST_MS:
        return None
    mc = milli_celsius_of_floats(np.array(values, dtype=np.float64), unit)
    if mc is None or not layout.sentinels.isdisjoint(mc.tolist()):
        return None
    return np.array(times, dtype=np.int64), mc
