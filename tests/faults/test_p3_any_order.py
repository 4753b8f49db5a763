"""P3: any order, duplicates, delays and crashes give the verdicts, events and report of one batch."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pytest
import structlog
from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import histories
from coldchain.alerts.outbox import Outbox
from coldchain.broker import Arrived
from coldchain.commands.recall import recall
from coldchain.commands.report import collect
from coldchain.errors import BadInput
from coldchain.jobs import Watchdog
from coldchain.ledger import queries
from coldchain.ledger.entries import Delivery, OutboxRow
from coldchain.ledger.ledger import Ledger
from coldchain.report import content
from coldchain.service import Service
from coldchain.settings import load_settings
from faults.account import Account
from faults.book import Book
from faults.fleet import Fleet
from faults.sizes import Size
from histories import START_MS, Case
from oracle import Item

NOW_MS = START_MS + 30 * 86_400_000
"""Long after every reading: what was measured later than it came is not the question here."""


@dataclass
class MemoryBroker:
    """Sends again what was not acknowledged: all that Mosquitto does for one session, without a network."""

    queue: list[tuple[str, bytes]] = field(default_factory=list)
    arrived: list[Arrived] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    statuses: list[Arrived] = field(default_factory=list)
    is_linked: bool = True
    is_deaf: bool = False

    def deliver(self, count: int, start: int = 0) -> None:
        """Let some of the queue arrive; they stay in it until they are acknowledged."""
        self.arrived = [Arrived(NOW_MS, *message) for message in self.queue[start : start + count]]

    def acknowledge(self, count: int) -> None:
        done, self.arrived = self.arrived[:count], self.arrived[count:]
        if not self.is_deaf:
            for each in done:
                self.queue.remove((str(each.topic), each.payload))

    def publish(self, row: OutboxRow) -> None:
        self.deliveries.append(Delivery(row.id, NOW_MS))

    def tell(self, topic: str, payload: bytes) -> None:
        """Nobody listens to receipts here."""

    request = announce = tell


class Running:
    """The real service over a real ledger, which may be dropped at any time and opened again."""

    def __init__(self, folder: Path, case: Case) -> None:
        rules = folder / "rules"
        rules.mkdir(parents=True)
        for table in case.profiles:
            (rules / f"{table['profile']}.toml").write_text(histories.to_toml(table), encoding="utf-8")
        (folder / "settings.toml").write_text("", encoding="utf-8")
        self.settings = load_settings(folder / "settings.toml", {})
        self.broker = MemoryBroker()
        self._stack = ExitStack()
        self.open()
        self.ledger.register("registry.toml", histories.to_toml(case.registry), "ann", START_MS)
        self.service.load()

    def open(self) -> None:
        self.ledger = self._stack.enter_context(Ledger.open(self.settings.ledger.path))
        clock = lambda: NOW_MS  # noqa: E731
        outbox = Outbox(self.ledger, self.broker, None, clock)  # type: ignore[arg-type]  # stands in for a Broker
        broker: Any = self.broker
        self.service = Service(self.settings, self.ledger, broker, outbox, Watchdog(60), clock)
        self.broker.arrived, self.broker.deliveries = [], []

    def crash(self) -> None:
        """Whatever was in memory is gone."""
        self.close()
        self.open()
        self.service.load()

    def turn(self, *, tick: bool = False) -> None:
        ticks: SimpleQueue[None] = SimpleQueue()
        if tick:
            ticks.put(None)
        self.service.take()
        self.service.sweep(ticks)
        self.service.deliver()

    def close(self) -> None:
        self._stack.close()
        self._stack = ExitStack()

    def answer(self) -> dict[str, Any]:
        """Verdicts, supported events and the hash of the report of all kits, from the ledger alone."""
        self.turn(tick=True)
        with queries.reading(self.settings.ledger.path) as connection:
            noted = {group: told["verdict"] for group, told in queries.assessments(connection).items()}
            state = recall(connection, self.settings, NOW_MS)
            # how often an event was revised and when it was noticed tells the order of arrival, and is meant to
            events = [replace(e, revision=1, detected_at_ms=0) for e in queries.events(connection) if e.supported]
            readings = sorted(
                (batch.logger, batch.channel, at, mc)
                for batch in queries.batches(connection)
                for at, mc in zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True)
            )
        kits = sorted(kit for group in state.registry.groups.values() for kit in group.kits)
        report = content.as_json(collect(state, kits, events, NOW_MS))
        return {
            "verdicts": noted,
            "events": sorted((e.id, e.breached_at_ms) for e in events),
            "readings": readings,
            "report": report["report_sha256"],
            "problems": self.ledger.audit_verify().problems,
        }


def payloads(items: Iterable[Item]) -> list[tuple[str, bytes]]:
    """One message for each channel among the items, as its gateway would send it."""
    channels: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        channels.setdefault((item.logger, item.channel), []).append(item)
    found = []
    for (logger, channel), mine in channels.items():
        t0 = mine[0].at_ms
        document = {
            "v": 1,
            "logger": logger,
            "channel": channel,
            "t0": t0,
            "dt": [item.at_ms - t0 for item in mine],
            "mc": [item.temperature_mc for item in mine],
        }
        found.append((f"coldchain/v1/basel/gw-1/{logger}/readings", json.dumps(document).encode()))
    return found


class Life(RuleBasedStateMachine):
    """One service that is crashed and hears everything in disorder; at the end, one that hears all of it at once."""

    done: ClassVar[int] = 0
    crashes: ClassVar[int] = 0
    book: ClassVar[Book]
    of: ClassVar[int] = 0

    @initialize(case=histories.cases(), portion=st.integers(1, 9), chance=st.randoms(use_true_random=False))
    def begin(self, case: Case, portion: int, chance: Any) -> None:
        newest = {table["profile"]: table for table in sorted(case.profiles, key=lambda table: table["version"])}
        self.case = case._replace(profiles=list(newest.values()), as_of_ms=None)
        self.folder = TemporaryDirectory()
        try:
            self.running = Running(Path(self.folder.name) / "life", self.case)
        except BadInput:  # a trial that asks for a version that is not in force
            assume(False)
        items = [item for item in case.items if item.at_ms >= 0]
        parts = [items[first : first + portion] for first in range(0, len(items), portion)]
        self.sent = [message for part in parts for message in payloads(part)]
        disorder = self.sent + chance.sample(self.sent, len(self.sent) // 3)
        chance.shuffle(disorder)
        self.running.broker.queue = disorder

    @rule(count=st.integers(1, 20), start=st.integers(0, 30))
    def some_arrive(self, count: int, start: int) -> None:
        self.running.broker.deliver(count, start)
        self.running.turn()

    @rule(count=st.integers(1, 20))
    def it_crashes_before_the_commit(self, count: int) -> None:
        self.running.broker.deliver(count)
        self.crash()

    @rule(count=st.integers(1, 20))
    def it_crashes_between_commit_and_acknowledgement(self, count: int) -> None:
        self.running.broker.deliver(count)
        self.running.broker.is_deaf = True
        self.running.service.take()
        self.running.broker.is_deaf = False
        self.crash()

    @rule()
    def a_checkpoint_is_written(self) -> None:
        self.running.service.writer.checkpoint()

    @rule()
    def a_tick_comes(self) -> None:
        self.running.turn(tick=True)

    def crash(self) -> None:
        type(self).crashes += 1
        self.running.crash()

    def teardown(self) -> None:
        if not hasattr(self, "sent"):
            return
        while self.running.broker.queue:
            self.running.broker.deliver(50)
            self.running.turn()
        found = self.running.answer()
        at_once = Running(Path(self.folder.name) / "at-once", self.case)
        at_once.broker.queue = list(self.sent)
        at_once.broker.deliver(len(self.sent))
        at_once.turn()
        expected = at_once.answer()
        self.running.close()
        at_once.close()
        self.folder.cleanup()
        assert found == expected
        assert found["problems"] == ()
        type(self).done += 1
        self.book.step(min(type(self).done, self.of), self.of)


@pytest.fixture
def _silent() -> Iterator[None]:
    """A thousand services that say that they have started are no news."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_silent")
