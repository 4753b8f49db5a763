"""The state and the ledger: they change together or not at all.

What one step finds is computed from the state, written in one transaction, and only then made the state. If another
process has written meanwhile, the state is brought up to the ledger first and the step is repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from coldchain import keeper, pipeline
from coldchain.alerts.compose import compose
from coldchain.commits import Commits
from coldchain.errors import EnvironmentFailed
from coldchain.incoming import Portion
from coldchain.jobs import Watchdog
from coldchain.keeper import Kept
from coldchain.ledger.entries import LostReading, Message
from coldchain.ledger.ledger import NO_COUNTERS, Ledger, LedgerChanged
from coldchain.metrics import ServiceMetrics
from coldchain.pipeline import State, Step
from coldchain.sequence import Counter, Runs
from coldchain.settings import Settings

RETRY_S = 1.0
REBUILD_WITHIN_S = 900.0
DAY_MS = 86_400_000
MOST_ODDITIES = 10_000

log = structlog.get_logger()


class Writer:
    """Keeps a state in step with its ledger. `has_alerts`: something was written that people have to be told."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        watchdog: Watchdog,
        clock: Callable[[], int],
        metrics: ServiceMetrics,
        commits: Commits,
    ) -> None:
        self._settings, self._ledger, self._watchdog, self._clock = settings, ledger, watchdog, clock
        self._metrics, self._commits = metrics, commits
        self._kept: Kept | None = None
        self._oddities: set[str] = set()
        self._next_checkpoint = time.monotonic() + settings.service.checkpoint_every_s
        self._checkpointed = 0
        self._retry_at, self._is_failing = 0.0, False
        self.has_alerts = False

    def load(self) -> None:
        """Bring the state up to the ledger, the registry and the rules."""
        self._watchdog.allow(REBUILD_WITHIN_S)
        while True:
            now_ms = self._clock()
            try:
                for kept, found in keeper.catch_up(self._ledger, self._settings.rules.dir, self._kept, now_ms):
                    self._save(Portion(), found, now_ms, kept)
                    pipeline.adopt(kept.state, found)
                    self._kept = kept
            except LedgerChanged:
                continue
            registry = self.kept.state.registry
            self._ledger.keep_assessments(registry.groups)
            log.info("state loaded", kits=len(registry.kits), loggers=len(registry.loggers))
            self._watchdog.beat()
            return

    @property
    def kept(self) -> Kept:
        """The state, and what it stands on."""
        if self._kept is None:
            raise RuntimeError("the state is loaded before anything else")
        return self._kept

    def write(
        self,
        portion: Portion,
        find: Callable[[State, int], Step] = pipeline.nothing,
        counters: Mapping[Counter, Runs] = NO_COUNTERS,
        lost: Sequence[LostReading] = (),
    ) -> int:
        """Write a portion and what its readings change, or without any what `find` finds; as of when [ms UTC].

        Raises EnvironmentFailed, and then nothing has changed.
        """
        batches = tuple(batch for message in portion.messages for batch in message.batches)
        while True:
            now_ms, kept, began = self._clock(), self.kept, time.monotonic()
            change = pipeline.step(kept.state, batches, now_ms) if portion.messages else find(kept.state, now_ms)
            try:
                position = self._save(portion, change, now_ms, kept, counters, lost)
            except LedgerChanged:
                self.load()
                continue
            pipeline.adopt(kept.state, change)
            self._kept = replace(kept, position=position or kept.position)
            self._metrics.committed(portion.messages, change.fresh, time.monotonic() - began)
            return now_ms

    def _save(
        self,
        portion: Portion,
        change: Step,
        now_ms: int,
        kept: Kept,
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
            kept.state.registry,
            self._settings.alerts,
            known=kept.state.events,
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
                unless_changed_since=kept.version,
            )
        self._works()
        self.has_alerts |= bool(alerts)
        self._log(messages, change)
        return position

    def _log(self, messages: Sequence[Message], change: Step) -> None:
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

    def reload_if_changed(self) -> None:
        """Bring the state up to what other processes wrote, and to rules that have come into force."""
        if self._ledger.data_version() != self.kept.version:
            log.info("another process wrote to the ledger")
            self.load()
        elif (change_ms := self.kept.rules_change_ms) is not None and self._clock() >= change_ms:
            log.info("another version of the rules has come into force")
            self.load()

    def tidy(self) -> None:
        """Let the state put its older past away, and keep it for the next start now and then."""
        keep_ms = self._settings.service.keep_days * DAY_MS
        keeper.put_away(self.kept, self._clock(), keep_ms)
        if time.monotonic() >= self._next_checkpoint:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Keep the state for the next start; a disk that has no room for it does not stop the service."""
        self._next_checkpoint = time.monotonic() + self._settings.service.checkpoint_every_s
        if self._kept is None or self._kept.position == self._checkpointed:
            return
        try:
            self._commits.check_room()
            keeper.write_checkpoint(self._ledger, self._kept, self._clock())
        except EnvironmentFailed as failed:
            log.error("no checkpoint: the next start will read more of the ledger", error=str(failed))
            return
        self._checkpointed = self._kept.position

    @property
    def may_try(self) -> bool:
        """Whether the ledger has not failed within the last second."""
        return time.monotonic() >= self._retry_at

    def guarded(self, act: Callable[[], object]) -> bool:
        """Whether the ledger did its part; if not, nothing is acknowledged and the next attempt is a second away.

        An act that gives True has written something.
        """
        try:
            if act() is True:
                self._works()
        except EnvironmentFailed as failed:
            log.critical("ledger failed: nothing is acknowledged until it works again", error=str(failed))
            self._is_failing, self._retry_at = True, time.monotonic() + RETRY_S
            self._metrics.failing(True)
            return False
        return True

    def _works(self) -> None:
        """A transaction is on disk. Only that proves anything: what has nothing to write succeeds on a full disk."""
        if self._is_failing:
            log.info("ledger works again")
        self._is_failing = False
        self._metrics.failing(False)
