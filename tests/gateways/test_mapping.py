"""Payloads in the shapes that usual gateways send, by the built-in mappings: what is read, refused, and a fault."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldchain.errors import RejectedPayload
from coldchain.ledger.entries import unstorable
from coldchain.readings import ABSOLUTE_ZERO_MC, FAULT_MC, HIGHEST_MC
from gateways.decoders import decode, decoder

RECEIVED_MS = 1_780_000_000_000
AT_MS = 1_779_999_990_123
AT = "2026-05-28T20:26:30.123456789Z"
EUI = "70B3D57ED0001A2B"
TTS, TTS_TOPIC = "the-things-stack-v3", "v3/depot@tenant/devices/fridge-7/up"
CHIRPSTACK_TOPIC = f"application/5/device/{EUI.lower()}/event/up"


class Reading(NamedTuple):
    logger: str
    channel: str
    at_ms: int
    what: int | str
    """Milli-degC, or why there is none."""


def readings(topic: str, payload: object, received_ms: int = RECEIVED_MS) -> list[Reading]:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return [
        Reading(batch.logger, batch.channel, at, batch.faults.get(i, mc))
        for batch in decode(topic, data, received_ms)
        for i, (at, mc) in enumerate(zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True))
    ]


def refused(topic: str, payload: object) -> str:
    with pytest.raises(RejectedPayload) as caught:
        readings(topic, payload)
    return caught.value.reason


def tts(decoded: object, **more: Any) -> dict[str, Any]:
    return {
        "end_device_ids": {"device_id": "fridge-7", "dev_eui": EUI},
        "received_at": "2026-05-28T20:26:31Z",
        "uplink_message": {"f_cnt": 8, "received_at": AT, "decoded_payload": decoded},
    } | more


def chirpstack_v4(decoded: object) -> dict[str, Any]:
    return {"time": AT, "deviceInfo": {"devEui": EUI.lower(), "deviceName": "fridge-7"}, "fCnt": 9, "object": decoded}


def chirpstack_v3(decoded: object) -> dict[str, Any]:
    return {"devEUI": EUI.lower(), "fCnt": 9, "publishedAt": AT, "object": decoded}


def chirpstack_v3_text(decoded: object) -> dict[str, Any]:
    return {"devEUI": "cLPVftAAGis=", "fCnt": 9, "publishedAt": AT, "objectJSON": json.dumps(decoded)}


def thingsboard(decoded: object) -> dict[str, Any]:
    return {EUI.lower(): [{"ts": AT_MS, "values": decoded}]}


def zigbee(decoded: dict[str, Any]) -> dict[str, Any]:
    return {"battery": 98, "linkquality": 110, "last_seen": AT} | decoded


Wrap = Callable[[Any], dict[str, Any]]
LORAWAN: list[tuple[str, Wrap]] = [
    (TTS_TOPIC, tts),
    (CHIRPSTACK_TOPIC, chirpstack_v4),
    (CHIRPSTACK_TOPIC, chirpstack_v3),
    (CHIRPSTACK_TOPIC, chirpstack_v3_text),
]


@pytest.mark.parametrize(("topic", "wrap"), [*LORAWAN, ("v1/gateway/telemetry", thingsboard)])
def test_a_server_of_devices_is_read_by_the_identity_and_time_it_states(topic: str, wrap: Wrap) -> None:
    assert readings(topic, wrap({"temperature": 5.12, "humidity": 40})) == [Reading(EUI.lower(), "1", AT_MS, 5120)]


@pytest.mark.parametrize(("topic", "wrap"), LORAWAN)
def test_every_probe_of_a_lorawan_device_is_a_channel_of_its_own(topic: str, wrap: Wrap) -> None:
    decoded = {"TempC_SHT": 21.5, "TempC_DS": -20.25, "TempC1": 4, "temperature_3": 7.1, "Temp_Red": 0.0}
    found = {one.channel: one.what for one in readings(topic, wrap(decoded))}
    expected = {"TempC_SHT": 21500, "TempC_DS": -20250, "TempC1": 4000, "temperature_3": 7100, "Temp_Red": 0}
    assert found == expected


@pytest.mark.parametrize(("topic", "wrap"), LORAWAN)
def test_what_a_device_kept_without_network_is_read_at_its_own_times(topic: str, wrap: Wrap) -> None:
    history = [{"timestamp": 1_779_990_000, "temperature": 4.4}, {"timestamp": 1_779_990_600, "temperature": 4.6}]
    assert readings(topic, wrap({"history": history})) == [
        Reading(EUI.lower(), "1", 1_779_990_000_000, 4400),
        Reading(EUI.lower(), "1", 1_779_990_600_000, 4600),
    ]


@pytest.mark.parametrize(("topic", "wrap"), LORAWAN)
def test_the_devices_own_time_counts_before_the_servers(topic: str, wrap: Wrap) -> None:
    (reading,) = readings(topic, wrap({"TempC_SHT": 5, "Systimestamp": 1_779_999_000}))
    assert reading.at_ms == 1_779_999_000_000


@pytest.mark.parametrize(("topic", "wrap"), LORAWAN)
def test_set_points_and_alarms_are_no_temperatures(topic: str, wrap: Wrap) -> None:
    settings_only = {"target_temperature": 5.0, "temperature_target": 5.0, "temperature_alarm": "threshold alarm"}
    assert refused(topic, wrap(settings_only | {"temperature_1_max": 9, "TempC1_alarm": 1})) == "not_a_reading"


@pytest.mark.parametrize(("topic", "wrap"), LORAWAN)
def test_an_uplink_that_the_server_did_not_decode_is_refused_as_such(topic: str, wrap: Wrap) -> None:
    assert (
        refused(
            topic,
            {key: v for key, v in wrap({}).items() if key not in {"object", "objectJSON"}}
            | ({"uplink_message": {"f_cnt": 8}} if wrap is tts else {}),
        )
        == "undecoded"
    )


def test_a_device_id_other_than_the_topic_says_is_flagged_but_the_radios_identity_counts() -> None:
    payload = json.dumps(tts({"temperature": 5})).encode()
    found = decoder().read("v3/depot@tenant/devices/fridge-8/up", payload, RECEIVED_MS)
    assert [batch.logger for batch in found.batches] == [EUI.lower()]
    assert found.flags == ("topic_mismatch: end_device_ids.device_id = 'fridge-7', the topic says 'fridge-8'",)
    assert decoder().read(TTS_TOPIC, payload, RECEIVED_MS).flags == ()


def test_a_chirpstack_device_other_than_the_topic_says_is_refused() -> None:
    topic = "application/5/device/70b3d57ed0001a2c/event/up"
    assert refused(topic, chirpstack_v4({"temperature": 5})) == "logger_mismatch"


@pytest.mark.parametrize(
    "eui", ["", "70B3D57ED0001A2", "70B3D57ED0001A2G", "70B3D57ED0001A2B0", "cLPVftAAGi==", None, 7]
)
def test_what_is_no_device_eui_is_refused(eui: object) -> None:
    assert refused(TTS_TOPIC, tts({"temperature": 5}, end_device_ids={"dev_eui": eui})) in {"bad_value", "bad_type"}


def test_a_chirpstack_v3_payload_without_any_time_counts_from_its_arrival() -> None:
    (reading,) = readings(CHIRPSTACK_TOPIC, {"devEUI": EUI, "object": {"temperature": -0.3}})
    assert reading == Reading(EUI.lower(), "1", RECEIVED_MS, -300)


def test_broken_json_inside_json_is_refused() -> None:
    for inner in ('{"temperature": NaN}', '{"temperature":1,"temperature":2}', "[1]", "x"):
        assert refused(CHIRPSTACK_TOPIC, {"devEUI": EUI, "objectJSON": inner}) in {
            "not_json",
            "duplicate_key",
            "not_a_document",
        }


def test_thingsboard_carries_many_devices_and_times() -> None:
    payload = {
        "Box 1": [
            {"ts": AT_MS, "values": {"temperature": 4, "humidity": 41}},
            {"ts": AT_MS + 60_000, "values": {"temperature": 4.5}},
            {"ts": AT_MS + 90_000, "values": {"humidity": 42}},
        ],
        "Box 2": [{"ts": AT_MS + i, "values": {"temperature": value}} for i, value in enumerate((4, None, 5))],
    }
    assert readings("v1/gateway/telemetry", payload) == [
        Reading("Box 1", "1", AT_MS, 4000),
        Reading("Box 1", "1", AT_MS + 60_000, 4500),
        Reading("Box 2", "1", AT_MS, 4000),
        Reading("Box 2", "1", AT_MS + 1, "null"),
        Reading("Box 2", "1", AT_MS + 2, 5000),
    ]
    assert refused("v1/gateway/telemetry", {"Box 1": [{"values": {"temperature": 4}}]}) == "no_time"
    assert refused("v1/gateway/telemetry", {"Box/1": [{"ts": 1, "values": {"temperature": 4}}]}) == "bad_value"


def test_tasmota_names_probes_by_their_number_and_takes_the_unit_from_the_payload() -> None:
    payload = {
        "Time": "2026-05-28T22:26:30",
        "DS18B20-1": {"Id": "0000059352D4", "Temperature": 41.0},
        "DS18B20-2": {"Id": "000005937C90", "Temperature": None},
        "SHT3X": {"Id": "", "Temperature": 77, "Humidity": 40},
        "ESP32": {"Temperature": 120.5},
        "TempUnit": "F",
    }
    assert readings("tele/fridge-7/SENSOR", payload) == [
        Reading("fridge-7", "0000059352D4", RECEIVED_MS, 5000),
        Reading("fridge-7", "000005937C90", RECEIVED_MS, "null"),
        Reading("fridge-7", "SHT3X", RECEIVED_MS, 25000),
    ]


def test_a_temperature_without_a_unit_is_refused_and_never_guessed() -> None:
    for unit in ({}, {"TempUnit": "Cel"}, {"TempUnit": None}, {"TempUnit": 1}, {"TempUnit": ["C"]}):
        assert refused("tele/fridge-7/SENSOR", {"DS18B20": {"Temperature": 5}} | unit) == "bad_unit"


def test_the_temperature_of_the_processor_alone_is_no_reading() -> None:
    assert refused("tele/plug/SENSOR", {"ESP32": {"Temperature": 41.7}, "TempUnit": "C"}) == "not_a_reading"


def test_zigbee_counts_from_last_seen_in_either_form_and_a_cached_repetition_is_the_same_reading() -> None:
    first, again = (readings("zigbee2mqtt/fridge 7", zigbee({"temperature": 5.1}), at) for at in (AT_MS, RECEIVED_MS))
    assert first == again == [Reading("fridge 7", "1", AT_MS, 5100)]
    assert readings("zigbee2mqtt/fridge 7", zigbee({"temperature": 5.1, "last_seen": AT_MS})) == first
    probes = zigbee({"temperature_l1": 5.1, "temperature_l2": None, "device_temperature": 31, "local_temperature": 20})
    assert [one[1:] for one in readings("zigbee2mqtt/box", probes)] == [("l1", AT_MS, 5100), ("l2", AT_MS, "null")]


def test_zigbee_without_last_seen_cannot_be_told_from_a_cached_repetition_and_is_refused() -> None:
    assert refused("zigbee2mqtt/fridge", {"temperature": 5.1}) == "no_time"
    assert refused("zigbee2mqtt/fridge", {"temperature": 5.1, "last_seen": None}) == "no_time"


def test_theengs_reads_advertisements_and_ignores_those_with_a_signal_strength_only() -> None:
    topic = "home/TheengsGateway/BTtoMQTT/A4C138112233"
    payload = {"id": "A4:C1:38:11:22:33", "rssi": -71, "tempc": 4.9, "tempf": 40.82, "hum": 50}
    assert readings(topic, payload) == [Reading("a4c138112233", "1", RECEIVED_MS, 4900)]
    assert refused(topic, {"id": "A4:C1:38:11:22:33", "rssi": -71}) == "not_a_reading"
    assert refused(topic, payload | {"id": "a phone"}) == "bad_value"
    assert refused(topic, payload | {"id": None}) == "bad_type"


def test_shelly_of_the_first_generation_sends_bare_numbers() -> None:
    assert readings("shellies/shellyht-1A2B3C/sensor/temperature", b"5.25") == [
        Reading("shellyht-1a2b3c", "1", RECEIVED_MS, 5250)
    ]
    assert readings("shellies/shelly1-1A2B3C/ext_temperature/2", b" -18.06\n")[0][1:] == ("2", RECEIVED_MS, -18060)
    for odd in (b"", b"nan", b"5,25", b"1e3", b"0x5", b"5.25 C", b"{}", b"5" * 40, b"\xff", b"--5", b"1_0"):
        assert refused("shellies/shellyht-1A2B3C/sensor/temperature", odd) == "not_a_number"


def test_later_shellies_send_notifications() -> None:
    payload = {
        "src": "shellyplusht-A1B2C3D4E5F6",
        "method": "NotifyFullStatus",
        "params": {"ts": 1_779_999_990.12, "temperature:0": {"id": 0, "tC": 5.3, "tF": 41.5}, "sys": {"uptime": 3}},
    }
    assert readings("box-7/events/rpc", payload) == [Reading("shellyplusht-a1b2c3d4e5f6", "0", AT_MS - 3, 5300)]
    assert refused("box-7/events/rpc", payload | {"method": "NotifyEvent"}) == "not_a_reading"
    assert refused("box-7/events/rpc", payload | {"params": {"ts": 1.5, "sys": {}}}) == "not_a_reading"
    assert refused("box-7/events/rpc", payload | {"params": {"ts": None, "temperature:0": {"tC": 5}}}) == "no_time"
    assert refused("box-7/events/rpc", {"id": 1, "result": {}}) == "not_a_reading"


@pytest.mark.parametrize(
    "topic",
    [
        "v3/depot@tenant/devices/fridge-7/join",
        "v3/depot@tenant/devices/fridge-7/down/ack",
        "application/5/device/70b3d57ed0001a2b/event/join",
        "application/5/device/70b3d57ed0001a2b/event/log",
        "application/5/device/70b3d57ed0001a2b/event/status",
        "v1/gateway/attributes",
        "tele/fridge-7/STATE",
        "tele/fridge-7/LWT",
        "zigbee2mqtt/bridge/state",
        "zigbee2mqtt/fridge/availability",
        "home/OMG/LWT",
        "shellies/shellyht-1A2B3C/sensor/battery",
        "box-7/status/wifi",
    ],
)
def test_joins_logs_and_states_are_no_readings_and_say_so(topic: str) -> None:
    assert refused(topic, {"temperature": 5}) == "not_a_reading"


@pytest.mark.parametrize("topic", ["", "x", "v3/a/gateways/b/up", "$SYS/events/rpc", "tele/SENSOR", "a/b/events/rpc"])
def test_a_topic_that_nothing_covers_is_unknown(topic: str) -> None:
    assert refused(topic, {"temperature": 5}) == "unknown_topic"


CARRIERS: list[tuple[str, Callable[[object], object]]] = [
    *((topic, lambda value, wrap=wrap: wrap({"temperature": value})) for topic, wrap in LORAWAN),
    ("v1/gateway/telemetry", lambda value: thingsboard({"temperature": value})),
    ("tele/fridge/SENSOR", lambda value: {"DS18B20": {"Temperature": value}, "TempUnit": "C"}),
    ("zigbee2mqtt/fridge", lambda value: zigbee({"temperature": value})),
    ("home/gw/BTtoMQTT/A4C138112233", lambda value: {"id": "A4:C1:38:11:22:33", "tempc": value}),
    ("shellies/x/sensor/temperature", lambda value: str(value).encode()),
    ("shellies/x/ext_temperature/0", lambda value: str(value).encode()),
    ("x/events/rpc", lambda value: {"src": "x", "params": {"ts": 1_779_999_990, "temperature:0": {"tC": value}}}),
]
"""One way to say a temperature by each built-in mapping."""


@pytest.mark.parametrize(("topic", "carry"), CARRIERS)
@pytest.mark.parametrize("value", [327.67, 85.0, 85, 125, -127, -127.0, -270, 3276.7, -327.68, -273.16, 1000.001])
def test_every_sentinel_and_every_absurdity_is_a_fault(
    topic: str, carry: Callable[[object], object], value: float
) -> None:
    (reading,) = readings(topic, carry(value))
    assert isinstance(reading.what, str)


@pytest.mark.parametrize(("topic", "carry"), CARRIERS)
@pytest.mark.parametrize("value", [84.9, 85.1, 0, 0.0, -0.1, 2, 8.0, -126.9, 327.66])
def test_a_neighbour_of_a_sentinel_is_a_temperature(
    topic: str, carry: Callable[[object], object], value: float
) -> None:
    (reading,) = readings(topic, carry(value))
    assert reading.what == round(value * 1000)


@pytest.mark.parametrize(("topic", "carry"), [one for one in CARRIERS if not one[0].startswith("shellies")])
def test_a_text_or_a_null_in_place_of_a_temperature_is_a_fault_and_a_truth_value_is_refused(
    topic: str, carry: Callable[[object], object]
) -> None:
    assert [readings(topic, carry(value))[0].what for value in (None, "5.1", "", "--.-")] == [
        "null",
        "not_a_number",
        "not_a_number",
        "no_probe",
    ]
    assert {refused(topic, carry(value)) for value in (True, False, [5], {"c": 5})} == {"bad_type"}


def test_a_shelly_without_a_value_yet_says_999() -> None:
    assert [one.what for one in readings("shellies/x/ext_temperature/0", b"999.0")] == ["no_value"]


@pytest.mark.parametrize(("topic", "wrap"), LORAWAN)
def test_three_probes_at_minus_a_tenth_are_no_probes_but_one_or_two_may_be_true(topic: str, wrap: Wrap) -> None:
    three = {"Temp_Red": -0.1, "Temp_White": -0.1, "Temp_Black": -0.1}
    assert [one.what for one in readings(topic, wrap(three))] == ["no_probe"] * 3
    assert [one.what for one in readings(topic, wrap(three | {"Temp_White": 4.2}))] == [-100, 4200, -100]


@pytest.mark.parametrize(
    "at", ["2026-05-28T20:26:30", "yesterday", "2026-02-30T00:00:00Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00+23:59"]
)
def test_a_time_that_cannot_be_one_is_refused_never_replaced(at: str) -> None:
    assert refused("zigbee2mqtt/fridge", zigbee({"temperature": 5, "last_seen": at})) == "bad_time"
    uplink = tts({"temperature": 5})
    uplink["uplink_message"]["received_at"] = at
    assert refused(TTS_TOPIC, uplink) == "bad_time"


def test_absurd_numbers_as_times_are_refused() -> None:
    for at in (-1, 1e300, -1e300, 2**63, 10**16):
        assert refused("zigbee2mqtt/fridge", zigbee({"temperature": 5, "last_seen": at})) == "bad_time"


def test_ambiguous_json_and_cbor_are_refused() -> None:
    for payload in (b'{"temperature":NaN}', b'{"a":1,"a":2}', b"\xa1\x61a\x01", b"\xef\xbb\xbf{}", b"[]", b""):
        assert refused("zigbee2mqtt/fridge", payload) in {"not_json", "duplicate_key", "not_a_document"}


def test_more_readings_than_a_message_may_hold_are_refused() -> None:
    rows = [{"ts": AT_MS + i, "values": {"temperature": 5}} for i in range(5001)]
    assert len(readings("v1/gateway/telemetry", {"a": rows[:5000]})) == 5000
    assert refused("v1/gateway/telemetry", {"a": rows}) == "bad_length"


TOPICS = sorted({topic for topic, _ in CARRIERS})
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)


@given(st.sampled_from(TOPICS), st.binary(max_size=64))
def test_random_bytes_are_refused_or_read_and_never_anything_else(topic: str, payload: bytes) -> None:
    with contextlib.suppress(RejectedPayload):
        decode(topic, payload, RECEIVED_MS)


@settings(max_examples=300)
@given(st.sampled_from(CARRIERS), st.data())
def test_a_payload_with_any_one_value_replaced_is_refused_or_gives_storable_readings(
    carrier: tuple[str, Callable[[object], object]], data: st.DataObject
) -> None:
    topic, carry = carrier
    good = carry(5.1)
    if isinstance(good, dict):
        odd = SCALARS | st.text(max_size=5) | st.sampled_from([AT, EUI, [], {}, [{}], {"temperature": 5}, {"*": 1}])
        payload = json.dumps(replaced(good, data, odd)).encode()
    else:
        assert isinstance(good, bytes)
        payload = data.draw(st.binary(max_size=6).map(lambda junk: good + junk))
    try:
        batches = decode(topic, payload, RECEIVED_MS)
    except RejectedPayload:
        return
    for batch in batches:
        assert unstorable(batch) is None
        valid = batch.temperature_mc != FAULT_MC
        assert set(batch.faults) == {i for i, is_valid in enumerate(valid.tolist()) if not is_valid}
        assert all(ABSOLUTE_ZERO_MC <= mc <= HIGHEST_MC for mc in batch.temperature_mc[valid].tolist())


def replaced(value: Any, data: st.DataObject, odd: st.SearchStrategy[Any]) -> Any:
    """The document with one value, wherever it is, replaced."""
    if isinstance(value, dict | list) and value and data.draw(st.booleans()):
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = data.draw(st.sampled_from(keys))
        changed = dict(value) if isinstance(value, dict) else list(value)
        changed[key] = replaced(value[key], data, odd)
        return changed
    return data.draw(odd)
