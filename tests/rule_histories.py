"""Histories of a kit as rules see them: pieces of a length and a temperature, or of nothing known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coldchain.history import History, Record
from coldchain.kernels import UNKNOWN

RULES = Path(__file__).parents[1] / "rules"
TEMPLATES = RULES / "templates"

START_MS = 1_772_359_200_000
SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000

Piece = tuple[int, int | None]
"""A length [ms] and a temperature [milli-degC], None where nothing is known."""


def lasting(*pieces: Piece) -> Record:
    """A record of pieces in their order, with a reading at the end of each known one."""
    end = START_MS + np.cumsum([length for length, _ in pieces], dtype=np.int64)
    value = np.array([UNKNOWN if mc is None else mc for _, mc in pieces], np.int32)
    return Record(History(START_MS, end, value, value), end[value != UNKNOWN], ())
