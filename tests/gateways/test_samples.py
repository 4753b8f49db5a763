"""Every sample that others captured or documented and that carries temperatures gives what is known of it.

`expected.json` is walked from end to end, so a new sample fails here until somebody says what reads it. How each
family is read in detail is tested beside its reader; here stands what must never be overlooked.
"""

from __future__ import annotations

import csv
import json
import lzma
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from coldchain.errors import RejectedPayload
from coldchain.instant import instant_ms
from coldchain.readings import FAULT_MC, ReadingBatch
from gateways.decoders import Decoded, Node, NodeKey, decoder, ruuvi, senml, sparkplug, sparkplug_payload
from gateways.decoders.sparkplug_node import Topic
from gateways.files import Declared, read_logger_content
from sparkplug_values import parsed, payload

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
NOW_MS = instant_ms("2026-05-28T20:26:30Z")
EXPECTED: dict[str, Any] = json.loads((SAMPLES / "expected.json").read_bytes()) if SAMPLES.exists() else {}

Check = Callable[[str, dict[str, Any]], None]


def content(name: str) -> bytes:
    data = (SAMPLES / name).read_bytes()
    return lzma.decompress(data) if name.endswith(".xz") else data


def read(topic: str, data: bytes) -> tuple[ReadingBatch, ...]:
    return decoder().read(topic, data, NOW_MS).batches


def read_or_none(topic: str, data: bytes) -> tuple[ReadingBatch, ...]:
    """The readings of a message, none if it is refused as no reading; any other refusal fails the test."""
    try:
        return read(topic, data)
    except RejectedPayload as rejected:
        if rejected.reason != "not_a_reading":
            raise
        return ()


def temperatures(batches: tuple[ReadingBatch, ...]) -> dict[str, int]:
    """The first temperature of each channel [milli-degC]."""
    return {batch.channel: int(batch.temperature_mc[0]) for batch in batches}


def a_logger_file(name: str, expected: dict[str, Any]) -> None:
    found = read_logger_content(
        content(name), file=name, logger="lg-1", declared=Declared(ZoneInfo("Etc/UTC"), None, False)
    )
    mc = [value for batch in found.batches for value in batch.temperature_mc.tolist() if value != FAULT_MC]
    assert len(mc) == expected["n_readings"]
    assert sum(len(batch.faults) for batch in found.batches) == expected.get("sentinels", 0)
    assert len(found.days) == expected.get("day_summaries", 0)
    if not mc:
        return
    assert (min(mc) / 1000, max(mc) / 1000) == (expected["min_c"], expected["max_c"])
    assert sum(mc) / len(mc) / 1000 == pytest.approx(expected["mean_c"], abs=1e-4)
    at = [int(batch.at_ms[i]) for batch in found.batches for i in (0, -1)]
    for moment, key in ((min(at), "first"), (max(at), "last")):
        assert moment == instant_ms(expected.get(f"{key}_utc", expected[key]) + "Z")


def a_network_servers_uplink(name: str, expected: dict[str, Any]) -> None:
    document = json.loads(content(name))
    topic, data = document.get("topic"), document.get("payload", "").encode()
    if topic is None:
        data = content(name)
        if "end_device_ids" in document:
            topic = f"v3/app1/devices/{document['end_device_ids']['device_id']}/up"
        else:
            eui = document.get("devEUI") or document["deviceInfo"]["devEui"]
            event = name.removesuffix(".json").rsplit("-", 1)[1]
            topic = f"application/a/device/{eui}/event/{event if event in {'join', 'log'} else 'up'}"
    if not expected["temps"]:
        with pytest.raises(RejectedPayload) as caught:
            read(topic, data)
        assert caught.value.reason == ("undecoded" if topic.endswith("/up") else "not_a_reading")
        return
    found = decoder().read(topic, data, NOW_MS)
    sentinel = 327.67 if "sentinel" in expected else None
    assert temperatures(found.batches) == {
        "1" if key == "temperature" else key: FAULT_MC if c == sentinel else round(c * 1000)
        for key, c in expected["temps"].items()
    }
    assert {reason for batch in found.batches for reason in batch.faults.values()} <= {"no_probe"}
    identity = expected.get("dev_eui") or expected.get("devEUI")
    if identity:
        assert {batch.logger for batch in found.batches} == {identity.lower()}
    at = expected.get("device_time_utc") or expected.get("uplink_received_at")
    if at:
        assert {int(ms) for batch in found.batches for ms in batch.at_ms} == {instant_ms(at[:23].rstrip("Z") + "Z")}
    assert bool(found.flags) == ("mismatch" in expected.get("note", ""))


