"""How long readings stay in the store: hours for ever, readings for the retention period, evidence until released.

Only the store is ever thinned out. The ledger keeps everything, so what was dropped can be written again from it.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from coldchain.history import EARLIEST_PLAUSIBLE_MS
from coldchain.ledger import queries
from coldchain.readings import ChannelKey
from coldchain.registry import Registry
from coldchain.timeseries.points import DAY_MS
from coldchain.timeseries.store import Store

Span = tuple[int, int]
OPEN_END_MS = 2**62


@dataclass(frozen=True, slots=True)
class Kept:
    """What must stay: every day that ends after `cutoff_ms`, and whatever a held span touches. UTC days."""

    cutoff_ms: int = -(2**62)
    held: Mapping[ChannelKey, Sequence[Span]] = field(default_factory=dict)

    def may_be_gone(self, key: ChannelKey, day_ms: int) -> bool:
        """Whether the readings of the UTC day that begins at `day_ms` are past their retention."""
        end_ms = day_ms + DAY_MS
        if end_ms > self.cutoff_ms:
            return False
        return not any(from_ms < end_ms and to_ms >= day_ms for from_ms, to_ms in self.held.get(key, ()))


def kept(ledger: sqlite3.Connection, registry: Registry, now_ms: int, raw_days: int) -> Kept:
    """What must stay at an instant; `raw_days` = 0 keeps everything.

    Evidence are the readings of the places of every kit that is on hold, while it was there. A kit is on hold from its
    first quarantine event on, supported or not, until a person lets it go, which the ledger does not know of yet.
    """
    if not raw_days:
        return Kept()
    on_hold = {event.kit for event in queries.events(ledger)}
    return Kept(now_ms - raw_days * DAY_MS, held_spans(registry, on_hold))


def held_spans(registry: Registry, kits: Iterable[str]) -> dict[ChannelKey, list[Span]]:
    """By channel: when it watched a place while one of the kits was there, a gap wider on both sides."""
    held: dict[ChannelKey, set[Span]] = defaultdict(set)
    for kit in kits:
        for segment in registry.custody.get(kit, ()):
            for entry in registry.monitoring_of.get(segment.place, ()):
                reach_ms = registry.loggers[entry.logger].gap_after_ms
                from_ms = max(segment.from_ms, entry.from_ms)
                to_ms = min(segment.to_ms or OPEN_END_MS, entry.to_ms or OPEN_END_MS)
                if from_ms < to_ms:
                    held[ChannelKey(entry.logger, entry.channel)].add((from_ms - reach_ms, to_ms + reach_ms))
    return {key: sorted(spans) for key, spans in held.items()}


def prune(store: Store, ledger: sqlite3.Connection, keep: Kept) -> int:
    """Drop the readings that may be gone; how many days of single channels are past their retention.

    Readings by a clock that was wrong stay: nobody knows how old they are.
    """
    days = 0
    for logger, channel, first_ms, _ in queries.channel_ranges(ledger, since_ms=EARLIEST_PLAUSIBLE_MS):
        key = ChannelKey(logger, channel)
        for from_ms, to_ms in _gone(keep, key, max(first_ms, EARLIEST_PLAUSIBLE_MS)):
            store.forget_readings(key, from_ms - 1, to_ms - 1)
            days += (to_ms - from_ms) // DAY_MS
    return days


def _gone(keep: Kept, key: ChannelKey, first_ms: int) -> Iterator[Span]:
    """The runs `[from_ms, to_ms)` of whole days, from a channel's first on, that may be gone."""
    start_ms: int | None = None
    day_ms = first_ms // DAY_MS * DAY_MS
    while day_ms + DAY_MS <= keep.cutoff_ms:
        if keep.may_be_gone(key, day_ms):
            start_ms = day_ms if start_ms is None else start_ms
        elif start_ms is not None:
            yield start_ms, day_ms
            start_ms = None
        day_ms += DAY_MS
    if start_ms is not None:
        yield start_ms, day_ms
