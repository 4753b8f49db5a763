"""Decoding: from the bytes of a message to columns with every check, format by format, beside a plain script.

The references are what a competent person would write with the usual parser of each format: parse, then list
comprehensions to numpy. They check nothing: a duplicate key, a number in a text, a time that cannot be, a sentinel or
an unknown unit goes through them unseen. Every contestant's columns are compared before anything is timed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import cbor2
import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Row, race
from gateways.decoders import Node, NodeKey, decoder, node_key
from gateways.decoders.protobuf import bytes_field, varint_field
from gateways.decoders.sparkplug_payload import parse

MESSAGES, READINGS = 60, 100
T0, EVERY_MS = 1_760_000_000_000, 60_000
RECEIVED_MS = T0 + READINGS * EVERY_MS
NATIVE = "coldchain/v1/basel/gw-1/lg-1001/readings"
TTS = "v3/depot@tenant/devices/fridge-7/up"

Columns = tuple[NDArray[np.int64], NDArray[np.int32]]
"""Instants [ms] and temperatures [milli-degC] of one channel."""

_DECODER = decoder()


class Format(NamedTuple):
    """Messages of one format, and how a plain script reads one of them."""

    job: str
    reference: str
    messages: Sequence[tuple[str, bytes]]
    script: Callable[[bytes], Columns]


def temperatures(seed: int) -> list[int]:
    """A refrigerator at 5 degC, to 0.01 [milli-degC]."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, no secret
    return [round(rng.gauss(500, 60)) * 10 for _ in range(READINGS)]


