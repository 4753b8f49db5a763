"""Times as numbers: a float is the millisecond that its text is."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.decoders.clocks import nearest_ms


@given(st.integers(0, 7_289_654_399_999), st.sampled_from([-math.inf, 0, math.inf]), st.sampled_from([1, 1000]))
def test_a_time_near_a_tie_is_rounded_as_its_text_is(ms: int, beside: float, unit_ms: int) -> None:
    value = math.nextafter((ms + 0.5) / unit_ms, beside) if beside else (ms + 0.5) / unit_ms
    assert nearest_ms(value, unit_ms) == round(Decimal(str(value)) * unit_ms)


@pytest.mark.parametrize("value", [-0.4, -1e300, 1e300, 7.3e12, 10**40, -(10**40)])
def test_a_number_beyond_the_years_is_rounded_by_decimals(value: float) -> None:
    assert nearest_ms(value, 1000) == round(Decimal(str(value)) * 1000)
