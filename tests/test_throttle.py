"""A gateway has its own share, and nobody else's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coldchain import throttle
from coldchain.throttle import Throttle


def test_a_burst_is_let_through_and_then_as_many_as_the_rate_allows() -> None:
    limit = Throttle(per_s=10, burst=5)
    assert [limit.admits("a", 0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [limit.admits("a", 0.2) for _ in range(3)] == [True, True, False]
    assert [limit.admits("a", 100.0) for _ in range(7)] == [True] * 5 + [False] * 2


def test_one_gateway_does_not_use_up_the_share_of_another() -> None:
    limit = Throttle(per_s=1, burst=1)
    assert [limit.admits("a", 0.0), limit.admits("a", 0.0), limit.admits("b", 0.0)] == [True, False, True]


@given(st.lists(st.floats(0, 5), max_size=200), st.integers(1, 20), st.integers(1, 20))
def test_never_more_than_burst_and_rate_allow(steps: list[float], per_s: int, burst: int) -> None:
    limit, now_s, admitted = Throttle(per_s, burst), 0.0, 0
    for step in steps:
        now_s += step
        admitted += limit.admits("a", now_s)
        assert admitted <= burst + per_s * now_s + 1e-6


def test_gateways_that_are_quiet_are_forgotten_and_busy_ones_are_not() -> None:
    limit = Throttle(per_s=1, burst=2)
    for number in range(throttle.FORGET_ABOVE - 1):
        limit.admits(f"gw-{number}", 0.0)
    assert [limit.admits("busy", 10.0) for _ in range(3)] == [True, True, False]
    limit.admits("one more", 10.0)
    assert len(limit._levels) == 2
    assert not limit.admits("busy", 10.0)
