"""The gateway's clock: its offset is learned from receipts, recorded with its readings, and never applied to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from gateways.agent.clock import Clock
from gateways.agent.flow import Now
from gateways.agent.spool import Spool

OpenSpool = Callable[..., Spool]
WALL_MS = 1_760_000_000_000


def at(seconds: float, wrong_ms: int = 0) -> Now:
    """An instant on a machine whose wall clock is behind by `wrong_ms`."""
    return Now(seconds, round(WALL_MS + 1000 * seconds) - wrong_ms)


def true_ms(seconds: float) -> int:
    return round(WALL_MS + 1000 * seconds)


def test_the_offset_is_the_service_time_in_the_middle_of_the_round_trip(open_spool: OpenSpool) -> None:
    spool = open_spool()
    clock = Clock(spool, at(0, 3_600_000))
    before = clock.offset_ms
    assert before is None
    clock.answered(at(10, 3_600_000), true_ms(10.1), at(10.2, 3_600_000))
    assert clock.offset_ms == 3_600_000
    assert spool.offset(clock.state()) == 3_600_000


@pytest.mark.parametrize("took_s", [-1.0, 6.0])
def test_a_receipt_that_took_long_says_nothing_about_the_time(open_spool: OpenSpool, took_s: float) -> None:
    clock = Clock(open_spool(), at(0))
    clock.answered(at(20), true_ms(20), at(20 + took_s))
    assert clock.offset_ms is None


def test_a_clock_that_was_set_while_the_message_was_under_way_says_nothing(open_spool: OpenSpool) -> None:
    clock = Clock(open_spool(), at(0))
    clock.answered(at(1, 60_000), true_ms(1.5), at(2))
    assert clock.offset_ms is None


def test_small_differences_are_no_new_state(open_spool: OpenSpool) -> None:
    clock = Clock(open_spool(), at(0))
    clock.answered(at(1), true_ms(1), at(1.2))
    state = clock.state()
    for second in range(2, 60):
        clock.answered(at(second), true_ms(second), at(second + 0.5))
    assert clock.state() == state


def test_a_rough_estimate_gives_way_to_a_better_one(open_spool: OpenSpool) -> None:
    spool = open_spool()
    clock = Clock(spool, at(0))
    state = clock.state()
    clock.answered(at(1), true_ms(5.9), at(5.9))
    assert clock.offset_ms == 2450
    clock.answered(at(7), true_ms(7), at(7.2))
    assert (clock.offset_ms, spool.offset(state), clock.state()) == (-100, -100, state)


def test_a_clock_that_drifts_away_begins_a_new_state_and_the_old_one_keeps_its_offset(open_spool: OpenSpool) -> None:
    spool = open_spool()
    clock = Clock(spool, at(0))
    clock.answered(at(1), true_ms(1), at(1.1))
    before, known = clock.state(), clock.offset_ms
    clock.answered(at(86_400), true_ms(86_400) + 2000, at(86_400.1))
    assert clock.state() != before
    assert clock.offset_ms == pytest.approx(2000, abs=100)
    assert spool.offset(before) == known


def test_what_was_stamped_before_somebody_set_the_clock_gets_its_offset_when_that_is_known(
    open_spool: OpenSpool,
) -> None:
    spool = open_spool()
    clock = Clock(spool, at(0, 7_200_000))  # starts two hours behind
    first = clock.state()
    assert clock.look(at(1, 7_200_000)) == 0
    assert clock.look(at(2, 3_600_000)) == 3_600_000  # set, still an hour behind
    second = clock.state()
    assert clock.look(at(3)) == 3_600_000  # set right
    assert spool.offset(first) is spool.offset(second) is None
    clock.answered(at(10), true_ms(10.1), at(10.2))
    assert (spool.offset(first), spool.offset(second), clock.offset_ms) == (7_200_000, 3_600_000, 0)


def test_a_clock_that_is_steered_slowly_is_not_set(open_spool: OpenSpool) -> None:
    clock = Clock(open_spool(), at(0))
    state = clock.state()
    assert clock.look(at(10, 999)) == 0
    assert clock.state() == state


def test_a_state_that_stamped_nothing_leaves_no_row_and_a_full_disk_changes_no_state(open_spool: OpenSpool) -> None:
    spool = open_spool()
    clock = Clock(spool, at(0, 5000))
    clock.look(at(1))
    assert spool._db.execute("SELECT count(*) FROM clock").fetchone() == (0,)
    spool._db.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.OperationalError):
        clock.state()
    spool._db.execute("PRAGMA query_only = OFF")
    state = clock.state()
    spool._db.execute("PRAGMA query_only = ON")
    with pytest.raises(sqlite3.OperationalError):
        clock.answered(at(2), true_ms(2), at(2))
    assert clock.offset_ms is None
    spool._db.execute("PRAGMA query_only = OFF")
    clock.answered(at(3), true_ms(3), at(3))
    assert spool.offset(state) == 0
