"""Sparkplug B payloads for tests, written and read by Google's runtime from the specification's field numbers.

It shares nothing with the reader under test: an independent second opinion on every byte.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

OPTIONAL, REPEATED = 1, 3
TYPES = {"double": 1, "float": 2, "uint64": 4, "bool": 8, "string": 9, "bytes": 12, "uint32": 13}
INT8, INT16, INT32, INT64, UINT64, FLOAT, DOUBLE, BOOLEAN, STRING = 1, 2, 3, 4, 8, 9, 10, 11, 12

MESSAGES: dict[str, list[tuple[str, int, str, int]]] = {
    "PropertyValue": [
        ("type", 1, "uint32", OPTIONAL),
        ("is_null", 2, "bool", OPTIONAL),
        ("string_value", 8, "string", OPTIONAL),
    ],
    "PropertySet": [("keys", 1, "string", REPEATED), ("values", 2, "PropertyValue", REPEATED)],
    "Metric": [
        ("name", 1, "string", OPTIONAL),
        ("alias", 2, "uint64", OPTIONAL),
        ("timestamp", 3, "uint64", OPTIONAL),
        ("datatype", 4, "uint32", OPTIONAL),
        ("is_historical", 5, "bool", OPTIONAL),
        ("is_transient", 6, "bool", OPTIONAL),
        ("is_null", 7, "bool", OPTIONAL),
        ("properties", 9, "PropertySet", OPTIONAL),
        ("int_value", 10, "uint32", OPTIONAL),
        ("long_value", 11, "uint64", OPTIONAL),
        ("float_value", 12, "float", OPTIONAL),
        ("double_value", 13, "double", OPTIONAL),
        ("boolean_value", 14, "bool", OPTIONAL),
        ("string_value", 15, "string", OPTIONAL),
    ],
    "Payload": [
        ("timestamp", 1, "uint64", OPTIONAL),
        ("metrics", 2, "Metric", REPEATED),
        ("seq", 3, "uint64", OPTIONAL),
        ("uuid", 4, "string", OPTIONAL),
        ("body", 5, "bytes", OPTIONAL),
    ],
}
VALUES = ("int_value", "long_value", "float_value", "double_value", "boolean_value", "string_value")


def _payload_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="sparkplug", syntax="proto2")
    for name, parts in MESSAGES.items():
        message = file.message_type.add(name=name)
        if name == "Metric":
            message.oneof_decl.add(name="value")
        for key, number, kind, label in parts:
            field = message.field.add(name=key, number=number, label=label)
            if kind in TYPES:
                field.type = TYPES[kind]
            else:
                field.type, field.type_name = 11, f".sparkplug.{kind}"
            if name == "Metric" and key in VALUES:
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("sparkplug.Payload"))


Payload = _payload_class()


def metric(
    name: str = "", value: float | None = None, *, unit: str = "", datatype: int = DOUBLE, **more: Any
) -> dict[str, Any]:
    """A metric of a double, or of an integer type as its two's complement."""
    found: dict[str, Any] = {"datatype": datatype} | ({"name": name} if name else {}) | more
    if value is None:
        found.setdefault("is_null", True)
    elif datatype == DOUBLE:
        found["double_value"] = value
    elif datatype == FLOAT:
        found["float_value"] = value
    elif datatype in {INT64, UINT64}:
        found["long_value"] = int(value) & 0xFFFF_FFFF_FFFF_FFFF
    elif datatype == BOOLEAN:
        found["boolean_value"] = bool(value)
    else:
        found["int_value"] = int(value) & 0xFFFF_FFFF
    if unit:
        found["properties"] = {"keys": ["engUnit"], "values": [{"type": STRING, "string_value": unit}]}
    return found


def payload(sent_ms: int | None, seq: int | None, *metrics: dict[str, Any]) -> bytes:
    """The bytes of a payload."""
    message = Payload(metrics=[dict(one) for one in metrics])
    if sent_ms is not None:
        message.timestamp = sent_ms
    if seq is not None:
        message.seq = seq
    return bytes(message.SerializeToString())


def parsed(data: bytes) -> Any:
    """The payload as Google's runtime reads it; its DecodeError if it is none."""
    message = Payload()
    message.ParseFromString(data)
    return message
