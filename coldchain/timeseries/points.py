"""What the time-series store holds, as values. Instants are ms UTC, temperatures milli-degC, intervals `(from, to]`.

Hours are named by their end, because a reading stands for the interval that ends at it: a reading of 10:00 sharp
belongs to the hour 10:00, one of 10:00:00.001 to the hour 11:00.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from coldchain.exposure import mean_kinetic_temperature
from coldchain.readings import ChannelKey, MilliCelsius, Milliseconds

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Cursor(NamedTuple):
    """How far the ledger is projected: its newest reading block, audit entry and journalled verdict.

    `mark` is the chain hash of the message that holds the block; a ledger that has another one there is not the ledger
    of this projection.
    """

    block: int = 0
    audit: int = 0
    verdict: int = 0
    mark: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """Readings and faults of one channel.

    `at_ms` int64[n], `temperature_mc` int32[n] with FAULT_MC for faults, `faults` the reasons by position. `revision`
    int64[n] counts the earlier readings of the ledger at the same instant: 0 but for a conflict. `is_verified`: the
    device time can be right.
    """

    key: ChannelKey
    at_ms: Milliseconds
    temperature_mc: MilliCelsius
    faults: Mapping[int, str] = field(default_factory=dict)
    revision: Milliseconds = field(default_factory=lambda: np.empty(0, np.int64))
    is_verified: bool = True

    def __len__(self) -> int:
        return len(self.at_ms)


class LoggerHour(NamedTuple):
    """One hour of a channel: readings, faults, and minimum, maximum and sum of the readings (None without any)."""

    at_ms: int
    n: int
    faults: int
    min_mc: int | None
    max_mc: int | None
    sum_mc: int | None


class PlaceHour(NamedTuple):
    """One hour of a place: known time, coldest and hottest value, the hot envelope's integral and its MKT.

    `hot_mc_ms` is the sum of milli-degC x ms over the known time. `mkt_c` is at the conventional activation energy of
    83.144 kJ/mol whatever the products are. Everything but `known_ms` is None where nothing is known.
    """

    at_ms: int
    known_ms: int
    min_mc: int | None = None
    max_mc: int | None = None
    hot_mc_ms: int | None = None
    mkt_c: float | None = None


class Bucket(NamedTuple):
    """The readings of `(start_ms, end_ms]`: how many, how many faults, extremes [milli-degC] and mean [degC]."""

    start_ms: int
    end_ms: int
    n: int
    faults: int
    min_mc: int | None
    max_mc: int | None
    mean_c: float | None


class Exposure(NamedTuple):
    """What a place was exposed to over a range of whole hours; None where nothing is known."""

    known_ms: int
    unknown_ms: int
    min_mc: int | None
    max_mc: int | None
    mean_c: float | None
    mkt_c: float | None


class Act(NamedTuple):
    """One audit entry: who did what, when and why; dispositions and signatures among them. Unblinded."""

    seq: int
    at_ms: int
    who: str
    role: str
    action: str
    subject: str
    old: str | None
    new: str | None
    reason: str


class Hold(NamedTuple):
    """One revision of a quarantine event as a blinded reader may see it."""

    seq: int
    at_ms: int
    event: str
    kit: str
    place: str
    reason: str
    breached_at_ms: int
    detected_at_ms: int
    revision: int
    supported: bool


class Evidence(NamedTuple):
    """One revision of a quarantine event with what only an unblinded reader may see: limit and profile."""

    hold: Hold
    limit: str
    profile: str
    profile_version: int | None


class GroupVerdict(NamedTuple):
    """What was known of a kit group when its outcome changed. Unblinded.

    `first_kit` counts the kits of all verdicts before this one; `breached` are the limits, separated by commas.
    """

    seq: int
    at_ms: int
    group: str
    verdict: str
    first_kit: int
    kits: tuple[str, ...]
    profile: str
    profile_version: int | None
    as_of_ms: int | None
    known_ms: int
    unknown_ms: int
    out_of_range_ms: int
    excursions: int
    min_mc: int | None
    max_mc: int | None
    mean_c: float | None
    mkt_c: float | None
    breached: str


class KitVerdict(NamedTuple):
    """What a blinded reader may see of it, kit by kit."""

    seq: int
    at_ms: int
    kit: str
    verdict: str
    known_ms: int
    unknown_ms: int


@dataclass(frozen=True, slots=True)
class Addition:
    """What one stretch of the ledger adds to the store, and how far that brings it."""

    cursor: Cursor
    readings: tuple[Readings, ...] = ()
    logger_hours: Mapping[ChannelKey, tuple[LoggerHour, ...]] = field(default_factory=dict)
    place_hours: Mapping[str, tuple[PlaceHour, ...]] = field(default_factory=dict)
    acts: tuple[Act, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    verdicts: tuple[GroupVerdict, ...] = ()


def hour_of(at_ms: Any) -> Any:
    """The end of the hour that holds an instant [ms], of an int or an int64 column."""
    return -(-at_ms // HOUR_MS) * HOUR_MS


def total(hours: tuple[PlaceHour, ...], from_ms: int, to_ms: int) -> Exposure:
    """The exposure of a place over `(from_ms, to_ms]`, whole hours, from its hours in that range.

    MKTs are combined in rate space, never averaged: an hour counts as its known time at its own MKT, which gives the
    very MKT of all its readings.
    """
    known = [hour for hour in hours if hour.known_ms]
    known_ms = sum(hour.known_ms for hour in known)
    if not known_ms:
        return Exposure(0, to_ms - from_ms, None, None, None, None)
    with_rate = [(hour.mkt_c, hour.known_ms) for hour in known if hour.mkt_c is not None]
    return Exposure(
        known_ms,
        to_ms - from_ms - known_ms,
        min(hour.min_mc for hour in known if hour.min_mc is not None),
        max(hour.max_mc for hour in known if hour.max_mc is not None),
        sum(hour.hot_mc_ms or 0 for hour in known) / known_ms / 1000,
        mean_kinetic_temperature(*zip(*with_rate, strict=True)) if with_rate else None,
    )
