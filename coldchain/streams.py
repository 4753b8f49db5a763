"""Channels whose next readings are expected to change nothing, and the readings that did not.

A reading of a place that waits (`patience`) is kept and not looked at, until somebody asks for the series of its
channel or for the record of its place. What is expected of a channel is a row of a table (`rings`), so that a commit of
many messages costs a few compiled steps instead of a look at each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coldchain import patience, rings
from coldchain.history import AHEAD_OF_CLOCK_MS, BEGINNING_MS, Record, Series
from coldchain.model import OPEN_END_MS, end_ms
from coldchain.patience import Patience
from coldchain.readings import ABSOLUTE_ZERO_MC, HIGHEST_MC, ChannelKey, Lost, MilliCelsius, Milliseconds, ReadingBatch
from coldchain.registry import Registry

_FEWEST_ROWS = 16
_LONGEST_RUN = 1024
"""Readings of one stream are looked for no further than that: a longer message is settled in pieces."""


@dataclass(frozen=True, slots=True, eq=False)
class Quiet:
    """Readings that change nothing, in the order of arrival: `row` int64[n] of their stream, `at_ms` int64[n],
    `temperature_mc` int32[n]."""

    row: NDArray[np.int64]
    at_ms: Milliseconds
    temperature_mc: MilliCelsius

    def __len__(self) -> int:
        return len(self.row)

    def run(self, first: int) -> Quiet:
        """Those from a position on that are of one stream."""
        row = self.row[first:]
        others = np.flatnonzero(row[:_LONGEST_RUN] != row[0])
        own = slice(first, first + (int(others[0]) if len(others) else min(len(row), _LONGEST_RUN)))
        return Quiet(self.row[own], self.at_ms[own], self.temperature_mc[own])

    def select(self, mask: NDArray[np.bool_]) -> Quiet:
        """Those where `mask` (bool[n]) is true."""
        return Quiet(self.row[mask], self.at_ms[mask], self.temperature_mc[mask])


NONE_QUIET = Quiet(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))


class Expected(NamedTuple):
    """What a quiet reading of a stream is like: later than `last_ms` and the quiet ones since, by `gap_after_ms` at
    most, not later than `until_ms`, within `[lowest_mc, highest_mc]`."""

    last_ms: int
    gap_after_ms: int
    until_ms: int
    lowest_mc: int
    highest_mc: int


class Streams:
    """The rows of channels that have been expected to be quiet, and what waits in their rings."""

    def __init__(self) -> None:
        self.keys: list[ChannelKey] = []
        self._place_of: list[str] = []
        self._row_of: dict[tuple[str, str], int] = {}
        self._rows_at: dict[str, list[int]] = {}
        self._table = np.empty((0, rings.FIELDS), np.int64)
        self._ring_at = np.empty((0, rings.DEPTH), np.int64)
        self._ring_mc = np.empty((0, rings.DEPTH), np.int32)

    def sift(
        self, batches: Sequence[ReadingBatch], watched: Mapping[ChannelKey, Sequence[str]]
    ) -> tuple[list[bool], Quiet]:
        """Which batches hold nothing but quiet readings, and these readings. Changes nothing.

        A batch that is not quiet takes with it all others of its places: they are looked at together. `watched`: the
        places that each channel watches at any time.
        """
        if not self.keys or not batches:
            return [False] * len(batches), NONE_QUIET
        row_of = self._row_of
        row = np.array([row_of.get((batch.logger, batch.channel), -1) for batch in batches], np.int64)
        received = [batch.received_ms for batch in batches]
        latest_ms = np.array([OPEN_END_MS if ms is None else ms + AHEAD_OF_CLOCK_MS for ms in received], np.int64)
        instants = [batch.at_ms for batch in batches]
        count = np.array([len(at_ms) for at_ms in instants], np.int64)
        at_ms = np.concatenate(instants)
        temperature_mc = np.concatenate([batch.temperature_mc for batch in batches])
        is_quiet = np.empty(len(batches), np.bool_)
        found = rings.sift(self._table, row, count.cumsum(), latest_ms, at_ms, temperature_mc, is_quiet)
        if not found:
            return is_quiet.tolist(), NONE_QUIET
        quiet = Quiet(row.repeat(count), at_ms, temperature_mc)
        if found == len(batches):
            return [True] * found, quiet
        disturbed = {
            place for number in np.flatnonzero(~is_quiet).tolist() for place in watched.get(batches[number].key, ())
        }
        for number in np.flatnonzero(is_quiet).tolist():
            is_quiet[number] = self._place_of[row[number]] not in disturbed
        return is_quiet.tolist(), quiet.select(is_quiet.repeat(count))

    def append(self, quiet: Quiet, first: int) -> int:
        """Keep quiet readings from a position on; the position of the first whose ring is full."""
        return rings.append(
            self._table, self._ring_at, self._ring_mc, first, quiet.row, quiet.at_ms, quiet.temperature_mc
        )

    def take(self, key: ChannelKey, more: Quiet = NONE_QUIET) -> tuple[Milliseconds, MilliCelsius] | None:
        """What waits in the ring of a channel, which is empty then, and `more` of it that never was in the ring; None
        if there is nothing."""
        row = self._row_of.get(key)
        count = 0 if row is None else self._table.item(row, rings.COUNT)
        if not count:
            return None
        self._table[row, rings.COUNT] = 0
        if len(more):
            self._table[row, rings.LAST] = more.at_ms[-1]
        at_ms = np.concatenate([self._ring_at[row, :count], more.at_ms])
        return at_ms, np.concatenate([self._ring_mc[row, :count], more.temperature_mc])

    def last_ms(self, key: ChannelKey) -> int:
        """The last instant of what waits in the ring of a channel; the beginning if nothing does."""
        row = self._row_of.get(key)
        if row is None or not self._table.item(row, rings.COUNT):
            return BEGINNING_MS
        return self._table.item(row, rings.LAST)

    def waiting(self) -> Iterable[ChannelKey]:
        """The channels in whose rings anything waits."""
        return [self.keys[row] for row in np.flatnonzero(self._table[: len(self.keys), rings.COUNT]).tolist()]

    def unread_places(self) -> set[str]:
        """The places with quiet readings that are not in their record."""
        table = self._table[: len(self.keys)]
        return {self._place_of[row] for row in np.flatnonzero(table[:, rings.LAST] > table[:, rings.READ]).tolist()}

    def unread_ms(self, place: str) -> int:
        """The last instant of quiet readings that are not in the record of their place; the beginning if all are."""
        latest_ms = BEGINNING_MS
        for row in self._rows_at.get(place, ()):
            last_ms = self._table.item(row, rings.LAST)
            if last_ms > self._table.item(row, rings.READ):
                latest_ms = max(latest_ms, last_ms)
        return latest_ms

    def read(self, place: str) -> None:
        """The record of a place holds everything now."""
        for row in self._rows_at.get(place, ()):
            self._table[row, rings.READ] = self._table[row, rings.LAST]

    def rows_at(self, place: str) -> Sequence[int]:
        """The rows of the channels whose readings are of a place."""
        return self._rows_at.get(place, ())

    def expect(self, key: ChannelKey, place: str, expected: Expected | None) -> None:
        """From now on readings of a channel at a place are quiet if they are as expected; with None, none is."""
        row = self._row_of.get(key)
        if expected is None:
            if row is not None and self._place_of[row] == place:
                self._table[row, rings.UNTIL] = BEGINNING_MS
            return
        if row is None:
            row = self._add(key)
        if self._place_of[row] != place:
            if self._place_of[row]:
                self._rows_at[self._place_of[row]].remove(row)
            self._place_of[row] = place
            self._rows_at.setdefault(place, []).append(row)
        self._table[row, : len(expected)] = expected
        self._table[row, rings.READ] = expected.last_ms

    def _add(self, key: ChannelKey) -> int:
        row = len(self.keys)
        if row == len(self._table):
            more = max(row, _FEWEST_ROWS)
            self._table = np.concatenate([self._table, np.zeros((more, rings.FIELDS), np.int64)])
            self._ring_at = np.concatenate([self._ring_at, np.empty((more, rings.DEPTH), np.int64)])
            self._ring_mc = np.concatenate([self._ring_mc, np.empty((more, rings.DEPTH), np.int32)])
        self.keys.append(key)
        self._place_of.append("")
        self._row_of[key] = row
        return row


def expected(
    registry: Registry,
    key: ChannelKey,
    series: Series,
    lost: Sequence[Lost],
    place: str,
    record: Record,
    waits: Patience,
    counted_ms: int,
) -> Expected | None:
    """Which readings of a channel would change nothing at a place that it watches; None if none would.

    `series`, `lost`: of the channel. `record`, `waits`: of the place, its patience. `counted_ms`: up to when any tally
    counts its time, which a reading behind that would change.
    """
    logger, history = registry.loggers[key.logger], record.history
    if history is None or not len(series) or logger.blocked or waits.until_ms <= history.as_of_ms:
        return None
    last_ms = int(series.at_ms[-1])
    if not max(series.since_ms, record.since_ms, counted_ms) <= last_ms <= history.as_of_ms:
        return None
    if logger.calibrated_from_ms is not None and last_ms < logger.calibrated_from_ms:
        return None
    if last_ms < history.as_of_ms and not patience.holds(waits, record, last_ms):
        return None
    if any(gap.before_ms > last_ms for gap in lost):
        return None
    until_ms = waits.until_ms
    if logger.calibrated_until_ms is not None:
        until_ms = min(until_ms, logger.calibrated_until_ms)
    is_watched = False
    for watched in registry.places_watched_by[key]:
        if watched != place and _is_anybody_there(registry, watched, last_ms):
            return None
        for entry in registry.monitoring_of[watched]:
            if (entry.logger, entry.channel) != key or end_ms(entry) <= last_ms:
                continue
            if entry.from_ms > last_ms:
                until_ms = min(until_ms, entry.from_ms)
            elif watched != place:
                return None
            else:
                is_watched = True
                until_ms = min(until_ms, end_ms(entry))
    if not is_watched:
        return None
    return Expected(
        last_ms,
        logger.gap_after_ms,
        until_ms,
        max(waits.hot_above_mc + 1, waits.cold_least_mc, ABSOLUTE_ZERO_MC),
        min(waits.hot_most_mc, waits.cold_below_mc - 1, HIGHEST_MC),
    )


def _is_anybody_there(registry: Registry, place: str, after_ms: int) -> bool:
    """Whether any kit is at a place after an instant."""
    routes = (registry.groups[group].fate.route for group in registry.groups_at.get(place, ()))
    return any(segment.place == place and end_ms(segment) > after_ms for route in routes for segment in route)
