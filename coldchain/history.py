"""From readings to a temperature history: channel, place, kit (SEMANTICS section 2).

Every function takes values and returns values; the same readings give the same history in any order of arrival.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coldchain import kernels
from coldchain.kernels import UNKNOWN
from coldchain.model import Conflict, CustodySegment, Logger, Monitoring
from coldchain.readings import ChannelKey, MilliCelsius, Milliseconds, ReadingBatch

EARLIEST_PLAUSIBLE_MS = 1_356_998_400_000
"""2013-01-01: loggers whose clock was reset report 1970, 2000 or 2012 (WIRE.md, Traps)."""

AHEAD_OF_CLOCK_MS = 300_000
"""A device time later than its arrival by more than this is not trusted."""

OPEN_END_MS = 2**62


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The distinct readings and faults of one channel, sorted by instant, then temperature (faults first).

    `at_ms` int64[n] [ms UTC], `temperature_mc` int32[n] [milli-degC] with `FAULT_MC` for faults.
    """

    at_ms: Milliseconds
    temperature_mc: MilliCelsius

    def __len__(self) -> int:
        return len(self.at_ms)


EMPTY = Series(np.empty(0, np.int64), np.empty(0, np.int32))


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """What is known of a temperature over time: a contiguous step function.

    Segment i is `(end_ms[i-1], end_ms[i]]`, the first begins at `start_ms`; `hot_mc` and `cold_mc` int32[n] are the
    highest and lowest known value [milli-degC], `UNKNOWN` in both where nothing is known.
    """

    start_ms: int
    end_ms: Milliseconds
    hot_mc: MilliCelsius
    cold_mc: MilliCelsius

    @property
    def as_of_ms(self) -> int:
        return int(self.end_ms[-1]) if len(self.end_ms) else self.start_ms


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What a channel or a place contributes: its history (None: no reading yet), the instants of its valid readings
    (int64[n], ascending, distinct), and its conflicts."""

    history: History | None
    reading_at_ms: Milliseconds
    conflicts: tuple[Conflict, ...]


NOTHING = Record(None, np.empty(0, np.int64), ())


def is_verified(batch: ReadingBatch, logger: Logger | None) -> NDArray[np.bool_]:
    """Which device times can be right: not after arrival + 5 min, not before registration, not a reset clock."""
    floor_ms = EARLIEST_PLAUSIBLE_MS
    if logger is not None and logger.registered_at_ms is not None:
        floor_ms = max(floor_ms, logger.registered_at_ms)
    verified = batch.at_ms >= floor_ms
    if batch.received_ms is not None:
        verified &= batch.at_ms <= batch.received_ms + AHEAD_OF_CLOCK_MS
    return verified


def merge(series: Series, at_ms: Milliseconds, temperature_mc: MilliCelsius) -> tuple[Series, NDArray[np.bool_]]:
    """The series with more readings, and which of those are new to it; equal instant and temperature are one.

    Readings that follow the series in order are appended; else the part from the earliest new instant on is sorted.
    """
    if not len(at_ms):
        return series, np.zeros(0, np.bool_)
    follows = not len(series) or at_ms[0] > series.at_ms[-1]
    if follows and (np.diff(at_ms) > 0).all():
        appended = np.concatenate([series.at_ms, at_ms]), np.concatenate([series.temperature_mc, temperature_mc])
        return Series(*appended), np.ones(len(at_ms), np.bool_)
    kept = int(np.searchsorted(series.at_ms, at_ms.min(), side="left"))
    at = np.concatenate([series.at_ms[kept:], at_ms])
    temperature = np.concatenate([series.temperature_mc[kept:], temperature_mc])
    order = np.lexsort((temperature, at))
    at, temperature = at[order], temperature[order]
    first = np.ones(len(at), np.bool_)
    first[1:] = (at[1:] != at[:-1]) | (temperature[1:] != temperature[:-1])
    # lexsort is stable and the series' own readings come first, so a reading it already has is never "first" here
    old = len(series) - kept
    fresh = np.zeros(len(at), np.bool_)
    fresh[order[first]] = True
    merged = Series(
        np.concatenate([series.at_ms[:kept], at[first]]),
        np.concatenate([series.temperature_mc[:kept], temperature[first]]),
    )
    return merged, fresh[old:]


def channel_record(key: ChannelKey, series: Series, logger: Logger) -> Record:
    """History of one channel by the preceding-interval rule; uncalibrated or blocked readings count as unknown."""
    if not len(series):
        return NOTHING
    at, hot, cold = kernels.instants(series.at_ms, series.temperature_mc)
    conflicts = tuple(Conflict(key.logger, key.channel, at_ms) for at_ms in at[hot != cold].tolist())
    worthless = np.full(len(at), logger.blocked)
    if logger.calibrated_from_ms is not None:
        worthless |= at <= logger.calibrated_from_ms
    if logger.calibrated_until_ms is not None:
        worthless |= at > logger.calibrated_until_ms
    hot[worthless] = cold[worthless] = UNKNOWN
    interval_ms = logger.logging_interval_ms
    columns = kernels.cover(at, hot, cold, interval_ms, logger.gap_after_ms)
    return Record(History(int(at[0]) - interval_ms, *columns), at[hot != UNKNOWN], conflicts)


def clip(history: History | None, from_ms: int, to_ms: int) -> History | None:
    """The part of a history inside `(from_ms, to_ms]`; None if there is none."""
    if history is None:
        return None
    start, stop = max(history.start_ms, from_ms), min(history.as_of_ms, to_ms)
    if start >= stop:
        return None
    first = int(np.searchsorted(history.end_ms, start, side="right"))
    last = int(np.searchsorted(history.end_ms, stop, side="left"))
    end = history.end_ms[first : last + 1].copy()
    end[-1] = stop
    return History(start, end, history.hot_mc[first : last + 1], history.cold_mc[first : last + 1])


def envelope(histories: Iterable[History | None]) -> History | None:
    """Hottest and coldest known value of several histories at every instant; unknown only where none is known."""
    found: History | None = None
    for history in histories:
        if history is None:
            continue
        if found is None:
            found = history
            continue
        a, b = found, history
        columns = kernels.overlay(a.start_ms, a.end_ms, a.hot_mc, a.cold_mc, b.start_ms, b.end_ms, b.hot_mc, b.cold_mc)
        found = History(min(a.start_ms, b.start_ms), *columns)
    return found


def _clip_record(record: Record, from_ms: int, to_ms: int) -> Record:
    at = record.reading_at_ms
    first, last = np.searchsorted(at, [from_ms, to_ms], side="right")
    conflicts = tuple(c for c in record.conflicts if from_ms < c.at_ms <= to_ms)
    return Record(clip(record.history, from_ms, to_ms), at[first:last], conflicts)


def _join(records: Sequence[Record]) -> Record:
    if len(records) == 1:
        return records[0]
    at = np.unique(np.concatenate([np.empty(0, np.int64), *(r.reading_at_ms for r in records)]))
    conflicts = {conflict for record in records for conflict in record.conflicts}
    order = sorted(conflicts, key=lambda c: (c.at_ms, c.logger, c.channel))
    return Record(envelope(r.history for r in records), at, tuple(order))


def place_record(monitoring: Sequence[Monitoring], channels: Mapping[ChannelKey, Record]) -> Record:
    """The envelope of a place's loggers, each inside its monitoring."""
    return _join(
        [
            _clip_record(
                channels.get(ChannelKey(m.logger, m.channel), NOTHING),
                m.from_ms,
                _end_ms(m),
            )
            for m in monitoring
        ]
    )


