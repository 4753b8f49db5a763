"""Every sentinel of the trade that looks like a temperature, through everything that reads one: none gets through."""

from __future__ import annotations

import json
from collections.abc import Callable
from zoneinfo import ZoneInfo

import cbor2
import pytest

from coldchain.readings import FAULT_MC, ReadingBatch
from gateways.decoders import decode, mapping_file
from gateways.files import Declared, parse, read_logger_content
from sparkplug_values import metric, payload

MS = 1_760_000_000_000
EUI = "70b3d57ed0001a2b"
UTC = Declared(ZoneInfo("Etc/UTC"))

Put = Callable[[float], tuple[ReadingBatch, ...]]
"""What is read where a gateway or file says this number [degC]."""


def by(topic: str, document: Callable[[float], object]) -> Put:
    return lambda c: decode(topic, json.dumps(document(c)).encode(), MS)


def tts(key: str) -> Put:
    def document(c: float) -> object:
        uplink = {"received_at": "2026-05-28T20:26:30Z", "decoded_payload": {key: c}}
        return {"end_device_ids": {"device_id": "f", "dev_eui": EUI}, "uplink_message": uplink}

    return by("v3/a@t/devices/f/up", document)


def chirpstack(key: str, *, is_v3: bool) -> Put:
    def document(c: float) -> object:
        if is_v3:
            return {"devEUI": EUI, "objectJSON": json.dumps({key: c})}
        return {"time": "2026-05-28T20:26:30Z", "deviceInfo": {"devEui": EUI}, "object": {key: c}}

    return by(f"application/1/device/{EUI}/event/up", document)


def senml(c: float) -> tuple[ReadingBatch, ...]:
    return decode("senml/x", cbor2.dumps([{0: "box", 1: "Cel", 2: c}]), MS)


def sparkplug(c: float) -> tuple[ReadingBatch, ...]:
    return decode("spBv1.0/g/NBIRTH/n", payload(MS, 0, metric("Air", c, unit="C")), MS)


GATEWAYS: dict[str, Put] = {
    "the-things-stack-v3 temperature": tts("temperature"),
    "the-things-stack-v3 Dragino LHT": tts("TempC_DS"),
    "the-things-stack-v3 Dragino LSN50": tts("Temp_Red"),
    "chirpstack-v4 temperature": chirpstack("temperature", is_v3=False),
    "chirpstack-v4 Cayenne": chirpstack("temperature_1", is_v3=False),
    "chirpstack-v3": chirpstack("temperature", is_v3=True),
    "thingsboard-gateway": by(
        "v1/gateway/telemetry", lambda c: {"Device A": [{"ts": MS, "values": {"temperature": c}}]}
    ),
    "tasmota": by("tele/f/SENSOR", lambda c: {"DS18B20": {"Id": "1", "Temperature": c}, "TempUnit": "C"}),
    "zigbee2mqtt": by("zigbee2mqtt/f", lambda c: {"temperature": c, "last_seen": MS}),
    "theengs": by("home/gw/BTtoMQTT/A4C138000001", lambda c: {"id": "A4:C1:38:00:00:01", "tempc": c}),
    "shelly-gen1": by("shellies/ht-1/sensor/temperature", lambda c: c),
    "shelly-gen1-addon": by("shellies/s-1/ext_temperature/0", lambda c: c),
    "shelly-gen2": by(
        "shelly-1/events/rpc",
        lambda c: {
            "src": "shelly-1",
            "method": "NotifyStatus",
            "params": {"ts": MS / 1000, "temperature:0": {"tC": c}},
        },
    ),
    "who-ems": by(
        "who-ems/x", lambda c: {"data": [{"ESER": "E", "records": [{"ABST": "20260528T202630Z", "TVC": c}]}]}
    ),
    "senml": senml,
    "sparkplug-b": sparkplug,
}

NUMBERS = (327.67, 125.0, 85.0, -270.0, -127.0)


@pytest.mark.parametrize("c", NUMBERS)
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_sentinel_number_is_a_fault_through_every_gateway(gateway: str, c: float) -> None:
    (batch,) = GATEWAYS[gateway](c)
    assert batch.temperature_mc.tolist() == [FAULT_MC]
    assert batch.faults[0] in {"no_probe", "probe_short", "power_on", "probe_open"}


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_the_numbers_beside_them_and_both_bounds_of_the_range_are_temperatures(gateway: str) -> None:
    for c in (0.0, 2.0, 8.0, 84.9, -0.1, 25.0):
        (batch,) = GATEWAYS[gateway](c)
        assert (batch.temperature_mc.tolist(), batch.faults) == ([round(c * 1000)], {})


