"""Ruuvi Gateway: what a tag's advertisement says, by the gateway's clock, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.errors import RejectedPayload
from coldchain.readings import FAULT_MC
from gateways.decoders import decode, ruuvi

MAC = "cbb8334c884f"
TOPIC = "ruuvi/C8:25:2D:8E:9C:2C/CB:B8:33:4C:88:4F"
RECEIVED_MS = 1_760_000_000_000
AT_S = 1_759_999_990


def advertisement(temperature: bytes = b"\x12\xfc", mac: str = MAC, before: bytes = b"\x02\x01\x06") -> bytes:
    measured = b"\x05" + temperature + bytes(15) + bytes.fromhex(mac)
    manufacturer = b"\xff\x99\x04" + measured
    return before + bytes([len(manufacturer)]) + manufacturer


def message(data: bytes | None = None, **more: Any) -> bytes:
    found = {"gw_mac": "C8:25:2D:8E:9C:2C", "rssi": -26, "gwts": str(AT_S), "ts": str(AT_S)}
    found["data"] = (advertisement() if data is None else data).hex().upper()
    return json.dumps(found | more).encode()


def refused(data: bytes, topic: str = TOPIC) -> str:
    with pytest.raises(RejectedPayload) as caught:
        decode(topic, data, RECEIVED_MS)
    return caught.value.reason


@given(st.integers(-0x7FFF, 0x7FFF))
def test_a_temperature_is_a_signed_number_of_five_thousandths(raw: int) -> None:
    (batch,) = decode(TOPIC, message(advertisement(raw.to_bytes(2, "big", signed=True))), RECEIVED_MS)
    assert (batch.key, batch.at_ms.tolist()) == ((MAC, "1"), [AT_S * 1000])
    is_sentinel = raw * 5 in (85_000, 125_000, -127_000)
    assert batch.temperature_mc.tolist() == [FAULT_MC if is_sentinel else raw * 5]


def test_a_temperature_that_is_not_available_is_a_fault() -> None:
    (batch,) = decode(TOPIC, message(advertisement(b"\x80\x00")), RECEIVED_MS)
    assert (batch.temperature_mc.tolist(), batch.faults) == ([FAULT_MC], {0: "null"})


def test_the_tag_of_the_topic_and_of_the_advertisement_must_be_one() -> None:
    assert refused(message(advertisement(mac="0102030405ff"))) == "logger_mismatch"
    assert refused(message(advertisement(mac="ff" * 6))) == "bad_type"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (message(ts=None), "no_time"),
        (message(ts="yesterday"), "bad_time"),
        (message(ts=AT_S), "bad_time"),
        (message(data=b""), "bad_type"),
        (message(data=b"\x02\x01\x06"), "undecoded"),
        (message(data=b"\x02\x01\x06\x1b\xff\x4c\x00" + bytes(24)), "undecoded"),
        (message(data=advertisement()[:-1]), "undecoded"),
        (message(data=advertisement().replace(b"\x04\x05", b"\x04\x06", 1)), "undecoded"),
        (json.dumps({"state": "online"}).encode(), "not_a_reading"),
        (b"0201061BFF9904", "not_a_document"),
    ],
)
def test_what_holds_no_reading_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    assert refused(data) == reason


def test_parts_before_the_manufacturers_data_are_passed_over() -> None:
    parts = b"\x02\x01\x06" + b"\x05\xff\x4c\x00\x01\x02" + b"\x03\x03\xaa\xfe"
    (batch,) = decode(TOPIC, message(advertisement(before=parts)), RECEIVED_MS)
    assert batch.temperature_mc.tolist() == [24_300]


@given(st.binary(max_size=64))
def test_any_advertisement_is_read_or_refused_but_never_anything_else(data: bytes) -> None:
    try:
        ruuvi.document(message(data))
    except RejectedPayload:
        return
