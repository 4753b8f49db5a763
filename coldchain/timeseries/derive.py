"""What a stretch of the ledger adds to the store, computed from the ledger alone: the same points however often.

Only the hours that new readings touch are computed again, each from everything that is known of it.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple

import numpy as np

from coldchain import exposure, history, kernels
from coldchain.alerts.cards import place_at
from coldchain.history import Record
from coldchain.readings import ChannelKey, Milliseconds, ReadingBatch
from coldchain.registry import Registry
from coldchain.timeseries.ledger_view import LedgerView
from coldchain.timeseries.points import DAY_MS, HOUR_MS, Act, Evidence, Hold, LoggerHour, PlaceHour, Readings, hour_of
from coldchain.timeseries.store import hourly

ACTIVATION_ENERGY_J_MOL = 83144.62618
"""The conventional one (a = 10 000 K), for every place alike: a product's own would tell products apart."""

EVENT_ACTIONS = ("quarantine.raised", "quarantine.revised")

Span = tuple[int, int]


def new_readings(
    view: LedgerView, blocks: Sequence[tuple[int, ReadingBatch]], after_block: int
) -> tuple[tuple[Readings, ...], dict[ChannelKey, tuple[LoggerHour, ...]], dict[ChannelKey, list[Span]]]:
    """The readings of some blocks, the hours they touch, and those hours as spans, by channel."""
    instants: dict[ChannelKey, list[Milliseconds]] = defaultdict(list)
    for _, batch in blocks:
        instants[batch.key].append(batch.at_ms)
    readings: list[Readings] = []
    hours: dict[ChannelKey, tuple[LoggerHour, ...]] = {}
    touched: dict[ChannelKey, list[Span]] = {}
    for key, columns in instants.items():
        ends = np.unique(hour_of(np.concatenate(columns)))
        touched[key] = spans(ends)
        found: list[LoggerHour] = []
        for from_ms, to_ms in touched[key]:
            known = view.known(key, from_ms, to_ms)
            for is_verified in (True, False):
                new = known.readings(key, is_verified=is_verified, after_block=after_block)
                if len(new):
                    readings.append(new)
            found += hourly(known.readings(key, is_verified=True))
        hours[key] = tuple(found)
    return tuple(readings), hours, touched


def spans(ends: Milliseconds) -> list[Span]:
    """Ends of hours, ascending, as ranges `(from_ms, to_ms]` of whole hours; hours within a day of each other join."""
    if not len(ends):
        return []
    breaks = np.flatnonzero(np.diff(ends) > DAY_MS)
    firsts, lasts = np.r_[ends[0], ends[breaks + 1]], np.r_[ends[breaks], ends[-1]]
    return list(zip((firsts - HOUR_MS).tolist(), lasts.tolist(), strict=True))


def changed_place_hours(
    view: LedgerView, registry: Registry, touched: Mapping[ChannelKey, Sequence[Span]]
) -> dict[str, tuple[PlaceHour, ...]]:
    """The hours of places that readings in the touched spans reach: a reading counts for up to a gap on each side."""
    by_place: dict[str, list[Span]] = defaultdict(list)
    for key, ranges in touched.items():
        logger = registry.loggers.get(key.logger)
        if logger is None:
            continue
        reach_ms = max(logger.gap_after_ms, logger.logging_interval_ms)
        for place in registry.places_watched_by.get(key, ()):
            by_place[place] += [(from_ms - reach_ms, to_ms + reach_ms) for from_ms, to_ms in ranges]
    return {
        place: tuple(hour for span in _joined(ranges) for hour in place_hours(view, registry, place, *span))
        for place, ranges in sorted(by_place.items())
    }


def _joined(ranges: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for from_ms, to_ms in sorted((from_ms // HOUR_MS * HOUR_MS, int(hour_of(to_ms))) for from_ms, to_ms in ranges):
        if joined and from_ms <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], to_ms))
        else:
            joined.append((from_ms, to_ms))
    return joined


def place_hours(view: LedgerView, registry: Registry, place: str, from_ms: int, to_ms: int) -> list[PlaceHour]:
    """The hours in `(from_ms, to_ms]`, whole hours, over which the loggers of a place have anything to say."""
    monitoring = registry.monitoring_of.get(place, ())
    channels: dict[ChannelKey, Record] = {}
    for entry in monitoring:
        key, logger = ChannelKey(entry.logger, entry.channel), registry.loggers[entry.logger]
        reach_ms = max(logger.gap_after_ms, logger.logging_interval_ms)
        series = view.known(key, from_ms - reach_ms, to_ms + reach_ms).series(logger)
        channels[key] = history.channel_record(key, series, logger)
    whole = history.clip(history.place_record(monitoring, channels).history, from_ms, to_ms)
    if whole is None:
        return []
    first_ms, last_ms = int(hour_of(whole.start_ms + 1)), int(hour_of(whole.as_of_ms))
    return [_place_hour(whole, end_ms) for end_ms in range(first_ms, last_ms + 1, HOUR_MS)]


def _place_hour(whole: history.History, end_ms: int) -> PlaceHour:
    part = history.clip(whole, end_ms - HOUR_MS, end_ms)
    if part is None:
        return PlaceHour(end_ms, 0)
    counted = kernels.no_totals()
    kernels.add_totals(counted, *exposure.columns(part))
    known_ms, _, _, _, hot_mc_ms, hottest, coldest = counted.tolist()
    if not known_ms:
        return PlaceHour(end_ms, 0)
    return PlaceHour(end_ms, known_ms, coldest, hottest, hot_mc_ms, exposure.mkt(part, ACTIVATION_ENERGY_J_MOL))


def place_basis(registry: Registry, place: str) -> str:
    """What the hours of a place depend on besides readings: who watches it when, and what those loggers are worth."""
    monitoring = registry.monitoring_of.get(place, ())
    said = [(astuple(entry), astuple(registry.loggers[entry.logger])) for entry in monitoring]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def evidence_of(act: Act, registry: Registry) -> Evidence | None:
    """The revision of a quarantine event that an audit entry tells of; None for any other entry."""
    if act.action not in EVENT_ACTIONS or act.new is None:
        return None
    event = json.loads(act.new)
    hold = Hold(
        act.seq,
        act.at_ms,
        event["id"],
        event["kit"],
        place_at(registry, event["kit"], event["breached_at_ms"]),
        event["reason"],
        event["breached_at_ms"],
        event["detected_at_ms"],
        event["revision"],
        event["supported"],
    )
    return Evidence(hold, event["limit"], event["profile"], event["profile_version"])
