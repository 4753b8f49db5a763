"""The thermal models behave as bodies do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.simulator.thermal import (
    DAY_S,
    Refrigerator,
    Shipper,
    day_curve_c,
    gel_c,
    lag_c,
    refrigerator_c,
    shipper_c,
)

FRIDGE = Refrigerator(5.0, 0.5, walls_time_constant_s=6 * 3600, door_time_constant_s=3600, cooling_k_per_s=6 / 3600)
BOX = Shipper(walls_time_constant_s=9000, gel_time_constant_s=1440, gel_share=0.47, melting_c=5.0, latent_k=95.0)
DAY = np.arange(0.0, DAY_S + 10, 10)
SHUT = np.zeros(len(DAY), dtype=np.bool_)
ROOM = np.full(len(DAY), 21.0)

celsius = st.floats(-40, 60)
seconds = st.floats(1, 1e6)


def test_after_one_time_constant_a_body_has_gone_63_percent_of_the_way() -> None:
    assert lag_c(0.0, 100.0, 3600.0, 3600.0) == pytest.approx(100 * (1 - math.exp(-1)))


@given(celsius, celsius, seconds, seconds)
def test_a_body_converges_to_its_surroundings_and_never_passes_them(
    start_c: float, around_c: float, tau_s: float, elapsed_s: float
) -> None:
    later_c = lag_c(start_c, around_c, tau_s, elapsed_s)
    assert min(start_c, around_c) - 1e-9 <= later_c <= max(start_c, around_c) + 1e-9
    assert lag_c(start_c, around_c, tau_s, 50 * tau_s) == pytest.approx(around_c, abs=1e-9)


@given(celsius, celsius, seconds, seconds, seconds)
def test_two_steps_are_one_long_step(
    start_c: float, around_c: float, tau_s: float, first_s: float, second_s: float
) -> None:
    in_two = lag_c(lag_c(start_c, around_c, tau_s, first_s), around_c, tau_s, second_s)
    assert in_two == pytest.approx(lag_c(start_c, around_c, tau_s, first_s + second_s), abs=1e-9)


def test_the_day_is_warmest_when_told_and_repeats() -> None:
    at_s = np.arange(0.0, 2 * DAY_S, 60)
    curve = day_curve_c(at_s, mean_c=15.0, swing_c=4.0, warmest_at_s=15 * 3600)
    assert at_s[int(curve[: int(DAY_S / 60)].argmax())] == 15 * 3600
    assert (curve.min(), curve.max()) == (pytest.approx(11.0), pytest.approx(19.0))
    np.testing.assert_allclose(curve[: len(curve) // 2], curve[len(curve) // 2 :])


def test_a_shut_fridge_stays_in_its_band_and_its_compressor_cycles() -> None:
    inside_c = refrigerator_c(FRIDGE, DAY, ROOM, SHUT)
    assert 4.4 < inside_c.min() < 4.6
    assert 5.4 < inside_c.max() < 5.6
    turns = np.count_nonzero(np.diff(np.sign(np.diff(inside_c))))
    assert turns > 10


def test_without_cooling_a_fridge_warms_to_the_room() -> None:
    dead = Refrigerator(5.0, 0.5, 3600, 600, cooling_k_per_s=0.0)
    inside_c = refrigerator_c(dead, DAY, ROOM, SHUT)
    assert inside_c[-1] == pytest.approx(21.0, abs=1e-6)
    assert (np.diff(inside_c) >= 0).all()


def test_an_open_door_warms_the_fridge_to_where_cooling_and_room_balance_and_a_shut_one_brings_it_back() -> None:
    ajar = (DAY >= 6 * 3600) & (DAY < 16 * 3600)
    inside_c = refrigerator_c(FRIDGE, DAY, ROOM, ajar)
    assert inside_c[DAY == 16 * 3600] == pytest.approx(21.0 - 6.0, abs=0.1)
    assert inside_c[-1] < 6.0


def test_gel_warms_to_its_melting_point_stays_there_and_warms_again_when_spent() -> None:
    assert [gel_c(BOX, k) for k in (-25.0, 0.0, 50.0, 95.0, 100.0)] == [-20.0, 5.0, 5.0, 5.0, 10.0]


def test_conditioned_packs_keep_a_load_between_melting_point_and_ambient() -> None:
    load_c = shipper_c(BOX, DAY[:2000], ROOM[:2000] - 7, load_c=5.0, enthalpy_k=0.0)
    assert load_c.min() >= 5.0
    assert load_c.max() < 8.0


def test_packs_straight_from_the_freezer_freeze_the_load_and_then_let_it_go() -> None:
    load_c = shipper_c(BOX, DAY[:2000], ROOM[:2000] - 7, load_c=5.0, enthalpy_k=-25.0)
    assert load_c.min() < 0.0
    assert load_c[-1] > 2.0


def test_spent_packs_let_the_load_warm_to_the_ambient() -> None:
    long_s = np.arange(0.0, 20 * DAY_S, 60)
    load_c = shipper_c(BOX, long_s, np.full(len(long_s), 14.0), load_c=5.0, enthalpy_k=0.0)
    assert load_c[-1] == pytest.approx(14.0, abs=0.01)


def test_the_step_of_the_model_hardly_matters() -> None:
    coarse_s, fine_s = np.arange(0.0, 18_000, 20), np.arange(0.0, 18_000, 5)
    coarse, fine = (shipper_c(BOX, at_s, np.full(len(at_s), 12.0), 5.0, -25.0) for at_s in (coarse_s, fine_s))
    np.testing.assert_allclose(coarse, fine[::4], atol=0.1)
