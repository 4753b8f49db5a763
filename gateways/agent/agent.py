"""The agent: takes what sources give, keeps it, publishes it, and forgets it when there is a receipt. One thread."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

import orjson

from coldchain.errors import RejectedPayload
from gateways.agent import receipts
from gateways.agent.alarms import Alarms
from gateways.agent.channels import Span
from gateways.agent.clock import Clock
from gateways.agent.flow import Flow, Now, Outcome
from gateways.agent.link import Acknowledged, Arrived, Failed, Link, Linked, LinkEvent, Unlinked
from gateways.agent.messages import Message
from gateways.agent.settings import Settings
from gateways.agent.sources import Source, Taken, poll
from gateways.agent.spool import DiskFull, Spool
from gateways.agent.status import meta_document, status_document

TURN_S = 0.1
"""How often time is looked at when nothing happens."""

AT_ONCE = 1000
"""Events that are taken in before anything else is done."""

READINGS_AT_ONCE = 20_000
"""Readings that share a transaction: a few MB, also in the smallest spool."""

AGAIN_S = 1.0
"""A full disk is tried again so often."""

CLOCK_WRONG_MS = 30_000
SERVICE_SILENT_S = 900.0
LOSS_SHOWN_MS = 86_400_000
"""So long a loss stays an alarm; the counts of the status never forget it."""

log = logging.getLogger("coldchain-gateway")


class Given(NamedTuple):
    """What a source gave; it waits until `kept` is set."""

    source: str
    taken: Taken
    kept: threading.Event


class Stop(NamedTuple):
    """Somebody asks for the end."""


Event = Given | Stop | LinkEvent


class Agent:
    """Everything that changes goes through `run`; other threads only put events into its queue."""

    def __init__(self, settings: Settings, spool: Spool, now: Callable[[], Now]) -> None:
        self._settings, self._spool, self._now = settings, spool, now
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._ends = threading.Event()
        self._waiting: list[Given] = []
        self._again_s = self._status_s = float("-inf")
        self._published_s: float | None = None
        self._dropped_ms, self._refused_ms = spool.last_losses_ms()
        self.alarms = Alarms(lambda: now().ms)
        self.flow = Flow(spool, settings.pace)
        self.clock = Clock(spool, now())
        self.link = Link(settings.mqtt, f"{settings.site}/{settings.gateway}", settings.topic, self._events.put)

    def stop(self) -> None:
        """End `run` soon; may be called by a signal handler."""
        self._events.put(Stop())

    def run(self, sources: Iterable[Source]) -> None:
        """Work until `stop`. Raises what a thread met that nobody expected: start again from the spool then."""
        self.link.start()
        for source in sources:
            arguments = (source, self._hand_over, self._ends.wait, lambda exc: self._events.put(Failed(exc)))
            threading.Thread(target=poll, args=arguments, name=source.name, daemon=True).start()
        try:
            while self._turn():
                pass
        finally:
            self._ends.set()
            self._publish_status(is_online=False)
            self.link.stop()

    def _hand_over(self, source: str, taken: Taken) -> bool:
        """Called by the threads of the sources: return when it is kept."""
        kept = threading.Event()
        self._events.put(Given(source, taken, kept))
        while not kept.wait(0.5):
            if self._ends.is_set():
                return False
        return True

    def _turn(self) -> bool:
        for event in self._heard():
            match event:
                case Stop():
                    return False
                case Failed(error):
                    raise error
                case Given():
                    self._waiting.append(event)
                case Linked(session_present):
                    self.flow.linked(session_present)
                    self._introduce()
                case Unlinked():
                    self.flow.unlinked()
                case Acknowledged(key):
                    self.flow.acknowledged(key)
                case Arrived(payload):
                    self._receipt(payload)
        now = self._now()
        if step_ms := self.clock.look(now):
            log.warning("the clock of this machine was set by %+.1f s", step_ms / 1000)
        if self._waiting and now.s >= self._again_s:
            self._keep(now)
        self._publish(self.flow.due(now))
        self._watch(now)
        return True

    def _heard(self) -> list[Event]:
        heard: list[Event] = []
        try:
            heard.append(self._events.get(timeout=TURN_S))
            while len(heard) < AT_ONCE:
                heard.append(self._events.get_nowait())
        except queue.Empty:
            pass
        return heard

    def _keep(self, now: Now) -> None:
        """Put on the disk what sources have given, in one transaction, and publish what of it is live."""
        given, readings = self._bounded()
        try:
            dropped = self._spool.make_room(readings) if readings else 0
            spans = self._put(given)
        except (DiskFull, sqlite3.OperationalError) as exc:
            # Whoever gave it waits with it, so nothing is lost that is not measured meanwhile.
            self._again_s = now.s + AGAIN_S
            self.alarms.set("disk_full", f"new readings cannot be kept: {exc}")
            self._relieve(exc)
            return
        self._waiting = self._waiting[len(given) :]
        self.alarms.set("disk_full", "")
        if dropped:
            self._dropped_ms = now.ms
        for one in given:
            self.alarms.set(f"source_{one.source}", one.taken.problem)
            one.kept.set()
        self._publish(self.flow.arrived(spans, now))

    def _bounded(self) -> tuple[list[Given], int]:
        """The first of those that wait, as many as share a transaction, and how many readings they hold."""
        given: list[Given] = []
        readings = 0
        for one in self._waiting:
            size = sum(map(len, one.taken.batches))
            if given and readings + size > READINGS_AT_ONCE:
                break
            given.append(one)
            readings += size
        return given, readings

    def _put(self, given: list[Given]) -> list[Span]:
        spans: list[Span] = []
        if not any(one.taken.batches or one.taken.memory for one in given):
            return spans
        stamp = self.clock.state() if any(one.taken.is_stamped for one in given) else None
        with self._spool.transaction():
            for one in given:
                spans += self._spool.put(one.taken.batches, stamp if one.taken.is_stamped else None)
                self._spool.remember(one.source, one.taken.memory)
        return spans

    def _relieve(self, problem: Exception) -> None:
        if isinstance(problem, sqlite3.OperationalError) and problem.sqlite_errorcode == sqlite3.SQLITE_FULL:
            try:
                if self._spool.relieve():
                    self._dropped_ms = self._now().ms
            except sqlite3.OperationalError:
                pass  # the alarm stands; it is tried again

    def _publish(self, messages: Iterable[Message]) -> None:
        for one in messages:
            self.link.publish(f"{self._settings.topic}/{one.logger}/readings", one.payload, key=one.sha256)

    def _receipt(self, payload: bytes) -> None:
        now = self._now()
        try:
            receipt = receipts.parse(payload)
            outcome = self.flow.receipt(receipt, now)
            if outcome.answered:  # the last one has waited least
                last = max(outcome.answered, key=lambda flight: flight.sent_s)
                self.clock.answered(Now(last.sent_s, last.sent_ms), receipt.at_ms, now)
        except RejectedPayload as exc:
            self.alarms.set("bad_receipt", f"a receipt cannot be read: {exc}")
            return
        except sqlite3.OperationalError as exc:
            # The messages go again, and so does the receipt.
            self.alarms.set("disk_full", f"what is receipted cannot be deleted: {exc}")
            self._relieve(exc)
            return
        self.alarms.set("bad_receipt", "")
        self._report(outcome)

    def _report(self, outcome: Outcome) -> None:
        for one in outcome.set_aside:
            log.error("%s: the service refuses %d readings: %s", one.logger, one.readings, one.reason)
        if outcome.set_aside:
            self._refused_ms = self._now().ms
        for logger in outcome.copied:
            log.error("%s: the service has numbers that this spool never gave out: it is an old copy", logger)

    def _introduce(self) -> None:
        """What the service is told on every new connection."""
        for one in self._settings.loggers:
            self.link.publish(f"{self._settings.topic}/{one.logger}/meta", meta_document(one), retain=True)
        self._status_s = float("-inf")

    def _watch(self, now: Now) -> None:
        """Alarms that depend on time, and the status message when it is due or an alarm has changed."""
        offset_ms = self.clock.offset_ms
        wrong = offset_ms is not None and abs(offset_ms) > CLOCK_WRONG_MS
        self.alarms.set("clock_wrong", f"the clock of this machine is wrong by {offset_ms} ms" if wrong else "")
        counts = self._spool.counts
        dropped = f"the spool is full: {counts.dropped} readings were dropped, the oldest first"
        self.alarms.set("dropping", dropped if _is_recent(self._dropped_ms, now) else "")
        refused = f"{counts.refused} readings are refused by the service and kept apart"
        self.alarms.set("refused", refused if counts.refused and _is_recent(self._refused_ms, now) else "")
        self.alarms.set("service_silent", self._silence(now.s))
        if now.s >= self._status_s + self._settings.status_every_s or self.alarms.is_changed:
            self.alarms.is_changed, self._status_s = False, now.s
            self._publish_status(is_online=True)

    def _silence(self, now_s: float) -> str:
        """Whether messages go out and no receipt comes back."""
        if not (self.flow.is_linked and len(self.flow.flights)):
            self._published_s = None
            return ""
        if self._published_s is None:
            self._published_s = now_s
        since_s = max(self._published_s, self.flow.heard_s)
        if now_s - since_s < SERVICE_SILENT_S:
            return ""
        return "the broker takes messages but the service sends no receipts"

    def _publish_status(self, *, is_online: bool) -> None:
        document = status_document(self._now().ms, is_online, self._spool, self.flow, self.clock, self.alarms)
        payload = orjson.dumps(document)
        if self.flow.is_linked:
            self.link.publish(f"{self._settings.topic}/status", payload, retain=True)
        try:
            with self._spool.transaction():
                self._spool.note("status", payload.decode())
        except sqlite3.OperationalError:
            pass  # a full disk is an alarm already; the broker has the status


def _is_recent(at_ms: int | None, now: Now) -> bool:
    return at_ms is not None and abs(now.ms - at_ms) < LOSS_SHOWN_MS
