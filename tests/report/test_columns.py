"""Cutting a history into columns loses no extreme and no gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.history import History
from coldchain.kernels import UNKNOWN
from coldchain.report.columns import columns, runs


def history(durations: list[int], values: list[int], start_ms: int = 1_772_323_200_000) -> History:
    column = np.array(values, np.int32)
    return History(start_ms, start_ms + np.cumsum(np.array(durations, np.int64)), column, column)


@pytest.mark.parametrize("position", [0, 1, 499_999, 777_777, 999_998, 999_999])
def test_one_segment_in_a_million_survives(position: int) -> None:
    values = np.full(1_000_000, 5_000, np.int32)
    values[position] = 30_000
    step = History(0, np.arange(1, 1_000_001, dtype=np.int64) * 60_000, values, values)
    cut = columns(step, 600)
    assert len(cut.hot_mc) == 600
    assert cut.hot_mc.max() == 30_000
    assert int(np.argmax(cut.hot_mc)) == position * 600 // 1_000_000
    assert cut.cold_mc.max() == 5_000


def test_one_unknown_segment_in_a_million_is_flagged_and_nothing_else() -> None:
    values = np.full(1_000_000, 5_000, np.int32)
    values[123_456] = UNKNOWN
    step = History(0, np.arange(1, 1_000_001, dtype=np.int64), values, values)
    cut = columns(step, 600)
    assert cut.has_unknown.sum() == 1
    assert cut.cold_mc.min() == 5_000


def test_a_long_segment_fills_every_column_it_covers() -> None:
    cut = columns(history([1_000, 9_000], [5_000, 9_000]), 10)
    assert cut.hot_mc.tolist() == [5_000] + [9_000] * 9


def test_a_column_without_known_time_is_unknown_on_both_sides() -> None:
    cut = columns(history([10, 10], [5_000, UNKNOWN]), 4)
    assert cut.hot_mc.tolist() == cut.cold_mc.tolist() == [5_000, 5_000, UNKNOWN, UNKNOWN]


@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.sampled_from([UNKNOWN, -20_000, 0, 5_000, 8_001])), min_size=1),
    st.integers(1, 50),
)
def test_columns_hold_exactly_what_overlaps_them(segments: list[tuple[int, int]], most: int) -> None:
    step = history([d for d, _ in segments], [v for _, v in segments], start_ms=0)
    cut = columns(step, most)
    total, count = step.as_of_ms, len(cut.hot_mc)
    assert count == min(most, total)
    edges = [number * (total // count) + number * (total % count) // count for number in range(count + 1)]
    starts = [0, *step.end_ms.tolist()[:-1]]
    for number in range(count):
        inside = [
            value
            for start, end, (_, value) in zip(starts, step.end_ms.tolist(), segments, strict=True)
            if start < edges[number + 1] and end > edges[number]
        ]
        known = [value for value in inside if value != UNKNOWN]
        assert cut.hot_mc[number] == max(known, default=UNKNOWN)
        assert cut.cold_mc[number] == min(known, default=UNKNOWN)
        assert cut.has_unknown[number] == (UNKNOWN in inside)


def test_runs_are_the_stretches_of_true() -> None:
    assert runs(np.array([True, False, True, True])) == [(0, 1), (2, 4)]
    assert runs(np.zeros(0, dtype=bool)) == []
