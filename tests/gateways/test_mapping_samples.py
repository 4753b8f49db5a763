"""Payloads that others captured or documented, where they are at hand: the temperatures that they are known to hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coldchain.errors import RejectedPayload
from coldchain.instant import instant_ms
from coldchain.readings import FAULT_MC, ReadingBatch
from gateways.decoders import decoder

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
RECEIVED_MS = instant_ms("2026-05-28T20:26:30Z")
NO_PROBE_C = 327.67


def known() -> dict[str, Any]:
    file = SAMPLES / "expected.json"
    return dict(json.loads(file.read_bytes())) if file.exists() else {}


EXPECTED = known()


def found(*folders: str) -> list[str]:
    return sorted(name for name in EXPECTED if name.split("/")[0] in folders)


def message(name: str) -> tuple[str, bytes]:
    """The topic and payload of a sample; documented payloads come on the topic that their identity belongs to."""
    payload = (SAMPLES / name).read_bytes()
    document = json.loads(payload)
    if "topic" in document:
        return document["topic"], document["payload"].encode()
    if "end_device_ids" in document:
        return f"v3/app1/devices/{document['end_device_ids']['device_id']}/up", payload
    if "deviceInfo" in document or "devEUI" in document:
        eui = document.get("devEUI") or document["deviceInfo"]["devEui"]
        event = name.removesuffix(".json").rsplit("-", 1)[1]
        return f"application/a/device/{eui}/event/{event if event in {'join', 'log'} else 'up'}", payload
    return "v1/gateway/telemetry", payload


@pytest.mark.parametrize(
    "name", [name for name in found("lorawan-ttn", "lorawan-chirpstack") if EXPECTED[name]["temps"]]
)
def test_a_lorawan_sample_gives_its_temperatures_under_the_radios_identity(name: str) -> None:
    expected = EXPECTED[name]
    topic, payload = message(name)
    read = decoder().read(topic, payload, RECEIVED_MS)
    temperatures = {batch.channel: batch.temperature_mc.tolist() for batch in read.batches}
    assert temperatures == {
        "1" if key == "temperature" else key: [FAULT_MC if value == NO_PROBE_C else round(value * 1000)]
        for key, value in expected["temps"].items()
    }
    identity = expected.get("dev_eui") or expected.get("devEUI")
    if identity:
        assert {batch.logger for batch in read.batches} == {identity.lower()}
    at = expected.get("device_time_utc") or expected.get("uplink_received_at")
    if at:
        assert {int(ms) for batch in read.batches for ms in batch.at_ms} == {instant_ms(at[:23].rstrip("Z") + "Z")}
    assert bool(read.flags) == ("mismatch" in expected.get("note", ""))
    assert {reason for batch in read.batches for reason in batch.faults.values()} <= {"no_probe"}


@pytest.mark.parametrize("name", [name for name in found("lorawan-chirpstack") if not EXPECTED[name]["temps"]])
def test_an_event_without_temperatures_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(RejectedPayload) as caught:
        decoder().read(*message(name), RECEIVED_MS)
    assert caught.value.reason == ("undecoded" if name.endswith("up.json") else "not_a_reading")


@pytest.mark.parametrize("name", found("thingsboard"))
def test_the_documented_thingsboard_message_gives_every_device_and_time(name: str) -> None:
    read = decoder().read(*message(name), RECEIVED_MS).batches
    rows = [
        {"device": batch.logger, "ts_ms": at, "c": mc / 1000}
        for batch in read
        for at, mc in zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True)
    ]
    assert rows == EXPECTED[name]["readings"]


@pytest.mark.parametrize("name", found("tasmota"))
def test_every_documented_tasmota_sensor_but_the_processor_is_read(name: str) -> None:
    lines = [json.loads(line) for line in (SAMPLES / name).read_text().splitlines()]
    with_ds18b20 = multi_sensor = 0
    for line in lines:
        sensors = {
            sensor.get("Id", key): round(sensor["Temperature"] * 1000)
            for key, sensor in json.loads(line["payload"]).items()
            if isinstance(sensor, dict) and "Temperature" in sensor and key != "ESP32"
        }
        batches = read_or_none(line["topic"], line["payload"].encode())
        assert {batch.channel: int(batch.temperature_mc[0]) for batch in batches} == sensors
        with_ds18b20 += "DS18B20" in line["payload"]
        multi_sensor += len(batches) > 1
    expected = EXPECTED[name]
    assert (len(lines), with_ds18b20, multi_sensor) == (
        expected["messages"],
        expected["with_ds18b20"],
        expected["multi_sensor"],
    )


@pytest.mark.parametrize("name", found("milesight"))
def test_milesight_payloads_of_their_vendor_give_live_and_kept_temperatures_and_nothing_else(name: str) -> None:
    vectors = json.loads((SAMPLES / name).read_bytes())
    kept = 0
    for vector in vectors:
        decoded = vector["decoded"]
        payload = {
            "time": "2026-05-28T20:26:00Z",
            "deviceInfo": {"devEui": "0101010101010101"},
            "object": decoded,
        }
        wanted = sorted(live(decoded) + history(decoded))
        batches = read_or_none("application/a/device/0101010101010101/event/up", json.dumps(payload).encode())
        read = [
            (at, mc)
            for batch in batches
            for at, mc in zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True)
            if batch.channel == "1"
        ]
        assert sorted(read) == wanted
        kept += bool(history(decoded))
    assert len(vectors) == EXPECTED[name]["vectors"]
    assert kept > 0


def read_or_none(topic: str, payload: bytes) -> tuple[ReadingBatch, ...]:
    """The readings of a message, none if it is refused as no reading; any other refusal fails the test."""
    try:
        return decoder().read(topic, payload, RECEIVED_MS).batches
    except RejectedPayload as rejected:
        if rejected.reason != "not_a_reading":
            raise
        return ()


def live(decoded: dict[str, Any]) -> list[tuple[int, int]]:
    value = decoded.get("temperature")
    return [(instant_ms("2026-05-28T20:26:00Z"), round(value * 1000))] if isinstance(value, int | float) else []


def history(decoded: dict[str, Any]) -> list[tuple[int, int]]:
    rows = decoded.get("history", [])
    return [(row["timestamp"] * 1000, round(row["temperature"] * 1000)) for row in rows if "temperature" in row]
