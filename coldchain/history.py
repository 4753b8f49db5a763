"""From readings to a temperature history: channel, place, kit (SEMANTICS section 2).

Every function takes values and returns values; the same readings give the same history in any order of arrival.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coldchain import segments
from coldchain.kernels import UNKNOWN
from coldchain.model import OPEN_END_MS, Conflict, CustodySegment, Logger, Monitoring, end_ms
from coldchain.readings import ChannelKey, Lost, MilliCelsius, Milliseconds, ReadingBatch

EARLIEST_PLAUSIBLE_MS = 1_356_998_400_000
"""2013-01-01: loggers whose clock was reset report 1970, 2000 or 2012 (WIRE.md, Traps)."""

AHEAD_OF_CLOCK_MS = 300_000
"""A device time later than its arrival by more than this is not trusted."""

BEGINNING_MS = -(2**62)
"""Before every instant."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """The distinct readings and faults of one channel, sorted by instant, then temperature (faults first).

    `at_ms` int64[n] [ms UTC], `temperature_mc` int32[n] [milli-degC] with `FAULT_MC` for faults. Everything after
    `since_ms` is here; of what lies at or before it, which has been put away, only the last instant.
    """

    at_ms: Milliseconds
    temperature_mc: MilliCelsius
    since_ms: int = BEGINNING_MS

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

    @property
    def is_single(self) -> bool:
        """Whether both sides are one column: a single logger is as hot as it is cold."""
        return self.hot_mc is self.cold_mc


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What a channel or a place contributes: its history (None: no reading yet), the instants of its valid readings
    (int64[n], ascending, distinct), and its conflicts.

    All of that after `since_ms` only; what lies before has been put away, and the last known instant in it is
    `known_before_ms` (None: nothing was known).
    """

    history: History | None
    reading_at_ms: Milliseconds
    conflicts: tuple[Conflict, ...]
    since_ms: int = BEGINNING_MS
    known_before_ms: int | None = None


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
    if follows and (at_ms[1:] > at_ms[:-1]).all():
        appended = np.concatenate([series.at_ms, at_ms]), np.concatenate([series.temperature_mc, temperature_mc])
        return Series(*appended, series.since_ms), np.ones(len(at_ms), np.bool_)
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
        series.since_ms,
    )
    return merged, fresh[old:]


def channel_record(key: ChannelKey, series: Series, logger: Logger, lost: Iterable[Lost] = ()) -> Record:
    """History of one channel by the preceding-interval rule; uncalibrated or blocked readings count as unknown.

    So does the time of `lost` readings, however short it is.
    """
    if not len(series):
        return NOTHING
    at, hot, cold = series.at_ms, series.temperature_mc, series.temperature_mc
    conflicts: tuple[Conflict, ...] = ()
    smallest_ms, largest_ms = segments.spacing(at)
    if smallest_ms == 0:
        at, hot, cold = segments.instants(at, hot)
        conflicts = tuple(Conflict(key.logger, key.channel, at_ms) for at_ms in at[hot != cold].tolist())
    worthless = _worthless(at, logger)
    if worthless is not None:
        hot, cold = (np.where(worthless, np.int32(UNKNOWN), side) for side in (hot, cold))
    interval_ms = logger.logging_interval_ms
    at, hot, cold = _with_lost(at, hot, cold, lost, interval_ms)
    columns = (at, hot, cold)
    if largest_ms > logger.gap_after_ms:
        columns = segments.cover(at, hot, cold, interval_ms, logger.gap_after_ms)
    valid = at if hot.min() != UNKNOWN else at[hot != UNKNOWN]
    return Record(History(int(at[0]) - interval_ms, *columns), valid, conflicts)


def _worthless(at: Milliseconds, logger: Logger) -> NDArray[np.bool_] | None:
    """At which instants a logger's readings count as unknown; None if at none."""
    if not logger.blocked and logger.calibrated_from_ms is None and logger.calibrated_until_ms is None:
        return None
    worthless = np.full(len(at), logger.blocked)
    if logger.calibrated_from_ms is not None:
        worthless |= at <= logger.calibrated_from_ms
    if logger.calibrated_until_ms is not None:
        worthless |= at > logger.calibrated_until_ms
    return worthless if worthless.any() else None


