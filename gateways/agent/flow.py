"""Flow: which readings are published now? Live ones at once, the backlog at its pace, until there is a receipt.

Every reading of the spool is in one of three states: its number is not below the channel's cursor and no flight holds
it (never published by this process), a flight holds it (published, not receipted), or it is gone. Nothing but a receipt
takes a reading out of the spool, and only one that was published: an acknowledgement of the broker changes no state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateways.agent.channels import Channel, Span
from gateways.agent.flights import Flight, Flights
from gateways.agent.messages import Message, message, runs
from gateways.agent.receipts import Receipt, Stored
from gateways.agent.settings import Pace
from gateways.agent.spool import Spool

LIVE_READINGS = 60
"""More readings of a channel at once than this are no live data but a file that was read out."""

LARGEST = 2**63 - 1
HOLD_S = 600.0
"""After a silence this long while it is held, one message of the backlog asks whether it still is."""

ANSWER_S = 5.0
"""A message younger than this cannot be missing yet: the request for it crossed it on its way."""


class Now(NamedTuple):
    """An instant by both clocks: monotonic [s] and wall [ms]."""

    s: float
    ms: int


class SetAside(NamedTuple):
    """Readings that the service has refused."""

    logger: str
    readings: int
    reason: str


class Outcome(NamedTuple):
    """What a receipt changed.

    deleted : readings that are in the service's ledger
    set_aside : messages that the service refused
    answered : live messages that were published once and receipted: they show the service's clock
    copied : loggers whose numbers were not given out by this spool
    """

    deleted: int
    set_aside: tuple[SetAside, ...]
    answered: tuple[Flight, ...]
    copied: tuple[str, ...]


class Flow:
    """All calls come from the thread that owns the spool."""

    def __init__(self, spool: Spool, pace: Pace) -> None:
        self._spool, self._pace = spool, pace
        self.flights = Flights()
        self.is_linked = self.is_held = False
        self._cursors: dict[int, int] = {}
        self._busy = deque(spool.channels)
        self._again: deque[Flight] = deque()
        self._tokens, self._refilled_s = float(pace.backlog_per_s), float("-inf")
        self.heard_s = self._expired_s = float("-inf")
        self._probes = 0

    def linked(self, session_present: bool) -> None:
        """The broker has accepted a connection.

        Without the session it has lost what it had acknowledged: all that is published again at once, at the pace of
        the backlog. What it had not acknowledged the client itself sends again.
        """
        self.is_linked = True
        if not session_present:
            for flight in list(self.flights):
                if flight.is_acknowledged:
                    self._again_soon(flight)

    def unlinked(self) -> None:
        """The connection is gone: nothing is live until the next one."""
        self.is_linked = False

    def acknowledged(self, sha256: str) -> None:
        """The broker has taken a message. The readings stay: its memory is no ledger."""
        flight = self.flights.of(sha256)
        if flight is not None:
            flight.is_acknowledged = True

    def arrived(self, spans: Sequence[Span], now: Now) -> Iterator[Message]:
        """New readings are in the spool: the messages of those that are live; the others are backlog."""
        for span in spans:
            is_live = self.is_linked and span.last - span.first < LIVE_READINGS
            if is_live and self.flights.live < self._pace.live_in_flight:
                yield from self._publish(span, now, is_live=True)
            elif span.channel not in self._busy:
                self._busy.append(span.channel)

    def due(self, now: Now) -> Iterator[Message]:
        """What is to be published beside live readings: what was not receipted in time, then the backlog."""
        if not self.is_linked:
            return
        self._expire(now.s)
        self._refill(now.s)
        for _ in range(len(self._again)):
            flight = self._again.popleft()
            if not flight.is_live and not self._may_send(now.s):
                self._again.append(flight)
            else:
                yield from self._republish(flight, now)
        while self._busy and self._may_send(now.s):
            channel = self._busy.popleft()
            published = list(self._next_of(channel, now))
            if published:
                self._busy.append(channel)  # the channels take turns
            yield from published

    def _may_send(self, now_s: float) -> bool:
        if self.is_held and (self.flights.backlog or now_s < self.heard_s + HOLD_S):
            return False
        return self._tokens > 0 and self.flights.backlog < self._pace.backlog_in_flight

    def _refill(self, now_s: float) -> None:
        rate = self._pace.backlog_per_s
        self._tokens = min(float(rate), self._tokens + rate * max(0.0, now_s - self._refilled_s))
        self._refilled_s = now_s

    def _next_of(self, channel: int, now: Now) -> Iterator[Message]:
        """The next message of a channel's backlog; none where there is none."""
        cursor = self._cursors.get(channel, 0)
        while True:
            free = self.flights.free(channel, cursor)
            span = Span(channel, free.first, LARGEST if free.last is None else free.last)
            rows = self._spool.rows(span, self._pace.batch)
            if rows:
                run = next(runs(rows))
                self._cursors[channel] = run[-1].seq + 1
                self._tokens -= len(run)
                yield self._launch(message(self._spool.channels[channel], run, self._spool.offset, is_live=False), now)
                return
            if free.last is None:
                self._cursors[channel] = self._spool.channels[channel].next_seq
                return
            cursor = free.last + 1

    def _publish(self, span: Span, now: Now, *, is_live: bool, tries: int = 0) -> Iterator[Message]:
        for run in runs(self._spool.rows(span, span.last - span.first + 1)):
            channel = self._spool.channels[span.channel]
            yield self._launch(message(channel, run, self._spool.offset, is_live=is_live), now, is_live, tries)

    def _republish(self, flight: Flight, now: Now) -> Iterator[Message]:
        self.flights.remove(flight)
        for one in self._publish(flight.span, now, is_live=flight.is_live, tries=flight.tries + 1):
            if not flight.is_live:
                self._tokens -= one.span.last - one.span.first + 1
            yield one

    def _launch(self, one: Message, now: Now, is_live: bool = False, tries: int = 0) -> Message:
        wait_s = min(self._pace.retry_s * 2 ** min(tries, 30), self._pace.longest_retry_s)
        self.flights.add(Flight(one.span, one.sha256, is_live, now.s, now.ms, now.s + wait_s, tries))
        return one

    def _again_soon(self, flight: Flight) -> None:
        if not flight.is_waiting:
            self.flights.ground(flight)
            self._again.append(flight)

    def _expire(self, now_s: float) -> None:
        """Let what was not receipted in time be published again.

        While the service is silent, one message after the other is enough to find out when it is back; everything else
        would fill the broker's queue with copies.
        """
        due = [flight for flight in self.flights if flight.due_s <= now_s and not flight.is_waiting]
        if not due:
            return
        if self.heard_s >= self._expired_s:
            self._probes = 0
        else:
            wait_s = min(self._pace.retry_s * 2 ** min(self._probes, 30), self._pace.longest_retry_s)
            if now_s < self._expired_s + wait_s:
                return
            self._probes += 1
            due = [min(due, key=lambda flight: flight.sent_s)]
        self._expired_s = now_s
        for flight in due:
            self._again_soon(flight)

    def receipt(self, receipt: Receipt, now: Now) -> Outcome:
        """Take what the service says, in one transaction; if that fails, nothing has changed."""
        landed, renamed = list[Flight](), list[Channel]()
        deleted, set_aside = 0, list[SetAside]()
        with self._spool.transaction():
            for stored in receipt.stored:
                channel = self._spool.find(stored.logger, stored.channel)
                if channel is None or channel.boot != stored.boot:
                    continue
                if max(last for _, last in stored.ranges) >= channel.next_seq:
                    self._spool.new_life(channel)
                    renamed.append(channel)
                else:
                    deleted += self._stored(channel, stored, landed)
            for one in receipt.refused:
                flight = self.flights.of(one.sha256)
                if flight is not None and flight not in landed:
                    readings = self._spool.set_aside(flight.span, one.reason, one.sha256)
                    set_aside.append(SetAside(one.logger, readings, one.reason))
                    landed.append(flight)
        answered = [flight for flight in landed if flight.is_live and not flight.tries and not flight.is_waiting]
        for flight in landed:
            self._forget(flight)
        for channel in renamed:
            self._start_anew(channel)
        self._heard(receipt, now.s)
        return Outcome(deleted, tuple(set_aside), tuple(answered), tuple(one.logger for one in renamed))

    def _heard(self, receipt: Receipt, now_s: float) -> None:
        if self.heard_s < self._expired_s:
            # The service is back and has what waited in the broker's queue before it: give it time to say so.
            for flight in self.flights:
                flight.due_s = max(flight.due_s, now_s + self._pace.retry_s)
        self.heard_s, self.is_held = now_s, receipt.hold
        for missing in receipt.resend:
            channel = self._spool.find(missing.logger, missing.channel)
            if channel is not None and channel.boot == missing.boot:
                self._resend(Span(channel.id, missing.first, missing.last), now_s)

    def _stored(self, channel: Channel, stored: Stored, landed: list[Flight]) -> int:
        published = self._cursors.get(channel.id, 0) - 1
        spans = []
        for first, last in stored.ranges:
            # Only numbers that this process has published: an old receipt must not vouch for anything newer.
            if first <= published:
                spans.append(Span(channel.id, first, min(last, published)))
            for flight in self.flights.within(Span(channel.id, first, last)):
                spans.append(Span(channel.id, max(first, flight.span.first), min(last, flight.span.last)))
                if first <= flight.span.first and flight.span.last <= last and flight not in landed:
                    landed.append(flight)
        return self._spool.delete(spans)

    def _forget(self, flight: Flight) -> None:
        if flight.is_waiting:
            self._again.remove(flight)
        self.flights.remove(flight)

    def _resend(self, span: Span, now_s: float) -> None:
        """What was published of a span and is still here goes again; the rest of it is backlog: it comes anyway."""
        for flight in self.flights.within(span):
            if now_s - flight.sent_s >= ANSWER_S:
                self._again_soon(flight)

    def _start_anew(self, channel: Channel) -> None:
        """The service has numbers that this spool has not given out: it is an old copy of a file that went on.

        Everything here is published again under another life of the counter; nothing is deleted.
        """
        for flight in self.flights.within(Span(channel.id, 0, LARGEST)):
            self._forget(flight)
        self._cursors[channel.id] = 0
        if channel.id not in self._busy:
            self._busy.append(channel.id)
