"""The time-series store as its users see it: one Protocol, kept by an embedded file and by InfluxDB alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coldchain.model import Monitoring
from coldchain.readings import FAULT_MC, ChannelKey
from coldchain.timeseries.points import (
    HOUR_MS,
    Act,
    Addition,
    Bucket,
    Cursor,
    Evidence,
    GroupVerdict,
    Hold,
    KitVerdict,
    LoggerHour,
    PlaceHour,
    Readings,
)

NO_MC = 2**40
"""Beyond every temperature."""


class Store(Protocol):
    """Holds what was projected. Everything raises EnvironmentFailed when the store does not do its part.

    Ranges are `(from_ms, to_ms]`. Answers are sorted by instant and equal whichever store gives them.
    """

    def cursor(self) -> Cursor:
        """How far the ledger is projected."""

    def append(self, addition: Addition) -> None:
        """Add what a stretch of the ledger adds. Once more changes nothing; the cursor moves when all else is in."""

    def place_bases(self) -> dict[str, str]:
        """By place: what its hours were computed from."""

    def replace_place(self, place: str, hours: tuple[PlaceHour, ...], basis: str) -> None:
        """Make these the hours of a place, all of them."""

    def forget_readings(self, key: ChannelKey, from_ms: int, to_ms: int, *, is_verified: bool = True) -> None:
        """Drop the readings of a channel in a range, or those whose clock was wrong. Its hours stay."""

    def clear(self) -> None:
        """Drop everything."""

    def channels(self) -> tuple[ChannelKey, ...]:
        """Every channel that has readings or hours."""

    def readings(self, key: ChannelKey, from_ms: int, to_ms: int, *, is_verified: bool = True) -> Readings:
        """The readings of a channel, by instant, then temperature, faults first; without their revisions."""

    def logger_hours(self, key: ChannelKey, from_ms: int, to_ms: int) -> tuple[LoggerHour, ...]:
        """The hours of a channel that have readings or faults."""

    def place_hours(self, place: str, from_ms: int, to_ms: int) -> tuple[PlaceHour, ...]:
        """The hours of a place that have readings; what is not there is unknown."""

    def holds(self, from_ms: int, to_ms: int, kit: str | None = None) -> tuple[Hold, ...]:
        """The revisions of quarantine events written in a range, blinded."""

    def evidence(self, from_ms: int, to_ms: int, kit: str | None = None) -> tuple[Evidence, ...]:
        """The same revisions, unblinded."""

    def acts(self, from_ms: int, to_ms: int) -> tuple[Act, ...]:
        """The audit entries of a range, dispositions among them; unblinded."""

    def verdicts(self, from_ms: int, to_ms: int) -> tuple[GroupVerdict, ...]:
        """The outcomes of kit groups in a range, unblinded; without their kits."""

    def kit_verdicts(self, from_ms: int, to_ms: int, kit: str | None = None) -> tuple[KitVerdict, ...]:
        """The outcomes of kits in a range, blinded."""


def place_readings(
    store: Store, monitoring: Iterable[Monitoring], from_ms: int, to_ms: int
) -> tuple[tuple[Monitoring, Readings], ...]:
    """The readings of a place: of each of its loggers what it reported while it watched, in the given order."""
    found = []
    for entry in monitoring:
        first_ms, last_ms = max(from_ms, entry.from_ms), min(to_ms, to_ms if entry.to_ms is None else entry.to_ms)
        if first_ms < last_ms:
            found.append((entry, store.readings(ChannelKey(entry.logger, entry.channel), first_ms, last_ms)))
    return tuple(found)


def downsampled(store: Store, key: ChannelKey, from_ms: int, to_ms: int, width_ms: int) -> tuple[Bucket, ...]:
    """The readings of a channel in buckets of `width_ms`, those without readings and faults left out.

    Buckets begin at whole multiples of the width since 1970 UTC; the range is widened to whole buckets. Whole hours
    come from the hourly values, which are kept for ever; finer ones from the readings. ValueError for a width below 1.
    """
    if width_ms < 1:
        raise ValueError(f"a bucket is at least 1 ms wide, got {width_ms}")
    from_ms, to_ms = from_ms // width_ms * width_ms, -(-to_ms // width_ms) * width_ms
    if width_ms % HOUR_MS:
        ends, n, faults, low, high, sums = summed(store.readings(key, from_ms, to_ms), width_ms)
        means = np.divide(sums, n, where=n > 0, out=np.zeros(len(n))) / 1000
        columns = (column.tolist() for column in (ends - width_ms, ends, n, faults, low, high, means))
        return tuple(
            Bucket._make(row) if row[2] else Bucket(row[0], row[1], 0, row[3], None, None, None)
            for row in zip(*columns, strict=True)
        )
    hours = store.logger_hours(key, from_ms, to_ms)
    by_end: dict[int, list[LoggerHour]] = {}
    for hour in hours:
        by_end.setdefault(-(-hour.at_ms // width_ms) * width_ms, []).append(hour)
    return tuple(_bucket(end_ms - width_ms, end_ms, found) for end_ms, found in by_end.items())


def _bucket(start_ms: int, end_ms: int, parts: list[LoggerHour]) -> Bucket:
    n, faults = sum(part.n for part in parts), sum(part.faults for part in parts)
    if not n:
        return Bucket(start_ms, end_ms, 0, faults, None, None, None)
    return Bucket(
        start_ms,
        end_ms,
        n,
        faults,
        min(part.min_mc for part in parts if part.min_mc is not None),
        max(part.max_mc for part in parts if part.max_mc is not None),
        sum(part.sum_mc or 0 for part in parts) / n / 1000,
    )


def hourly(readings: Readings) -> tuple[LoggerHour, ...]:
    """Count, faults, extremes and sum of readings that are sorted by instant, hour by hour."""
    columns = (column.tolist() for column in summed(readings, HOUR_MS))
    return tuple(
        LoggerHour._make(row) if row[1] else LoggerHour(row[0], 0, row[2], None, None, None)
        for row in zip(*columns, strict=True)
    )


def summed(readings: Readings, width_ms: int) -> tuple[NDArray[np.int64], ...]:
    """Columns over stretches of `width_ms` that hold anything: end, readings, faults, minimum, maximum, sum.

    Extremes of a stretch without readings mean nothing. The readings are sorted by instant.
    """
    if not len(readings):
        return (np.empty(0, np.int64),) * 6
    ends = -(-readings.at_ms // width_ms) * width_ms
    starts = np.flatnonzero(np.r_[True, ends[1:] != ends[:-1]])
    mc = readings.temperature_mc.astype(np.int64)
    valid = mc != FAULT_MC
    n = np.add.reduceat(valid.astype(np.int64), starts)
    return (
        ends[starts],
        n,
        np.diff(np.r_[starts, len(ends)]) - n,
        np.minimum.reduceat(np.where(valid, mc, NO_MC), starts),
        np.maximum.reduceat(np.where(valid, mc, -NO_MC), starts),
        np.add.reduceat(np.where(valid, mc, 0), starts),
    )
