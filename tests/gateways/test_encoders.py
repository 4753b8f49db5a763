"""What a gateway writes, the decoder reads back unchanged."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coldchain.readings import FAULT_MC, ReadingBatch
from gateways.decoders import decode
from gateways.encoders import cbor_columns, json_columns

START_MS = 1_760_000_000_000


@st.composite
def batches(draw: st.DrawFn) -> ReadingBatch:
    offsets = draw(
        st.lists(st.integers(-(10**12), 10**12), max_size=20)
        | st.builds(lambda every, n: [every * i for i in range(1, n)], st.integers(1, 10**6), st.integers(1, 20))
    )
    mc = draw(st.lists(st.none() | st.integers(-80_000, 60_000), min_size=len(offsets) + 1, max_size=len(offsets) + 1))
    faults = {i: draw(st.sampled_from(["null", "probe_open"])) for i, value in enumerate(mc) if value is None}
    return ReadingBatch(
        "lg-1",
        draw(st.sampled_from(["1", "probe-b"])),
        np.array([START_MS, *(START_MS + offset for offset in offsets)], dtype=np.int64),
        np.array([FAULT_MC if value is None else value for value in mc], dtype=np.int32),
        received_ms=7,
        boot=draw(st.none() | st.integers(0, 9)),
        seq=draw(st.none() | st.integers(0, 2**40)),
        faults=faults,
    )


@given(batches())
def test_json_and_cbor_come_back_as_they_were(batch: ReadingBatch) -> None:
    for payload in (json_columns(batch), cbor_columns(batch)):
        (back,) = decode("coldchain/v1/s/g/lg-1/readings", payload, 7)
        assert (back.key, back.boot, back.seq, back.faults) == (batch.key, batch.boot, batch.seq, batch.faults)
        np.testing.assert_array_equal(back.at_ms, batch.at_ms)
        np.testing.assert_array_equal(back.temperature_mc, batch.temperature_mc)


def test_a_backlog_in_cbor_takes_five_bytes_a_reading_at_most() -> None:
    at_ms = START_MS + 60_000 * np.arange(5000, dtype=np.int64)
    batch = ReadingBatch("lg-1", "1", at_ms, np.full(5000, 5123, dtype=np.int32))
    assert len(cbor_columns(batch)) < 5 * 5000
