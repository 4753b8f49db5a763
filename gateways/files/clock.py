"""Which instants the times of an export name. Nothing is guessed: what may mean two instants is refused.

The order of day, month and year is declared, or proven: by the only order in which every row is a date, or by the
only one in which the readings follow each other at one interval. A local time needs a declared zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from typing import Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from coldchain.errors import BadInput
from gateways.files.logger_file import utc_ms

Order = Literal["dmy", "mdy", "ymd"]
ORDERS: tuple[Order, ...] = get_args(Order)

_DATES = (
    r"(?P<a>\d{1,4})(?P<mark>[./-])(?P<b>\d{1,2})(?P=mark)(?P<c>\d{1,4})",
    r"(?P<day>\d{1,2})[ .-](?P<month>[A-Za-z]{3,9})\.?,?[ .-](?P<year>\d{4})",
    r"(?P<month>[A-Za-z]{3,9})\.? (?P<day>\d{1,2}),? (?P<year>\d{4})",
)
_TIME = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,6}))?)?"
    r"(?: ?(?P<half>[AaPp])\.? ?[Mm]\.?)?"
    r"(?: ?(?P<offset>Z|(?:UTC|GMT)?[+-]\d\d:?\d\d|UTC|GMT))?"
)
_FORMS = tuple(re.compile(f"{date}(?:T|,? +){_TIME}", re.ASCII) for date in _DATES)
_OFFSET = re.compile(r"(?P<sign>[+-])\s*(?P<hours>\d{1,2})(?::?(?P<minutes>\d\d))?\b", re.ASCII)
_ZONE = re.compile(r"\b(?:GMT|UTC)\b\s*(?P<offset>[+-]\s*\d{1,2}(?::?\d\d)?)?", re.ASCII)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " "})


class Stamp(NamedTuple):
    """A time as a row states it."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Clock:
    """How the times of a file are to be taken, as far as it is declared.

    `zone`: of times that carry no offset themselves. `repeats_in_order`: where daylight saving makes an hour occur
    twice, the rows are in order of time, so that the hour occurs the second time once the clock has stepped back.
    """

    order: Order | None = None
    zone: tzinfo | None = None
    repeats_in_order: bool = False


class _Parts(NamedTuple):
    """A time taken apart: three numbers of a date whose order may be open, the time of day, the row's own offset."""

    numbers: tuple[str, str, str]
    named: bool
    of_day: timedelta
    offset: tzinfo | None


def stated_zone(text: str) -> timezone | None:
    """The fixed offset that a header states, such as `GMT+02:00` or `UTC`; None if it states none."""
    found = _ZONE.search(text)
    if found is None:
        return None
    return _offset(found["offset"]) if found["offset"] else UTC


def is_time(text: str) -> bool:
    """Whether a cell is a date and time, in any order."""
    return _take_apart(text) is not None


def orders(texts: Sequence[str]) -> tuple[Order, ...]:
    """The orders of day, month and year in which all of these are dates, one of those that give the same dates."""
    parts = [part for part in map(_take_apart, texts) if part is not None]
    found: dict[tuple[datetime | None, ...], Order] = {}
    for order in ORDERS:
        days = tuple(_day(part, order) for part in parts)
        if days and None not in days:
            found.setdefault(days, order)
    return tuple(found.values())


def instants(stamps: Sequence[Stamp], clock: Clock, file: str) -> tuple[list[int], str]:
    """The instant [ms UTC] of each row, and how the order of the date was found (empty if it was never open).

    Raises
    ------
    BadInput : no time, an open order, no zone, or a local time that occurs twice or never; names line and value
    """
    parts = [_parts(stamp, file) for stamp in stamps]
    locals_, note = _in_order(stamps, parts, clock, file)
    at_ms: list[int] = []
    for stamp, part, local in zip(stamps, parts, locals_, strict=True):
        zone = part.offset if part.offset is not None else clock.zone
        if zone is None:
            raise BadInput(
                "the file declares no time zone and none was given; name that of the clock it was written with, e.g. "
                "Europe/Zurich, or Etc/GMT-1 for UTC+01:00 all the year (abbreviations such as CST or IST name none)",
                file=file,
                line=stamp.line,
                key="zone",
                value=stamp.text,
            )
        before = at_ms[-1] if at_ms and clock.repeats_in_order else None
        at_ms.append(_utc_ms(local.replace(tzinfo=zone), before, stamp, file))
    return at_ms, note


