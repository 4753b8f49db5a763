"""A history cut into the columns of a drawing: however long it is, no extreme and no gap is lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coldchain.history import History
from coldchain.kernels import UNKNOWN

_NO_COLD = np.int32(2**31 - 1)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """One entry per column: hottest and coldest known value [milli-degC] (UNKNOWN: none), any unknown time in it."""

    hot_mc: NDArray[np.int32]
    cold_mc: NDArray[np.int32]
    has_unknown: NDArray[np.bool_]


def columns(history: History, most: int) -> Columns:
    """The history in `most` columns of equal length, fewer if it is shorter than that many ms.

    A segment of one millisecond among a million others still shows in the extremes of its column.
    """
    total = history.as_of_ms - history.start_ms
    count = min(most, total)
    numbers = np.arange(count + 1, dtype=np.int64)
    edges = history.start_ms + numbers * (total // count) + numbers * (total % count) // count
    first = np.searchsorted(history.end_ms, edges[:-1], side="right")
    last = np.searchsorted(history.end_ms, edges[1:], side="left")
    # pairs of (first, one after last); the value appended below lets the last pair point one past the end
    slices = np.column_stack([first, last + 1]).ravel()
    unknown = history.hot_mc == UNKNOWN
    cold = np.where(unknown, _NO_COLD, history.cold_mc)
    hottest = np.maximum.reduceat(np.append(history.hot_mc, np.int32(UNKNOWN)), slices)[::2]
    coldest = np.minimum.reduceat(np.append(cold, _NO_COLD), slices)[::2]
    has_unknown = np.logical_or.reduceat(np.append(unknown, False), slices)[::2]
    return Columns(hottest, np.where(hottest == UNKNOWN, np.int32(UNKNOWN), coldest), has_unknown)


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(begin, end) of every stretch of True."""
    padded = np.concatenate([[False], flags, [False]])
    changes = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    return list(zip(changes[::2], changes[1::2], strict=True))
