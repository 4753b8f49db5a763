"""The service: read, decode, step, save, acknowledge - one message's path from top to bottom, in one thread.

Nothing is acknowledged before it is on disk, so a crash anywhere means redelivery; and since readings are unique,
redelivery changes nothing. Whatever is not expected ends the process, which starts again from the ledger.
"""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import astuple
from queue import SimpleQueue

import structlog

from coldchain import edge_nodes, pipeline
from coldchain.alerts.alarm_watch import AlarmWatch
from coldchain.alerts.deliver import open_email
from coldchain.alerts.outbox import Outbox, drain
from coldchain.broker import Broker
from coldchain.commits import Commits
from coldchain.disk import DiskGuard
from coldchain.incoming import Intake, Portion
from coldchain.jobs import Watchdog, start_ticks
from coldchain.ledger.entries import LostReading, Waiting
from coldchain.ledger.ledger import Ledger
from coldchain.ledger.locks import only_service
from coldchain.metrics import AlarmCollector, LagCollector, LedgerCollector, ServiceMetrics, serve, silent_loggers
from coldchain.pipeline import State, Step
from coldchain.readings import ChannelKey, Lost
from coldchain.receipts import Receipts
from coldchain.settings import Settings
from coldchain.supervisor import Supervisor
from coldchain.throttle import Throttle
from coldchain.timeseries.projection import Projection
from coldchain.writer import REBUILD_WITHIN_S, Writer
from gateways.decoders import decoder

TURN_S = 0.2

RECEIPTS_EVERY_S = 0.1
"""So often is a gateway told what is stored: a message of its own for each of some forty commits a second would cost
more than the commits."""

RECEIPTS_AT_ONCE = 4
"""To so many gateways: publishing to forty at once makes whatever arrives meanwhile wait for 8 ms."""

THREADS_TAKE_TURNS_S = 0.0001
"""How long a thread that computes may make the loop wait; Python's 5 ms would be added to every wait of a commit."""

WHOLE_COLLECTIONS = 1000
"""Among so many of Python's collections of garbage one looks through all there is, which may take a tenth of a second;
by default one in ten does."""

QUIET_BELOW = 100
"""Messages of one turn; with fewer there is time for those that were put back."""

WAITING_AT_ONCE, WAITING_AT_ONCE_UNDER_LOAD = 500, 20
"""So many messages that were put back are read between two turns."""

GROUPS_AT_ONCE = 25
"""So many kit groups are asked between two commits whether they are silent: where all are, each is judged, some
milliseconds in all."""

POLL_S = 1.0
MAIL_FINISHES_WITHIN_S = 5.0
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
    sys.setswitchinterval(THREADS_TAKE_TURNS_S)
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
        gc.collect()
        gc.freeze()  # what it knows from the start stays: no collection shall stop the loop to look through it
        gc.set_threshold(*gc.get_threshold()[:2], WHOLE_COLLECTIONS)
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
            broker.turn(service.may_wait_s)
            service.take()
            service.take_waiting()
            service.tell_receipts()
            service.sweep(ticks)
            service.deliver()
            watch.turn()
        supervisor.stopping()
        service.take()
        service.tell_receipts(at_once=True)
        service.deliver()
        broker.turn(TURN_S)
        service.writer.checkpoint()
    log.info("service stopped")
    return 0


