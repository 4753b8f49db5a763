"""Decoding: from the bytes of a message to columns with every check, format by format, beside plain scripts.

A message of one reading shows what a message costs, one of a thousand what a reading costs. Every contestant's columns
are compared before anything is timed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import cbor2
import numpy as np

from benchmarks import decoding_scripts as scripts
from benchmarks.decoding_scripts import Columns
from benchmarks.harness import Row, race
from gateways.decoders import Node, NodeKey, decoder, node_key
from gateways.decoders.protobuf import bytes_field, varint_field

MESSAGES = {1: 2000, 12: 1000, 100: 250, 1000: 50}
"""How many messages are read, by how many readings each holds."""

T0, EVERY_MS = 1_760_000_000_000, 60_000
RECEIVED_MS = T0 + max(MESSAGES) * EVERY_MS
NATIVE = "coldchain/v1/basel/gw-1/lg-1001/readings"
TTS = "v3/depot@tenant/devices/fridge-7/up"

NOT_SLOWER = 1.0
"""A goal of our own, from a hundred readings a message on: with every check not slower than a script with none."""

_DECODER = decoder()


class Format(NamedTuple):
    """One format: what messages it is written in, how many readings each holds, and the scripts that read them.

    `goals`: the least ratio to a script, of messages with a hundred readings or more.
    """

    job: str
    topic: str
    written: Callable[[Sequence[int]], bytes]
    scripts: Mapping[str, Callable[[bytes], Columns]]
    sizes: Sequence[int] = tuple(MESSAGES)
    goals: Mapping[str, float] = {}


class Contest(NamedTuple):
    """Messages of one format with equally many readings, and who reads them."""

    job: str
    messages: Sequence[tuple[str, bytes]]
    scripts: Mapping[str, Callable[[bytes], Columns]]
    goals: Mapping[str, float]


def temperatures(seed: int, readings: int) -> list[int]:
    """A refrigerator at 5 degC, to 0.01 [milli-degC]."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, no secret
    return [round(rng.gauss(500, 60)) * 10 for _ in range(readings)]