def milesight_vectors(name: str, expected: dict[str, Any]) -> None:
    vectors = json.loads(content(name))
    assert len(vectors) == expected["vectors"]
    kept = 0
    for vector in vectors:
        decoded = vector["decoded"]
        has_live = isinstance(decoded.get("temperature"), int | float)
        live = [(instant_ms("2026-05-28T20:26:00Z"), decoded["temperature"])] if has_live else []
        rows = [row for row in decoded.get("history", []) if "temperature" in row]
        stored = [(row["timestamp"] * 1000, row["temperature"]) for row in rows]
        kept += bool(decoded.get("history"))
        message = {"time": "2026-05-28T20:26:00Z", "deviceInfo": {"devEui": "01" * 8}, "object": decoded}
        batches = read_or_none(f"application/a/device/{'01' * 8}/event/up", json.dumps(message).encode())
        found = [
            (at, mc)
            for batch in batches
            if batch.channel == "1"
            for at, mc in zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True)
        ]
        assert sorted(found) == sorted((at, round(c * 1000)) for at, c in live + stored)
    assert kept == expected["with_history"]


def tasmota_lines(name: str, expected: dict[str, Any]) -> None:
    lines = [json.loads(line) for line in content(name).decode().splitlines()]
    assert len(lines) == expected["messages"]
    with_ds18b20 = multi = 0
    for line in lines:
        sensors = {
            sensor.get("Id", key): round(sensor["Temperature"] * 1000)
            for key, sensor in json.loads(line["payload"]).items()
            if isinstance(sensor, dict) and "Temperature" in sensor and key != "ESP32"
        }
        multi += len(sensors) > 1
        with_ds18b20 += "DS18B20" in line["payload"]
        assert temperatures(read_or_none(line["topic"], line["payload"].encode())) == sensors
    assert (with_ds18b20, multi) == (expected["with_ds18b20"], expected["multi_sensor"])


def thingsboard_message(name: str, expected: dict[str, Any]) -> None:
    found = [
        {"device": batch.logger, "ts_ms": at, "c": mc / 1000}
        for batch in read("v1/gateway/telemetry", content(name))
        for at, mc in zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True)
    ]
    assert found == expected["readings"]


def ems_delivery(name: str, expected: dict[str, Any]) -> None:
    (batch,) = read("who-ems/ke", content(name))
    assert len(batch) == expected["records"]
    assert batch.at_ms.tolist() == [instant_ms(expected["abst"])]
    assert batch.temperature_mc.tolist() == [round(expected["tvc"] * 1000)]


def ruuvi_vectors(name: str, expected: dict[str, Any]) -> None:
    for vector in json.loads(content(name)):
        c = ruuvi.raw_v2(bytes.fromhex(vector["hex"]))["c"]
        assert c == (None if vector["c"] is None else Decimal(str(vector["c"])))
        assert c == (None if vector["c"] is None else Decimal(str(expected[f"{vector['case']}_c"])))


def ruuvi_message(name: str, expected: dict[str, Any]) -> None:
    document = json.loads(content(name))
    topic = f"ruuvi/{document['gw_mac']}/{expected['decoded']['mac']}"
    (batch,) = read(topic, content(name))
    assert (batch.logger, batch.at_ms.tolist()) == (expected["decoded"]["mac"], [int(expected["ts"]) * 1000])
    assert batch.temperature_mc.tolist() == [round(expected["decoded"]["c"] * 1000)]


