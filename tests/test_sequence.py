"""Runs of sequence numbers are a set, whatever the order in which they came."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain import sequence
from coldchain.readings import Lost, ReadingBatch
from coldchain.sequence import Gap, Run, Runs

runs = st.builds(
    lambda first, length, first_ms: Run(first, first + length, first_ms, first_ms + length),
    st.integers(0, 60),
    st.integers(0, 8),
    st.integers(0, 5),
)


def numbers(found: Runs) -> set[int]:
    return {number for run in found for number in range(run.first, run.last + 1)}


@given(st.lists(runs), st.randoms(use_true_random=False))
def test_any_order_and_any_division_give_the_same_runs(added: list[Run], random: object) -> None:
    at_once = sequence.add((), added)
    one_by_one: Runs = ()
    shuffled = list(added)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random
    for run in shuffled:
        one_by_one = sequence.add(one_by_one, [run])
    assert one_by_one == at_once
    assert sequence.add(at_once, added) == at_once


@given(st.lists(runs))
def test_runs_hold_the_numbers_that_came_and_gaps_the_others_in_between(added: list[Run]) -> None:
    came = {number for run in added for number in range(run.first, run.last + 1)}
    found = sequence.add((), added)
    assert numbers(found) == came
    missing = {number for gap in sequence.gaps(found) for number in range(gap.first, gap.last + 1)}
    assert missing == (set(range(min(came), max(came) + 1)) - came if came else set())
    for run in added:
        covering = sequence.covering(found, run)
        assert covering.first <= run.first
        assert run.last <= covering.last


def test_a_gap_lies_between_the_readings_around_it() -> None:
    (gap,) = sequence.gaps(sequence.add((), [Run(0, 9, 1000, 1900), Run(12, 20, 2200, 3000)]))
    assert gap == Gap(10, 11, 1900, 2200)
    assert gap.lost == Lost(1900, 2200)


def test_a_counter_in_too_many_pieces_claims_less_never_more() -> None:
    pieces = [Run(2 * n, 2 * n, n, n) for n in range(sequence.MOST_RUNS + 10)]
    found = sequence.add((), pieces)
    assert found == tuple(pieces[10:])
    assert sequence.covering(found, pieces[3]) == pieces[3]


@pytest.mark.parametrize(("boot", "seq"), [(None, 5), (5, None), (None, None)])
def test_readings_without_a_named_counter_are_no_run(boot: int | None, seq: int | None) -> None:
    at_ms, mc = np.array([10, 20], np.int64), np.array([1, 2], np.int32)
    assert sequence.run_of(ReadingBatch("lg", "1", at_ms, mc, boot=boot, seq=seq)) is None
    assert sequence.run_of(ReadingBatch("lg", "1", at_ms, mc, boot=1, seq=7)) == Run(7, 8, 10, 20)