def _compact(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def native_columns(mc: Sequence[int]) -> dict[str, Any]:
    return {"v": 1, "logger": "lg-1001", "channel": "1", "boot": 3, "seq": 1201, "t0": T0, "every": EVERY_MS, "mc": mc}


def native_json(mc: Sequence[int]) -> bytes:
    return _compact(native_columns(mc))


def native_cbor(mc: Sequence[int]) -> bytes:
    offsets = np.arange(len(mc), dtype="<i4") * np.int32(EVERY_MS)
    typed = {"dt": cbor2.CBORTag(78, offsets.tobytes()), "mc": cbor2.CBORTag(78, np.array(mc, "<i4").tobytes())}
    document = {key: value for key, value in native_columns(mc).items() if key not in {"every", "mc"}}
    return cbor2.dumps(document | typed)


def native_cbor_even(mc: Sequence[int]) -> bytes:
    """As our agent writes it where the steps are even."""
    return cbor2.dumps(native_columns([]) | {"mc": cbor2.CBORTag(78, np.array(mc, "<i4").tobytes())})


def native_rows(mc: Sequence[int]) -> bytes:
    moments = (np.datetime64(T0 + i * EVERY_MS, "ms") for i in range(len(mc)))
    rows = [{"at": f"{at}Z", "c": value / 1000} for at, value in zip(moments, mc, strict=True)]
    return _compact({"logger": "lg-1001", "readings": rows})


def senml(mc: Sequence[int]) -> list[dict[str, Any]]:
    first = {"bn": "lg-1001", "bt": T0 / 1000, "bu": "Cel", "t": 0, "v": mc[0] / 1000}
    return [first] + [{"t": i * EVERY_MS // 1000, "v": value / 1000} for i, value in enumerate(mc) if i]


def senml_json(mc: Sequence[int]) -> bytes:
    return _compact(senml(mc))


def senml_cbor(mc: Sequence[int]) -> bytes:
    labels = {"bn": -2, "bt": -3, "bu": -4, "v": 2, "t": 6}
    return cbor2.dumps([{labels[label]: value for label, value in record.items()} for record in senml(mc)])


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


def uplink(mc: Sequence[int]) -> bytes:
    """One reading, as LoRaWAN sends it: The Things Stack v3."""
    measured = {"temperature": mc[0] / 1000, "humidity": 40.5, "battery": 97}
    sent = {"f_port": 2, "f_cnt": 9, "received_at": "2026-05-28T20:26:30.123456789Z", "decoded_payload": measured}
    device = {"device_id": "fridge-7", "dev_eui": "70B3D57ED0001A2B"}
    return _compact({"end_device_ids": device, "received_at": "2026-05-28T20:26:31Z", "uplink_message": sent})


PLAIN, PLAIN_CBOR = "json.loads, comprehensions", "cbor2.loads, comprehensions"
FORMATS = (
    Format(
        "native JSON columns",
        NATIVE,
        native_json,
        {PLAIN: scripts.json_columns, "orjson.loads, numpy": scripts.json_columns_fast},
        goals={PLAIN: NOT_SLOWER},
    ),
    Format("native CBOR, times and mc", NATIVE, native_cbor, {"cbor2.loads, numpy": scripts.cbor_columns}),
    Format("native CBOR, even steps", NATIVE, native_cbor_even, {"cbor2.loads, numpy": scripts.cbor_columns_even}),
    Format("native JSON rows", NATIVE, native_rows, {PLAIN: scripts.json_rows}, goals={PLAIN: NOT_SLOWER}),
    Format("SenML JSON", "senml/x", senml_json, {PLAIN: scripts.senml_json}, sizes=(1, 12, 100)),
    Format("SenML CBOR", "senml/x", senml_cbor, {PLAIN_CBOR: scripts.senml_cbor}, sizes=(1, 12, 100)),
    Format(
        "Sparkplug B, stored values",
        "spBv1.0/g/NDATA/n",
        sparkplug,
        {"protobuf in C, comprehensions": scripts.sparkplug},
        sizes=(1, 100),
    ),
    Format("mapping profile", TTS, uplink, {PLAIN: scripts.uplink}, sizes=(1,)),
)


def contest(one: Format, readings: int, messages: int | None = None) -> Contest:
    """Messages of a format with so many readings each."""
    is_whole = one.written is sparkplug  # its integers are whole degC
    columns = (temperatures(seed, readings) for seed in range(messages or MESSAGES[readings]))
    mc = ([1000 * (value // 1000) for value in column] if is_whole else column for column in columns)
    sent = [(one.topic, one.written(column)) for column in mc]
    return Contest(f"{one.job}, {readings} a message", sent, one.scripts, one.goals if readings >= 100 else {})


def ours(one: Contest, nodes: dict[NodeKey, Node]) -> list[Columns]:
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


def assert_agree(one: Contest, nodes: dict[NodeKey, Node]) -> int:
    """Every column must be the same; how many readings there are."""
    readings = 0
    for (at, mc), (_, payload) in zip(ours(one, nodes), one.messages, strict=True):
        for script in one.scripts.values():
            their_at, their_mc = script(payload)
            kept = len(their_at)
            # behind what a node stored stands what it holds now, which the plain script knows nothing of
            np.testing.assert_array_equal(np.sort(at)[:kept], their_at)
            np.testing.assert_array_equal(mc[np.argsort(at, kind="stable")][:kept], their_mc)
        readings += kept
    return readings


def measure() -> list[Row]:
    """One row for each format, number of readings in a message and script."""
    nodes = known_nodes()
    rows: list[Row] = []
    for one in (contest(each, readings) for each in FORMATS for readings in each.sizes):
        readings = assert_agree(one, nodes)
        references = {
            name: lambda script=script, one=one: [script(payload) for _, payload in one.messages]
            for name, script in one.scripts.items()
        }
        rows += race(
            f"decoding, {one.job}",
            readings,
            lambda one=one: ours(one, nodes),  # type: ignore[misc]  # the loop's own value
            references,
            goal=one.goals,
        )
    return rows