def last_known_ms(history: History | None) -> int | None:
    """The end of the last known segment, None if nothing is known."""
    if history is None:
        return None
    for end_ms, hot_mc in zip(history.end_ms[::-1], history.hot_mc[::-1], strict=True):
        if hot_mc != UNKNOWN:
            return int(end_ms)
    return None


def route_until(route: Sequence[CustodySegment], now_ms: int) -> tuple[CustodySegment, ...]:
    """The route as it stands at `now_ms`: what is planned for later has not happened, so it is not missing data.

    The segment that lasts until after now is open. At least the first segment stays.
    """
    begun = [segment for segment in route if segment.from_ms < now_ms] or list(route[:1])
    return tuple(
        replace(segment, to_ms=None) if segment.to_ms is not None and segment.to_ms > now_ms else segment
        for segment in begun
    )


def last_segment(route: Sequence[CustodySegment]) -> CustodySegment:
    """The custody that ends last; an open one has not ended, even where another began after it."""
    return max(route, key=lambda segment: (_end_ms(segment), segment.from_ms, segment.place))


def evaluation_instant(
    route: Sequence[CustodySegment], places: Mapping[str, Record], as_of_ms: int | None, silent_until_ms: int | None
) -> int:
    """`as_of` of a kit: given, or the end of its last custody, or how far its place is known (SEMANTICS 2.4).

    `silent_until_ms`: live, missing readings have become unknown time up to here.
    """
    last = last_segment(route)
    if as_of_ms is not None:
        return max(route[0].from_ms, min(as_of_ms, _end_ms(last)))
    if last.to_ms is not None:
        return last.to_ms
    known_ms = last_known_ms(places.get(last.place, NOTHING).history) or last.from_ms
    return max(last.from_ms, known_ms, silent_until_ms or last.from_ms)


def kit_record(route: Sequence[CustodySegment], places: Mapping[str, Record], as_of_ms: int) -> Record:
    """A kit's own record from its first custody to `as_of_ms`: its places one after the other, unknown in between."""
    start_ms = route[0].from_ms
    parts = [
        _clip_record(
            places.get(segment.place, NOTHING),
            segment.from_ms,
            min(_end_ms(segment), as_of_ms),
        )
        for segment in route
    ]
    joined = _join(parts)
    if as_of_ms <= start_ms:
        return Record(History(start_ms, EMPTY.at_ms, EMPTY.temperature_mc, EMPTY.temperature_mc), *_facts(joined))
    nothing = np.array([UNKNOWN], np.int32)
    blank = History(start_ms, np.array([as_of_ms]), nothing, nothing)
    return Record(envelope([blank, joined.history]), *_facts(joined))


def _facts(record: Record) -> tuple[Milliseconds, tuple[Conflict, ...]]:
    return record.reading_at_ms, record.conflicts


def custody_problems(route: Sequence[CustodySegment], as_of_ms: int) -> tuple[str, ...]:
    """What is wrong with a kit's route up to `as_of_ms`, as findings: overlaps and gaps; missing custody."""
    if not route:
        return ("custody_missing",)
    problems = []
    covered_ms = route[0].from_ms
    for number, segment in enumerate(route):
        if segment.from_ms > covered_ms:
            problems.append((covered_ms, f"custody_gap@{covered_ms}"))
        for earlier in route[:number]:
            if _end_ms(earlier) > segment.from_ms:
                overlap = f"custody_overlap:{earlier.place}+{segment.place}@{segment.from_ms}"
                problems.append((segment.from_ms, overlap))
        covered_ms = max(covered_ms, _end_ms(segment))
    return tuple(problem for at_ms, problem in sorted(problems) if at_ms < as_of_ms)


def _end_ms(interval: CustodySegment | Monitoring) -> int:
    return OPEN_END_MS if interval.to_ms is None else interval.to_ms
