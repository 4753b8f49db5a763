"""Temperatures in other units become the nearest integer of milli-degC."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.units import Unit, milli_celsius, milli_celsius_of_float, milli_celsius_of_floats


@pytest.mark.parametrize(
    ("value", "unit", "mc"),
    [
        ("12.7", "c", 12_700),
        ("-0.1", "c", -100),
        ("0.0005", "c", 0),
        ("0.0015", "c", 2),
        ("46", "f", 7_778),
        ("35.6", "f", 2_000),
        ("46.4", "f", 8_000),
        ("32", "f", 0),
        ("-40", "f", -40_000),
        ("273.15", "k", 0),
        ("281.15", "k", 8_000),
        ("0", "k", -273_150),
        ("-273.15", "c", -273_150),
        ("1000", "c", 1_000_000),
    ],
)
def test_a_temperature_is_rounded_to_the_nearest_milli_degree_ties_to_even(value: str, unit: Unit, mc: int) -> None:
    assert milli_celsius(Decimal(value), unit) == mc


@pytest.mark.parametrize(
    ("value", "unit"),
    [("-273.151", "c"), ("1000.001", "c"), ("-0.001", "k"), ("-459.68", "f"), ("1e308", "f"), ("-1e308", "c")],
)
def test_what_no_probe_measures_is_no_temperature(value: str, unit: Unit) -> None:
    assert milli_celsius(Decimal(value), unit) is None


UNITS = st.sampled_from(["c", "f", "k"])
# Ties, their neighbours and the limits: thousandths and halves of them, and a little beside.
CLOSE = st.builds(
    lambda halves, beside: float(np.nextafter(halves / 2000, beside)),
    st.integers(-600_000, 2_100_000),
    st.floats(-1e4, 1e4),
)
HALVES = st.integers(-600_000, 21_000_000).map(lambda halves: halves / 2000)
FAHRENHEIT = st.integers(-300_000, 1_100_000).map(lambda halves: 32 + 9 * halves / 10_000)
NUMBERS = CLOSE | HALVES | FAHRENHEIT | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False)


@given(NUMBERS, UNITS)
def test_a_float_is_the_milli_degree_that_its_text_is(value: float, unit: Unit) -> None:
    assert milli_celsius_of_float(value, unit) == milli_celsius(Decimal(str(value)), unit)


@given(st.lists(CLOSE | HALVES | FAHRENHEIT, min_size=1, max_size=5), UNITS)
def test_a_column_of_floats_is_what_each_is_or_left_to_be_decided_by_decimals(values: list[float], unit: Unit) -> None:
    found = milli_celsius_of_floats(np.array(values), unit)
    assert found is None or found.tolist() == [milli_celsius(Decimal(str(value)), unit) for value in values]


@pytest.mark.parametrize("odd", [0.0005, 5.1235, float("nan"), float("inf"), 1e308, 1000.001, -273.151])
def test_one_tie_or_absurdity_leaves_the_whole_column_to_decimals(odd: float) -> None:
    assert milli_celsius_of_floats(np.array([5.12, odd, 5.13]), "c") is None
    assert milli_celsius_of_floats(np.array([5.12, 5.13]), "c") is not None