def _with_lost(
    at: Milliseconds, hot: MilliCelsius, cold: MilliCelsius, lost: Iterable[Lost], interval_ms: int
) -> tuple[Milliseconds, MilliCelsius, MilliCelsius]:
    """The instants with one of nothing known where the last lost reading was due: one interval before the next that
    came. Where anything has come in between, from whatever source, the readings speak for themselves."""
    due = []
    for gap in lost:
        position = int(np.searchsorted(at, gap.after_ms, side="right"))
        is_open = 0 < position < len(at) and at[position - 1] == gap.after_ms and at[position] == gap.before_ms
        if is_open and gap.before_ms - interval_ms > gap.after_ms:
            due.append((position, gap.before_ms - interval_ms))
    if not due:
        return at, hot, cold
    positions, instants = zip(*sorted(set(due)), strict=True)
    nothing = np.full(len(positions), UNKNOWN, np.int32)
    return np.insert(at, positions, instants), np.insert(hot, positions, nothing), np.insert(cold, positions, nothing)


def clip(history: History | None, from_ms: int, to_ms: int) -> History | None:
    """The part of a history inside `(from_ms, to_ms]`; None if there is none."""
    if history is None:
        return None
    start, stop = max(history.start_ms, from_ms), min(history.as_of_ms, to_ms)
    if start >= stop:
        return None
    first = int(np.searchsorted(history.end_ms, start, side="right"))
    last = int(np.searchsorted(history.end_ms, stop, side="left"))
    end = history.end_ms[first : last + 1]
    if end[-1] != stop:
        end = end.copy()
        end[-1] = stop
    hot = history.hot_mc[first : last + 1]
    return History(start, end, hot, hot if history.is_single else history.cold_mc[first : last + 1])


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
        columns = segments.overlay(a.start_ms, a.end_ms, a.hot_mc, a.cold_mc, b.start_ms, b.end_ms, b.hot_mc, b.cold_mc)
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
    at = np.concatenate([np.empty(0, np.int64), *(r.reading_at_ms for r in records)])
    if segments.spacing(at)[0] <= 0:
        at = np.unique(at)
    conflicts = {conflict for record in records for conflict in record.conflicts}
    order = sorted(conflicts, key=lambda c: (c.at_ms, c.logger, c.channel))
    return Record(envelope(r.history for r in records), at, tuple(order))


def place_record(
    monitoring: Sequence[Monitoring], channels: Mapping[ChannelKey, Record], before: Record = NOTHING
) -> Record:
    """The envelope of a place's loggers, each inside its monitoring; what the record `before` has put away stays so."""
    parts = [
        _clip_record(channels.get(ChannelKey(m.logger, m.channel), NOTHING), max(m.from_ms, before.since_ms), end_ms(m))
        for m in monitoring
    ]
    whole = replace(_join(parts), since_ms=before.since_ms, known_before_ms=before.known_before_ms)
    return _lean(whole)


def _lean(record: Record) -> Record:
    """The same record, with columns that are equal held once: one logger is as hot as it is cold, and without faults
    and gaps the readings are the ends of its segments."""
    history = record.history
    if history is None:
        return record
    if not history.is_single and np.array_equal(history.hot_mc, history.cold_mc):
        history = replace(history, cold_mc=history.hot_mc)
    is_gapless = np.array_equal(history.end_ms, record.reading_at_ms)
    return replace(record, history=history, reading_at_ms=history.end_ms if is_gapless else record.reading_at_ms)


def last_known_ms(record: Record) -> int | None:
    """The last instant at which anything is known, None if nothing is."""
    if record.history is not None:
        for end_ms, hot_mc in zip(record.history.end_ms[::-1], record.history.hot_mc[::-1], strict=True):
            if hot_mc != UNKNOWN:
                return int(end_ms)
    return record.known_before_ms


def put_away(record: Record, until_ms: int) -> Record:
    """The record without what lies at or before `until_ms`, in memory of its own."""
    if until_ms <= record.since_ms:
        return record
    gone = replace(_clip_record(record, BEGINNING_MS, until_ms), known_before_ms=record.known_before_ms)
    kept = _clip_record(record, until_ms, OPEN_END_MS)
    history = kept.history
    if history is not None:
        hot_mc = history.hot_mc.copy()
        cold_mc = hot_mc if history.is_single else history.cold_mc.copy()
        history = History(history.start_ms, history.end_ms.copy(), hot_mc, cold_mc)
    return _lean(Record(history, kept.reading_at_ms.copy(), kept.conflicts, until_ms, last_known_ms(gone)))


