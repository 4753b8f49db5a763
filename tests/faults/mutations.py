"""Malformed payloads: valid ones of every form, broken as payloads break in the field and as attackers break them."""

from __future__ import annotations

import copy
import json
import random
import struct
from typing import Any

import cbor2

from coldchain.readings import FAULT_MC
from service_values import MINUTE_MS, START_MS

LOGGER = "lg-1"
TOPIC = f"coldchain/v1/basel/gw-1/{LOGGER}/readings"

_ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -0.0, 1, -1, 1.5, "", "1", "5120", "lg-1", "lg/1", "a" * 64, "a" * 65, "\u00e9", "\u200b",
    "\x00", "\u202e", [], {}, [1], [[]], {"a": 1}, {"0": "probe_open"}, {"00": "x"}, {"-1": "x"}, {"0": None},
    2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 1e-7,
    1e15, 1e308, -273.15, 1000.0, -273_151, 1_000_001, 7_289_654_399_999, 7_289_654_400_000, START_MS, 5.1245, 5.1255,
    1e22,
)  # fmt: skip

_KEYS = (
    "v", "logger", "channel", "boot", "seq", "t0", "every", "dt", "mc", "fault", "readings", "at", "c", "f", "k", "x",
)  # fmt: skip

_INSTANTS = (
    "2026-03-01T10:00:00Z", "2026-03-01 10:00Z", "2026-03-01T10:00:00.123456789+01:00", "2026-03-01T10:00:00+0100",
    "2026-03-01T10:00:00", "2026-02-29T10:00:00Z", "2024-02-29T10:00:00Z", "2026-03-01T24:00:00Z",
    "2026-03-01T10:60Z", "2026-03-01T10:00:60Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "2200-12-31T23:59:59.999Z",
    "2201-01-01T00:00:00Z", "2026-03-01t10:00:00z", "20260301T100000Z", "2026-03-01T10:00:00+24:00",
    "2026-03-01T10:00:00+00:60", "2026-3-1T10:00Z", "2026-03-01T10:00:00,5Z", "\u0662026-03-01T10:00:00Z",
    "2026-03-01T10:00:00.Z", "1970-01-01T00:30:00+00:31",
)  # fmt: skip

_RAW = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1" + b"0" * 400, b"01", b"+1", b"1.", b".5", b"-",
    b"--1", b"0x10", b"1e", b"1e5", b"5.0", b"-0", b"-0.0", b"true", b"nul", b"'a'", b'"\\ud800"',
    b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\\x41"', b'"\\u004"', b'"\x01"', b'"\t"', b'"\xff"',
    b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b"[" * 20 + b"]" * 20, b"[" * 13 + b"]" * 13,
    b"[" * 14 + b"]" * 14, b"[" * 15 + b"]" * 15, b"[" * 16 + b"]" * 16, b'{"a":1,"a":1}', b'{"a":1,"\\u0061":1}',
    b'{"a":"\\\\","b":"\\""}', b"[1,]", b"[,1]", b"{,}", b"18446744073709551616", b"9223372036854775808",
    b"1.7976931348623157e308", b"1.7976931348623159e308", b"4.9e-324", b"\xef\xbb\xbf1", b"/*c*/1", b"1//c",
    b"\xc2\xa01", b"9007199254740993", b"5120.0", b"5.12e3", b"0.00000000000000000000000000000001",
    b"123456789012345678901234567890",
)  # fmt: skip

_TAGGED = (
    cbor2.CBORTag(78, b""), cbor2.CBORTag(78, b"\x01"), cbor2.CBORTag(78, b"\x00\x14\x00\x00"),
    cbor2.CBORTag(77, b"\x00\x14\x00\x00"), cbor2.CBORTag(78, "text"), cbor2.CBORTag(78, [1]),
    cbor2.CBORTag(78, cbor2.CBORTag(78, b"")), cbor2.CBORTag(0, "2026-03-01T10:00:00Z"), cbor2.CBORTag(2, b"\x01"),
    cbor2.CBORTag(4, [-2, 512]), cbor2.CBORTag(28, [1]), cbor2.CBORTag(29, 0), cbor2.CBORTag(35, "(a+)+$"),
    cbor2.CBORTag(55799, 1), cbor2.CBORTag(256, ["a"]), cbor2.CBORTag(78, struct.pack("<i", FAULT_MC)),
    cbor2.CBORTag(78, struct.pack("<2i", 5120, 5)),
)  # fmt: skip

