"""How numbers and names are written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.report import notation

HOUR = 3_600_000
UNIT_MS = {"d": 86_400_000, "h": HOUR, "min": 60_000, "s": 1000}


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 s"),
        (1, "0.001 s"),
        (59_999, "59.999 s"),
        (60_000, "1 min"),
        (60_500, "1 min 0.5 s"),
        (10 * HOUR + 30 * 60_000, "10 h 30 min"),
        (72 * HOUR, "72 h"),
        (100 * HOUR - 1, "99 h 59 min 59.999 s"),
        (100 * HOUR, "4 d 4 h"),
    ],
)
def test_a_duration_is_written_exactly(ms: int, text: str) -> None:
    assert notation.duration(ms) == text


@given(st.integers(0, 10**12))
def test_a_duration_can_be_read_back_to_the_millisecond(ms: int) -> None:
    parts = re.findall(r"([\d.]+) (d|h|min|s)", notation.duration(ms))
    assert sum(round(float(number) * UNIT_MS[unit]) for number, unit in parts) == ms


def test_a_negative_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 ms"):
        notation.duration(-1)


@pytest.mark.parametrize(
    ("c", "text"),
    [(8.04, "8.04"), (8.0, "8.0"), (-0.5, "-0.5"), (0.0, "0.0"), (-0.0001, "0.0"), (8.0004, "8.0"), (5.129, "5.129")],
)
def test_a_temperature_has_one_to_three_decimals(c: float, text: str) -> None:
    assert notation.temperature(c) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 1, "100 %"),
        (999_999_999, 1_000_000_000, "99.99 %"),
        (1, 1_000_000_000, "0.01 %"),
        (0, 5, "0 %"),
        (1, 2, "50 %"),
        (0, 0, "not computable"),
    ],
)
def test_a_share_reaches_its_ends_only_exactly(part: int, whole: int, text: str) -> None:
    assert notation.share(part, whole) == text


@pytest.mark.parametrize(
    ("kits", "text"),
    [
        ([f"K-{n:04}" for n in range(1, 301)], "K-0001 to K-0300 (300 kits)"),
        (["K-0001"], "K-0001"),
        (["K-2", "K-1"], "K-1 to K-2 (2 kits)"),
        (["K-01", "K-02", "K-04"], "K-01 to K-02, K-04 (3 kits)"),
        (["K-9", "K-10"], "K-10, K-9 (2 kits)"),
        (["A-1", "B-2"], "A-1, B-2 (2 kits)"),
        (["A01", "A2"], "A01, A2 (2 kits)"),
        (["a", "c", "e", "g", "i", "k"], "a, c, e, g, 2 more (6 kits)"),
        (["K-007", "K-007"], "K-007"),
    ],
)
def test_kit_ids_collapse_into_ranges_that_name_only_existing_kits(kits: list[str], text: str) -> None:
    assert notation.kit_range(kits) == text
