"""CBOR for the second parser: RFC 8949 as far as payloads may use it, read byte by byte."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

MOST_LEVELS = 16


class Refused(Exception):
    """The payload is not of the form."""


class Sint32(tuple[int, ...]):
    """A typed array of CBOR, which is no list."""

    __slots__ = ()


class Bytes(NamedTuple):
    content: bytes


class Odd(NamedTuple):
    """A CBOR value that no rule has a use for, such as undefined."""

    number: int


class Cbor:
    """RFC 8949, the generic data model; tag 78 only."""

    def __init__(self, payload: bytes) -> None:
        self._payload, self.at = payload, 0

    def item(self, level: int, *, may_break: bool = False) -> Any:
        first = self._take(1)[0]
        major, extra = first >> 5, first & 31
        if first == 0xFF:
            if may_break:
                return StopIteration
            raise Refused
        if major == 7:
            return self._simple(extra)
        length = None if extra == 31 else self._argument(extra)
        if major in {0, 1, 6} and length is None:
            raise Refused
        if major == 0:
            return length
        if major == 1:
            assert length is not None
            return -1 - length
        if major == 2:
            return Bytes(self._string(2, length))
        if major == 3:
            return self._text(length)
        if level > MOST_LEVELS and length != 0:
            raise Refused
        if major == 4:
            return self._list(length, level)
        if major == 5:
            return self._map(length, level)
        if length != 78:
            raise Refused
        content = self.item(level + 1)
        if not isinstance(content, Bytes) or len(content.content) % 4:
            raise Refused
        return Sint32(struct.unpack(f"<{len(content.content) // 4}i", content.content))

    def _take(self, count: int) -> bytes:
        found = self._payload[self.at : self.at + count]
        if len(found) != count:
            raise Refused
        self.at += count
        return found

    def _argument(self, extra: int) -> int:
        if extra < 24:
            return extra
        if extra > 27:
            raise Refused
        return int.from_bytes(self._take(1 << (extra - 24)), "big")

    def _simple(self, extra: int) -> Any:
        if extra == 24:
            number = self._take(1)[0]
            if number < 32:
                raise Refused
            return Odd(number)
        if extra in {25, 26, 27}:
            size = {25: 2, 26: 4, 27: 8}[extra]
            return struct.unpack({2: ">e", 4: ">f", 8: ">d"}[size], self._take(size))[0]
        if extra > 27:
            raise Refused
        return {20: False, 21: True, 22: None}.get(extra, Odd(extra))

    def _string(self, major: int, length: int | None) -> bytes:
        return b"".join(self._chunks(major, length))

    def _chunks(self, major: int, length: int | None) -> list[bytes]:
        if length is not None:
            return [self._take(length)]
        parts = []
        while (first := self._take(1)[0]) != 0xFF:
            if first >> 5 != major or first & 31 == 31:
                raise Refused
            parts.append(self._take(self._argument(first & 31)))
        return parts

    def _text(self, length: int | None) -> str:
        try:
            return "".join(part.decode("utf-8", "strict") for part in self._chunks(3, length))
        except UnicodeDecodeError as exc:
            raise Refused from exc

    def _list(self, length: int | None, level: int) -> list[Any]:
        found: list[Any] = []
        while length is None or len(found) < length:
            value = self.item(level + 1, may_break=length is None)
            if value is StopIteration:
                break
            found.append(value)
        return found

    def _map(self, length: int | None, level: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        while length is None or len(found) < length:
            key = self.item(level + 1, may_break=length is None)
            if key is StopIteration:
                break
            if not isinstance(key, str | Bytes) or key in found:
                raise Refused
            found[key] = self.item(level + 1)
        return found