_RAW_CBOR = (
    b"\xf6", b"\xf7", b"\xf4", b"\xf5", b"\xe0", b"\xf8\x10", b"\xf8\x20", b"\xf8\xff", b"\xf9\x7e\x00",
    b"\xf9\x7c\x00", b"\xf9\x45\x1f", b"\xfa\x40\xa3\xd7\x0a", b"\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00", b"\xff",
    b"\x1b" + b"\xff" * 8, b"\x3b" + b"\xff" * 8, b"\x18\x05", b"\x1c", b"\x1f", b"\x5f\x41\x00\xff",
    b"\x5f\x41\x00\x61a\xff", b"\x7f\x61a\xff", b"\x7f\x61\xc3\x61\xa9\xff", b"\x7f\xff", b"\x9f\x01\xff",
    b"\x9f\xff", b"\xbf\xff", b"\xbf\x61a\x01\xff", b"\xbf\x61a\xff", b"\xa1\x01\x02", b"\xa1\x41a\x02",
    b"\xa1\xf6\x02", b"\xa2\x61a\x01\x61a\x02", b"\x5b" + b"\xff" * 8, b"\x9b" + b"\xff" * 8, b"\xbb" + b"\xff" * 8,
    b"\x9a\x00\x10\x00\x00", b"\x61\xff", b"\x63\xed\xa0\x80", b"\x81" * 12 + b"\x01", b"\x81" * 14 + b"\x01",
    b"\x81" * 15 + b"\x01", b"\x81" * 16 + b"\x01", b"\x81" * 40 + b"\x01", b"\xd8\x4e\x5f\x44\x00\x14\x00\x00\xff",
    b"\xc1\x01", b"\xd8\x4e", b"\x7b\x00\x00\x00\x00\x00\x00\x00\x01a", b"\xa1\xf9\x7e\x00\x01", b"\x81\xa1\x80\x01",
    b"\xfc", b"\xfe",
)  # fmt: skip


