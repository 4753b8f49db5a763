"""The wire format of Protocol Buffers, as far as Sparkplug needs it: fields of a message, and messages from fields.

Facts: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from coldchain.errors import RejectedPayload

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types; the groups 3 and 4 are of the past and refused."""

Field = tuple[int, int, int | bytes]
"""Number, wire type, value: an int for VARINT, the raw bytes for all others."""

_LONGEST_VARINT = 10


def fields(message: bytes) -> Iterator[Field]:
    """The fields of a message in their order; RejectedPayload at the first byte that is none."""
    at, end = 0, len(message)
    while at < end:
        key, at = (message[at], at + 1) if message[at] < 0x80 else _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if not 1 <= number < 2**29:
            raise _broken(f"field number {number}")
        if wire_type == VARINT:
            value, at = _varint(message, at)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            length, at = _varint(message, at)
        elif wire_type == FIXED64:
            length = 8
        elif wire_type == FIXED32:
            length = 4
        else:
            raise _broken(f"wire type {wire_type}")
        if at + length > end:
            raise _broken(f"field {number} needs {length} bytes, {end - at} are left")
        yield number, wire_type, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that begins at a byte, and where the next one begins."""
    value = shift = 0
    for byte in message[at : at + _LONGEST_VARINT]:
        at += 1
        if byte < 0x80:
            return (value | byte << shift) & 0xFFFF_FFFF_FFFF_FFFF, at
        value |= (byte & 0x7F) << shift
        shift += 7
    raise _broken("a number that does not end")


def _broken(problem: str) -> RejectedPayload:
    return RejectedPayload("not_protobuf", problem)


def float32(data: bytes) -> float:
    """The value of a `float` field."""
    value: float = struct.unpack("<f", data)[0]
    return value


def float64(data: bytes) -> float:
    """The value of a `double` field."""
    value: float = struct.unpack("<d", data)[0]
    return value


def varint_field(number: int, value: int) -> bytes:
    """An unsigned integer or a bool as a field."""
    return _encoded_varint(number << 3 | VARINT) + _encoded_varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A text or a message as a field."""
    return _encoded_varint(number << 3 | BYTES) + _encoded_varint(len(value)) + value


def _encoded_varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
