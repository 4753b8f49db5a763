"""The projection inside the service: a thread of its own, with its own connections, that nothing waits for.

A store that is slow, full or dead costs lag and nothing else; readings, events and alerts go their way meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from coldchain.errors import ColdchainError
from coldchain.settings import Settings
from coldchain.timeseries import local_file
from coldchain.timeseries.opening import Opened, file_of, opened, parked
from coldchain.timeseries.points import DAY_MS, Cursor
from coldchain.timeseries.reconciliation import reconcile
from coldchain.timeseries.retention import kept, prune

LOOK_EVERY_S = 1.0
LONGEST_PAUSE_S = 60.0
REST = 3.0
"""How long it rests, in multiples of the time that it has worked: ingest has the processor first."""

LONGEST_REST_S = 0.02
"""Between two pieces of work of one pass; the remainder follows the pass."""

_RECONCILED = ("reconciled_block", "reconciled_audit", "reconciled_verdict")
"""Under which names the local file remembers how far the last night came."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the projection is behind. `error`: why it stands still, empty while it moves."""

    blocks: int = 0
    oldest_ms: int | None = None
    parked: int = 0
    differences: int = 0
    error: str = ""


class Projection:
    """The thread. `lag` is as of its last pass."""

    def __init__(self, settings: Settings, clock: Callable[[], int]) -> None:
        self._settings, self._clock = settings, clock
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="projection", daemon=True)
        self._worked_s = self._rested_s = 0.0
        self.lag = Lag()

    def start(self) -> None:
        """Begin to project."""
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """Let it finish its pass; what is left is projected after the next start."""
        self._stopped.set()
        self._thread.join(within_s)

    def _work(self) -> None:
        pause_s = LOOK_EVERY_S
        while not self._stopped.is_set():
            try:
                with opened(self._settings, self._rest) as found:
                    while not self._stopped.is_set():
                        self._stopped.wait(self._pass(found))
                        pause_s = LOOK_EVERY_S
            except ColdchainError as failed:
                if str(failed) != self.lag.error:
                    log.warning("time-series projection waits", error=str(failed))
                self.lag = replace(self.lag, error=str(failed))
                asked_s = getattr(failed, "retry_after_s", None)
                self._stopped.wait(min(asked_s or pause_s, LONGEST_PAUSE_S))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except Exception as failed:
                log.critical("time-series projection failed", exc_info=True)
                self.lag = replace(self.lag, error=repr(failed))
                self._stopped.wait(LONGEST_PAUSE_S)

    def _pass(self, found: Opened) -> float:
        """Project one stretch, or do what a night asks for; how long to rest afterwards [s]."""
        began = time.monotonic()
        self._worked_s, self._rested_s = time.thread_time(), 0.0
        with local_file.projecting(file_of(self._settings), waiting=False) as is_mine:
            if not is_mine:  # a command rebuilds or reconciles
                return LOOK_EVERY_S
            has_more = found.projector.run_pass()
            if not has_more:
                self._nightly(found)
        left = found.projector.backlog
        if self.lag.error:
            log.info("time-series projection goes on", behind=left.blocks)
        self.lag = replace(self.lag, blocks=left.blocks, oldest_ms=left.oldest_ms, parked=parked(found.local), error="")
        took_s = time.monotonic() - began - self._rested_s
        rest_s = max(0.0, REST * took_s - self._rested_s)
        return rest_s if has_more else max(rest_s, LOOK_EVERY_S)

    def _rest(self) -> None:
        """Let the loop go on between two pieces of work: it waits for this thread whenever both want to compute, and a
        pass without a pause would add that wait to every commit for a second."""
        began = time.monotonic()
        self._stopped.wait(min(LONGEST_REST_S, REST * (time.thread_time() - self._worked_s)))
        self._rested_s += time.monotonic() - began
        self._worked_s = time.thread_time()

    def _nightly(self, found: Opened) -> None:
        """Once a UTC day, after the hour of the settings: reconcile what came since, and let go what is too old."""
        now_ms, said = self._clock(), self._settings.timeseries
        today = (now_ms - said.nightly_hour_utc * 3_600_000) // DAY_MS
        last = local_file.progress(found.local, "nightly")
        if last >= today:
            return
        with found.projector.one_view():
            keep = kept(found.ledger, found.projector.registry, now_ms, said.raw_days)
        if last:
            block, audit, verdict = (local_file.progress(found.local, name) for name in _RECONCILED)
            since = Cursor(block, audit, verdict)
            result = reconcile(found.projector, found.store, keep, since=since)
            self.lag = replace(self.lag, differences=result.remaining)
            if result.differences:
                log.error("time-series store differed", found=len(result.differences), remaining=result.remaining)
            prune(found.store, found.ledger, keep)
        with local_file.transaction(found.local):
            local_file.remember(found.local, "nightly", today)
            cursor = found.store.cursor()
            for name, number in zip(_RECONCILED, (cursor.block, cursor.audit, cursor.verdict), strict=True):
                local_file.remember(found.local, name, number)
