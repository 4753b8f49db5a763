"""The service: read, decode, step, save, acknowledge - one message's path from top to bottom, in one thread.

Nothing is acknowledged before it is on disk, so a crash anywhere means redelivery; and since readings are unique,
redelivery changes nothing. Whatever is not expected ends the process, which starts again from the ledger.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import ChainMap
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import astuple, replace
from queue import SimpleQueue

import structlog

from coldchain import edge_nodes, keeper, pipeline
from coldchain.alerts.alarm_watch import AlarmWatch
from coldchain.alerts.compose import compose
from coldchain.alerts.deliver import open_email
from coldchain.alerts.outbox import Outbox, drain
from coldchain.broker import Broker
from coldchain.commits import Commits
from coldchain.disk import DiskGuard
from coldchain.errors import EnvironmentFailed
from coldchain.incoming import heard
from coldchain.jobs import Watchdog, start_ticks
from coldchain.keeper import Kept
from coldchain.ledger.entries import Message
from coldchain.ledger.ledger import Ledger, LedgerChanged
from coldchain.ledger.locks import only_service
from coldchain.metrics import AlarmCollector, LagCollector, LedgerCollector, ServiceMetrics, serve, silent_loggers
from coldchain.pipeline import State, Step
from coldchain.settings import Settings
from coldchain.supervisor import Supervisor
from coldchain.timeseries.projection import Projection
from gateways.decoders import Node, NodeKey, Request, decoder

TURN_S = 0.2
POLL_S = 1.0
REBUILD_WITHIN_S = 900.0
MAIL_FINISHES_WITHIN_S = 5.0
DAY_MS = 86_400_000
PROJECTION_FINISHES_WITHIN_S = 5.0

log = structlog.get_logger()


def system_clock() -> int:
    """Now [ms UTC]."""
    return time.time_ns() // 1_000_000


def run(settings: Settings, *, clock: Callable[[], int] = system_clock, stop: threading.Event | None = None) -> int:
    """Run until SIGTERM, SIGINT or `stop`; 0 after a clean end.

    Raises EnvironmentFailed if the broker cannot be reached at the start or the ledger cannot be opened, BadInput for
    rules or a registry that cannot be used. A broker or disk that fails later is waited for.
    """
    _log_to_stderr()
    stop = _stop_on_signals() if stop is None else stop
    with ExitStack() as stack:
        stack.enter_context(only_service(settings.ledger.path))
        ledger = stack.enter_context(Ledger.open(settings.ledger.path))
        supervisor = Supervisor.of_process()
        watchdog = Watchdog(settings.service.stall_after_s, supervisor=supervisor)
        watchdog.start()
        stack.callback(watchdog.stop)
        email = open_email(settings.smtp, clock) if settings.smtp.host else None
        broker = Broker(settings.mqtt, clock)
        outbox = Outbox(ledger, broker, email, clock)
        metrics = ServiceMetrics()
        guard = DiskGuard(settings.ledger.path, settings.ledger.alarm_percent, settings.ledger.stop_percent)
        commits = Commits(guard)
        service = Service(settings, ledger, broker, outbox, watchdog, clock, metrics, commits)
        stack.callback(service.record)
        if email is not None:
            stack.callback(email.close, MAIL_FINISHES_WITHIN_S)
        service.load()
        service.load_nodes()
        broker.connect()
        stack.callback(broker.close)
        projection = Projection(settings, clock)
        projection.start()
        stack.callback(projection.stop, PROJECTION_FINISHES_WITHIN_S)
        watch = AlarmWatch(
            settings, clock, guard=guard, commits=commits, broker=broker, outbox=outbox, projection=projection
        )
        watch.start()
        stack.callback(watch.stop, MAIL_FINISHES_WITHIN_S)
        if settings.metrics.port:
            metrics.registry.register(LedgerCollector(settings.ledger.path))
            metrics.registry.register(LagCollector(lambda: astuple(projection.lag), clock))
            metrics.registry.register(AlarmCollector(lambda: guard.percent, lambda: watch.standing))
            stack.callback(serve(settings.metrics, metrics.registry))
        scheduler, ticks = start_ticks(settings.service.silence_every_s)
        stack.callback(scheduler.shutdown, wait=False)
        log.info("service started", ledger=str(settings.ledger.path), broker=settings.mqtt.host)
        supervisor.ready()
        while not stop.is_set():
            watchdog.beat()
            broker.turn(TURN_S)
            service.take()
            service.sweep(ticks)
            service.deliver()
            watch.turn()
        supervisor.stopping()
        service.take()
        service.deliver()
        broker.turn(TURN_S)
        service.checkpoint()
    log.info("service stopped")
    return 0


class Service:
    """The state, and the four things that happen to it: load, take, sweep, deliver."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        broker: Broker,
        outbox: Outbox,
        watchdog: Watchdog,
        clock: Callable[[], int],
        metrics: ServiceMetrics | None = None,
        commits: Commits | None = None,
    ) -> None:
        self._settings, self._ledger, self._broker, self._outbox = settings, ledger, broker, outbox
        self._watchdog, self._clock, self._metrics = watchdog, clock, metrics or ServiceMetrics()
        self._commits = commits or Commits()
        self._reader = decoder(settings.gateways.mappings)
        self._nodes: dict[NodeKey, Node] = {}
        self._kept: Kept | None = None
        self._next_checkpoint = time.monotonic() + settings.service.checkpoint_every_s
        self._checkpointed = 0
        self._retry_at = self._next_poll = self._next_look = 0.0
        self._silence_due = time.monotonic() + 3 * settings.service.silence_every_s
        self._is_failing = False

    def load(self) -> None:
        """Bring the state up to the ledger, the registry and the rules."""
        self._watchdog.allow(REBUILD_WITHIN_S)
        while True:
            now_ms = self._clock()
            try:
                for kept, found in keeper.catch_up(self._ledger, self._settings.rules.dir, self._kept, now_ms):
                    self._save((), found, now_ms, kept.state, kept.version)
                    pipeline.adopt(kept.state, found)
                    self._kept = kept
            except LedgerChanged:
                continue
            registry = self._loaded.state.registry
            self._ledger.keep_assessments(registry.groups)
            log.info("state loaded", kits=len(registry.kits), loggers=len(registry.loggers))
            self._watchdog.beat()
            return

    @property
    def _loaded(self) -> Kept:
        if self._kept is None:
            raise RuntimeError("the state is loaded before anything else")
        return self._kept

    def load_nodes(self) -> None:
        """What edge nodes have said before the start, from the ledger."""
        self._watchdog.allow(REBUILD_WITHIN_S)
        self._nodes = edge_nodes.load(self._ledger)
        self._watchdog.beat()

    def take(self) -> None:
        """Commit what has arrived, then acknowledge it; after a failure of the disk try again every second."""
        count = len(self._broker.arrived)
        if not count or time.monotonic() < self._retry_at:
            return
        changed: dict[NodeKey, Node] = {}
        messages: list[Message] = []
        requests: list[Request] = []
        for arrived in self._broker.arrived:
            message, found = heard(arrived, self._reader, ChainMap(changed, self._nodes))
            messages.append(message)
            changed.update(found.nodes)
            requests.extend(found.requests)
        batches = tuple(batch for message in messages for batch in message.batches)
        if self._commit(tuple(messages), lambda state, now_ms: pipeline.step(state, batches, now_ms)):
            self._broker.acknowledge(count)
            self._nodes.update(changed)
            for request in requests:
                self._broker.request(*request)

    def sweep(self, ticks: SimpleQueue[None]) -> None:
        """Notice what other processes wrote, once a second, and what is missing, at every tick."""
        now = time.monotonic()
        if now < self._retry_at:
            return
        if now >= self._next_poll:
            self._next_poll = now + POLL_S
            self._guarded(self._reload_if_changed)
        every_s = self._settings.service.silence_every_s
        ticked = bool(drain(ticks))
        if now >= self._silence_due:
            log.error("no tick came: the scheduler or the clock stands still", every_s=every_s)
        if ticked or now >= self._silence_due:
            self._silence_due = now + 3 * every_s
            self._commit((), pipeline.silence)
            self._guarded(self._tidy)
            state = self._loaded.state
            self._metrics.silent_loggers(silent_loggers(state.registry, state.series, self._clock()))

    def deliver(self) -> None:
        """Write down what was delivered; hand on what is due, at once after a commit, else once a second."""
        self.record()
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + POLL_S
            self._guarded(self._outbox.hand_on)

    def record(self) -> None:
        """Write down what was delivered."""
        self._guarded(self._outbox.record)

    def _reload_if_changed(self) -> None:
        if self._ledger.data_version() != self._loaded.version:
            log.info("another process wrote to the ledger")
            self.load()
        elif (change_ms := self._loaded.rules_change_ms) is not None and self._clock() >= change_ms:
            log.info("another version of the rules has come into force")
            self.load()

    def _tidy(self) -> None:
        """Let the state put its older past away, and keep it for the next start now and then."""
        keep_ms = self._settings.service.keep_days * DAY_MS
        keeper.put_away(self._loaded, self._clock(), keep_ms)
        if time.monotonic() >= self._next_checkpoint:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Keep the state for the next start; a disk that has no room for it does not stop the service."""
        self._next_checkpoint = time.monotonic() + self._settings.service.checkpoint_every_s
        if self._kept is None or self._kept.position == self._checkpointed:
            return
        try:
            keeper.write_checkpoint(self._ledger, self._kept, self._clock())
        except EnvironmentFailed as failed:
            log.error("no checkpoint: the next start will read more of the ledger", error=str(failed))
            return
        self._checkpointed = self._kept.position

    def _commit(self, messages: tuple[Message, ...], find: Callable[[State, int], Step]) -> bool:
        """Find, save, adopt; whether it is on disk."""

        def once() -> None:
            while True:
                now_ms, kept, began = self._clock(), self._loaded, time.monotonic()
                change = find(kept.state, now_ms)
                try:
                    position = self._save(messages, change, now_ms, kept.state, kept.version)
                except LedgerChanged:
                    self.load()
                    continue
                pipeline.adopt(kept.state, change)
                self._kept = replace(kept, position=position or kept.position)
                self._metrics.committed(messages, change.fresh, time.monotonic() - began)
                return

        return self._guarded(once)

    def _save(
        self, messages: tuple[Message, ...], change: Step, now_ms: int, before: State, version: int
    ) -> int | None:
        """Write what a step found; the ledger's position after it, None if there was nothing to write."""
        if not (messages or change.outcomes or change.events or change.warnings):
            return None
        alerts = compose(
            change.events,
            change.warnings,
            before.registry,
            self._settings.alerts,
            known=before.events,
            by_email=bool(self._settings.smtp.host),
            now_ms=now_ms,
        )
        with self._commits.one():
            position = self._ledger.save(messages, change, alerts, now_ms, unless_changed_since=version)
        if alerts:
            self._next_look = 0.0
        for event in change.events:
            log.warning("quarantine", id=event.id, kit=event.kit, revision=event.revision)
        for message in messages:
            if message.reason:
                log.warning("message rejected", topic=message.topic, reason=message.reason, detail=message.detail)
            elif message.detail:
                log.warning("message flagged", topic=message.topic, detail=message.detail)
        return position

    def _guarded(self, act: Callable[[], None]) -> bool:
        """Whether the ledger did its part; if not, nothing is acknowledged and the next attempt is a second away."""
        try:
            act()
        except EnvironmentFailed as failed:
            log.critical("ledger failed: nothing is acknowledged until it works again", error=str(failed))
            self._is_failing, self._retry_at = True, time.monotonic() + POLL_S
            self._metrics.failing(True)
            return False
        if self._is_failing:
            log.info("ledger works again")
        self._is_failing = False
        self._metrics.failing(False)
        return True


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _log_to_stderr() -> None:
    is_terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
