"""What a step looks at: the state, with the step's own changes laid over it, and the whole past where it is needed.

A state in a service keeps the last days in memory and has put the rest away; what reaches back further is read again
from the archive, once per step. Nothing here changes what the state knows; quiet readings that wait are brought to
where they belong when anybody looks there.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from coldchain import history
from coldchain.history import BEGINNING_MS, EMPTY, NOTHING, Record, Series
from coldchain.model import OPEN_END_MS, Logger
from coldchain.readings import ABSOLUTE_ZERO_MC, FAULT_MC, HIGHEST_MC, ChannelKey, Lost, MilliCelsius, Milliseconds
from coldchain.state import Archive, State, place_record
from coldchain.streams import NONE_QUIET, Quiet

_K = TypeVar("_K")
_V = TypeVar("_V")


class _Laid(ChainMap[_K, _V]):
    """What a step has changed, laid over what the state knows; that is brought up to date where it is looked at."""

    def __init__(self, below: dict[_K, _V], bring: Callable[[_K], None]) -> None:
        super().__init__({}, below)
        self._bring = bring

    def __getitem__(self, key: _K) -> _V:
        above, below = self.maps
        if key not in above:
            self._bring(key)
        return above[key] if key in above else below[key]


class Scene:
    """A state under change. `series`, `places`, `lost`: as they will be; their first maps hold what the step has
    changed. `quiet`: readings of the step that change nothing, less those of places that something else has made it
    look at. `whole`: the channels of which it has needed everything."""

    def __init__(self, state: State, quiet: Quiet = NONE_QUIET) -> None:
        self.state = state
        self.quiet = quiet
        self._quiet_rows = set(quiet.row.tolist())
        self.series: ChainMap[ChannelKey, Series] = _Laid(state.settled, self._bring_channel)
        self.places: ChainMap[str, Record] = _Laid(state.records, self._bring_place)
        self.lost: ChainMap[ChannelKey, tuple[Lost, ...]] = ChainMap({}, state.lost)
        self.whole: dict[ChannelKey, Series] = {}
        self._whole_places: dict[str, Record] = {}

    def whole_series(self, key: ChannelKey) -> Series:
        """Everything known of a channel, what has been put away included."""
        kept = self.series.get(key, EMPTY)
        if self.state.archive is None or kept.since_ms == EMPTY.since_ms:
            return kept
        if key not in self.whole:
            stored = self.state.whole.get(key)
            if stored is None:
                stored, _ = read_again(self.state.archive, key, self.state.registry.loggers.get(key.logger))
            self.whole[key], _ = history.merge(stored, kept.at_ms, kept.temperature_mc)
        return self.whole[key]

    def series_before(self, key: ChannelKey, at_ms: int) -> Series:
        """A channel with what it measured last before an instant: everything where that has been put away."""
        kept = self.series[key]
        return self.whole_series(key) if at_ms <= kept.since_ms else kept

    def merge(self, key: ChannelKey, at_ms: Milliseconds, temperature_mc: MilliCelsius) -> NDArray[np.bool_]:
        """Add verified readings to a channel; which of them are new."""
        kept = self.series.get(key, EMPTY)
        if at_ms.min(initial=OPEN_END_MS) <= kept.since_ms:
            whole, fresh = history.merge(self.whole_series(key), at_ms, temperature_mc)
            self.whole[key] = whole
            self.series[key] = history.put_away_readings(whole, kept.since_ms)
        else:
            self.series[key], fresh = history.merge(kept, at_ms, temperature_mc)
        return fresh

    def renew(self, place: str, changed_from_ms: int) -> Record:
        """The record of a place whose channels have changed from an instant on."""
        before = self.state.records.get(place, NOTHING)
        if changed_from_ms < before.since_ms:
            self.places[place] = history.put_away(self.whole_place(place), before.since_ms)
        else:
            self.places[place] = self._record(place, self.series, before)
        return self.places[place]

    def whole_place(self, place: str) -> Record:
        """Everything known of a place, what has been put away included."""
        if self.state.records.get(place, NOTHING).since_ms == NOTHING.since_ms:
            return self.places.get(place, NOTHING)
        if place not in self._whole_places:
            whole = {key: self.whole_series(key) for key in self.state.registry.channels_of.get(place, ())}
            self._whole_places[place] = self._record(place, whole, NOTHING)
        return self._whole_places[place]

    def keep(self, place: str, since_ms: int) -> None:
        """Bring back what has been put away of a place after an instant, for a kit group that goes on from there."""
        if self.places.get(place, NOTHING).since_ms <= since_ms:
            return
        self.places[place] = history.put_away(self.whole_place(place), since_ms)
        for key in self.state.registry.channels_of.get(place, ()):
            if self.series.get(key, EMPTY).since_ms > since_ms:
                self.series[key] = history.put_away_readings(self.whole_series(key), since_ms)

    def known_to_ms(self, place: str) -> int:
        """Up to when the state knows anything of a place or knows that it is unknown; an open end if nothing."""
        known = self.state.records.get(place, NOTHING).history
        return OPEN_END_MS if known is None else max(known.as_of_ms, self.state.streams.unread_ms(place))

    def last_known_ms(self, place: str) -> int | None:
        """The last instant at which anything is known of a place, None if nothing is."""
        known_ms = history.last_known_ms(self.places.maps[0].get(place) or self.state.records.get(place, NOTHING))
        if place in self.places.maps[0]:
            return known_ms
        unread_ms = self.state.streams.unread_ms(place)
        return known_ms if unread_ms == BEGINNING_MS else max(unread_ms, known_ms or unread_ms)

    def _record(self, place: str, series: Mapping[ChannelKey, Series], before: Record) -> Record:
        return place_record(self.state.registry, place, series, self.lost, before)

    def _bring_channel(self, key: ChannelKey) -> None:
        self.state.settle(key)
        if not self._quiet_rows:
            return
        for place in self.state.registry.places_watched_by.get(key, ()):
            self._look_at_quiet(place)

    def _bring_place(self, place: str) -> None:
        self.state.settle_place(place)
        if self._quiet_rows:
            self._look_at_quiet(place)

    def _look_at_quiet(self, place: str) -> None:
        """Take the quiet readings of a place into what the step changes."""
        rows = self.state.streams.rows_at(place)
        if self._quiet_rows.isdisjoint(rows):
            return
        self._quiet_rows.difference_update(rows)
        there = np.isin(self.quiet.row, rows)
        found, self.quiet = self.quiet.select(there), self.quiet.select(~there)
        for row in np.unique(found.row).tolist():
            key, mine = self.state.streams.keys[row], found.select(found.row == row)
            self.state.settle(key)
            self.merge(key, mine.at_ms, mine.temperature_mc)
        self.places[place] = self._record(place, self.series, self.state.records[place])


def read_again(archive: Archive, key: ChannelKey, logger: Logger | None) -> tuple[Series, Series]:
    """Everything stored of a channel: what is judged, and what has an impossible device time."""
    batches = list(archive(key))
    at_ms = np.concatenate([EMPTY.at_ms, *(batch.at_ms for batch in batches)])
    temperature_mc = plausible(np.concatenate([EMPTY.temperature_mc, *(batch.temperature_mc for batch in batches)]))
    verified = np.concatenate([np.empty(0, np.bool_), *(history.is_verified(batch, logger) for batch in batches)])
    if verified.all():
        return history.merge(EMPTY, at_ms, temperature_mc)[0], EMPTY
    judged, _ = history.merge(EMPTY, at_ms[verified], temperature_mc[verified])
    unverified, _ = history.merge(EMPTY, at_ms[~verified], temperature_mc[~verified])
    return judged, unverified


def plausible(temperature_mc: MilliCelsius) -> MilliCelsius:
    """Temperatures with what no probe can measure as faults."""
    impossible = (temperature_mc < ABSOLUTE_ZERO_MC) | (temperature_mc > HIGHEST_MC)
    return np.where(impossible, np.int32(FAULT_MC), temperature_mc) if impossible.any() else temperature_mc
