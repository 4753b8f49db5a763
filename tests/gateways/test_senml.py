"""SenML: base fields as RFC 8428 resolves them, names to loggers and channels, and every refusal."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldchain.errors import RejectedPayload
from coldchain.ledger.entries import unstorable
from gateways.decoders import decode, decoder, senml

NOW_MS = 1_760_000_000_000
LABELS = {"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6, "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4} | {
    "s": 5,
    "t": 6,
    "ut": 7,
    "vd": 8,
}


def as_cbor(pack: list[dict[str, Any]]) -> bytes:
    return cbor2.dumps([{LABELS.get(label, label): value for label, value in record.items()} for record in pack])


def found(pack: Any) -> list[tuple[str, str, int, int | str]]:
    """Logger, channel, instant, milli-degC or reason; the same from JSON and from CBOR."""
    by_json, by_cbor = (rows(data) for data in (json.dumps(pack).encode(), as_cbor(pack)))
    assert by_json == by_cbor
    return by_json


def rows(data: bytes) -> list[tuple[str, str, int, int | str]]:
    return [
        (batch.logger, batch.channel, at, batch.faults.get(i, mc))
        for batch in decode("senml/basel", data, NOW_MS)
        for i, (at, mc) in enumerate(zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True))
    ]


def refused(pack: Any) -> str:
    reasons = set()
    for data in (json.dumps(pack).encode(), as_cbor(pack) if is_pack(pack) else cbor2.dumps(pack)):
        with pytest.raises(RejectedPayload) as caught:
            rows(data)
        reasons.add(caught.value.reason)
    (reason,) = reasons
    return reason


def is_pack(pack: Any) -> bool:
    return isinstance(pack, list) and all(isinstance(record, dict) for record in pack)


def test_base_fields_stay_in_force_until_another_record_changes_them() -> None:
    pack = [
        {"bn": "box-1/", "bt": 1.76e9, "bu": "Cel", "bv": 1.5, "n": "air", "v": 3.5},
        {"n": "probe", "t": -60, "v": 4.0, "u": "K"},
        {"n": "humidity", "v": 40, "u": "%RH"},
        {"bn": "box-2/", "bv": 0, "n": "air", "t": 60, "v": -18.25},
    ]
    assert found(pack) == [
        ("box-1", "air", NOW_MS, 5000),
        ("box-1", "probe", NOW_MS - 60_000, -267_650),
        ("box-2", "air", NOW_MS + 60_000, -18_250),
    ]


@pytest.mark.parametrize(
    ("time", "at_ms"),
    [
        ({}, NOW_MS),
        ({"t": 0}, NOW_MS),
        ({"t": -5}, NOW_MS - 5000),
        ({"bt": -60, "t": 30.5}, NOW_MS - 29_500),
        ({"t": 2**28 - 1}, NOW_MS + (2**28 - 1) * 1000),
        ({"t": 2**28}, 2**28 * 1000),
        ({"bt": 1276020076.001, "t": -5}, 1_276_020_071_001),
    ],
)
def test_a_time_below_two_to_the_28th_is_relative_to_the_arrival(time: dict[str, float], at_ms: int) -> None:
    assert found([{"n": "box", "u": "Cel", "v": 5, **time}]) == [("box", "1", at_ms, 5000)]


@pytest.mark.parametrize(
    ("name", "logger", "channel"),
    [
        ("urn:dev:ow:10e2073a01080063", "urn:dev:ow:10e2073a01080063", "1"),
        ("2001:db8::2/temperature", "2001:db8::2", "temperature"),
        ("box/", None, None),
        ("basel/fridge/air", None, None),
    ],
)
def test_what_stands_behind_the_slash_of_a_name_is_the_channel(
    name: str, logger: str | None, channel: str | None
) -> None:
    pack = [{"n": name, "u": "Cel", "v": 5}]
    if logger is None:
        assert refused(pack) == "bad_value"
    else:
        assert found(pack) == [(logger, channel, NOW_MS, 5000)]


def test_another_way_to_take_names_apart_is_a_matter_of_six_lines(tmp_path: Any) -> None:
    (tmp_path / "ours.toml").write_text(
        'name = "ours"\nlike = "senml"\ntopics = ["plant/+/senml"]\n'
        "[logger]\npath = '.n'\npattern = '[a-z]+/(?P<logger>[a-z0-9-]+):(?P<channel>.+)'\n"
    )
    own = decoder(tmp_path)
    pack = json.dumps([{"n": "basel/fridge-3:air", "u": "Cel", "v": 5}]).encode()
    (batch,) = own.read("plant/basel/senml", pack, NOW_MS).batches
    assert batch.key == ("fridge-3", "air")
    with pytest.raises(RejectedPayload, match="not of the form"):
        own.read("plant/basel/senml", pack.replace(b"3:air", b"3/air"), NOW_MS)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"v": 0}, 0),
        ({"v": 85.0}, "power_on"),
        ({"v": -127}, "probe_open"),
        ({"v": 327.67}, "no_probe"),
        ({"v": 5000}, "implausible"),
        ({"vs": "--.-"}, "no_probe"),
        ({"vs": "broken"}, "not_a_number"),
        ({"v": None}, "null"),
    ],
)
def test_a_value_that_is_no_temperature_is_a_fault(value: dict[str, Any], what: int | str) -> None:
    assert found([{"n": "box", "u": "Cel", **value}]) == [("box", "1", NOW_MS, what)]


def test_a_number_that_cbor_can_write_and_json_cannot_is_read_or_a_fault() -> None:
    for value, what in [(float("nan"), "not_a_number"), (Decimal("5.125"), 5125), (float("inf"), "not_a_number")]:
        assert rows(cbor2.dumps([{0: "box", 1: "Cel", 2: value}]))[0][3] == what


def test_a_record_that_is_no_temperature_is_passed_over() -> None:
    pack = [
        {"bn": "box", "bu": "Cel", "bt": 1.76e9},
        {"v": 5},
        {"vb": True},
        {"s": 77, "v": 6, "u": "W"},
        {"vd": "aGk"},
    ]
    assert [one[3] for one in found(pack)] == [5000]


def test_a_pack_without_temperatures_is_no_reading() -> None:
    assert refused([{"n": "box", "u": "%RH", "v": 40}]) == "not_a_reading"
    assert refused([{"n": "box", "u": "far", "v": 40}]) == "not_a_reading"


def test_a_version_up_to_ten_is_read_and_a_higher_one_refused() -> None:
    assert len(found([{"bver": 10, "n": "box", "u": "Cel", "v": 5}, {"n": "box", "u": "Cel", "v": 5, "bver": 5}])) == 2
    for version in (11, 0, "10", 10.5, True):
        assert refused([{"bver": version, "n": "box", "u": "Cel", "v": 5}]) == "unknown_version"


def test_an_unknown_label_is_passed_over_unless_it_must_be_understood() -> None:
    assert len(found([{"n": "box", "u": "Cel", "v": 5, "note": "x", "a_b": 2}])) == 1
    assert refused([{"n": "box", "u": "Cel", "v": 5}, {"n": "a", "v": 1, "calibration_": 3}]) == "must_understand"


@pytest.mark.parametrize(
    ("pack", "reason"),
    [
        ([], "bad_length"),
        ({"n": "box", "u": "Cel", "v": 5}, "not_a_document"),
        ([7], "bad_type"),
        ([[{"n": "box"}]], "bad_type"),
        ([{"u": "Cel", "v": 5}], "bad_value"),
        ([{"n": " box", "u": "Cel", "v": 5}], "bad_value"),
        ([{"n": "-box", "u": "Cel", "v": 5}], "bad_value"),
        ([{"n": "box\n", "u": "Cel", "v": 5}], "bad_value"),
        ([{"n": "x" * 65, "u": "Cel", "v": 5}], "bad_value"),
        ([{"n": 7, "u": "Cel", "v": 5}], "bad_type"),
        ([{"n": "box", "u": 7, "v": 5}], "bad_type"),
        ([{"n": "box", "u": "Cel", "v": "5"}], "bad_type"),
        ([{"n": "box", "u": "Cel", "v": True}], "bad_type"),
        ([{"n": "box", "u": "Cel", "v": 5, "t": "0"}], "bad_type"),
        ([{"n": "box", "u": "Cel", "v": 5, "t": 1e300}], "bad_time"),
        ([{"n": "box", "u": "Cel", "v": 5, "t": -2e9}], "bad_time"),
        ([{"n": "box", "u": "Cel", "v": 5, "bt": 8e9}], "bad_time"),
    ],
)
def test_what_is_no_pack_is_refused(pack: Any, reason: str) -> None:
    assert refused(pack) == reason


def test_a_label_that_stands_twice_is_refused_also_as_a_text_and_an_integer() -> None:
    with pytest.raises(RejectedPayload, match="duplicate_key"):
        rows(cbor2.dumps([{0: "box", 1: "Cel", 2: 5, "v": 6}]))
    with pytest.raises(RejectedPayload, match="duplicate_key"):
        rows(b'[{"n":"box","u":"Cel","v":5,"v":6}]')


def test_a_time_that_is_not_finite_is_refused() -> None:
    with pytest.raises(RejectedPayload, match="bad_value"):
        rows(cbor2.dumps([{0: "box", 1: "Cel", 2: 5, 6: float("nan")}]))


def test_tags_other_than_a_decimal_fraction_and_absurd_ones_are_refused() -> None:
    for value in (
        cbor2.CBORTag(4, [400_000, 1]),
        cbor2.CBORTag(4, ["x", 1]),
        cbor2.CBORTag(2, b"\x01"),
        cbor2.CBORTag(0, "x"),
    ):
        with pytest.raises(RejectedPayload, match="not_cbor"):
            rows(cbor2.dumps([{0: "box", 1: "Cel", 2: value}]))


def plainly(pack: list[dict[str, Any]]) -> list[tuple[str, Decimal, Decimal]]:
    """A second resolver, written from section 4.6 of the RFC: first give every record its bases, then add them up."""
    bases: dict[str, Any] = {}
    resolved = []
    for record in pack:
        bases = bases | {label: value for label, value in record.items() if label.startswith("b")}
        full = {"n": "", "t": 0, "u": bases.get("bu")} | record
        if "v" not in record:
            continue
        time = Decimal(str(bases.get("bt", 0))) + Decimal(str(full["t"]))
        time += Decimal(NOW_MS) / 1000 if time < 268_435_456 else 0
        value = Decimal(str(bases.get("bv", 0))) + Decimal(str(full["v"]))
        if full["u"] in ("Cel", "K"):
            resolved.append((bases.get("bn", "") + full["n"], time, value))
    return resolved


numbers = st.integers(-300, 300) | st.decimals(-300, 300, places=2, allow_nan=False).map(float)
records = st.fixed_dictionaries(
    {},
    optional={
        "bn": st.sampled_from(["a", "b/", "c:"]),
        "bt": st.sampled_from([0, 1.76e9, 1276020076.001, -60]),
        "bu": st.sampled_from(["Cel", "K", "V"]),
        "bv": numbers,
        "n": st.sampled_from(["x", "y/z"]),
        "u": st.sampled_from(["Cel", "K", "%RH"]),
        "t": numbers,
        "v": numbers,
    },
)


@settings(max_examples=300)
@given(st.lists(records, min_size=1, max_size=8), st.booleans())
def test_two_resolvers_agree_on_every_pack(pack: list[dict[str, Any]], by_cbor: bool) -> None:
    pack[0].setdefault("bn", "a")
    data = as_cbor(pack) if by_cbor else json.dumps(pack).encode()
    ours = [
        (one.name, one.time_s, one.value) for one in senml.resolve(data, NOW_MS) if one.unit in senml.TEMPERATURE_UNITS
    ]
    assert ours == plainly(pack)


@settings(max_examples=300)
@given(
    st.binary(max_size=60) | st.lists(records, min_size=1, max_size=3).map(as_cbor),
    st.integers(0, 99),
    st.binary(max_size=2),
)
def test_damaged_packs_are_read_or_refused_but_never_anything_else(data: bytes, at: int, put: bytes) -> None:
    at %= len(data) + 1
    try:
        batches = decode("senml/x", data[:at] + put + data[at + 1 :], NOW_MS)
    except RejectedPayload:
        return
    assert all(unstorable(batch) is None for batch in batches)
