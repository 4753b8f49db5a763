"""Metrics of a history, and mean kinetic temperature against published figures and slow decimal arithmetic."""

from __future__ import annotations

import json
import math
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain import exposure
from coldchain.exposure import GAS_CONSTANT_J_MOL_K, mean_kinetic_temperature
from coldchain.history import History
from coldchain.kernels import UNKNOWN
from coldchain.model import Excursion

HOUR_MS = 3_600_000
ENERGY = 83144.62618
"""a = 10 000 K"""

VECTORS_FILE = Path(__file__).parents[2] / "shared" / "vectors" / "mkt_vectors.json"
VECTORS: list[dict[str, Any]] = json.loads(VECTORS_FILE.read_text()) if VECTORS_FILE.exists() else []

Piece = tuple[int, int | None]


def lasting(*pieces: Piece, start_ms: int = 0) -> History:
    """A history of (duration_ms, temperature_mc) from `start_ms`; None is unknown."""
    end = start_ms + np.cumsum(np.array([ms for ms, _ in pieces], np.int64), dtype=np.int64)
    mc = np.array([UNKNOWN if mc is None else mc for _, mc in pieces], np.int32)
    return History(start_ms, end, mc, mc)


def trailing(
    history: History,
    *at_ms: int,
    window_ms: int,
    max_mc: int = 8000,
    min_coverage: str = "0.9",
    energy: float = ENERGY,
) -> exposure.TrailingMkt:
    return exposure.trailing_mkt(
        history,
        np.array(at_ms, np.int64),
        window_ms=window_ms,
        max_mc=max_mc,
        min_coverage=Decimal(min_coverage),
        activation_energy_j_mol=energy,
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_mkt_agrees_with_the_published_vector(vector: dict[str, Any]) -> None:
    # vectors name their own gas constant: only its quotient with the activation energy enters the formula
    energy = vector["delta_h_over_r_kelvin"] * GAS_CONSTANT_J_MOL_K
    weights = vector.get("weights_hours")
    found = mean_kinetic_temperature(vector["temps_c"], weights, activation_energy_j_mol=energy)
    assert found == pytest.approx(float(vector["recomputed_mkt_c_60digit"]), abs=1e-7, rel=0)
    assert found == pytest.approx(vector["expected_mkt_c"], abs=vector["tolerance"], rel=0)
    hours = weights or [1] * len(vector["temps_c"])
    pieces = [(round(h * HOUR_MS), round(t * 1000)) for h, t in zip(hours, vector["temps_c"], strict=True)]
    if all(h > 0 and (h * HOUR_MS).is_integer() for h in map(float, hours)):
        assert exposure.mkt(lasting(*pieces), energy) == pytest.approx(found, abs=1e-7, rel=0)


@pytest.mark.parametrize(
    ("pieces", "expected_c"),
    [
        ([(1, 5000), (1, 15_000)], 11.387),  # equal legs: not the mean, 10
        ([(6, 14_000), (18, 5000)], 8.285),
        ([(1, -10_000), (23, 5000)], 4.714),  # an hour of frost all but disappears
        ([(7, 5000)], 5.0),
    ],
)
def test_mkt_of_the_field_s_standard_examples(pieces: list[tuple[int, int]], expected_c: float) -> None:
    found = exposure.mkt(lasting(*((hours * HOUR_MS, mc) for hours, mc in pieces)), ENERGY)
    assert found == pytest.approx(expected_c, abs=5e-4)
    hours, mc = zip(*pieces, strict=True)
    assert mean_kinetic_temperature(np.array(mc) / 1000, hours) == pytest.approx(expected_c, abs=5e-4)


def test_a_shorter_window_shows_what_a_longer_one_dilutes() -> None:
    day = lasting((696 * HOUR_MS, 5000), (18 * HOUR_MS, 5000), (6 * HOUR_MS, 14_000))
    assert trailing(day, 720 * HOUR_MS, window_ms=24 * HOUR_MS).peak_c == pytest.approx(8.285, abs=5e-4)
    assert trailing(day, 720 * HOUR_MS, window_ms=720 * HOUR_MS).peak_c == pytest.approx(5.133, abs=5e-4)


def test_mkt_looks_at_the_hottest_values_and_at_known_time_only() -> None:
    unknown = np.int32(UNKNOWN)
    hot, cold = np.array([5000, unknown, 15_000], np.int32), np.array([-9000, unknown, 2000], np.int32)
    found = exposure.mkt(History(0, np.array([10, 500, 510]), hot, cold), ENERGY)
    assert found == exposure.mkt(lasting((10, 5000), (10, 15_000)), ENERGY)


def test_what_is_not_known_is_not_computed() -> None:
    for nothing in (lasting(), lasting((10, None))):
        assert exposure.mkt(nothing, ENERGY) is None
        assert trailing(nothing, 10, window_ms=5) == exposure.TrailingMkt(None, None)
        facts = exposure.totals(nothing)
        assert (facts.known_ms, facts.min_mc, facts.max_mc, facts.mean_c) == (0, None, None, None)
    assert exposure.totals(lasting((10, None))).longest_unknown_ms == 10
    assert exposure.highest([None, 4.0, 5.0, None]) == 5.0
    assert exposure.highest([None]) is None


def test_the_mean_is_weighted_by_time() -> None:
    assert exposure.totals(lasting((30, 4000), (10, 8000))) == exposure.Totals(40, 0, 0, 4000, 8000, 5.0)


pieces = st.lists(
    st.tuples(st.integers(1, 50), st.one_of(st.none(), st.integers(-30_000, 45_000))), min_size=1, max_size=12
)


@given(pieces, st.randoms(use_true_random=False), st.sampled_from([20e3, ENERGY, 250e3]))
def test_cutting_and_reordering_a_history_leaves_every_bit_of_its_mkt(
    whole: list[Piece], random: Random, energy: float
) -> None:
    cut: list[Piece] = []
    for ms, mc in whole:
        at = random.randint(0, ms - 1)
        cut += [(part, mc) for part in (at, ms - at) if part]
    window_ms = random.randint(1, 200)
    ends = sorted({random.randint(1, 300) for _ in range(5)})
    assert trailing(lasting(*cut), *ends, window_ms=window_ms) == trailing(lasting(*whole), *ends, window_ms=window_ms)
    random.shuffle(cut)
    assert exposure.mkt(lasting(*cut), energy) == exposure.mkt(lasting(*whole), energy)


def test_more_temperatures_than_any_table_of_weights_holds_keep_their_own_weights() -> None:
    sweep = [(1 + mc % 7, mc) for mc in range(-30_000, 45_000, 13)]
    ms, mc = np.array(sweep).T
    there, back = lasting(*sweep), lasting(*reversed(sweep))
    assert exposure.mkt(there, ENERGY) == exposure.mkt(back, ENERGY)
    assert exposure.mkt(there, ENERGY) == pytest.approx(mean_kinetic_temperature(mc / 1000, ms), abs=1e-9)
    whole = there.as_of_ms
    assert trailing(there, whole, window_ms=whole).peak_c == exposure.mkt(there, ENERGY)
    last = trailing(there, *there.end_ms.tolist(), window_ms=sweep[-1][0]).peak_c
    assert last == pytest.approx(sweep[-1][1] / 1000, abs=1e-9)


@given(st.integers(-190_000, 1_000_000), st.integers(1, 10**11), st.sampled_from([20e3, ENERGY, 250e3]))
def test_a_window_constant_at_its_limit_does_not_exceed_it_and_a_thousandth_above_does(
    mc: int, ms: int, energy: float
) -> None:
    constant = lasting((ms, mc))
    at_limit = trailing(constant, ms, window_ms=ms, max_mc=mc, energy=energy)
    assert at_limit.breached_at_ms is None
    assert at_limit.peak_c == pytest.approx(mc / 1000, abs=1e-9)
    assert trailing(constant, ms, window_ms=ms, max_mc=mc - 1, energy=energy).breached_at_ms == ms


def by_hand(history: History, t: int, window_ms: int) -> tuple[int, Decimal]:
    """Known ms of the window that ends at t, and the sum of ms x exp(-a/T) in it."""
    known, rate = 0, Decimal(0)
    start = history.start_ms
    for end, mc in zip(history.end_ms.tolist(), history.hot_mc.tolist(), strict=True):
        inside = min(end, t) - max(start, t - window_ms)
        if mc != UNKNOWN and inside > 0:
            known += inside
            rate += inside * (-10_000 / (Decimal(mc) / 1000 + Decimal("273.15"))).exp()
        start = end
    return known, rate


@given(pieces, st.integers(1, 120), st.sampled_from(["0.5", "0.9", "1"]), st.integers(4000, 9000), st.data())
def test_trailing_windows_agree_with_decimal_arithmetic(
    whole: list[Piece], window_ms: int, min_coverage: str, max_mc: int, data: st.DataObject
) -> None:
    history = lasting(*whole, start_ms=1000)
    instants = sorted(data.draw(st.sets(st.integers(1001, history.as_of_ms))))
    peaks, exceeded = [], []
    with localcontext(prec=50):
        allowed = (-10_000 / (Decimal(max_mc) / 1000 + Decimal("273.15"))).exp()
        for t in instants:
            known, rate = by_hand(history, t, window_ms)
            if not known or t - window_ms < 1000 or Fraction(known, window_ms) < Fraction(min_coverage):
                continue
            peaks.append(-10_000 / (rate / known).ln() - Decimal("273.15"))
            if rate - allowed * known > Decimal("1e-40"):
                exceeded.append(t)
    found = trailing(history, *instants, window_ms=window_ms, max_mc=max_mc, min_coverage=min_coverage)
    assert found.breached_at_ms == min(exceeded, default=None)
    if peaks:
        assert found.peak_c == pytest.approx(float(max(peaks)), abs=1e-9, rel=0)
    else:
        assert found.peak_c is None


@pytest.mark.parametrize(
    ("known_ms", "min_coverage", "is_eligible"),
    [
        (90, "0.9", True),
        (89, "0.9", False),
        (100, "1", True),
        (99, "1.0", False),
        (1, "0.01", True),
        (0, "0.000000000001", False),
        (100, "0.900000000001", True),
        (90, "0.900000000001", False),
        (91, "0.90000000000000000000000000000001", True),
    ],
)
def test_a_window_needs_exactly_the_coverage_that_is_asked_for(
    known_ms: int, min_coverage: str, is_eligible: bool
) -> None:
    # in hours, so that a long denominator meets a window of realistic length
    history = lasting((50 * HOUR_MS, 5000), (100 * HOUR_MS - known_ms * HOUR_MS, None), (known_ms * HOUR_MS, 9000))
    found = trailing(history, 150 * HOUR_MS, window_ms=100 * HOUR_MS, min_coverage=min_coverage)
    assert (found.peak_c is not None, found.breached_at_ms is not None) == (is_eligible, is_eligible)


def test_a_window_may_begin_with_the_first_custody_and_not_before_it() -> None:
    history = lasting((200, 9000), start_ms=1000)
    assert trailing(history, 1099, window_ms=100) == exposure.TrailingMkt(None, None)
    assert trailing(history, 1099, 1100, 1101, window_ms=100).breached_at_ms == 1100


def test_the_peak_is_the_highest_window_and_the_breach_the_first_beyond_the_limit() -> None:
    history = lasting((100, 5000), (10, 8001), (20, 12_000), (10, 10_000), (100, 2000))
    found = trailing(history, *range(10, 241, 10), window_ms=10)
    assert found.breached_at_ms == 110
    assert found.peak_c == pytest.approx(12.0, abs=1e-9)


def test_a_window_that_has_cooled_down_keeps_nothing_of_the_heat_before() -> None:
    history = lasting((1000, 40_000), (1000, -70_000))
    assert trailing(history, 2000, window_ms=1000).peak_c == pytest.approx(-70.0, abs=1e-6)


@pytest.mark.parametrize("energy", [20e3, ENERGY, 250e3])
def test_extremes_of_temperature_and_activation_energy_stay_finite(energy: float) -> None:
    history = lasting((10**11, -190_000), (1, 1_000_000), (10**11, -190_000))
    a = energy / GAS_CONSTANT_J_MOL_K
    with localcontext(prec=50):
        rates = [(-Decimal(a) / (Decimal(t) + Decimal("273.15"))).exp() for t in (-190, 1000)]
        mean = (2 * 10**11 * rates[0] + rates[1]) / (2 * 10**11 + 1)
        expected_c = float(-Decimal(a) / mean.ln() - Decimal("273.15"))
    assert exposure.mkt(history, energy) == pytest.approx(expected_c, abs=1e-6)


def test_a_limit_far_above_everything_measured_is_not_exceeded() -> None:
    found = trailing(lasting((100, -190_000)), 100, window_ms=100, max_mc=1_000_000, energy=250e3)
    assert found.breached_at_ms is None


def test_at_absolute_zero_nothing_moves_and_nothing_stops() -> None:
    # half of the time at 5 degC alone: 10 000 / (10 000 / 278.15 + ln 2) kelvin
    half = 10_000 / (10_000 / 278.15 + math.log(2)) - 273.15
    assert exposure.mkt(lasting((10, 5000), (10, -273_150)), ENERGY) == pytest.approx(half, abs=1e-9)
    assert exposure.mkt(lasting((10, -273_150)), ENERGY) is None
    assert trailing(lasting((10, -273_150), (10, 9000)), 10, 20, window_ms=10).breached_at_ms == 20


def test_excursions_of_both_sides_stand_in_the_order_of_their_starts() -> None:
    history = lasting((10, 1000), (10, 9000), (10, None), (10, 5000), (10, 500))
    assert exposure.excursions(history, 2000, 8000) == (
        Excursion("below", 2000, 0, 10, 10, 1000),
        Excursion("above", 8000, 10, 20, 10, 9000),
        Excursion("below", 2000, 40, None, 10, 500),
    )
    assert [run.side for run in exposure.excursions(history, None, 8000)] == ["above"]
    assert [run.side for run in exposure.excursions(history, 2000, None)] == ["below", "below"]


def test_a_side_that_a_limit_does_not_have_is_never_out_of_range() -> None:
    history = lasting((10, 1_000_000), (10, -273_150))
    assert exposure.out_of_range(history, None, 8000).total_ms == 10
    assert exposure.out_of_range(history, 2000, None).total_ms == 10
    assert exposure.out_of_range(history, None, None).total_ms == 0


def test_never_is_none() -> None:
    history = lasting((10, 9000), (10, None))
    found = exposure.out_of_range(history, None, 8000)
    assert (found.total_breach_ms, found.single_breach_ms, found.events_breach_ms) == (None, None, None)
    assert exposure.unknown_breaches(history, 10, 10) == (None, None)
    assert exposure.unknown_breaches(history, 4, 9) == (14, 19)
    at_the_epoch = exposure.out_of_range(history, None, 8000, allowed_total_ms=0, allowed_single_ms=0, allowed_events=0)
    assert (at_the_epoch.total_breach_ms, at_the_epoch.single_breach_ms, at_the_epoch.events_breach_ms) == (0, 0, 0)


@pytest.mark.parametrize(
    ("temperature_c", "duration", "energy", "problem"),
    [
        ([], None, ENERGY, "at least one"),
        ([[5.0, 6.0]], None, ENERGY, "one duration per temperature"),
        ([5.0, 6.0], [1.0], ENERGY, "one duration per temperature"),
        ([math.nan], None, ENERGY, "finite and above absolute zero"),
        ([5.0, math.inf], None, ENERGY, "finite and above absolute zero"),
        ([-273.15], None, ENERGY, "finite and above absolute zero"),
        ([-300.0], None, ENERGY, "finite and above absolute zero"),
        ([5.0], [0.0], ENERGY, "durations must be"),
        ([5.0, 6.0], [2.0, -1.0], ENERGY, "durations must be"),
        ([5.0], [math.nan], ENERGY, "durations must be"),
        ([5.0], [math.inf], ENERGY, "durations must be"),
        ([5.0], None, 0.0, "activation energy must be positive"),
        ([5.0], None, -1.0, "activation energy must be positive"),
        ([5.0], None, math.nan, "activation energy must be positive"),
        ([5.0], None, math.inf, "activation energy must be positive"),
        (["warm"], None, ENERGY, "could not convert"),
    ],
)
def test_input_without_a_mean_kinetic_temperature_is_refused(
    temperature_c: Any, duration: Any, energy: float, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        mean_kinetic_temperature(temperature_c, duration, activation_energy_j_mol=energy)


def test_a_duration_may_have_any_unit_and_nothing_counts_for_no_time() -> None:
    assert mean_kinetic_temperature([5, 15], [1, 3]) == pytest.approx(mean_kinetic_temperature([5, 15], [60, 180]))
    assert mean_kinetic_temperature([5, 15, 99], [1, 1, 0]) == mean_kinetic_temperature([5, 15])
    assert mean_kinetic_temperature(7.3) == pytest.approx(7.3, abs=1e-9)
