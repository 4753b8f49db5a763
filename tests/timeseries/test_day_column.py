"""A day's columns come back as they went in, and take few bytes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coldchain.readings import FAULT_MC
from coldchain.timeseries.day_column import pack, unpack

DAY_MS = 86_400_000


@given(
    st.integers(0, 2_932_896),
    st.lists(st.tuples(st.integers(0, DAY_MS - 1), st.sampled_from([FAULT_MC, -273_150, 0, 5000, 1_000_000]))),
)
def test_what_is_packed_is_unpacked(day: int, pairs: list[tuple[int, int]]) -> None:
    pairs.sort()
    at = np.array([day * DAY_MS + offset for offset, _ in pairs], np.int64)
    mc = np.array([mc for _, mc in pairs], np.int32)
    found_at, found_mc = unpack(day * DAY_MS, pack(day * DAY_MS, at, mc))
    assert found_at.tolist() == at.tolist()
    assert found_mc.tolist() == mc.tolist()
    assert (str(found_at.dtype), str(found_mc.dtype)) == ("int64", "int32")


def test_a_day_of_minutes_that_wander_takes_less_than_three_bytes_a_reading() -> None:
    at = np.arange(0, DAY_MS, 60_000, dtype=np.int64)
    wander = np.random.default_rng(1).integers(-300, 300, len(at))
    assert len(pack(0, at, (5000 + wander).astype(np.int32))) < 3 * len(at)