def _utc_ms(local: datetime, before_ms: int | None, stamp: Stamp, file: str) -> int:
    later = local.replace(fold=1)
    if before_ms is not None and isinstance(local.tzinfo, ZoneInfo):
        first, second = local.astimezone(UTC), later.astimezone(UTC)
        if first < second:
            first_ms, second_ms = (utc_ms(at, file=file, line=stamp.line, value=stamp.text) for at in (first, second))
            return first_ms if first_ms > before_ms else second_ms
    return utc_ms(local, file=file, line=stamp.line, value=stamp.text)


def _parts(stamp: Stamp, file: str) -> _Parts:
    parts = _take_apart(stamp.text)
    if parts is None:
        problem = "not a date and time such as 2026-04-17 15:23 or 17.04.2026 3:23:00 PM"
        raise BadInput(problem, file=file, line=stamp.line, key="time", value=stamp.text[:80])
    return parts


def _take_apart(text: str) -> _Parts | None:
    text = text.translate(_SPACES)
    found = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if found is None:
        return None
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"] or 0)
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found["half"] in "Pp" else 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    micros = int((found["fraction"] or "").ljust(6, "0"))
    of_day = timedelta(hours=hour, minutes=minute, seconds=second, microseconds=micros // 1000 * 1000)
    offset = None
    if found["offset"]:
        offset = stated_zone(found["offset"]) or (UTC if found["offset"] == "Z" else _offset(found["offset"]))
        if offset is None:
            return None
    if "a" in found.re.groupindex:
        return _Parts((found["a"], found["b"], found["c"]), False, of_day, offset)
    month = found["month"].lower()[:3]
    if month not in _MONTHS:
        return None
    return _Parts((found["year"], str(_MONTHS.index(month) + 1), found["day"]), True, of_day, offset)


def _offset(text: str) -> timezone | None:
    found = _OFFSET.search(text)
    if found is None:
        return None
    offset = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"] or 0))
    if offset > timedelta(hours=14):
        return None
    return timezone(-offset if found["sign"] == "-" else offset)


def _in_order(stamps: Sequence[Stamp], parts: Sequence[_Parts], clock: Clock, file: str) -> tuple[list[datetime], str]:
    """The local times in the one order of day, month and year that is declared or proven."""
    readable: dict[Order, list[datetime]] = {}
    failed: dict[Order, int] = {}
    for order in (clock.order,) if clock.order else ORDERS:
        times: list[datetime] = []
        for part in parts:
            day = _day(part, order)
            if day is None:
                failed[order] = len(times)
                break
            times.append(day + part.of_day)
        else:
            readable[order] = times
    if not readable:
        furthest = max(failed, key=lambda order: failed[order])
        stamp = stamps[failed[furthest]]
        problem = (
            f"no such date in the order {clock.order}" if clock.order else f"no such date ({furthest} fits up to here)"
        )
        raise BadInput(problem, file=file, line=stamp.line, key="time", value=stamp.text)
    distinct = {tuple(times): order for order, times in readable.items()}
    if len(distinct) == 1:
        return next(iter(readable.values())), ""
    even = {order: times for order, times in readable.items() if _is_even(times)}
    if len(even) == 1:
        ((order, times),) = even.items()
        return times, f"Dates are taken as {order}: the only order in which the readings follow at one interval."
    raise _ambiguous(stamps, readable, file)


def _ambiguous(stamps: Sequence[Stamp], readable: Mapping[Order, Sequence[datetime]], file: str) -> BadInput:
    row = next(i for i in range(len(stamps)) if len({times[i] for times in readable.values()}) > 1)
    meanings = " or ".join(f"{times[row].date()} ({order})" for order, times in readable.items())
    problem = f"ambiguous date: {meanings}; say which: --date-order, or order under [time] of the mapping"
    return BadInput(problem, file=file, line=stamps[row].line, key="time", value=stamps[row].text)


def _is_even(times: Sequence[datetime]) -> bool:
    """Whether the times follow each other at one interval so short that another order would break it at midnight."""
    steps = {later - earlier for earlier, later in pairwise(times)}
    return len(times) > 2 and len(steps) == 1 and timedelta(0) < steps.pop() < timedelta(days=1)


def _day(part: _Parts, order: Order) -> datetime | None:
    """Midnight of the date in that order, None if it is none. A year in front with four digits leaves no choice."""
    a, b, c = part.numbers
    if part.named or len(a) == 4:
        year, month, day = a, b, c
    else:
        year, month, day = {"dmy": (c, b, a), "mdy": (c, a, b), "ymd": (a, b, c)}[order]
    if len(year) not in (2, 4) or len(month) > 2 or len(day) > 2:
        return None
    number = int(year) + (2000 if len(year) == 2 else 0)
    if not 1970 <= number <= 2200:
        return None
    try:
        # The zone comes later; UTC only stands in for it while dates are compared.
        return datetime(number, int(month), int(day), tzinfo=UTC)
    except ValueError:
        return None
