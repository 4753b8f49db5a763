"""The watch over the service and what it stands on: a thread that looks every second and tells operators.

It neither reads nor writes the ledger and waits for nobody, so an alarm leaves although the disk is full, the ledger
is locked or the loop hangs. What goes by MQTT is handed to the loop, the only one that talks to the broker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from queue import SimpleQueue
from typing import Protocol

import structlog

from coldchain.alarms import Key, Kind, Notice, Standing, Trouble, step
from coldchain.alerts.alarm_letters import alarm_letters
from coldchain.alerts.alarm_mail import AlarmMail
from coldchain.alerts.outbox import Outbox, drain
from coldchain.broker import Arrived, Broker
from coldchain.commits import Commits
from coldchain.disk import DiskGuard, Room
from coldchain.gateway_status import Status, gateway_of, status_of
from coldchain.settings import Alarms, Settings

LOOK_EVERY_S = 1.0

MOST_WAITING = 1000
"""Alarms that wait for the broker; beyond that the oldest are dropped, and the log says so."""

log = structlog.get_logger()


class Moving(Protocol):
    """Something with a lag that is another object after every pass, and an error in it while it stands still."""

    @property
    def lag(self) -> Lagging:
        """As of the last pass."""
        ...


class Lagging(Protocol):
    """The part of a lag that matters here."""

    @property
    def error(self) -> str:
        """Why it stands still; empty while it moves."""
        ...


class AlarmWatch:
    """The thread, and what it has seen. The loop hands over statuses and takes messages at every `turn`."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], int],
        *,
        guard: DiskGuard,
        commits: Commits,
        broker: Broker,
        outbox: Outbox,
        projection: Moving,
    ) -> None:
        self._settings, self._clock, self._guard, self._commits = settings, clock, guard, commits
        self._broker, self._outbox, self._projection = broker, outbox, projection
        self._mail = AlarmMail(settings.smtp, clock) if settings.smtp.host else None
        self._after_s = allowed_s(settings.alarms)
        self._heard: SimpleQueue[Arrived] = SimpleQueue()
        self._to_publish: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        self._gateways: dict[str, Status] = {}
        self._standing: dict[Key, Standing] = {}
        self._seen_lag, self._moved_s = projection.lag, time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="alarms", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """Stop watching; letters that were begun are finished."""
        self._stopped.set()
        self._thread.join(within_s)
        if self._mail is not None:
            self._mail.close(within_s)

    def turn(self) -> None:
        """Hand on what gateways said, and publish what is to be told; called by the loop, the broker's only user."""
        for status in self._broker.statuses:
            self._heard.put(status)
        self._broker.statuses = []
        if self._broker.is_linked:
            for topic, body in drain(self._to_publish):
                self._broker.announce(topic, body)

    @property
    def standing(self) -> Mapping[Kind, int]:
        """How many troubles of each kind have been told and not ended."""
        told = [standing.trouble.kind for standing in list(self._standing.values()) if standing.told]
        return {kind: told.count(kind) for kind in Kind if kind is not Kind.SERVICE}

    def _work(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            try:
                self.look(time.monotonic(), self._clock())
            except Exception:
                log.critical("the watch for alarms failed; it looks again", exc_info=True)

    def look(self, now_s: float, now_ms: int) -> None:
        """Look once, and tell what there is to tell; called by the thread every second."""
        for arrived in drain(self._heard):
            self._hear(arrived)
        seen = list(self._troubles(now_s))
        every_s = self._settings.alarms.repeat_every_s
        self._standing, notices = step(self._standing, seen, self._after_s, every_s, now_s, now_ms)
        for notice in notices:
            self._tell(notice)
        if self._mail is not None:
            self._mail.turn(now_s)

    def _hear(self, arrived: Arrived) -> None:
        try:
            gateway, status = gateway_of(arrived.topic or ""), status_of(arrived.payload)
        except ValueError as exc:
            log.warning("status of a gateway not understood", topic=repr(arrived.topic), error=str(exc))
            return
        if gateway is None:
            return
        if status is None:
            self._gateways.pop(gateway, None)
            return
        if status.alarms is None:  # a last will: what was wrong before is not known to be right now
            status = status._replace(alarms=self._gateways.get(gateway, status).alarms)
        self._gateways[gateway] = status

    def _troubles(self, now_s: float) -> Iterator[Trouble]:
        room = self._guard.look()
        if room is not Room.ENOUGH:
            detail = f"{self._guard.percent:.1f} % of {self._settings.ledger.path.parent}"
            yield Trouble(Kind.DISK_FILLING, detail=detail)
            if room is Room.STOPPED:
                yield Trouble(Kind.DISK_FULL, detail=detail)
        waiting_s = self._commits.waiting_since_s
        if waiting_s is not None:
            yield Trouble(Kind.LEDGER, detail=self._commits.error or "a commit does not come back", since_s=waiting_s)
        if not self._broker.is_linked:
            mqtt = self._settings.mqtt
            yield Trouble(Kind.BROKER, detail=f"{mqtt.host}:{mqtt.port}")
        if self._mail is not None:
            unsent = self._outbox.email_waiting_since_s, self._mail.waiting_since_s
            since = [each for each in unsent if each is not None]
            if since:
                yield Trouble(Kind.EMAIL, detail=self._mail.error or self._outbox.email_error, since_s=min(since))
        for gateway, status in self._gateways.items():
            # A broker that ends sends the last wills of all: without it nothing new is said of them, and the absence of
            # those that do not come back counts from its return.
            if not status.is_online and (self._broker.is_linked or self._is_told(gateway)):
                yield Trouble(Kind.GATEWAY, gateway)
            for name, problem in dict(status.alarms or ()).items():
                yield Trouble(Kind.GATEWAY_ALARM, f"{gateway} {name}", f"{gateway} {name}: {problem}")
        yield from self._stalled(now_s)

    def _is_told(self, gateway: str) -> bool:
        standing = self._standing.get(Key(Kind.GATEWAY, gateway))
        return standing is not None and standing.told > 0

    def _stalled(self, now_s: float) -> Iterator[Trouble]:
        """Trouble while no pass of the projection ends well."""
        lag = self._projection.lag
        if lag is not self._seen_lag and not lag.error:
            self._moved_s = now_s
        self._seen_lag = lag
        if now_s - self._moved_s >= self._after_s[Kind.PROJECTION]:
            yield Trouble(Kind.PROJECTION, detail=lag.error, since_s=self._moved_s)

    def _tell(self, notice: Notice) -> None:
        log.critical("alarm", kind=notice.kind, state=notice.change, subjects=notice.subjects, details=notice.details)
        for letter in alarm_letters(notice, self._settings.alerts, by_email=self._mail is not None):
            if letter.channel == "email" and self._mail is not None:
                self._mail.post(letter, notice.at_ms)
                continue
            while self._to_publish.qsize() >= MOST_WAITING:
                log.error("too many alarms wait for the broker: dropped", body=self._to_publish.get()[1].decode())
            self._to_publish.put((letter.recipient, letter.body.encode()))


def allowed_s(alarms: Alarms) -> dict[Kind, float]:
    """How long each kind of trouble may last before it is told [s]; the disk's are told at once."""
    return {
        Kind.LEDGER: alarms.ledger_after_s,
        Kind.BROKER: alarms.broker_after_s,
        Kind.EMAIL: alarms.email_after_s,
        Kind.GATEWAY: alarms.gateway_after_s,
        Kind.PROJECTION: alarms.projection_after_s,
    }
