"""The thermal models behave as bodies do, and lose no energy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateways.simulator.places import BOX, COLD_ROOM, FREEZER, FRIDGE
from gateways.simulator.thermal import (
    DAY_S,
    Cabinet,
    CabinetState,
    Celsius,
    ShipperState,
    cabinet_c,
    day_curve_c,
    gel_c,
    gel_j_kg,
    lag_c,
    lagged_c,
    settled,
    shipper_c,
)

STEP_S = 60
DAY = np.arange(0.0, DAY_S, STEP_S)

celsius = st.floats(-40, 60)
seconds = st.floats(1, 1e6)


def kept(
    cabinet: Cabinet,
    *,
    steps: int = len(DAY),
    ambient_c: float = 21.0,
    door: slice = slice(0),
    no_power: slice = slice(0),
    defrost: slice = slice(0),
    step_s: float = STEP_S,
) -> tuple[Celsius, CabinetState]:
    """Air temperature in one cabinet, and its last state; things happen during slices of the steps."""
    door_open = np.zeros((steps, 1))
    door_open[door] = 1.0
    power: NDArray[np.bool_] = np.ones((steps, 1), np.bool_)
    power[no_power] = False
    defrosting = np.zeros((steps, 1), np.bool_)
    defrosting[defrost] = True
    around_c = np.full((steps, 1), ambient_c)
    air_c, state = cabinet_c(cabinet, settled(cabinet, 1), around_c, door_open, defrosting, power, step_s)
    return air_c[:, 0], state


def shipped(enthalpy_j_kg: float, ambient_c: float, hours: float, step_s: float = STEP_S) -> Celsius:
    """Load temperature of one box that is packed at 5 degC."""
    steps = round(hours * 3600 / step_s)
    state = ShipperState(np.array([5.0]), np.array([enthalpy_j_kg]))
    load_c, _ = shipper_c(BOX, state, np.full((steps, 1), ambient_c), np.ones((steps, 1), np.bool_), step_s)
    return load_c[:, 0]


def test_after_one_time_constant_a_body_has_gone_63_percent_of_the_way() -> None:
    assert lag_c(0.0, 100.0, 3600.0, 3600.0) == pytest.approx(100 * (1 - math.exp(-1)))


@given(celsius, celsius, seconds, seconds, seconds)
def test_a_body_never_passes_its_surroundings_and_two_steps_are_one_long_step(
    start_c: float, around_c: float, tau_s: float, first_s: float, second_s: float
) -> None:
    half_way_c = lag_c(start_c, around_c, tau_s, first_s)
    assert min(start_c, around_c) - 1e-9 <= half_way_c <= max(start_c, around_c) + 1e-9
    later_c = lag_c(half_way_c, around_c, tau_s, second_s)
    assert later_c == pytest.approx(lag_c(start_c, around_c, tau_s, first_s + second_s), abs=1e-9)


def test_a_lagging_probe_follows_the_closed_form_whatever_its_time_constant() -> None:
    taus_s = np.array([120.0, 900.0])
    followed_c = lagged_c(np.full((60, 2), 20.0), np.array([5.0, 5.0]), taus_s, 60.0)
    for column, tau_s in enumerate(taus_s.tolist()):
        assert followed_c[-1, column] == pytest.approx(lag_c(5.0, 20.0, tau_s, 3600.0))


def test_the_day_is_warmest_when_told_and_repeats() -> None:
    at_s = np.arange(0.0, 2 * DAY_S, 60)
    curve = day_curve_c(at_s, mean_c=15.0, swing_c=4.0, warmest_at_s=15 * 3600)
    assert at_s[int(curve[: int(DAY_S / 60)].argmax())] == 15 * 3600
    assert (curve.min(), curve.max()) == (pytest.approx(11.0), pytest.approx(19.0))
    np.testing.assert_allclose(curve[: len(curve) // 2], curve[len(curve) // 2 :])


@pytest.mark.parametrize("cabinet", [COLD_ROOM, FRIDGE, FREEZER])
def test_what_flows_into_a_cabinet_less_what_is_cooled_away_is_what_it_has_gained(cabinet: Cabinet) -> None:
    _, state = kept(cabinet, door=slice(300, 310), no_power=slice(600, 780), defrost=slice(900, 915))
    gained_j = cabinet.air_j_k * (state.air_c - cabinet.set_point_c)
    gained_j = gained_j + cabinet.content_j_k * (state.content_c - cabinet.set_point_c)
    assert float(state.net_heat_j[0]) == pytest.approx(float(gained_j[0]), rel=1e-9, abs=1e-3)


def test_what_leaves_a_load_enters_the_packs() -> None:
    """Without walls the box is a closed system: no heat is made or lost while the packs freeze or melt."""
    tight = type(BOX)(BOX.load_j_k, 0.0, BOX.gel_w_k, BOX.gel_kg, 5.0, BOX.fusion_j_kg, 2000.0, 2200.0)
    state = ShipperState(np.array([15.0]), np.array([-40e3]))
    load_c, after = shipper_c(tight, state, np.full((600, 1), 30.0), np.ones((600, 1), np.bool_), STEP_S)
    lost_j = BOX.load_j_k * (15.0 - load_c[-1, 0])
    assert BOX.gel_kg * (after.enthalpy_j_kg[0] + 40e3) == pytest.approx(lost_j)


@pytest.mark.parametrize("cabinet", [COLD_ROOM, FRIDGE, FREEZER])
def test_a_shut_cabinet_stays_near_its_set_point_and_its_compressor_cycles_every_quarter_to_whole_hour(
    cabinet: Cabinet,
) -> None:
    air_c, _ = kept(cabinet)
    settled_c = air_c[120:]
    assert abs(settled_c.mean() - cabinet.set_point_c) < 0.4
    assert settled_c.max() - settled_c.min() < 2 * cabinet.hysteresis_c + 1.5
    cycles = np.count_nonzero(np.diff(np.sign(np.diff(settled_c)))) / 2
    assert 15 < (len(settled_c) * STEP_S / 60) / cycles < 60


def test_without_power_a_fridge_passes_8_degrees_within_hours_and_warms_to_the_room() -> None:
    air_c, _ = kept(FRIDGE, steps=10 * len(DAY), no_power=slice(None))
    assert 0.5 < float((air_c <= 8.0).sum()) / 60 < 4.0
    assert (np.diff(air_c) >= 0).all()
    assert air_c[-1] == pytest.approx(21.0, abs=0.01)


def test_a_door_opening_warms_the_air_probe_faster_than_the_buffered_one() -> None:
    opened = slice(600, 605)
    air_c, _ = kept(FRIDGE, door=opened)
    shut_c, _ = kept(FRIDGE)
    both = np.repeat(air_c[:, None], 2, axis=1)
    shut = np.repeat(shut_c[:, None], 2, axis=1)
    bare, buffered = (
        lagged_c(both, both[0], np.array([120.0, 900.0]), STEP_S)
        - lagged_c(shut, shut[0], np.array([120.0, 900.0]), 60)
    )[opened.stop - 1]
    assert bare > 2 * buffered > 0


def test_a_defrost_warms_the_air_of_a_freezer_by_degrees_and_what_is_in_it_hardly() -> None:
    air_c, state = kept(FREEZER, steps=620, defrost=slice(600, 620))
    assert air_c[-1] - air_c[599] > 4.0
    assert abs(float(state.content_c[0]) - FREEZER.set_point_c) < 1.0


def test_gel_warms_to_its_melting_point_stays_there_and_warms_again_when_spent() -> None:
    for gel in (-20.0, 0.0, 12.0):
        assert gel_c(BOX, np.array([gel_j_kg(BOX, gel)]))[0] == pytest.approx(gel)
    assert gel_c(BOX, np.array([0.0, 0.5 * BOX.fusion_j_kg, BOX.fusion_j_kg])).tolist() == [5.0, 5.0, 5.0]


def test_conditioned_packs_hold_a_load_at_22_degrees_for_two_days_and_then_fail() -> None:
    load_c = shipped(0.0, ambient_c=22.0, hours=96)
    holds_h = int(np.argmax(load_c > 8.0)) / 60
    assert 40 < holds_h < 72
    assert load_c[: int(holds_h * 60) - 120].max() < 7.0
    assert load_c[-1] > 15.0


def test_packs_straight_from_the_freezer_freeze_the_load_and_then_let_it_go() -> None:
    load_c = shipped(gel_j_kg(BOX, -20.0), ambient_c=22.0, hours=24)
    assert load_c.min() < 0.0
    assert load_c[-1] > 2.0


def test_before_it_is_packed_a_box_keeps_its_state() -> None:
    state = ShipperState(np.array([5.0]), np.array([0.0]))
    load_c, after = shipper_c(BOX, state, np.full((60, 1), 30.0), np.zeros((60, 1), np.bool_), STEP_S)
    assert (load_c == 5.0).all()
    assert after.enthalpy_j_kg[0] == 0.0


def test_the_step_of_the_model_hardly_matters() -> None:
    coarse = shipped(gel_j_kg(BOX, -20.0), 22.0, 12, step_s=60)
    fine = shipped(gel_j_kg(BOX, -20.0), 22.0, 12, step_s=10)
    np.testing.assert_allclose(coarse, fine[5::6], atol=0.1)
    warm_coarse, _ = kept(FRIDGE, steps=300, no_power=slice(None), step_s=60)
    warm_fine, _ = kept(FRIDGE, steps=1800, no_power=slice(None), step_s=10)
    np.testing.assert_allclose(warm_coarse, warm_fine[5::6], atol=0.1)