def senml_pack(name: str, expected: dict[str, Any]) -> None:
    """Every record as the authors of the RFC resolve it; where they have no time, theirs is that of their run."""
    twin = expected.get("resolved_file") or expected["same_as"]
    resolved = json.loads(content(f"senml/{twin}"))
    found = list(senml.resolve(content(name), NOW_MS))
    assert len(found) == len(resolved)
    is_absolute = "bt" in json.dumps(pack_of(name)) or any(record.get("t", 0) >= 2**28 for record in pack_of(name))
    for one, other in zip(found, resolved, strict=True):
        assert (one.name, one.unit) == (other["n"], other["u"])
        assert float(one.value or 0) == pytest.approx(other["v"])
        assert float(one.time_s) == pytest.approx(other["t"] if is_absolute else NOW_MS / 1000)
    wanted = [
        (*one["n"].partition("/")[::2], NOW_MS if one["t"] == "now" else int(one["t"] * 1000), round(one["c"] * 1000))
        for one in expected.get("cel_readings", [])
    ]
    if not wanted:
        with pytest.raises(RejectedPayload, match="not_a_reading"):
            read("senml/x", content(name))
        return
    assert [
        (batch.logger, "" if batch.channel == "1" else batch.channel, int(batch.at_ms[0]), int(batch.temperature_mc[0]))
        for batch in read("senml/x", content(name))
    ] == wanted


def pack_of(name: str) -> list[dict[str, Any]]:
    if name.endswith(".cbor"):
        name = name.removesuffix(".cbor") + ".json"
    return list(json.loads(content(name)))


def senml_resolved(name: str, expected: dict[str, Any]) -> None:
    """A pack that is resolved already says of itself what it says."""
    records = json.loads(content(name))
    assert len(records) == expected["records"]
    found = list(senml.resolve(content(name), NOW_MS))
    assert [(one.name, float(one.time_s), float(one.value or 0)) for one in found] == [
        (record["n"], record["t"], record["v"]) for record in records
    ]


def sparkplug_bytes(name: str, expected: dict[str, Any]) -> None:
    found, theirs = sparkplug_payload.parse(content(name)), parsed(content(name))
    metrics = expected.get("first_metrics") or expected["metrics"]
    count = expected["metrics"] if isinstance(expected["metrics"], int) else len(metrics)
    assert (found.timestamp_ms, found.seq, len(found.metrics)) == (
        expected["payload_ts_ms"],
        expected["seq"],
        count,
    )
    assert len(theirs.metrics) == count
    for one, other in zip(found.metrics, metrics, strict=True):
        assert one.name == (other["name"] or "")
        assert one.alias == other.get("alias")
        assert one.timestamp_ms == other["ts"]
        if not isinstance(other["value"], str):
            assert one.raw == other["value"]


def sparkplug_sequence(name: str, expected: dict[str, Any]) -> None:
    """Only headers of a plant's messages: of each node the missed sequence numbers are told, and no other."""
    lines = [line for line in content(name).decode().splitlines() if not line.startswith("#") and line.strip()]
    rows = list(csv.DictReader(lines))
    assert len(rows) == expected["rows"]
    assert Counter(row["msg_type"] for row in rows) == expected["message_types"]
    last: dict[str, int] = {}
    nodes: dict[str, Node] = {}
    for row in rows:
        if not (row["seq"] and row["payload_timestamp"]):
            continue
        topic = Topic("g", "NDATA", row["edge_node_id"])
        seq, sent_ms = int(row["seq"]), int(row["payload_timestamp"])
        node = nodes.get(row["edge_node_id"], Node(is_alive=True, is_trusted=True, aliases={"": {}}))
        heard = sparkplug.step(node, topic, empty(sent_ms, seq), NOW_MS)
        nodes[row["edge_node_id"]] = heard.node
        before = last.get(row["edge_node_id"])
        is_next = before is None or seq == (before + 1) % 256
        is_again = before is not None and (seq - before - 1) % 256 >= 128 and sent_ms <= node.newest_ms
        assert bool(heard.flags) == (not is_next and not is_again)
        if not is_again:
            last[row["edge_node_id"]] = seq
    assert len(nodes) <= expected["edge_nodes"]
    assert len(nodes) > 1


