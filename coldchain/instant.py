"""Instants: aware datetimes at the edges, milliseconds UTC inside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS, _END_MS = -62_135_596_800_000, 253_402_300_800_000


def instant_ms(value: object) -> int:
    """Milliseconds UTC of an aware datetime or of ISO 8601 text with a zone; ValueError without a zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as exc:
            raise ValueError("not an instant: write ISO 8601 with a zone, such as 2026-03-01T00:00:00Z") from exc
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("an instant needs a date, a time and a zone, such as 2026-03-01T00:00:00Z")
    at_ms = (value - _EPOCH) // timedelta(milliseconds=1)
    if not _FIRST_MS <= at_ms < _END_MS:
        raise ValueError("an instant must lie in the years 1 to 9999 UTC")
    return at_ms


def iso(at_ms: int) -> str:
    """ISO 8601 UTC text of an instant, milliseconds only where there are some."""
    moment = _EPOCH + timedelta(milliseconds=at_ms)
    return moment.isoformat(timespec="milliseconds" if at_ms % 1000 else "seconds").replace("+00:00", "Z")


InstantMs = Annotated[int, BeforeValidator(instant_ms)]