def test_lives_in_disorder_with_crashes_end_like_one_batch(size: Size, seed: int, book: Book) -> None:
    Life.done, Life.crashes, Life.book, Life.of = 0, 0, book, size.lives
    amount = settings(
        max_examples=size.lives,
        stateful_step_count=8,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # a failing life is short already, and making it shorter takes minutes
        report_multiple_bugs=False,
    )

    class Seeded(Life):
        pass

    Seeded._hypothesis_internal_use_seed = seed  # what @seed sets on a test
    run_state_machine_as_test(Seeded, settings=amount)
    note = f"{Seeded.crashes} crashes; equal verdicts, events, readings and SHA-256 of the report"
    book.promise("P3", "lives in disorder against one batch", Seeded.done, "lives", Account(), note)


def naive_ms(batches: Iterable[Any], bound_mc: int) -> dict[str, int]:
    """Exposure by increments as readings arrive: the time since the one that came before it, if it is above."""
    before: dict[str, int] = {}
    found: dict[str, int] = {}
    for batch in batches:
        for at_ms, mc in zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True):
            if batch.logger in before and mc > bound_mc:
                found[batch.logger] = found.get(batch.logger, 0) + max(0, at_ms - before[batch.logger])
            before[batch.logger] = at_ms
    return found


def test_control_naive_increments_depend_on_the_order(chance: random.Random, book: Book) -> None:
    messages: Sequence[Any] = list(Fleet(20, chance.randrange(2**31)).messages(1500))
    in_order = sorted((batch for each in messages for batch in each.batches()), key=lambda batch: int(batch.at_ms[0]))
    disorder = [*in_order, *chance.sample(in_order, 100)]
    chance.shuffle(disorder)
    one, other = naive_ms(in_order, 8000), naive_ms(disorder, 8000)
    differing = sum(one.get(logger) != other.get(logger) for logger in one.keys() | other.keys())
    note = f"{differing} of {len(one)} loggers have another exposure"
    book.control("P3", "naive increments", 1, "life", Account(), fails=differing > 0, note=note)
