"""Every trap of the native payload by name: what is refused, what is a fault, what is read."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import numpy as np
import pytest

from coldchain.errors import RejectedPayload
from coldchain.readings import FAULT_MC, ReadingBatch
from gateways.decoders import decode

TOPIC = "coldchain/v1/basel/gw-1/lg-1001/readings"
RECEIVED_MS = 1_760_000_300_000
T0 = 1_760_000_000_000


def columns(**changes: Any) -> dict[str, Any]:
    """A good message, with some keys changed; a key given as `...` is left out."""
    document = {"v": 1, "logger": "lg-1001", "channel": "1", "boot": 3, "seq": 1201, "t0": T0, "every": 60_000}
    document |= {"mc": [5120, 5080, None, 5100], "fault": {"2": "probe_open"}} | changes
    return {key: value for key, value in document.items() if value is not ...}


def row_form(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"logger": "lg-1001", "readings": list(rows)} | more


def read(payload: bytes | dict[str, Any], topic: str = TOPIC) -> ReadingBatch:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    (batch,) = decode(topic, data, RECEIVED_MS)
    return batch


def refused(payload: bytes | dict[str, Any], topic: str = TOPIC) -> str:
    with pytest.raises(RejectedPayload) as caught:
        read(payload, topic)
    return caught.value.reason


def sint32(values: list[int]) -> cbor2.CBORTag:
    return cbor2.CBORTag(78, np.array(values, dtype="<i4").tobytes())


def test_json_columns_are_read() -> None:
    batch = read(columns())
    assert (batch.key, batch.boot, batch.seq, batch.received_ms) == (("lg-1001", "1"), 3, 1201, RECEIVED_MS)
    assert batch.at_ms.tolist() == [T0, T0 + 60_000, T0 + 120_000, T0 + 180_000]
    assert batch.temperature_mc.tolist() == [5120, 5080, FAULT_MC, 5100]
    assert (batch.at_ms.dtype.name, batch.temperature_mc.dtype.name) == ("int64", "int32")
    assert batch.faults == {2: "probe_open"}


def test_offsets_need_not_be_sorted_and_are_kept_as_they_came() -> None:
    batch = read(columns(every=..., dt=[0, 300_000, 60_000, 60_000]))
    assert (batch.at_ms - T0).tolist() == [0, 300_000, 60_000, 60_000]


def test_cbor_with_typed_arrays_is_read() -> None:
    document = columns(every=..., dt=sint32([0, 60_000, 120_000, 180_000]), mc=sint32([5120, -5080, FAULT_MC, 0]))
    batch = read(cbor2.dumps(document))
    assert (batch.at_ms - T0).tolist() == [0, 60_000, 120_000, 180_000]
    assert batch.temperature_mc.tolist() == [5120, -5080, FAULT_MC, 0]
    assert batch.faults == {2: "probe_open"}


def test_cbor_with_plain_arrays_says_the_same_as_json() -> None:
    from_cbor, from_json = read(cbor2.dumps(columns())), read(columns())
    assert from_cbor.temperature_mc.tolist() == from_json.temperature_mc.tolist()
    assert from_cbor.at_ms.tolist() == from_json.at_ms.tolist()
    assert from_cbor.faults == from_json.faults


def test_cbor_of_indefinite_length_is_read() -> None:
    assert len(read(b"\xbf" + cbor2.dumps(columns())[1:] + b"\xff")) == 4


def test_a_null_without_a_stated_reason_is_a_fault_of_reason_null() -> None:
    assert read(columns(fault=...)).faults == {2: "null"}


def test_zero_degrees_is_a_temperature() -> None:
    batch = read(columns(mc=[0], fault=...))
    assert (batch.temperature_mc.tolist(), batch.faults) == ([0], {})


@pytest.mark.parametrize("mc", [-273_151, 1_000_001, -(2**31) + 1, 2**31 - 1])
def test_a_temperature_that_no_probe_measures_is_a_fault(mc: int) -> None:
    batch = read(columns(mc=[mc, 5000], fault=...))
    assert batch.temperature_mc.tolist() == [FAULT_MC, 5000]
    assert batch.faults == {0: "implausible"}
    assert read(cbor2.dumps(columns(mc=sint32([mc, 5000]), fault=...))).faults == {0: "implausible"}


@pytest.mark.parametrize("mc", [-273_150, 1_000_000])
def test_the_bounds_of_what_is_plausible_are_temperatures(mc: int) -> None:
    assert read(columns(mc=[mc], fault=...)).temperature_mc.tolist() == [mc]


def test_one_reading_needs_no_interval() -> None:
    assert read(columns(mc=[5000], every=..., fault=...)).at_ms.tolist() == [T0]


def test_unknown_keys_are_ignored() -> None:
    assert len(read(columns(battery={"mv": [3000]}, note="x"))) == 4


def test_a_missing_channel_is_channel_one() -> None:
    assert read(columns(channel=...)).channel == "1"


def test_five_thousand_readings_are_the_most() -> None:
    assert len(read(columns(mc=[5000] * 5000, fault=...))) == 5000
    assert refused(columns(mc=[5000] * 5001, fault=...)) == "bad_length"
    assert refused(columns(mc=[], fault=...)) == "bad_length"
    assert refused(row_form()) == "bad_length"
    assert refused(cbor2.dumps(columns(mc=sint32([]), fault=...))) == "bad_length"


def test_the_year_2200_is_the_last() -> None:
    last = 7_289_654_399_999
    assert read(columns(t0=last, mc=[1], fault=...)).at_ms.tolist() == [last]
    assert refused(columns(t0=last, mc=[1, 1], every=1, fault=...)) == "bad_time"


@pytest.mark.parametrize(
    "topic",
    [
        "coldchain/v1/basel/gw-1/lg-1001/meta",
        "coldchain/v1/basel/gw-1/status",
        "coldchain/v1/Basel/gw-1/lg-1001/readings",
        "coldchain/v1/basel/gw-1/lg-1001/readings\n",
        "coldchain/v1/basel/gw_1/lg-1001/readings",
        "x/coldchain/v1/basel/gw-1/lg-1001/readings",
        "coldchain/v2/basel/gw-1/lg-1001/readings",
        "",
    ],
)
def test_a_topic_that_is_not_of_native_readings_is_unknown(topic: str) -> None:
    assert refused(columns(), topic) == "unknown_topic"


def test_a_logger_other_than_the_topic_says_is_a_mismatch() -> None:
    assert refused(columns(logger="lg-1002")) == "logger_mismatch"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mc": [True, 5000, None, 1]}, "bad_type"),
        ({"mc": ["5120", 5000, None, 1]}, "bad_type"),
        ({"mc": [5120.0, 5000, None, 1]}, "bad_type"),
        ({"mc": 5120}, "bad_type"),
        ({"mc": {"0": 5120}}, "bad_type"),
        ({"mc": [2**31, 5000, None, 1]}, "bad_value"),
        ({"mc": [-(2**31) - 1, 5000, None, 1]}, "bad_value"),
        ({"mc": ...}, "missing_field"),
        ({"readings": []}, "missing_field"),
        ({"t0": True}, "bad_type"),
        ({"t0": str(T0)}, "bad_type"),
        ({"t0": float(T0)}, "bad_type"),
        ({"t0": None}, "bad_type"),
        ({"t0": -1}, "bad_time"),
        ({"t0": 2**63}, "bad_time"),
        ({"t0": 2**63, "every": ..., "dt": [-(2**63)] * 4}, "bad_time"),
        ({"every": 0}, "bad_value"),
        ({"every": -60_000}, "bad_value"),
        ({"every": 60_000.0}, "bad_type"),
        ({"every": True}, "bad_type"),
        ({"every": 2**63}, "bad_time"),
        ({"every": ...}, "missing_field"),
        ({"dt": [0, 1, 2, 3]}, "bad_value"),
        ({"every": ..., "dt": [0, 1, 2]}, "length_mismatch"),
        ({"every": ..., "dt": [0, 1, 2, None]}, "bad_type"),
        ({"every": ..., "dt": [0, 1, 2, True]}, "bad_type"),
        ({"every": ..., "dt": [0, 1, 2, 2**63]}, "bad_value"),
        ({"every": ..., "dt": [0, 1, 2, 2**62]}, "bad_time"),
        ({"every": ..., "dt": [0, 1, 2, -T0 - 1]}, "bad_time"),
        ({"v": 2}, "unknown_version"),
        ({"v": "1"}, "unknown_version"),
        ({"v": True}, "unknown_version"),
        ({"v": None}, "unknown_version"),
        ({"seq": -1}, "bad_value"),
        ({"boot": -1}, "bad_value"),
        ({"seq": 2**63}, "bad_value"),
        ({"seq": True}, "bad_type"),
        ({"boot": "3"}, "bad_type"),
        ({"logger": ...}, "bad_type"),
        ({"logger": 1001}, "bad_type"),
        ({"channel": 1}, "bad_type"),
        ({"channel": ""}, "bad_value"),
        ({"channel": "a/b"}, "bad_value"),
        ({"channel": "a\nb"}, "bad_value"),
        ({"channel": "a\u202eb"}, "bad_value"),
        ({"channel": "x" * 65}, "bad_value"),
        ({"fault": {"0": "probe_open"}}, "bad_value"),
        ({"fault": {"4": "probe_open"}}, "bad_value"),
        ({"fault": {"02": "probe_open"}}, "bad_value"),
        ({"fault": {"-2": "probe_open"}}, "bad_value"),
        ({"fault": {"2": 1}}, "bad_type"),
        ({"fault": ["probe_open"]}, "bad_type"),
    ],
)
def test_columns_that_are_not_exactly_of_the_form_are_refused(changes: dict[str, Any], reason: str) -> None:
    document = columns(**changes)
    assert refused(document) == reason
    assert refused(cbor2.dumps(document)) in {reason, "not_cbor"}


def test_row_form_takes_celsius_fahrenheit_and_kelvin() -> None:
    batch = read(
        row_form(
            {"at": "2026-03-01T10:00:00Z", "c": 5.12},
            {"at": "2026-03-01T11:05:00.250+01:00", "f": 46},
            {"at": 1_772_359_800_000, "k": 278.15, "rssi": -70},
            {"at": "2026-03-01 10:15Z", "c": None, "fault": "probe_open"},
            {"at": "2026-03-01T10:20:00Z", "f": None},
            {"at": "2026-03-01T10:25:00Z", "c": -300},
        )
    )
    start_ms = 1_772_359_200_000
    assert (batch.at_ms - start_ms).tolist() == [0, 300_250, 600_000, 900_000, 1_200_000, 1_500_000]
    assert batch.temperature_mc.tolist() == [5120, 7778, 5000, FAULT_MC, FAULT_MC, FAULT_MC]
    assert batch.faults == {3: "probe_open", 4: "null", 5: "implausible"}
    assert (batch.channel, batch.boot, batch.seq) == ("1", None, None)


@pytest.mark.parametrize(
    "row",
    [
        {"at": "2026-03-01T10:00:00", "c": 5},
        {"at": "2026-03-01", "c": 5},
        {"at": "2026-W10-1T10:00:00Z", "c": 5},
        {"at": "2026-02-30T10:00:00Z", "c": 5},
        {"at": "2026-03-01T10:00:60Z", "c": 5},
        {"at": "2026-03-01T10:00:00+25:00", "c": 5},
        {"at": "1969-12-31T23:59:59Z", "c": 5},
        {"at": "2201-01-01T00:00:00Z", "c": 5},
        {"at": "0001-01-01T00:00:00+23:59", "c": 5},
        {"at": 1.5, "c": 5},
        {"at": True, "c": 5},
        {"at": 2**64 - 1, "c": 5},
        {"c": 5},
        {"at": T0},
        {"at": T0, "c": 5, "f": 41},
        {"at": T0, "c": "5.0"},
        {"at": T0, "c": True},
        {"at": T0, "c": [5]},
        {"at": T0, "c": 5, "fault": "probe_open"},
        {"at": T0, "c": None, "fault": 7},
    ],
)
def test_a_row_that_is_not_exactly_of_the_form_is_refused(row: dict[str, Any]) -> None:
    assert refused(row_form({"at": T0, "c": 5}, row)) in {"bad_time", "bad_type", "bad_value", "missing_field"}


def test_not_a_number_is_refused_in_cbor_too() -> None:
    for value in (float("nan"), float("inf"), -float("inf")):
        assert refused(cbor2.dumps(row_form({"at": T0, "c": value}))) == "bad_type"


def test_a_row_that_is_no_object_is_refused() -> None:
    assert refused({"logger": "lg-1001", "readings": [7]}) == "bad_type"
    assert refused({"logger": "lg-1001", "readings": "7"}) == "bad_type"


@pytest.mark.parametrize("at", ["2026-03-01T10:00:00+00:60", "2026-03-01T10:00:00-01:99", "2026-03-01T24:00:00Z"])
def test_a_zone_of_sixty_minutes_and_the_hour_twenty_four_are_refused_by_every_version_of_python(at: str) -> None:
    assert refused(row_form({"at": at, "c": 5})) == "bad_time"