def test_every_built_in_mapping_stands_in_the_table() -> None:
    tried = {name.split()[0] for name in GATEWAYS} | {"ruuvi-gateway"}  # whose numbers come from 16 bits: see there
    assert {one.name for one in mapping_file.load(mapping_file.BUILT_IN)} == tried


@pytest.mark.parametrize("text", ["--.-", "0.00x", "OPEN"])
def test_a_text_in_the_place_of_a_temperature_is_a_fault(text: str) -> None:
    gateways: tuple[Callable[[str], tuple[ReadingBatch, ...]], ...] = (
        lambda value: decode(
            "tele/f/SENSOR", json.dumps({"DS18B20": {"Temperature": value}, "TempUnit": "C"}).encode(), MS
        ),
        lambda value: decode("zigbee2mqtt/f", json.dumps({"temperature": value, "last_seen": MS}).encode(), MS),
    )
    for gateway in gateways:
        (batch,) = gateway(text)
        assert batch.temperature_mc.tolist() == [FAULT_MC]


def test_a_number_that_is_written_as_a_text_is_a_fault_and_no_temperature() -> None:
    (batch,) = by("tele/f/SENSOR", lambda _: {"DS18B20": {"Temperature": "0.00"}, "TempUnit": "C"})(0)
    assert batch.faults == {0: "not_a_number"}


def test_three_probes_at_minus_a_tenth_are_no_probes() -> None:
    probes = {"Temp_Red": -0.1, "Temp_White": -0.1, "Temp_Black": -0.1}
    uplink = {"received_at": "2026-05-28T20:26:30Z", "decoded_payload": probes}
    document = {"end_device_ids": {"device_id": "f", "dev_eui": EUI}, "uplink_message": uplink}
    batches = by("v3/a@t/devices/f/up", lambda _: document)(0)
    assert [batch.faults for batch in batches] == [{0: "no_probe"}] * 3


def test_the_native_forms_know_a_null_and_the_smallest_int32_alone() -> None:
    topic = "coldchain/v1/basel/gw-1/lg-1/readings"
    columns = {"logger": "lg-1", "t0": MS, "every": 1000, "mc": [None, 85_000]}
    typed = columns | {
        "mc": cbor2.CBORTag(78, FAULT_MC.to_bytes(4, "little", signed=True) + (85_000).to_bytes(4, "little"))
    }
    for data in (json.dumps(columns).encode(), cbor2.dumps(typed)):
        (batch,) = decode(topic, data, MS)
        assert (batch.temperature_mc.tolist(), batch.faults) == ([FAULT_MC, 85_000], {0: "null"})


HEADER = '"Index","Timestamp","Thermocouple(\N{DEGREE SIGN}C)","Serial Number","Logger Name"\n'


def test_an_open_thermocouple_in_a_file_is_a_fault() -> None:
    text = HEADER + '"0","15/06/2018 11:45:08 AM","-270.0","1712","5"\n"1","15/06/2018 11:50:08 AM","26.9"\n'
    (batch,) = read_logger_content(text.encode("utf-16"), file="w.csv", logger="lg-1", declared=UTC).batches
    assert batch.temperature_mc.tolist() == [FAULT_MC, 26_900]


@pytest.mark.parametrize("c", [*NUMBERS, -0.1])
def test_a_files_own_mapping_names_the_sentinels_of_its_device(c: float) -> None:
    how = parse(
        f'mapping = "m"\n[time]\ncolumns = ["Time"]\n[[channel]]\ncolumn = "T"\nunit = "c"\nsentinels = ["{c}"]\n',
        "m.toml",
    )
    text = f"Time;T\n2026-03-01 10:00;{c}\n2026-03-01 10:10;--.-\n2026-03-01 10:20;5.1\n"
    (batch,) = read_logger_content(text.encode(), file="x.csv", logger="lg-1", declared=UTC, mapping=how).batches
    assert batch.temperature_mc.tolist() == [FAULT_MC, FAULT_MC, 5_100]