def put_away_readings(series: Series, until_ms: int) -> Series:
    """The series without what lies at or before `until_ms`, but for the last instant there: what follows needs it."""
    if until_ms <= series.since_ms:
        return series
    last = int(np.searchsorted(series.at_ms, until_ms, side="right")) - 1
    first = int(np.searchsorted(series.at_ms, series.at_ms[last], side="left")) if last >= 0 else 0
    return Series(series.at_ms[first:].copy(), series.temperature_mc[first:].copy(), until_ms)


def changed_from_ms(series: Series, fresh_from_ms: int, logger: Logger) -> int:
    """From when on a channel's history may differ, now that its series holds a new reading at `fresh_from_ms`: since
    the reading before it, or one interval earlier if that is too long ago or there is none."""
    position = int(np.searchsorted(series.at_ms, fresh_from_ms, side="left"))
    interval_before_ms = fresh_from_ms - logger.logging_interval_ms
    if not position:
        return interval_before_ms
    before_ms = int(series.at_ms[position - 1])
    return before_ms if fresh_from_ms - before_ms <= logger.gap_after_ms else interval_before_ms


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
    return max(route, key=lambda segment: (end_ms(segment), segment.from_ms, segment.place))


def evaluation_instant(
    route: Sequence[CustodySegment], places: Mapping[str, Record], as_of_ms: int | None, silent_until_ms: int | None
) -> int:
    """`as_of` of a kit: given, or the end of its last custody, or how far its place is known (SEMANTICS 2.4).

    `silent_until_ms`: live, missing readings have become unknown time up to here.
    """
    last = last_segment(route)
    if as_of_ms is not None:
        return max(route[0].from_ms, min(as_of_ms, end_ms(last)))
    if last.to_ms is not None:
        return last.to_ms
    known_ms = last_known_ms(places.get(last.place, NOTHING)) or last.from_ms
    return max(last.from_ms, known_ms, silent_until_ms or last.from_ms)


def kit_record(
    route: Sequence[CustodySegment], places: Mapping[str, Record], as_of_ms: int, since_ms: int = BEGINNING_MS
) -> Record:
    """A kit's own record from its first custody to `as_of_ms`: its places one after the other, unknown in between.

    Of that, only what lies after `since_ms`.
    """
    start_ms = max(route[0].from_ms, since_ms)
    parts = [
        _clip_record(places.get(segment.place, NOTHING), max(segment.from_ms, since_ms), min(end_ms(segment), as_of_ms))
        for segment in route
        if end_ms(segment) > since_ms
    ]
    joined = _join(parts)
    if as_of_ms <= start_ms:
        return Record(History(start_ms, EMPTY.at_ms, EMPTY.temperature_mc, EMPTY.temperature_mc), *_facts(joined))
    return Record(_extended(joined.history, start_ms, as_of_ms), *_facts(joined))


def _extended(history: History | None, start_ms: int, as_of_ms: int) -> History:
    """A history, which lies in `(start_ms, as_of_ms]`, with what is missing before and after it as unknown time."""
    nothing = np.array([UNKNOWN], np.int32)
    if history is None:
        return History(start_ms, np.array([as_of_ms]), nothing, nothing)
    before = [history.start_ms] if history.start_ms > start_ms else []
    after = [as_of_ms] if history.as_of_ms < as_of_ms else []
    if not before and not after:
        return history
    ends = [np.array(before, np.int64), history.end_ms, np.array(after, np.int64)]

    def padded(side: MilliCelsius) -> MilliCelsius:
        return np.concatenate([nothing[: len(before)], side, nothing[: len(after)]])

    hot = padded(history.hot_mc)
    return History(start_ms, np.concatenate(ends), hot, hot if history.is_single else padded(history.cold_mc))


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
            if end_ms(earlier) > segment.from_ms:
                overlap = f"custody_overlap:{earlier.place}+{segment.place}@{segment.from_ms}"
                problems.append((segment.from_ms, overlap))
        covered_ms = max(covered_ms, end_ms(segment))
    return tuple(problem for at_ms, problem in sorted(problems) if at_ms < as_of_ms)
