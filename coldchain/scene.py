"""What a step looks at: the state, with the step's own changes laid over it, and the whole past where it is needed.

A state in a service keeps the last days in memory and has put the rest away; what reaches back further is read again
from the archive, once per step. Nothing here changes the state.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from coldchain import history
from coldchain.history import EMPTY, NOTHING, Record, Series
from coldchain.model import OPEN_END_MS, Logger
from coldchain.readings import ABSOLUTE_ZERO_MC, FAULT_MC, HIGHEST_MC, ChannelKey, Lost, MilliCelsius, Milliseconds
from coldchain.state import Archive, State


class Scene:
    """A state under change. `series`, `places`, `lost`: as they will be; their first maps hold what the step has
    changed. `whole`: the channels of which it has needed everything."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.series: ChainMap[ChannelKey, Series] = ChainMap({}, state.series)
        self.places: ChainMap[str, Record] = ChainMap({}, state.places)
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
        before = self.state.places.get(place, NOTHING)
        if changed_from_ms < before.since_ms:
            self.places[place] = history.put_away(self.whole_place(place), before.since_ms)
        else:
            self.places[place] = self._record(place, self.series, before)
        return self.places[place]

    def whole_place(self, place: str) -> Record:
        """Everything known of a place, what has been put away included."""
        if self.state.places.get(place, NOTHING).since_ms == NOTHING.since_ms:
            return self.places.get(place, NOTHING)
        if place not in self._whole_places:
            keys = {ChannelKey(m.logger, m.channel) for m in self.state.registry.monitoring_of.get(place, ())}
            whole = {key: self.whole_series(key) for key in keys}
            self._whole_places[place] = self._record(place, whole, NOTHING)
        return self._whole_places[place]

    def keep(self, place: str, since_ms: int) -> None:
        """Bring back what has been put away of a place after an instant, for a kit group that goes on from there."""
        if self.places.get(place, NOTHING).since_ms <= since_ms:
            return
        self.places[place] = history.put_away(self.whole_place(place), since_ms)
        for monitoring in self.state.registry.monitoring_of.get(place, ()):
            key = ChannelKey(monitoring.logger, monitoring.channel)
            if self.series.get(key, EMPTY).since_ms > since_ms:
                self.series[key] = history.put_away_readings(self.whole_series(key), since_ms)

    def _record(self, place: str, series: Mapping[ChannelKey, Series], before: Record) -> Record:
        monitoring = self.state.registry.monitoring_of.get(place, ())
        channels = {}
        for entry in monitoring:
            key = ChannelKey(entry.logger, entry.channel)
            if key in series and key not in channels:
                logger = self.state.registry.loggers[key.logger]
                channels[key] = history.channel_record(key, series[key], logger, self.lost.get(key, ()))
        return history.place_record(monitoring, channels, before)


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
    return np.where(impossible, np.int32(FAULT_MC), temperature_mc)
