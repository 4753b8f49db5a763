"""Marks of the axes are round, few and inside."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.report import axis

T0 = 1_772_323_200_000
HOUR, DAY = 3_600_000, 86_400_000


@given(st.integers(-200_000, 100_000), st.integers(1, 300_000))
def test_temperature_marks_are_evenly_spaced_round_and_at_most_eight(low: int, span: int) -> None:
    marks = axis.temperature_marks(low, low + span)
    assert len(marks) <= 8
    assert all(low <= mark <= low + span for mark in marks)
    steps = {b - a for a, b in pairwise(marks)}
    assert len(steps) <= 1
    assert all(str(step).rstrip("0") in {"1", "2", "5"} for step in steps)


@given(st.integers(1_400_000_000_000, 4_000_000_000_000), st.integers(1, 20 * 365 * DAY))
def test_time_marks_are_inside_and_at_most_eight(start: int, span: int) -> None:
    marks = axis.time_marks(start, start + span)
    assert len(marks) <= 8
    assert all(start <= mark <= start + span for mark in marks)
    assert marks == sorted(set(marks))


@pytest.mark.parametrize(
    ("span", "labels"),
    [
        (6 * HOUR, [("00:00", "2026-03-01"), *((f"0{h}:00", "") for h in range(1, 7))]),
        (
            2 * DAY,
            [("00:00", "2026-03-01"), ("12:00", ""), ("00:00", "2026-03-02"), ("12:00", ""), ("00:00", "2026-03-03")],
        ),
        (5 * DAY + HOUR, [(f"2026-03-0{d}", "") for d in range(1, 7)]),
        (150 * DAY, [(f"2026-0{month}-01", "") for month in range(3, 8)]),
    ],
)
def test_time_marks_stand_at_full_hours_days_and_months(span: int, labels: list[tuple[str, str]]) -> None:
    assert axis.time_labels(axis.time_marks(T0, T0 + span)) == labels


def test_weeks_begin_on_mondays() -> None:
    marks = axis.time_marks(T0, T0 + 45 * DAY)
    assert axis.time_labels(marks)[0] == ("2026-03-02", "")
    assert {b - a for a, b in pairwise(marks)} == {7 * DAY}


def test_seconds_are_written_where_the_marks_need_them() -> None:
    assert axis.time_labels(axis.time_marks(T0, T0 + 60_000))[1][0] == "00:00:10"
    assert axis.time_labels(axis.time_marks(T0, T0 + 50))[1][0] == "00:00:00.010"