def _compact(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def native_columns(mc: Sequence[int]) -> dict[str, Any]:
    return {"v": 1, "logger": "lg-1001", "channel": "1", "boot": 3, "seq": 1201, "t0": T0, "every": EVERY_MS, "mc": mc}


def columns_script(payload: bytes) -> Columns:
    document = json.loads(payload)
    at = [document["t0"] + i * document["every"] for i in range(len(document["mc"]))]
    return np.array(at, dtype=np.int64), np.array([-(2**31) if mc is None else mc for mc in document["mc"]], np.int32)


def native_cbor(mc: Sequence[int]) -> bytes:
    offsets = np.arange(len(mc), dtype="<i4") * np.int32(EVERY_MS)
    typed = {"dt": cbor2.CBORTag(78, offsets.tobytes()), "mc": cbor2.CBORTag(78, np.array(mc, "<i4").tobytes())}
    document = {key: value for key, value in native_columns(mc).items() if key not in {"every", "mc"}}
    return cbor2.dumps(document | typed)


def cbor_script(payload: bytes) -> Columns:
    document = cbor2.loads(payload)
    offsets, mc = (np.frombuffer(document[key].value, "<i4") for key in ("dt", "mc"))
    return document["t0"] + offsets.astype(np.int64), mc.astype(np.int32)


def native_rows(mc: Sequence[int]) -> bytes:
    moments = (np.datetime64(T0 + i * EVERY_MS, "ms") for i in range(len(mc)))
    rows = [{"at": f"{at}Z", "c": value / 1000} for at, value in zip(moments, mc, strict=True)]
    return _compact({"logger": "lg-1001", "readings": rows})


def rows_script(payload: bytes) -> Columns:
    rows = json.loads(payload)["readings"]
    at = [round(datetime.fromisoformat(row["at"]).timestamp() * 1000) for row in rows]
    return np.array(at, dtype=np.int64), np.array([round(row["c"] * 1000) for row in rows], np.int32)


def senml(mc: Sequence[int]) -> list[dict[str, Any]]:
    first = {"bn": "lg-1001", "bt": T0 / 1000, "bu": "Cel", "t": 0, "v": mc[0] / 1000}
    return [first] + [{"t": i * EVERY_MS // 1000, "v": value / 1000} for i, value in enumerate(mc) if i]


def senml_cbor(mc: Sequence[int]) -> bytes:
    labels = {"bn": -2, "bt": -3, "bu": -4, "v": 2, "t": 6}
    return cbor2.dumps([{labels[label]: value for label, value in record.items()} for record in senml(mc)])


def senml_script(payload: bytes) -> Columns:
    return _senml_columns(json.loads(payload), "bt", "t", "v")


def senml_cbor_script(payload: bytes) -> Columns:
    return _senml_columns(cbor2.loads(payload), -3, 6, 2)


def _senml_columns(records: Any, base: str | int, time: str | int, value: str | int) -> Columns:
    start = records[0][base]
    at = [round((start + record[time]) * 1000) for record in records]
    return np.array(at, dtype=np.int64), np.array([round(record[value] * 1000) for record in records], np.int32)


def sparkplug(mc: Sequence[int]) -> bytes:
    """One message of stored values, by alias, as a node sends them after it was offline."""
    metrics = b"".join(
        bytes_field(
            2,
            varint_field(2, 1)
            + varint_field(3, T0 + i * EVERY_MS)
            + varint_field(4, 3)
            + varint_field(5, 1)
            + varint_field(10, value // 1000),
        )
        for i, value in enumerate(mc)
    )
    return varint_field(1, RECEIVED_MS) + metrics + varint_field(3, 1)


def sparkplug_birth() -> bytes:
    unit = bytes_field(9, bytes_field(1, b"engUnit") + bytes_field(2, bytes_field(8, b"C")))
    metric = bytes_field(1, b"Air") + varint_field(2, 1) + varint_field(4, 3) + varint_field(10, 5) + unit
    return varint_field(1, T0 - 1) + bytes_field(2, metric) + varint_field(3, 0)


def sparkplug_script(payload: bytes) -> Columns:
    """Our own reader of the wire format, and comprehensions: there is no usual parser in Python to stand here."""
    metrics = parse(payload).metrics
    at = [metric.timestamp_ms for metric in metrics]
    return np.array(at, dtype=np.int64), np.array([1000 * (metric.raw or 0) for metric in metrics], np.int32)


def uplink(mc: Sequence[int]) -> list[tuple[str, bytes]]:
    """One reading a message, as LoRaWAN sends them: The Things Stack v3."""
    return [
        (
            TTS,
            _compact(
                {
                    "end_device_ids": {"device_id": "fridge-7", "dev_eui": "70B3D57ED0001A2B"},
                    "received_at": "2026-05-28T20:26:31Z",
                    "uplink_message": {
                        "f_port": 2,
                        "f_cnt": i,
                        "received_at": "2026-05-28T20:26:30.123456789Z",
                        "decoded_payload": {"temperature": value / 1000, "humidity": 40.5, "battery": 97},
                    },
                }
            ),
        )
        for i, value in enumerate(mc)
    ]


def uplink_script(payload: bytes) -> Columns:
    message = json.loads(payload)["uplink_message"]
    at = np.datetime64(message["received_at"][:23], "ms").astype(np.int64)
    return np.array([at]), np.array([round(message["decoded_payload"]["temperature"] * 1000)], np.int32)


def formats(messages: int = MESSAGES) -> list[Format]:
    """Every format with its messages: `READINGS` readings each, one each where a gateway sends no more."""
    mc = [temperatures(seed) for seed in range(messages)]
    whole = [[1000 * (value // 1000) for value in one] for one in mc]
    plain = "json.loads, comprehensions"
    return [
        Format("native JSON columns", plain, [(NATIVE, _compact(native_columns(one))) for one in mc], columns_script),
        Format(
            "native CBOR typed arrays", "cbor2.loads, numpy", [(NATIVE, native_cbor(one)) for one in mc], cbor_script
        ),
        Format("native JSON rows", plain, [(NATIVE, native_rows(one)) for one in mc], rows_script),
        Format("SenML JSON", plain, [("senml/x", _compact(senml(one))) for one in mc], senml_script),
        Format(
            "SenML CBOR",
            "cbor2.loads, comprehensions",
            [("senml/x", senml_cbor(one)) for one in mc],
            senml_cbor_script,
        ),
        Format(
            "Sparkplug B, stored values",
            "wire reader alone",
            [("spBv1.0/g/NDATA/n", sparkplug(one)) for one in whole],
            sparkplug_script,
        ),
        Format("mapping profile, 1 a message", plain, uplink([value for one in mc for value in one]), uplink_script),
    ]


def ours(one: Format, nodes: dict[NodeKey, Node]) -> list[Columns]:
    """The way of the service: the readings of the logger in each message."""
    found = []
    for topic, payload in one.messages:
        batches = _DECODER.read(topic, payload, RECEIVED_MS, nodes).batches
        found.append((batches[0].at_ms, batches[0].temperature_mc))
    return found


def known_nodes() -> dict[NodeKey, Node]:
    """The edge node of the Sparkplug messages, after its birth."""
    topic = "spBv1.0/g/NBIRTH/n"
    key = node_key(topic)
    assert key is not None
    return dict(_DECODER.read(topic, sparkplug_birth(), T0, {}).nodes)


def assert_agree(one: Format, nodes: dict[NodeKey, Node]) -> int:
    """Every column must be the same; how many readings there are."""
    readings = 0
    for (at, mc), (_, payload) in zip(ours(one, nodes), one.messages, strict=True):
        their_at, their_mc = one.script(payload)
        kept = len(their_at)
        # behind what a node stored stands what it holds now, which the plain script knows nothing of
        np.testing.assert_array_equal(np.sort(at)[:kept], their_at)
        np.testing.assert_array_equal(mc[np.argsort(at, kind="stable")][:kept], their_mc)
        readings += kept
    return readings


def measure() -> list[Row]:
    """One row for each format."""
    nodes = known_nodes()
    rows: list[Row] = []
    for one in formats():
        readings = assert_agree(one, nodes)
        rows += race(
            f"decoding, {one.job}",
            readings,
            lambda one=one: ours(one, nodes),  # type: ignore[misc]  # the loop's own value
            {one.reference: lambda one=one: [one.script(payload) for _, payload in one.messages]},  # type: ignore[misc]
        )
    return rows
