"""The streaming step as it is timed: its answers are those of a replay and of counting by hand."""

from __future__ import annotations

import pytest

from benchmarks import streaming


def test_what_is_timed_ends_where_a_replay_and_counting_by_hand_end() -> None:
    streaming.check()


def test_a_reading_that_is_missed_is_noticed_by_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    take = streaming.Fleet.take
    monkeypatch.setattr(streaming.Fleet, "take", lambda self, commits: take(self, [one[:-1] for one in commits]))
    with pytest.raises(AssertionError):
        streaming.check()
