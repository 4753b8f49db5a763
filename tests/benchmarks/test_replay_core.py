"""The contestants of the replay benchmark must do the same job, or their times mean nothing."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import replay_core
from benchmarks.harness import race


@pytest.mark.parametrize("seed", range(5))
def test_all_contestants_give_one_answer(seed: int) -> None:
    columns = replay_core.refrigerators(loggers=20, readings=480, seed=seed)
    answer = replay_core.ours(columns)
    assert answer.above_ms.any()
    replay_core.assert_agree(answer, replay_core.numpy_script(columns))
    replay_core.assert_agree(answer, replay_core.pandas_script(replay_core.as_frame(columns)))


def test_an_event_does_not_run_on_into_the_next_logger() -> None:
    at = replay_core.INTERVAL_MS // 2 * np.array([2, 4, 5, 7])
    columns = replay_core.Columns(
        np.array([0, 0, 1, 1]), at, np.array([5_000, 9_000, 9_000, 5_000], np.int32), np.array([0, 2, 4])
    )
    answer = replay_core.ours(columns)
    assert answer.longest_ms.tolist() == [replay_core.INTERVAL_MS] * 2
    replay_core.assert_agree(answer, replay_core.numpy_script(columns))
    replay_core.assert_agree(answer, replay_core.pandas_script(replay_core.as_frame(columns)))


def test_the_data_hold_gaps_and_long_events() -> None:
    columns = replay_core.refrigerators(loggers=20, readings=2_400)
    assert (np.diff(columns.at_ms) > replay_core.GAP_AFTER_MS).any()
    assert replay_core.ours(columns).longest_ms.max() > 3_600_000


def test_a_race_takes_its_ratio_inside_each_round() -> None:
    def quick() -> int:
        return sum(range(20_000))

    def slow() -> int:
        return sum(range(400_000))

    (row,) = race("sums", 1, quick, {"slow": slow}, rounds=3)
    assert row.lowest <= row.ratio <= row.highest
    assert row.ratio > 2
