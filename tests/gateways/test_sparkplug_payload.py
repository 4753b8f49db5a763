"""Sparkplug bytes: every number that a second, independent reader finds; RejectedPayload alone for all the rest."""

from __future__ import annotations

import math
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coldchain.errors import RejectedPayload
from gateways.decoders import sparkplug_payload
from gateways.decoders.protobuf import varint_field
from gateways.decoders.sparkplug_payload import parse, rebirth_request
from sparkplug_values import (
    BOOLEAN,
    DOUBLE,
    FLOAT,
    INT8,
    INT16,
    INT32,
    INT64,
    STRING,
    UINT64,
    VALUES,
    metric,
    parsed,
    payload,
)

MS = 1_760_000_000_000
numbers = st.integers(0, 2**64 - 1)
metrics = st.fixed_dictionaries(
    {"name": st.text(min_size=1, max_size=8)},
    optional={
        "alias": numbers,
        "timestamp": numbers,
        "datatype": st.integers(0, 40),
        "is_historical": st.booleans(),
        "is_transient": st.booleans(),
        "is_null": st.booleans(),
    },
)
values = st.one_of(
    st.tuples(st.just("int_value"), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("long_value"), numbers),
    st.tuples(st.just("float_value"), st.floats(width=32)),
    st.tuples(st.just("double_value"), st.floats()),
    st.tuples(st.just("boolean_value"), st.booleans()),
    st.tuples(st.just("string_value"), st.text(max_size=5)),
)
with_value = st.builds(lambda one, value: one | {value[0]: value[1]}, metrics, values)


@given(st.integers(0, 2**63), st.integers(0, 255), st.lists(metrics | with_value, max_size=6))
def test_a_payload_says_the_same_to_both_readers(sent_ms: int, seq: int, written: list[dict[str, Any]]) -> None:
    agree(payload(sent_ms, seq, *written))


@settings(max_examples=400)
@given(st.binary(max_size=200))
@example(b"\x12\x00")
@example(varint_field(1, 2**64 - 1))
@example(b"\x08" + b"\xff" * 9 + b"\x7f")  # more than 64 bits: the lowest count
@example(b"\x08" + b"\xff" * 10 + b"\x01")
def test_random_bytes_are_read_as_the_second_reader_reads_them_or_refused(data: bytes) -> None:
    agree(data)


@settings(max_examples=400)
@given(st.lists(with_value, min_size=1, max_size=3), st.integers(0, 400), st.binary(max_size=3), st.integers(0, 3))
def test_damaged_payloads_are_read_or_refused_but_never_crash(
    written: list[dict[str, Any]], at: int, put: bytes, gone: int
) -> None:
    data = payload(MS, 7, *written)
    at %= len(data)
    agree(data[:at] + put + data[at + gone :])


def agree(data: bytes) -> None:
    """Where both readers take the bytes they find the same; what we take, the second one takes too."""
    try:
        ours = parse(data)
    except RejectedPayload:
        return
    try:
        theirs = parsed(data)
    except DecodeError:
        # we pass over what we do not need; it must not have become a number
        assert all(one.raw is None or isinstance(one.raw, int | float) for one in ours.metrics)
        return
    assert ours.timestamp_ms == (theirs.timestamp if theirs.HasField("timestamp") else None)
    assert ours.seq == (theirs.seq if theirs.HasField("seq") else None)
    assert len(ours.metrics) == len(theirs.metrics)
    for mine, other in zip(ours.metrics, theirs.metrics, strict=True):
        assert mine.name == other.name
        assert mine.alias == (other.alias if other.HasField("alias") else None)
        assert mine.timestamp_ms == (other.timestamp if other.HasField("timestamp") else None)
        assert mine.datatype == (other.datatype if other.HasField("datatype") else None)
        assert (mine.is_historical, mine.is_null) == (other.is_historical, other.is_null)
        kind = other.WhichOneof("value")
        if kind in VALUES[:5]:
            value = getattr(other, kind)
            assert mine.raw is not None
            is_equal = mine.raw == value or (math.isnan(mine.raw) and math.isnan(value))
            assert is_equal or (kind == "float_value" and math.isclose(mine.raw, value, rel_tol=1e-6, abs_tol=1e-44))


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        (INT8, -1),
        (INT8, -128),
        (INT16, -300),
        (INT16, 32767),
        (INT32, -2_147_483_648),
        (INT64, -(2**63)),
        (UINT64, 2**64 - 1),
        (FLOAT, 5.1),
        (DOUBLE, -18.25),
        (DOUBLE, 0.0),
    ],
)
def test_a_number_travels_as_its_data_type_says(datatype: int, value: float) -> None:
    (one,) = parse(payload(MS, 0, metric("t", value, datatype=datatype))).metrics
    assert one.value(None) == value


def test_a_signed_integer_in_as_few_bits_as_it_needs_is_the_same_number() -> None:
    (one,) = parse(payload(MS, 0, {"name": "t", "datatype": INT8, "int_value": 0xFB})).metrics
    assert one.value(None) == -5


def test_the_births_data_type_counts_where_the_data_have_none() -> None:
    (one,) = parse(payload(MS, 0, {"alias": 3, "int_value": 0xFFFF_FFFF})).metrics
    assert (one.value(INT32), one.value(None), one.value(BOOLEAN), one.value(STRING)) == (-1, None, None, None)


@pytest.mark.parametrize(
    ("stated", "unit"),
    [("°C", "C"), ("degC", "C"), ("Celsius", "C"), ("° F", "F"), ("K", "K"), ("%RH", "%RH"), ("mV", "mV")],
)
def test_the_unit_is_the_property_of_that_name(stated: str, unit: str) -> None:
    (one,) = parse(payload(MS, 0, metric("t", 5.0, unit=stated))).metrics
    assert one.unit == unit


def test_a_rebirth_request_is_the_command_that_the_specification_names() -> None:
    request = parsed(rebirth_request(MS))
    (command,) = request.metrics
    assert (request.timestamp, request.HasField("seq")) == (MS, False)
    assert (command.name, command.datatype, command.boolean_value) == ("Node Control/Rebirth", BOOLEAN, True)


def test_a_metric_that_nobody_can_name_is_refused() -> None:
    with pytest.raises(RejectedPayload, match="missing_field"):
        parse(payload(MS, 0, {"datatype": DOUBLE, "double_value": 5.0}))


def test_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(RejectedPayload, match="too_large"):
        parse(bytes(2 * 1024 * 1024))
    with pytest.raises(RejectedPayload, match="bad_length"):
        parse(payload(MS, 0, *[metric("t", 5.0)] * (sparkplug_payload.MAX_METRICS + 1)))
    with pytest.raises(RejectedPayload, match="seq"):
        parse(payload(MS, 256))
