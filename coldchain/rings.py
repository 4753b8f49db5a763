"""The next readings of many streams at once: compiled functions over a table with a row for each stream.

A row says which readings change nothing: those that follow the last one in order and without a gap, up to an instant,
inside a band. They go into the stream's ring, a few readings deep, and nobody needs to look at them. Nothing here knows
a unit's name or a channel. Instants are int64 ms, temperatures int32 milli-degC. The signatures are compiled at import
and cached on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Columns of the table. COUNT: how many readings the ring holds. READ: the last instant that is known elsewhere too.
LAST, GAP_AFTER, UNTIL, LOWEST, HIGHEST, COUNT, READ = 0, 1, 2, 3, 4, 5, 6
FIELDS = 8
"""One cache line a row."""

DEPTH = 32
"""Readings in a ring, 12 bytes each: a few percent of what a channel has in memory, and seldom full."""

_BLOCK = 256
"""So many rows are fetched from memory one after the other, before any is looked at: half the time in random order."""

_Table = NDArray[np.int64]
_Ints = NDArray[np.int64]
_Temperatures = NDArray[np.int32]
_Flags = NDArray[np.bool_]


@njit(
    "int64(int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[::1], int32[::1], bool_[::1])",
    cache=True,
    nogil=True,
)
def sift(
    table: _Table, row: _Ints, end: _Ints, latest: _Ints, at: _Ints, temperature: _Temperatures, quiet: _Flags
) -> int:
    """Set `quiet` for every message of which each reading is quiet after the messages before it; how many there are.

    Message i is of stream `row[i]` (below 0: of none), its readings go up to `end[i]`, none may be later than
    `latest[i]`. The table is left as it was.
    """
    messages = len(row)
    before = np.empty(messages, np.int64)
    count = first = 0
    for i in range(messages):
        if i % _BLOCK == 0:
            for k in range(i, min(i + _BLOCK, messages)):
                before[k] = table[max(row[k], 0), LAST]
        r = row[i]
        is_quiet = r >= 0
        if is_quiet:
            last, gap_after, until = table[r, LAST], table[r, GAP_AFTER], min(table[r, UNTIL], latest[i])
            lowest, highest = table[r, LOWEST], table[r, HIGHEST]
            before[i] = last
            for k in range(first, end[i]):
                follows = last < at[k] <= until and at[k] - last <= gap_after
                if not (follows and lowest <= temperature[k] <= highest):
                    is_quiet = False
                    break
                last = at[k]
            if is_quiet:
                table[r, LAST] = last
                count += 1
        quiet[i] = is_quiet
        first = end[i]
    for i in range(messages - 1, -1, -1):
        if quiet[i]:
            table[row[i], LAST] = before[i]
    return count


@njit(
    "int64(int64[:, ::1], int64[:, ::1], int32[:, ::1], int64, int64[::1], int64[::1], int32[::1])",
    cache=True,
    nogil=True,
)
def append(
    table: _Table,
    ring_at: _Ints,
    ring_temperature: _Temperatures,
    first: int,
    row: _Ints,
    at: _Ints,
    temperature: _Temperatures,
) -> int:
    """Put quiet readings into their rings, from position `first` on; the position of the first whose ring is full."""
    for i in range(first, len(row)):
        r = row[i]
        count = table[r, COUNT]
        if count == DEPTH:
            return i
        ring_at[r, count] = at[i]
        ring_temperature[r, count] = temperature[i]
        table[r, COUNT] = count + 1
        table[r, LAST] = at[i]
    return len(row)
