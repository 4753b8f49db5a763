"""Temperatures in other units become the nearest integer of milli-degC."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateways.units import Unit, milli_celsius


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
