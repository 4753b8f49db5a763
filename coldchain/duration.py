"""Durations as people write them in reviewed files: "0s", "30min", "72h", "7d"."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_UNIT_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_TEXT = re.compile(r"(\d{1,9})(ms|s|min|h|d)")


def duration_ms(text: object) -> int:
    """Milliseconds of a duration text; ValueError tells the form that would be right."""
    match = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('not a duration: write a whole number with ms, s, min, h or d, such as "30min"')
    return int(match[1]) * _UNIT_MS[match[2]]


DurationMs = Annotated[int, BeforeValidator(duration_ms)]
