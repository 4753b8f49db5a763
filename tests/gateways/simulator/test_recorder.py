"""Recordings: what a probe shows of a true temperature, and how uploads cut it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.readings import FAULT_MC, ReadingBatch
from gateways.simulator import Probe, measured_mc, parts, record

START_MS = 1_760_000_000_000


def test_readings_are_multiples_of_the_resolution() -> None:
    true_c = np.linspace(-30, 40, 2000)
    shown = np.array(measured_mc(true_c, Probe(resolution_c=0.1), np.random.default_rng(1)))
    assert (shown % 100 == 0).all()
    fine = np.array(measured_mc(true_c, Probe(resolution_c=0.001), np.random.default_rng(1)))
    assert len(np.unique(fine % 100)) > 50


def test_noise_and_offset_are_as_large_as_stated() -> None:
    true_c = np.full(20_000, 5.0)
    probe = Probe(offset_c=0.3, noise_c=0.05, resolution_c=0.001)
    error_c = np.array(measured_mc(true_c, probe, np.random.default_rng(2))) / 1000 - 5.0
    assert error_c.mean() == pytest.approx(0.3, abs=0.002)
    assert error_c.std() == pytest.approx(0.05, abs=0.002)


def test_without_noise_a_recording_is_the_truth_at_the_loggers_instants() -> None:
    model_s = np.arange(0.0, 3601.0, 10)
    at_ms = START_MS + np.arange(0, 3_600_001, 300_000, dtype=np.int64)
    probe = Probe(noise_c=0.0, resolution_c=0.001)
    batch = record("lg-1", at_ms, model_s, model_s / 100, START_MS, probe, np.random.default_rng(0))
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