class Mutant:
    """A stream of payloads that one seed decides. About one in seven is valid still: those must be read alike too."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 (no secret)

    def next(self) -> bytes:
        """The next payload."""
        document = self._valid()
        as_cbor = self._chance.random() < 0.4
        for _ in range(self._chance.choice((0, 1, 1, 1, 2, 3))):
            self._break(document)
        mark = "\U0001f9ca"
        splice = self._chance.random() < 0.25
        if splice:
            self._somewhere(document)[self._chance.choice(_KEYS)] = mark
        payload = self._cbor(document) if as_cbor else self._json(document)
        if splice:
            if as_cbor:
                payload = payload.replace(b"\x64" + mark.encode(), self._chance.choice(_RAW_CBOR), 1)
            else:
                payload = payload.replace(b'"' + mark.encode() + b'"', self._chance.choice(_RAW), 1)
        if self._chance.random() < 0.3:
            payload = self._broken(payload)
        return payload

    def _valid(self) -> dict[str, Any]:
        chance = self._chance
        count = chance.choice((1, 2, 3, 5, 12))
        document: dict[str, Any] = {"v": 1, "logger": LOGGER}
        if chance.random() < 0.6:
            document |= {"channel": "1", "boot": chance.randint(0, 9), "seq": chance.randint(0, 9999)}
        if chance.random() < 0.35:
            document["readings"] = self._rows(count)
            return document
        mc = [chance.choice((5120, 5080, 2000, 8000, -80_000, None, 1_000_000, -273_150)) for _ in range(count)]
        document |= {"t0": START_MS, "mc": mc}
        if chance.random() < 0.5:
            document["every"] = MINUTE_MS
        else:
            document["dt"] = [number * MINUTE_MS for number in range(count)]
        if None in mc and chance.random() < 0.5:
            document["fault"] = {str(mc.index(None)): "probe_open"}
        return document

    def _rows(self, count: int) -> list[dict[str, Any]]:
        chance = self._chance
        if chance.random() < 0.5:
            return [self._row(number) for number in range(count)]
        unit, digits = chance.choice("cfk"), chance.randint(0, 5)  # written alike: such are read as columns
        values = [round(chance.uniform(-50, 300), digits) for _ in range(count)]
        return [{"at": f"2026-03-01T10:{number:02}:00Z", unit: value} for number, value in enumerate(values)]

    def _row(self, number: int) -> dict[str, Any]:
        chance = self._chance
        at = chance.choice(_INSTANTS) if chance.random() < 0.3 else "2026-03-01T10:00:00Z"
        row: dict[str, Any] = {"at": START_MS + number * MINUTE_MS if chance.random() < 0.4 else at}
        unit = chance.choice("ccfk")
        row[unit] = chance.choice((5.12, 41.2, 278.15, 5, None, round(chance.uniform(-50, 300), chance.randint(0, 5))))
        if row[unit] is None and chance.random() < 0.5:
            row["fault"] = "probe_open"
        return row

    def _somewhere(self, document: dict[str, Any]) -> dict[str, Any]:
        rows = document.get("readings")
        if isinstance(rows, list) and rows and isinstance(rows[-1], dict) and self._chance.random() < 0.7:
            return self._chance.choice([row for row in rows if isinstance(row, dict)])
        fault = document.get("fault")
        return fault if isinstance(fault, dict) and self._chance.random() < 0.3 else document

    def _break(self, document: dict[str, Any]) -> None:
        chance = self._chance
        where = self._somewhere(document)
        key = chance.choice(list(where)) if where and chance.random() < 0.7 else chance.choice(_KEYS)
        value = where.get(key)
        if isinstance(value, list) and value and chance.random() < 0.6:
            at = chance.randrange(len(value))
            match chance.randrange(4):
                case 0:
                    value[at] = copy.deepcopy(chance.choice(_ODD_VALUES))
                case 1:
                    del value[at]
                case 2:
                    value.append(value[at])
                case _:
                    value *= chance.choice((1, 2, 2, 1700)) if chance.random() < 0.02 else 2
        elif isinstance(value, int) and chance.random() < 0.5:
            where[key] = value + chance.choice((-1, 1, 0.0, 0.5, -(2**32), 2**32))
        elif chance.random() < 0.2:
            where.pop(key, None)
        elif key == "at" and chance.random() < 0.8:
            where[key] = chance.choice(_INSTANTS)
        else:
            where[key] = copy.deepcopy(chance.choice(_ODD_VALUES))

    def _json(self, document: dict[str, Any]) -> bytes:
        chance = self._chance
        style = chance.randrange(4)
        text = json.dumps(
            document,
            ensure_ascii=style != 0,
            indent=1 if style == 1 else None,
            separators=(",", ":") if style == 2 else None,
        )
        if chance.random() < 0.03:
            text = chance.choice((" ", "\n\t", "\r\n", "\ufeff", "\u00a0", "\x0c")) + text
        return text.encode("utf-8", "surrogatepass")

    def _cbor(self, document: dict[str, Any]) -> bytes:
        chance = self._chance
        for key in ("mc", "dt"):
            value = document.get(key)
            if isinstance(value, list) and chance.random() < 0.6:
                numbers = [FAULT_MC if each is None else each for each in value]
                if all(type(each) is int and -(2**31) <= each < 2**31 for each in numbers):
                    document[key] = cbor2.CBORTag(78, struct.pack(f"<{len(numbers)}i", *numbers))
        if chance.random() < 0.15:
            self._somewhere(document)[chance.choice(_KEYS)] = chance.choice(_TAGGED)
        return cbor2.dumps(document)

    def _broken(self, payload: bytes) -> bytes:
        chance = self._chance
        data = bytearray(payload)
        for _ in range(chance.choice((1, 1, 2, 5))):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(8):
                case 0:
                    del data[at:]
                case 1 if at < len(data):
                    data[at] ^= 1 << chance.randrange(8)
                case 2 if at < len(data):
                    data[at] = chance.randrange(256)
                case 3:
                    data[at:at] = bytes([chance.randrange(256)])
                case 4 if at < len(data):
                    del data[at]
                case 5:
                    data[at:at] = data[at : at + chance.randint(1, 20)]
                case 6:
                    data += chance.choice((b"\x00", b" ", b"\n", b"}", b"x", b"\xff", b"{}"))
                case _:
                    data[at:at] = chance.choice((b"\xef\xbb\xbf", b"\x00", b'"', b"\\", b"{", b"[", b",", b"\xc3\x28"))
        return bytes(data)
