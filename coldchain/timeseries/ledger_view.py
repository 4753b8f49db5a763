"""The ledger as the projection reads it: the readings of a channel in the order in which they became known.

Reads are by index and short: a live message costs its channel's blocks of the hours around it, however long the ledger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coldchain import history
from coldchain.history import EMPTY, Series
from coldchain.ledger import queries
from coldchain.model import Logger
from coldchain.readings import ABSOLUTE_ZERO_MC, FAULT_MC, HIGHEST_MC, ChannelKey, MilliCelsius, Milliseconds
from coldchain.readings import ReadingBatch as Batch
from coldchain.timeseries.points import DAY_MS, Readings

IMPOSSIBLE = "impossible_temperature"
"""The reason of a fault that was a number: below absolute zero, or above what any logger measures."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Readings of one channel in the order in which the ledger came to know them.

    `block` int64[n]: where each stands; `is_verified` bool[n]: its device time can be right, by the clock alone.
    """

    block: Milliseconds
    at_ms: Milliseconds
    temperature_mc: MilliCelsius
    is_verified: NDArray[np.bool_]
    faults: dict[int, str]

    def series(self, logger: Logger) -> Series:
        """The verified ones as a sorted series, as they are judged: none from before the logger was registered."""
        kept = self.is_verified & (self.at_ms >= (logger.registered_at_ms or 0))
        return history.merge(EMPTY, self.at_ms[kept], self.temperature_mc[kept])[0]

    def readings(self, key: ChannelKey, *, is_verified: bool, after_block: int = 0) -> Readings:
        """The verified or the other ones that stand after a block, sorted by instant, then temperature."""
        among = np.flatnonzero(self.is_verified == is_verified)
        by_arrival = among[np.argsort(self.at_ms[among], kind="stable")]
        at = self.at_ms[by_arrival]
        firsts = np.flatnonzero(np.r_[True, at[1:] != at[:-1]]) if len(at) else np.empty(0, np.int64)
        revision = np.empty(len(self.at_ms), np.int64)
        revision[by_arrival] = np.arange(len(at)) - np.repeat(firsts, np.diff(np.r_[firsts, len(at)]))
        chosen = among[self.block[among] > after_block]
        chosen = chosen[np.lexsort((self.temperature_mc[chosen], self.at_ms[chosen]))]
        reasons = self.faults and {n: self.faults[k] for n, k in enumerate(chosen.tolist()) if k in self.faults}
        columns = self.at_ms[chosen], self.temperature_mc[chosen]
        return Readings(key, *columns, reasons or {}, revision[chosen], is_verified)


def no_rest() -> None:
    """Go on at once: so work commands, which nobody waits beside."""


class LedgerView:
    """The ledger up to one block, by a read-only connection. `long_blocks`: those of more than a day, by channel.
    `rest` is called before each question."""

    def __init__(
        self,
        ledger: sqlite3.Connection,
        up_to_block: int,
        long_blocks: dict[ChannelKey, list[tuple[int, int, int]]],
        rest: Callable[[], None] = no_rest,
    ) -> None:
        self._ledger, self.up_to_block, self._long_blocks, self._rest = ledger, up_to_block, long_blocks, rest
        self._seen: dict[tuple[ChannelKey, int, int], Known] = {}

    def known(self, key: ChannelKey, from_ms: int, to_ms: int) -> Known:
        """Everything known of a channel in `(from_ms, to_ms]`."""
        asked = (key, from_ms, to_ms)
        if asked not in self._seen:
            self._rest()
            longer = [
                block
                for block, first_ms, last_ms in self._long_blocks.get(key, ())
                if first_ms <= to_ms and last_ms > from_ms and block <= self.up_to_block
            ]
            blocks = queries.blocks_between(
                self._ledger,
                *key,
                from_ms,
                to_ms,
                up_to_block=self.up_to_block,
                longest_ms=DAY_MS,
                longer=longer,
            )
            self._seen[asked] = _within(_joined(blocks), from_ms, to_ms)
        return self._seen[asked]


def _joined(blocks: Sequence[tuple[int, Batch]]) -> Known:
    if not blocks:
        empty = np.empty(0, np.int64)
        return Known(empty, empty, np.empty(0, np.int32), np.empty(0, np.bool_), {})
    at = np.concatenate([batch.at_ms for _, batch in blocks])
    mc = np.concatenate([batch.temperature_mc for _, batch in blocks])
    faults: dict[int, str] = {}
    offset = 0
    for _, batch in blocks:
        faults.update({offset + position: reason for position, reason in batch.faults.items()})
        offset += len(batch)
    impossible = ((mc < ABSOLUTE_ZERO_MC) & (mc != FAULT_MC)) | (mc > HIGHEST_MC)
    faults = dict.fromkeys(np.flatnonzero(impossible).tolist(), IMPOSSIBLE) | faults
    return Known(
        np.repeat([identity for identity, _ in blocks], [len(batch) for _, batch in blocks]).astype(np.int64),
        at,
        np.where(impossible, np.int32(FAULT_MC), mc),
        np.concatenate([history.is_verified(batch, None) for _, batch in blocks]),
        faults,
    )


def _within(known: Known, from_ms: int, to_ms: int) -> Known:
    inside = (known.at_ms > from_ms) & (known.at_ms <= to_ms)
    if inside.all():
        return known
    kept = np.flatnonzero(inside)
    faults = known.faults and {n: known.faults[k] for n, k in enumerate(kept.tolist()) if k in known.faults}
    columns = known.block[kept], known.at_ms[kept], known.temperature_mc[kept], known.is_verified[kept]
    return Known(*columns, faults or {})
