"""What a logger's own file says: readings, the vendor's summary, and what a person must know about both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from coldchain.errors import BadInput
from coldchain.readings import ReadingBatch

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DaySummary:
    """A day in the device's own words, kept by loggers that keep no readings [milli-degC]."""

    day: date
    min_mc: int | None
    max_mc: int | None
    mean_mc: int | None


@dataclass(frozen=True, slots=True)
class LoggerFile:
    """The content of one logger file.

    Parameters
    ----------
    family : which reader understood it, e.g. "berlinger"
    batches : the readings, in the order of the file; their `received_ms` is None
    serial : the device's serial number, if the file states one
    sha256 : of the file's bytes
    vendor : the vendor's own figures, to stand beside ours: `min_c`, `max_c`, `mean_c`, `mkt_c` [degC],
        `activation_energy_kj_mol`. Vendors cut to 0.1 degC
    notes : sentences for the person who imports it
    days : the device's day summaries, in the order of the file
    zone : of the clock that the file's times were written with; None where there are no times
    """

    family: str
    batches: tuple[ReadingBatch, ...]
    serial: str | None
    sha256: str
    vendor: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    days: tuple[DaySummary, ...] = ()
    zone: tzinfo | None = None


def utc_ms(local: datetime, *, file: str, line: int, value: str) -> int:
    """The one instant [ms UTC] that a device's clock time, with the zone of that clock, names.

    Raises
    ------
    BadInput : the time occurs twice or never in a zone with daylight saving; it is never guessed
    """
    zone = local.tzinfo
    if isinstance(zone, ZoneInfo) and local.utcoffset() != local.replace(fold=1).utcoffset():
        # A time that the clock skips does not come back from a trip through UTC; one that it repeats does.
        exists = local.astimezone(UTC).astimezone(zone).replace(tzinfo=UTC) == local.replace(tzinfo=UTC)
        raise BadInput(
            f"this local time {'occurs twice' if exists else 'does not exist'} in {zone.key}, where daylight saving "
            "changes; if the device's clock does not follow daylight saving, declare its fixed offset as the zone, "
            "e.g. Etc/GMT-1 for UTC+01:00",
            file=file,
            line=line,
            key="time",
            value=value,
        )
    return (local - _EPOCH) // timedelta(milliseconds=1)