class Service:
    """What happens to messages: they are taken, or wait; what is missing is noticed; what is found is told."""

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
        self.writer = Writer(settings, ledger, watchdog, clock, self._metrics, self._commits)
        limits = settings.gateways
        self.intake = Intake(decoder(limits.mappings), Throttle(limits.messages_per_s, limits.burst))
        self._receipts = Receipts(
            1000 * settings.service.resend_after_s, 1000 * settings.service.lost_after_s, ledger.runs_of
        )
        self._waiting, self._is_quiet = 0, True
        self._to_ask: deque[tuple[str, ...]] = deque()
        self._next_poll = self._next_look = self._next_receipts = 0.0
        self._silence_due = time.monotonic() + 3 * settings.service.silence_every_s

    def load(self) -> None:
        """Bring the state up to the ledger, the registry and the rules; and from the ledger also what edge nodes have
        said before the start, which numbers of gateways are missing, and how many messages wait."""
        self.writer.load()
        self._watchdog.allow(REBUILD_WITHIN_S)
        self.intake.know(edge_nodes.load(self._ledger))
        self._waiting = self._ledger.count_waiting()
        self._receipts.know(self._ledger.counters_with_gaps(), self._ledger.lost_readings(), self._clock())
        self._watchdog.beat()

    def take(self) -> None:
        """Commit what has arrived, then acknowledge it; after a failure of the disk try again every second.

        One commit takes at most half of what may be in flight: with the other half, the broker and this process work at
        the same time.
        """
        left = len(self._broker.arrived)
        self._is_quiet = left < QUIET_BELOW
        at_once = (self._settings.mqtt.max_inflight + 1) // 2
        while left and self.writer.may_try:
            arrived = self._broker.arrived[:at_once]
            portion = self.intake.read(arrived, self.writer.kept.state.registry, time.monotonic())
            if not self._store(portion):
                return
            self._broker.acknowledge(len(arrived))
            self._tell(portion)
            left -= len(arrived)

    def take_waiting(self) -> None:
        """Read some of the messages that were put back, between those that arrive."""
        if not self.has_waiting:
            return
        most = WAITING_AT_ONCE if self._is_quiet else WAITING_AT_ONCE_UNDER_LOAD
        waiting: list[Waiting] = []
        if not self.writer.guarded(lambda: waiting.extend(self._ledger.waiting(most))):
            return
        portion = self.intake.read_waiting(tuple(waiting), self.writer.kept.state.registry)
        if self._store(portion):
            self._tell(portion)

    @property
    def has_waiting(self) -> bool:
        """Whether messages wait that can be read now: while the ledger fails there is nothing to hurry for."""
        return self._waiting > 0 and self.writer.may_try

    def _store(
        self, portion: Portion, find: Callable[[State, int], Step] = pipeline.nothing, lost: Sequence[LostReading] = ()
    ) -> bool:
        """Whether a portion, what its readings change or what else there is to `find`, is on disk."""

        def once() -> None:
            taken = self._receipts.take(portion.messages)
            now_ms = self.writer.write(portion, find, taken.runs, lost)
            self._waiting += len(portion.waiting) - len(portion.waited)
            self._receipts.adopt(taken, now_ms)

        return self.writer.guarded(once)

    def _tell(self, portion: Portion) -> None:
        """Publish requests; who does not hear them is asked again."""
        self.intake.know(portion.nodes)
        for request in portion.requests:
            self._broker.request(*request)

    def tell_receipts(self, *, at_once: bool = False) -> None:
        """Publish what gateways may delete, to a few of them at a time so that no message waits for all; each is told
        ten times a second at most. Who does not hear it sends again."""
        now, due = time.monotonic(), self._receipts.due
        if not due or (now < self._next_receipts and not at_once):
            return
        receipts = self._receipts.documents(self._clock(), None if at_once else RECEIPTS_AT_ONCE)
        self._next_receipts = now + RECEIPTS_EVERY_S * len(receipts) / due
        for receipt in receipts:
            self._broker.tell(*receipt)

    @property
    def may_wait_s(self) -> float:
        """How long the loop may wait for messages: not while there is work, not beyond what is to be told."""
        if self.has_waiting or (self._to_ask and self.writer.may_try):
            return 0.0
        if not self._receipts.due:
            return TURN_S
        return min(TURN_S, max(0.0, self._next_receipts - time.monotonic()))

    def sweep(self, ticks: SimpleQueue[None]) -> None:
        """Notice what other processes wrote, once a second, and what is missing: from every tick on some groups at a
        time, so that no message waits for all."""
        now = time.monotonic()
        if not self.writer.may_try:
            return
        if now >= self._next_poll:
            self._next_poll = now + POLL_S
            self.writer.guarded(self.writer.reload_if_changed)
            self._ask_gateways()
        every_s = self._settings.service.silence_every_s
        ticked = bool(drain(ticks))
        if now >= self._silence_due:
            log.error("no tick came: the scheduler or the clock stands still", every_s=every_s)
        if ticked or now >= self._silence_due:
            self._silence_due = now + 3 * every_s
            if not self._to_ask:  # else there are so many that a round takes longer than a tick
                groups = list(self.writer.kept.state.registry.groups)
                self._to_ask.extend(
                    tuple(groups[n : n + GROUPS_AT_ONCE]) for n in range(0, max(1, len(groups)), GROUPS_AT_ONCE)
                )
        if self._to_ask:
            asked = self._to_ask.popleft()
            self._store(Portion(), lambda state, at_ms: pipeline.silence(state, at_ms, asked))
            if not self._to_ask:
                self._tidy()

    def _tidy(self) -> None:
        self.writer.guarded(self.writer.tidy)
        state = self.writer.kept.state
        self._metrics.silent_loggers(silent_loggers(state.registry, state.last_ms, self._clock()))

    def _ask_gateways(self) -> None:
        """Ask for what is missing, and to hold back while the disk fills; what was asked for in vain is unknown time
        from now on."""
        now_ms = self._clock()
        held = self._receipts.hold(self._commits.is_holding, now_ms)
        for receipt in held + self._receipts.requests(now_ms):
            self._broker.tell(*receipt)
        lost = self._receipts.lost(now_ms)
        gaps: dict[ChannelKey, set[Lost]] = defaultdict(set)
        for counter, gap in lost:
            gaps[ChannelKey(counter.logger, counter.channel)].add(gap.lost)
        if lost and self._store(Portion(), lambda state, at_ms: pipeline.lose(state, gaps, at_ms), lost):
            self._receipts.give_up(lost)
            log.warning("readings lost: asked for in vain", gaps=len(lost))
        self._metrics.behind(self._waiting, self._receipts.missing)

    def deliver(self) -> None:
        """Write down what was delivered; hand on what is due, at once after a commit, else once a second."""
        self.record()
        now = time.monotonic()
        if now >= self._next_look or self.writer.has_alerts:
            self._next_look, self.writer.has_alerts = now + POLL_S, False
            self.writer.guarded(self._outbox.hand_on)

    def record(self) -> None:
        """Write down what was delivered."""
        self.writer.guarded(self._outbox.record)


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
