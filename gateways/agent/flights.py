"""Flights: messages that were published and are not receipted yet, found by their hash and by their numbers."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from gateways.agent.channels import Span


@dataclass(slots=True, eq=False)
class Flight:
    """One published message.

    Parameters
    ----------
    sent_s, due_s : when it was published last, and when it is to be published again [s, monotonic]
    sent_ms : the same by the wall clock [ms]
    tries : how often it was published again
    is_acknowledged : whether the broker has taken it, which promises nothing
    is_waiting : it is to be published again as soon as its turn comes
    """

    span: Span
    sha256: str
    is_live: bool
    sent_s: float
    sent_ms: int
    due_s: float
    tries: int = 0
    is_acknowledged: bool = False
    is_waiting: bool = False


class Free(NamedTuple):
    """Numbers from `first` that no flight holds; `last` is None where no flight follows."""

    first: int
    last: int | None


class Flights:
    """Spans never overlap: whoever adds one has asked `free` for it."""

    def __init__(self) -> None:
        self._by_hash: dict[str, Flight] = {}
        self._starts: dict[int, list[int]] = {}
        self._by_start: dict[tuple[int, int], Flight] = {}
        self.live = self.backlog = 0
        """How many are in the air: neither receipted nor waiting for their turn."""

    def __iter__(self) -> Iterator[Flight]:
        return iter(self._by_start.values())

    def __len__(self) -> int:
        return len(self._by_start)

    def add(self, flight: Flight) -> None:
        """A message has been published."""
        channel, first, _ = flight.span
        insort(self._starts.setdefault(channel, []), first)
        self._by_start[channel, first] = flight
        self._by_hash[flight.sha256] = flight
        self._count(flight, 1)

    def remove(self, flight: Flight) -> None:
        """A message needs no more attention."""
        channel, first, _ = flight.span
        starts = self._starts[channel]
        del starts[bisect_left(starts, first)]
        del self._by_start[channel, first]
        if self._by_hash.get(flight.sha256) is flight:
            del self._by_hash[flight.sha256]
        if not flight.is_waiting:
            self._count(flight, -1)

    def ground(self, flight: Flight) -> None:
        """A message is to be published again: it is in the air no more, and its numbers stay taken."""
        if not flight.is_waiting:
            self._count(flight, -1)
            flight.is_waiting = True

    def _count(self, flight: Flight, by: int) -> None:
        if flight.is_live:
            self.live += by
        else:
            self.backlog += by

    def of(self, sha256: str) -> Flight | None:
        """The flight with this payload."""
        return self._by_hash.get(sha256)

    def within(self, span: Span) -> Iterable[Flight]:
        """Flights that hold any number of a span."""
        starts = self._starts.get(span.channel, [])
        position = max(bisect_right(starts, span.first) - 1, 0)
        found = []
        for first in starts[position : bisect_right(starts, span.last)]:
            flight = self._by_start[span.channel, first]
            if flight.span.last >= span.first:
                found.append(flight)
        return found

    def free(self, channel: int, seq: int) -> Free:
        """The next numbers of a channel, from `seq` on, that no flight holds."""
        starts = self._starts.get(channel, [])
        position = max(bisect_right(starts, seq) - 1, 0)
        for first in starts[position:]:
            last = self._by_start[channel, first].span.last
            if first <= seq <= last:
                seq = last + 1
            elif first > seq:
                return Free(seq, first - 1)
        return Free(seq, None)
