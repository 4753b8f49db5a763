"""Each kind of place is as such places are, on an ordinary day and on a bad one."""

from __future__ import annotations

import numpy as np
import pytest

from gateways.simulator.places import (
    BOX,
    COLD_ROOM,
    FREEZER,
    FRIDGE,
    INDOORS,
    KINDS,
    ON_THE_ROAD,
    STEP_S,
    STEPS,
    Trouble,
    Visits,
    ambient_days_c,
    door_openings,
    journey_days_c,
    no_trouble,
    store_days_c,
)
from gateways.simulator.thermal import Cabinet

MANY, DAYS = 200, 4


@pytest.mark.parametrize(
    ("kind", "cabinet", "low_c", "high_c"),
    [
        ("cold-room", COLD_ROOM, 2.0, 9.0),
        ("fridge", FRIDGE, 2.0, 9.0),
        ("home-fridge", FRIDGE, 2.0, 9.0),
        ("freezer", FREEZER, -25.0, -5.0),
    ],
)
def test_a_store_that_works_stays_near_its_label_with_all_its_doors_and_defrosts(
    kind: str, cabinet: Cabinet, low_c: float, high_c: float
) -> None:
    calm = [no_trouble(MANY)] * DAYS
    days = list(store_days_c(KINDS[kind], cabinet, MANY, calm, DAYS, np.random.default_rng(1)))
    assert [day.shape for day in days] == [(STEPS, MANY)] * DAYS
    inside_c = np.concatenate(days)
    assert low_c < np.quantile(inside_c, 0.0005)
    assert np.quantile(inside_c, 0.9995) < high_c
    assert abs(inside_c.mean() - cabinet.set_point_c) < 0.6


def test_days_of_a_store_join_without_a_seam() -> None:
    calm = [no_trouble(MANY)] * 2
    days = store_days_c(KINDS["freezer"], FREEZER, MANY, calm, 2, np.random.default_rng(1))
    before, after = days
    steps_k = np.abs(np.diff(np.concatenate([before, after]), axis=0))
    assert steps_k[STEPS - 1].max() <= steps_k.max()
    assert steps_k[STEPS - 1].mean() < 5 * steps_k.mean()


def test_a_failed_compressor_warms_its_own_place_and_no_other() -> None:
    trouble = no_trouble(2)
    power = trouble.has_power.copy()
    power[600:780, 0] = False
    bad = [Trouble(power, trouble.ajar)]
    (inside_c,) = store_days_c(KINDS["fridge"], FRIDGE, 2, bad, 1, np.random.default_rng(3))
    calm = [no_trouble(2)]
    (ordinary_c,) = store_days_c(KINDS["fridge"], FRIDGE, 2, calm, 1, np.random.default_rng(3))
    np.testing.assert_array_equal(inside_c[:, 1], ordinary_c[:, 1])
    np.testing.assert_array_equal(inside_c[:600, 0], ordinary_c[:600, 0])
    assert inside_c[779, 0] > 8.0 > ordinary_c[779, 0]


def test_doors_are_opened_as_often_as_stated_and_only_when_people_are_there() -> None:
    is_open = door_openings(Visits(per_day=12, from_h=7, to_h=18, open_s=30), 2000, np.random.default_rng(4))
    assert not is_open[: 7 * 60].any()
    assert not is_open[18 * 60 + 5 :].any()
    assert is_open.sum() * STEP_S / 2000 == pytest.approx(12 * 30, rel=0.05)
    assert is_open.max() <= 1.0


def test_weather_is_as_warm_and_as_changeable_as_its_climate_and_one_day_leads_to_the_next() -> None:
    for climate in (INDOORS, ON_THE_ROAD):
        days = np.array([day.mean(axis=0) for day in ambient_days_c(climate, 500, 20, np.random.default_rng(5))])
        assert days.mean() == pytest.approx(climate.mean_c, abs=0.3)
        assert 0.7 * climate.weather_k < days.std() < 1.1 * climate.weather_k
        assert np.corrcoef(days[:-1].ravel(), days[1:].ravel())[0, 1] > 0.5


def test_a_box_is_as_it_was_packed_until_it_leaves_and_holds_for_its_journey() -> None:
    packed_s = np.array([0.0, 100_000.0])
    enthalpy = np.zeros(2)
    days = list(journey_days_c(KINDS["shipper"], BOX, packed_s, enthalpy, 2, np.random.default_rng(6)))
    load_c = np.concatenate(days)
    assert (load_c[: 100_000 // STEP_S, 1] == 5.0).all()
    assert load_c[-1, 1] > 5.0
    assert load_c.min() > 4.5
    assert load_c[: 36 * 60].max() < 8.0
