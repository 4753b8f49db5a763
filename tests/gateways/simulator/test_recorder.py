"""Recordings: what a probe shows of a true temperature, and how uploads cut it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.readings import FAULT_MC, ReadingBatch
from gateways.simulator.recorder import Probes, parts, record, recorded_days_mc, shown_mc

START_MS = 1_760_000_000_000


def test_readings_are_multiples_of_the_resolution() -> None:
    true_c = np.linspace(-30, 40, 2000)
    coarse = shown_mc(true_c, 0.0, 0.03, 100, np.random.default_rng(1))
    assert (coarse % 100 == 0).all()
    fine = shown_mc(true_c, 0.0, 0.03, 1, np.random.default_rng(1))
    assert len(np.unique(fine % 100)) > 50


def test_noise_and_offset_are_as_large_as_stated() -> None:
    error_c = shown_mc(np.full(20_000, 5.0), 0.3, 0.05, 1, np.random.default_rng(2)) / 1000 - 5.0
    assert error_c.mean() == pytest.approx(0.3, abs=0.002)
    assert error_c.std() == pytest.approx(0.05, abs=0.002)


def test_readings_are_the_truth_at_the_end_of_each_interval_and_go_on_over_midnight() -> None:
    days_c = [np.arange(0.0, 12.0)[:, None] + 12 * day for day in range(2)]
    exact = Probes(np.array([1e-3]), np.zeros(1), 0.0, 1)
    days = recorded_days_mc(days_c, np.array([0]), exact, 60, 240_000, np.random.default_rng(0))
    assert [day[:, 0].tolist() for day in days] == [[3000, 7000, 11000], [15000, 19000, 23000]]


def test_a_buffered_probe_does_not_start_anew_each_day() -> None:
    days_c = [np.full((10, 1), 5.0), np.full((10, 1), 25.0)]
    slow = Probes(np.array([900.0]), np.zeros(1), 0.0, 1)
    first, second = recorded_days_mc(days_c, np.array([0]), slow, 60, 60_000, np.random.default_rng(0))
    assert first[-1, 0] == 5_000
    assert 5_000 < second[0, 0] < 8_000


def test_without_lag_a_recording_is_the_truth_at_the_loggers_instants() -> None:
    model_s = np.arange(0.0, 3601.0, 10)
    at_ms = START_MS + np.arange(0, 3_600_001, 300_000, dtype=np.int64)
    batch = record("lg-1", at_ms, model_s, model_s / 100, START_MS, 0.0, 1000, np.random.default_rng(0))
    assert batch.temperature_mc.tolist() == [3000 * i for i in range(13)]
    assert (batch.boot, batch.seq, batch.received_ms) == (1, 1, None)


@given(st.integers(1, 50), st.integers(1, 60))
def test_parts_joined_are_the_recording_with_running_numbers(readings: int, size: int) -> None:
    mc = np.arange(readings, dtype=np.int32)
    mc[::7] = FAULT_MC
    faults = dict.fromkeys(range(0, readings, 7), "null")
    batch = ReadingBatch("lg-1", "1", START_MS + np.arange(readings, dtype=np.int64), mc, None, 2, 100, faults)
    cut = list(parts(batch, size))
    assert all(len(part) <= size for part in cut)
    np.testing.assert_array_equal(np.concatenate([part.at_ms for part in cut]), batch.at_ms)
    np.testing.assert_array_equal(np.concatenate([part.temperature_mc for part in cut]), batch.temperature_mc)
    for part in cut:
        assert part.seq is not None
        assert part.seq == 100 + int(part.at_ms[0] - START_MS)
        assert set(part.faults) == set(np.flatnonzero(part.temperature_mc == FAULT_MC).tolist())
