"""The other contestants of the decoding benchmark: what a competent person writes with the usual parser of a format.

Parse, then comprehensions or numpy. They check nothing: a duplicate key, a number in a text, a time that cannot be, a
sentinel or an unknown unit goes through them unseen.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import cbor2
import numpy as np
import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from numpy.typing import NDArray

Columns = tuple[NDArray[np.int64], NDArray[np.int32]]
"""Instants [ms] and temperatures [milli-degC] of one channel."""

_FAULT = -(2**31)


def json_columns(payload: bytes) -> Columns:
    document = json.loads(payload)
    at = [document["t0"] + i * document["every"] for i in range(len(document["mc"]))]
    return np.array(at, dtype=np.int64), np.array([_FAULT if mc is None else mc for mc in document["mc"]], np.int32)


def json_columns_fast(payload: bytes) -> Columns:
    """Nothing of these formats is read faster in Python: the limit that is given for JSON columns is measured so."""
    document = orjson.loads(payload)
    mc, t0, every = document["mc"], document["t0"], document["every"]
    return np.arange(t0, t0 + len(mc) * every, every), np.array(mc, np.int32)


def cbor_columns(payload: bytes) -> Columns:
    document = cbor2.loads(payload)
    offsets, mc = (np.frombuffer(document[key].value, "<i4") for key in ("dt", "mc"))
    return document["t0"] + offsets.astype(np.int64), mc.astype(np.int32)


def cbor_columns_even(payload: bytes) -> Columns:
    document = cbor2.loads(payload)
    mc, t0, every = np.frombuffer(document["mc"].value, "<i4"), document["t0"], document["every"]
    return np.arange(t0, t0 + len(mc) * every, every), mc.astype(np.int32)


def json_rows(payload: bytes) -> Columns:
    rows = json.loads(payload)["readings"]
    at = [round(datetime.fromisoformat(row["at"]).timestamp() * 1000) for row in rows]
    return np.array(at, dtype=np.int64), np.array([round(row["c"] * 1000) for row in rows], np.int32)


def senml_json(payload: bytes) -> Columns:
    return _senml(json.loads(payload), "bt", "t", "v")


def senml_cbor(payload: bytes) -> Columns:
    return _senml(cbor2.loads(payload), -3, 6, 2)


def _senml(records: Any, base: str | int, time: str | int, value: str | int) -> Columns:
    start = records[0][base]
    at = [round((start + record[time]) * 1000) for record in records]
    return np.array(at, dtype=np.int64), np.array([round(record[value] * 1000) for record in records], np.int32)


def sparkplug(payload: bytes) -> Columns:
    """Google's runtime, which is written in C, with the field numbers of the specification."""
    metrics = _SPARKPLUG.FromString(payload).metrics
    at = [metric.timestamp for metric in metrics]
    return np.array(at, dtype=np.int64), np.array([1000 * metric.int_value for metric in metrics], np.int32)


def _sparkplug_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="sparkplug", syntax="proto2")
    metric, payload = file.message_type.add(name="Metric"), file.message_type.add(name="Payload")
    uint64, uint32, boolean = (
        descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
        descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
        descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    )
    fields = [("alias", 2, uint64), ("timestamp", 3, uint64), ("datatype", 4, uint32), ("is_historical", 5, boolean)]
    for name, number, kind in [*fields, ("int_value", 10, uint32)]:
        metric.field.add(name=name, number=number, type=kind, label=1)
    for name, number in [("timestamp", 1), ("seq", 3)]:
        payload.field.add(name=name, number=number, type=uint64, label=1)
    payload.field.add(name="metrics", number=2, type=11, type_name=".sparkplug.Metric", label=3)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("sparkplug.Payload"))


_SPARKPLUG = _sparkplug_class()


def uplink(payload: bytes) -> Columns:
    message = json.loads(payload)["uplink_message"]
    at = np.datetime64(message["received_at"][:23], "ms").astype(np.int64)
    return np.array([at]), np.array([round(message["decoded_payload"]["temperature"] * 1000)], np.int32)
