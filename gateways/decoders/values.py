"""Single values of the native form, checked: names, counts, instants, and how many readings there may be."""

from __future__ import annotations

from collections.abc import Mapping

from coldchain.errors import RejectedPayload

MAX_READINGS = 5000
LATEST_MS = 7_289_654_399_999
"""The last millisecond of the year 2200; the first instant is 1970."""

_LARGEST = 2**63 - 1


def name(document: Mapping[str, object], key: str) -> str:
    """The text at a key: 1 to 64 printable characters without '/'."""
    value = document.get(key)
    if not isinstance(value, str):
        raise RejectedPayload("bad_type", f"{shown(key, value)}, a text")
    if not (1 <= len(value) <= 64 and value.isprintable() and "/" not in value):
        raise RejectedPayload("bad_value", f"{shown(key, value)}, 1 to 64 printable characters without '/'")
    return value


def count(document: Mapping[str, object], key: str) -> int | None:
    """The integer at a key, 0 to 2**63 - 1; None where there is none."""
    value = document.get(key)
    if value is None:
        return None
    if type(value) is not int:
        raise RejectedPayload("bad_type", f"{shown(key, value)}, an integer")
    if not 0 <= value <= _LARGEST:
        raise RejectedPayload("bad_value", f"{shown(key, value)}, 0 to 2**63 - 1")
    return value


def check_number_of_readings(readings: int) -> None:
    """Refuse a message without readings or with more than `MAX_READINGS`."""
    if not 1 <= readings <= MAX_READINGS:
        raise RejectedPayload("bad_length", f"{readings} readings, 1 to {MAX_READINGS} are allowed")


def check_instants(first_ms: int, last_ms: int) -> None:
    """Refuse instants [ms UTC] that are not within the years 1970 to 2200."""
    if first_ms < 0 or last_ms > LATEST_MS:
        raise RejectedPayload("bad_time", f"{first_ms} to {last_ms} ms is not within the years 1970 to 2200")


def shown(key: str, value: object) -> str:
    """A value as a refusal names it."""
    return f"{key} = {value!r:.80}"
