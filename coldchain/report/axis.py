"""Where the marks of an axis stand: round temperatures, round UTC times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
_DAY_MS = 24 * _HOUR_MS
_STEPS_MS = (
    *(1, 2, 5, 10, 20, 50, 100, 200, 500),
    *(s * 1000 for s in (1, 2, 5, 10, 20, 30)),
    *(m * _MINUTE_MS for m in (1, 2, 5, 10, 15, 30)),
    *(h * _HOUR_MS for h in (1, 2, 3, 6, 12)),
    *(d * _DAY_MS for d in (1, 2, 4, 7, 14)),
)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
_MONDAY_MS = 4 * _DAY_MS  # 1970-01-05, so that steps of weeks fall on Mondays
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def temperature_marks(low_mc: int, high_mc: int, most: int = 8) -> list[int]:
    """Round temperatures [milli-degC] from `low_mc` to `high_mc`, both included."""
    steps = (digit * 10**power for power in count() for digit in (1, 2, 5))
    step = next(s for s in steps if (high_mc - low_mc) // s < most)
    return list(range(-(-low_mc // step) * step, high_mc + 1, step))


def time_marks(start_ms: int, end_ms: int, most: int = 8) -> list[int]:
    """Round UTC instants [ms] from `start_ms` to `end_ms`: full minutes, hours, days, Mondays or firsts of a month."""
    span = end_ms - start_ms
    step = next((s for s in _STEPS_MS if span // s < most), None)
    if step is None:
        return _firsts_of_months(start_ms, end_ms, most)
    anchor = _MONDAY_MS if step % (7 * _DAY_MS) == 0 else 0
    return list(range(-(-(start_ms - anchor) // step) * step + anchor, end_ms + 1, step))


def _firsts_of_months(start_ms: int, end_ms: int, most: int) -> list[int]:
    first, last = (_moment(at).year * 12 + _moment(at).month - 1 for at in (start_ms, end_ms))
    step = next((m for m in _MONTHS if (last - first) // m < most), 240)
    instants = (
        (datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
        for month in range(-(-first // step) * step, last + 1, step)
    )
    return [at for at in instants if start_ms <= at <= end_ms]


def time_labels(marks: list[int]) -> list[tuple[str, str]]:
    """(time, date) under each mark; the date stands under the first mark and where the day changes."""
    whole_days = all(at % _DAY_MS == 0 for at in marks)
    with_seconds = any(at % _MINUTE_MS for at in marks)
    with_ms = any(at % 1000 for at in marks)
    timespec = "milliseconds" if with_ms else "seconds" if with_seconds else "minutes"
    labels, shown = [], ""
    for at in marks:
        moment = _moment(at)
        date = moment.date().isoformat()
        if whole_days:
            labels.append((date, ""))
            continue
        labels.append((moment.time().isoformat(timespec), "" if date == shown else date))
        shown = date
    return labels


def _moment(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)