def empty(sent_ms: int, seq: int) -> bytes:
    return payload(sent_ms, seq)


def no_input(name: str, _expected: dict[str, Any]) -> None:
    """What the project writes or is checked against, never reads: EPCIS is an export, a schema is a schema."""
    assert name.startswith("epcis/") or name.endswith(".schema.json")


READERS: dict[str, Check] = {
    "tasmota/": tasmota_lines,
    "berlinger/": a_logger_file,
    "hobo/": a_logger_file,
    "ibutton/": a_logger_file,
    "wellzion/": a_logger_file,
    "elitech/": a_logger_file,
    "milesight/": milesight_vectors,
    "senml/": senml_pack,
    "ruuvi/df5": ruuvi_vectors,
    "ruuvi/mqtt": ruuvi_message,
    "thingsboard/": thingsboard_message,
    "lorawan-ttn/": a_network_servers_uplink,
    "lorawan-chirpstack/": a_network_servers_uplink,
    "who-ems/cce-interop-0.8.1-example": ems_delivery,
    "who-ems/cce-interop-0.8.1.schema": no_input,
    "epcis/": no_input,
    "sparkplug/pcap": sparkplug_sequence,
    "sparkplug/": sparkplug_bytes,
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_sample_gives_what_is_known_of_it(name: str) -> None:
    checks = [check for prefix, check in READERS.items() if name.startswith(prefix)]
    assert checks, f"no test reads {name}: say in READERS what does"
    check = senml_resolved if ".resolved." in name else checks[0]
    check(name, EXPECTED[name])


@pytest.mark.parametrize("folder", [SAMPLES] if EXPECTED else [])
def test_no_sample_is_without_an_expectation(folder: Path) -> None:
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert files - {"README.md", "expected.json"} == set(EXPECTED)


TEMPERATURE = """
name = "plant"
like = "sparkplug-b"
[[reading]]
temperature = "metrics.*emperature.*.value"
channel = "{1}emperature"
unit = "C"
"""


def plant(folder: Path) -> Iterator[tuple[str, Decoded]]:
    """The node of the samples: its birth, an update by alias, an update after four lost messages."""
    (folder / "plant.toml").write_text(TEMPERATURE)
    own = decoder(folder)
    nodes: dict[NodeKey, Node] = {}
    for name, kind in [("nbirth_v1", "NBIRTH"), ("ndata_v1", "NDATA"), ("ndata_gap", "NDATA")]:
        found = own.read(f"spBv1.0/g/{kind}/n", content(f"sparkplug/{name}.bin"), NOW_MS, nodes)
        nodes.update(found.nodes)
        yield name, found


@pytest.mark.parametrize("known", [EXPECTED["sparkplug/nbirth_v1.bin"]] if EXPECTED else [])
def test_a_nodes_birth_and_data_are_readings_by_a_mapping_that_names_metric_and_unit(
    known: dict[str, Any], tmp_path: Path
) -> None:
    found = dict(plant(tmp_path))
    (born,) = found["nbirth_v1"].batches
    assert (born.key, born.at_ms.tolist(), born.temperature_mc.tolist()) == (
        ("g:n", "Temperature"),
        [known["payload_ts_ms"]],
        [21_500],
    )
    (updated,) = found["ndata_v1"].batches
    assert updated.temperature_mc.tolist() == [22_500]
    assert found["ndata_gap"].refused == ("parked", "messages were missed: an alias may mean something else since")
    assert found["ndata_gap"].flags[0].startswith("sequence_gap: seq 5 where 2 follows")
    assert found["ndata_gap"].requests[0].topic == "spBv1.0/g/NCMD/n"
