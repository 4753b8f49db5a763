"""Ruuvi Gateway: the Bluetooth advertisement inside its message, data format 5 (RAWv2).

The gateway states when it heard the tag (`ts`) and passes the bytes on; the temperature is in them.
"""

from __future__ import annotations

import re
from decimal import Decimal

from coldchain.errors import RejectedPayload
from gateways.decoders import documents

_HEX = re.compile(r"([0-9A-Fa-f]{2})+", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_MANUFACTURER_DATA = 0xFF
_RUUVI = bytes.fromhex("9904")
"""Company 0x0499, little-endian as the advertisement carries it."""

_RAW_V2 = 5
_RAW_V2_BYTES = 24
_NOT_AVAILABLE = -0x8000
_NO_ADDRESS = "f" * 12


def document(payload: bytes) -> dict[str, object]:
    """The message with what the advertisement holds: `mac`, `c` [degC, null if not available], `ts` as a number [s].

    A message without `data` (the gateway's own state) comes as it is.

    Raises
    ------
    RejectedPayload : `undecoded` for another data format than 5, or an advertisement of another company
    """
    found = documents.parse(payload)
    if "data" not in found:
        return found
    data = found["data"]
    if not isinstance(data, str) or not _HEX.fullmatch(data):
        raise RejectedPayload("bad_type", f"data = {data!r:.80}, an advertisement in hexadecimal digits")
    return found | raw_v2(_manufacturer_data(bytes.fromhex(data))) | {"ts": _seconds(found, "ts")}


def raw_v2(measured: bytes) -> dict[str, object]:
    """What a tag measured, from the bytes behind the company: int16 big-endian x 0.005 degC, 0x8000 for none."""
    if measured[:1] != bytes([_RAW_V2]) or len(measured) < _RAW_V2_BYTES:
        raise RejectedPayload("undecoded", f"data format {measured[:1].hex() or 'missing'}: only 5 (RAWv2) is read")
    raw = int.from_bytes(measured[1:3], "big", signed=True)
    mac = measured[18:24].hex()
    return {
        "c": None if raw == _NOT_AVAILABLE else Decimal(raw) * 5 / 1000,
        "mac": None if mac == _NO_ADDRESS else mac,
    }


def _manufacturer_data(advertisement: bytes) -> bytes:
    """The part of an advertisement that belongs to Ruuvi: each part is its length, its type and its data."""
    start = 0
    while start < len(advertisement) and advertisement[start]:
        end = start + 1 + advertisement[start]
        if end > len(advertisement):
            break
        kind, data = advertisement[start + 1], advertisement[start + 2 : end]
        if kind == _MANUFACTURER_DATA and data.startswith(_RUUVI):
            return data[len(_RUUVI) :]
        start = end
    raise RejectedPayload("undecoded", "no advertisement of a Ruuvi tag")


def _seconds(found: dict[str, object], key: str) -> int | None:
    """The gateway writes its time as a text; nothing where it has none (then it is set to messages without times)."""
    value = found.get(key)
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        return int(value)
    if value is None:
        return None
    raise RejectedPayload("bad_time", f"{key} = {value!r:.80}, seconds since 1970 as a text of digits")
