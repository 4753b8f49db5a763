"""Channels and numbers: which reading is meant, for ever, in one life of a channel's counter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Row(NamedTuple):
    """One reading: number, instant [ms UTC], milli-degC, why there is none, state of the clock that stamped it."""

    seq: int
    at_ms: int
    mc: int
    fault: str | None
    clock: int | None


@dataclass(slots=True)
class Channel:
    """One probe, the life of its counter, and the number that its next reading gets."""

    id: int
    logger: str
    channel: str
    boot: int
    next_seq: int


class Span(NamedTuple):
    """Numbers of one channel, both ends included."""

    channel: int
    first: int
    last: int


@dataclass(slots=True)
class Counts:
    """What is in the spool, what was dropped since the file began, and what the service has refused."""

    pending: int
    dropped: int
    refused: int


def new_boot(now_ms: int, random_bits: Callable[[int], int]) -> int:
    """A number for one life of the counters, below 2**63, that no other life has.

    The seconds alone would repeat where a clock starts at the same wrong time after every power cut: 31 random bits
    stand behind them.
    """
    return ((now_ms // 1000) & 0xFFFF_FFFF) << 31 | random_bits(31)
