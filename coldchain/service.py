"""The service: read, decode, step, save, acknowledge - one message's path from top to bottom, in one thread.

Nothing is acknowledged before it is on disk, so a crash anywhere means redelivery; and since readings are unique,
redelivery changes nothing. Whatever is not expected ends the process, which starts again from the ledger.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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
from coldchain.incoming import Intake, Portion
from coldchain.jobs import Watchdog, start_ticks
from coldchain.keeper import Kept
from coldchain.ledger.entries import LostReading
from coldchain.ledger.ledger import NO_COUNTERS, Ledger, LedgerChanged
from coldchain.ledger.locks import only_service
from coldchain.metrics import AlarmCollector, LagCollector, LedgerCollector, ServiceMetrics, serve, silent_loggers
from coldchain.pipeline import State, Step
from coldchain.readings import ChannelKey, Lost
from coldchain.receipts import Receipts
from coldchain.sequence import Counter, Runs
from coldchain.settings import Settings
from coldchain.supervisor import Supervisor
from coldchain.throttle import Throttle
from coldchain.timeseries.projection import Projection
from gateways.decoders import decoder

TURN_S = 0.2
QUIET_BELOW = 100
"""Messages of one turn; with fewer there is time for those that were put back."""

WAITING_AT_ONCE, WAITING_AT_ONCE_UNDER_LOAD = 500, 20
"""So many messages that were put back are read between two turns."""

MOST_ODDITIES = 10_000

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
        service.load_senders()
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
            broker.turn(0.0 if service.has_waiting else TURN_S)
            service.take()
            service.take_waiting()
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
        limits = settings.gateways
        self._intake = Intake(decoder(limits.mappings), Throttle(limits.messages_per_s, limits.burst))
        self._waiting, self._is_quiet = 0, True
        self._oddities: set[str] = set()
        self._commits = commits or Commits()
        self._kept: Kept | None = None
        self._receipts = Receipts(
            1000 * settings.service.resend_after_s, 1000 * settings.service.lost_after_s, ledger.runs_of
        )
        self._untold: list[tuple[str, bytes]] = []
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
                    self._save(Portion(), found, now_ms, kept.state, kept.version)
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

    def load_senders(self) -> None:
        """What edge nodes have said before the start, and which numbers of gateways are missing, from the ledger."""
        self._watchdog.allow(REBUILD_WITHIN_S)
        self._intake.know(edge_nodes.load(self._ledger))
        self._waiting = self._ledger.count_waiting()
        self._receipts.know(self._ledger.counters_with_gaps(), self._ledger.lost_readings(), self._clock())
        self._watchdog.beat()

    def take(self) -> None:
        """Commit what has arrived, then acknowledge it; after a failure of the disk try again every second."""
        count = len(self._broker.arrived)
        self._is_quiet = count < QUIET_BELOW
        if not count or time.monotonic() < self._retry_at:
            return
        portion = self._intake.read(self._broker.arrived, self._loaded.state.registry, time.monotonic())
        if self._commit(portion):
            self._broker.acknowledge(count)
            self._tell(portion)

    def take_waiting(self) -> None:
        """Read some of the messages that were put back, between those that arrive."""
        if not self._waiting or time.monotonic() < self._retry_at:
            return
        self._guarded(self._read_waiting)

    def _read_waiting(self) -> None:
        most = WAITING_AT_ONCE if self._is_quiet else WAITING_AT_ONCE_UNDER_LOAD
        portion = self._intake.read_waiting(self._ledger.waiting(most), self._loaded.state.registry)
        if self._commit(portion):
            self._tell(portion)

    def _tell(self, portion: Portion) -> None:
        """Publish receipts and requests; who does not hear them sends again, or is asked again."""
        self._intake.know(portion.nodes)
        receipts, self._untold = self._untold, []
        for receipt in receipts:
            self._broker.tell(*receipt)
        for request in portion.requests:
            self._broker.request(*request)

    @property
    def has_waiting(self) -> bool:
        """Whether messages wait to be read."""
        return self._waiting > 0

    def sweep(self, ticks: SimpleQueue[None]) -> None:
        """Notice what other processes wrote, once a second, and what is missing, at every tick."""
        now = time.monotonic()
        if now < self._retry_at:
            return
        if now >= self._next_poll:
            self._next_poll = now + POLL_S
            self._guarded(self._reload_if_changed)
            now_ms = self._clock()
            held = self._receipts.hold(self._commits.is_holding, now_ms)
            for receipt in held + self._receipts.requests(now_ms):
                self._broker.tell(*receipt)
            self._give_up_lost_readings()
            self._metrics.behind(self._waiting, self._receipts.missing)
        every_s = self._settings.service.silence_every_s
        ticked = bool(drain(ticks))
        if now >= self._silence_due:
            log.error("no tick came: the scheduler or the clock stands still", every_s=every_s)
        if ticked or now >= self._silence_due:
            self._silence_due = now + 3 * every_s
            self._commit(Portion(), pipeline.silence)
            self._guarded(self._tidy)
            state = self._loaded.state
            self._metrics.silent_loggers(silent_loggers(state.registry, state.series, self._clock()))

    def _give_up_lost_readings(self) -> None:
        """What gateways were asked for in vain is unknown time from now on."""
        lost = self._receipts.lost(self._clock())
        gaps: dict[ChannelKey, set[Lost]] = defaultdict(set)
        for counter, gap in lost:
            gaps[ChannelKey(counter.logger, counter.channel)].add(gap.lost)
        if lost and self._commit(Portion(), lambda state, now_ms: pipeline.lose(state, gaps, now_ms), lost):
            self._receipts.give_up(lost)
            log.warning("readings lost: asked for in vain", gaps=len(lost))

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

    def _commit(
        self,
        portion: Portion,
        find: Callable[[State, int], Step] | None = None,
        lost: Sequence[LostReading] = (),
    ) -> bool:
        """Find what it changes (by default: that the readings of a portion have come), save, adopt; whether it is on
        disk."""
        batches = tuple(batch for message in portion.messages for batch in message.batches)

        def once() -> None:
            taken = self._receipts.take(portion.messages)
            while True:
                now_ms, kept, began = self._clock(), self._loaded, time.monotonic()
                change = find(kept.state, now_ms) if find else pipeline.step(kept.state, batches, now_ms)
                try:
                    position = self._save(portion, change, now_ms, kept.state, kept.version, taken.runs, lost)
                except LedgerChanged:
                    self.load()
                    continue
                pipeline.adopt(kept.state, change)
                self._kept = replace(kept, position=position or kept.position)
                self._waiting += len(portion.waiting) - len(portion.waited)
                self._untold += self._receipts.adopt(taken, now_ms)
                self._metrics.committed(portion.messages, change.fresh, time.monotonic() - began)
                return

        return self._guarded(once)

    def _save(
        self,
        portion: Portion,
        change: Step,
        now_ms: int,
        before: State,
        version: int,
        counters: Mapping[Counter, Runs] = NO_COUNTERS,
        lost: Sequence[LostReading] = (),
    ) -> int | None:
        """Write what a step found; the ledger's position after it, None if there was nothing to write."""
        messages, waiting, waited = portion[:3]
        if not (messages or waiting or change.outcomes or change.events or change.warnings or lost):
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
            position = self._ledger.save(
                messages,
                change,
                alerts,
                now_ms,
                counters=counters,
                lost=lost,
                waiting=waiting,
                waited=waited,
                unless_changed_since=version,
            )
        if alerts:
            self._next_look = 0.0
        for event in change.events:
            log.warning("quarantine", id=event.id, kit=event.kit, revision=event.revision)
        for message in messages:
            if message.reason:
                log.warning("message rejected", topic=message.topic, reason=message.reason, detail=message.detail)
            elif message.detail and message.detail not in self._oddities:
                log.warning("message flagged, as will be others", topic=message.topic, detail=message.detail)
                if len(self._oddities) >= MOST_ODDITIES:
                    self._oddities.clear()
                self._oddities.add(message.detail)
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
