"""One valid payload of every foreign form, with its topic, to be broken."""

from __future__ import annotations

import json

import cbor2

_AT, _EUI = "2026-05-28T20:26:30.123456789Z", "70B3D57ED0001A2B"
_PROBES = {"temperature": 5.1, "Temp_Red": 4.2, "TempC1": 5.0, "battery": 3.6}


def _json(document: object) -> bytes:
    return json.dumps(document).encode()


def _advertisement() -> str:
    measured = b"\x05\x12\xfc" + bytes(15) + bytes.fromhex("cbb8334c884f")
    manufacturer = b"\xff\x99\x04" + measured
    return (b"\x02\x01\x06" + bytes([len(manufacturer)]) + manufacturer).hex().upper()


def _sparkplug() -> bytes:
    """timestamp, one metric (name, alias, timestamp, datatype double, value), seq 0: by the specification's numbers."""
    at = _varint(1_779_999_990_123)
    name, value = b"Fridge/Temperature", b"\x33\x33\x33\x33\x33\x33\x14\x40"
    properties = b"\x0a\x0aengUnit\x12\x00\x00"
    metric = b"\x0a" + bytes([len(name)]) + name + b"\x10\x01\x18" + at + b"\x20\x0a\x69" + value
    metric += b"\x4a" + bytes([len(properties)]) + properties
    return b"\x08" + at + b"\x12" + bytes([len(metric)]) + metric + b"\x18\x00"


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


_SENML = [{"bn": "fridge/", "bt": 1779999990, "bu": "Cel", "n": "t", "v": 5.1}, {"n": "u", "v": 278.2, "u": "K"}]
_SENML_CBOR = cbor2.dumps([{-2: "fridge/", -3: 1779999990, -4: "Cel", 0: "t", 2: cbor2.CBORTag(4, [-1, 51])}])

FOREIGN: tuple[tuple[str, bytes], ...] = (
    (
        "v3/depot@tenant/devices/fridge-7/up",
        _json(
            {
                "end_device_ids": {"device_id": "fridge-7", "dev_eui": _EUI},
                "received_at": "2026-05-28T20:26:31Z",
                "uplink_message": {"f_cnt": 8, "received_at": _AT, "decoded_payload": _PROBES},
            }
        ),
    ),
    (
        f"application/5/device/{_EUI.lower()}/event/up",
        _json({"time": _AT, "deviceInfo": {"devEui": _EUI.lower()}, "fCnt": 9, "object": _PROBES}),
    ),
    (
        f"application/5/device/{_EUI.lower()}/event/up",
        _json({"devEUI": "cLPVftAAGis=", "fCnt": 9, "publishedAt": _AT, "objectJSON": json.dumps(_PROBES)}),
    ),
    ("v1/gateway/telemetry", _json({_EUI: [{"ts": 1_779_999_990_123, "values": _PROBES}]})),
    ("zigbee2mqtt/fridge", _json({"battery": 98, "last_seen": _AT, "temperature": 5.1})),
    (
        "tele/fridge/SENSOR",
        _json({"Time": "2026-05-28T20:26:30", "DS18B20": {"Id": "0", "Temperature": 5.1}, "TempUnit": "C"}),
    ),
    ("home/gw/BTtoMQTT/A4C138000001", _json({"id": "A4:C1:38:00:00:01", "tempc": 5.1, "hum": 40})),
    ("shellies/fridge/ext_temperature/0", b"5.1"),
    ("shellies/fridge/sensor/temperature", b"5.10"),
    (
        "shellyplus1/events/rpc",
        _json(
            {
                "src": "shellyplus1-1",
                "method": "NotifyStatus",
                "params": {"ts": 1779999990.12, "temperature:100": {"id": 100, "tC": 5.1, "tF": 41.2}},
            }
        ),
    ),
    ("senml/depot", _json(_SENML)),
    ("senml/depot", _SENML_CBOR),
    (
        "ruuvi/C8:25:2D:8E:9C:2C/CB:B8:33:4C:88:4F",
        _json(
            {
                "gw_mac": "C8:25:2D:8E:9C:2C",
                "rssi": -26,
                "gwts": "1779999990",
                "ts": "1779999990",
                "data": _advertisement(),
            }
        ),
    ),
    (
        "who-ems/ke",
        _json(
            {
                "meta": {"schemaVersion": "0.8.1", "transferType": "ems"},
                "data": [
                    {
                        "AMID": "a-1",
                        "ESER": "E-1",
                        "LSER": "l-1",
                        "records": [{"ABST": "20240115T040554Z", "TVC": 3.2, "TAMB": 21}],
                    }
                ],
            }
        ),
    ),
    ("spBv1.0/depot/NBIRTH/edge", _sparkplug()),
    ("spBv1.0/depot/NDATA/edge", _sparkplug()),
    ("spBv1.0/depot/DBIRTH/edge/fridge", _sparkplug()),
    ("spBv1.0/depot/NDEATH/edge", _sparkplug()),
)
