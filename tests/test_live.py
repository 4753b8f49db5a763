"""A live service that forgets, amends and waits says what one says that has everything before it: lives as machines."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import histories
from coldchain import pipeline, retention
from coldchain.errors import BadInput
from coldchain.ledger import checkpoint
from coldchain.pipeline import State, Step
from coldchain.readings import ChannelKey, Lost, ReadingBatch
from coldchain.registry import Registry
from coldchain.state import Remembered, remember
from histories import START_MS, Case
from oracle import STAGES
from test_semantics import batches, inputs

MINUTE_MS = histories.MINUTE_MS


class Life(RuleBasedStateMachine):
    """A live state that puts its past away, is amended and lets places wait; beside it, what it stored."""

    @initialize(case=histories.cases())
    def begin(self, case: Case) -> None:
        self.case = case._replace(as_of_ms=None)
        self.registry, self.profiles = inputs(self.case)
        self.waiting = sorted(case.items, key=lambda item: (item.received_ms or item.at_ms, item.at_ms))
        self.stored: list[ReadingBatch] = []
        self.now_ms = START_MS
        self.checkpoint: tuple[Remembered | None, int, Registry | None] = None, 0, None
        self.state, found = pipeline.start(
            self.registry, self.profiles, now_ms=self.now_ms, is_live=True, archive=self.archive
        )
        self.take(found)

    def archive(self, key: ChannelKey) -> list[ReadingBatch]:
        return [batch for batch in self.stored if batch.key == key]

    def take(self, found: Step) -> None:
        self.stored += [batch for batch in found.fresh if len(batch)]
        pipeline.adopt(self.state, found)

    def deliver(self, items: list[Any]) -> None:
        self.now_ms = max([self.now_ms, *(item.at_ms for item in items if item.at_ms < START_MS + 10**9)])
        self.take(pipeline.step(self.state, batches(items), self.now_ms))

    @rule(count=st.integers(1, 40))
    def some_arrive(self, count: int) -> None:
        now, self.waiting = self.waiting[:count], self.waiting[count:]
        self.deliver(now)

    @rule(count=st.integers(1, 20), keep=st.integers(0, 30))
    def some_arrive_before_their_turn(self, count: int, keep: int) -> None:
        late, now, rest = self.waiting[:keep], self.waiting[keep : keep + count], self.waiting[keep + count :]
        self.waiting = late + rest
        self.deliver(now)

    @rule(count=st.integers(1, 30))
    def one_by_one(self, count: int) -> None:
        for item in self.waiting[:count]:
            self.deliver([item])
        self.waiting = self.waiting[count:]

    @rule(minutes=st.integers(0, 200), some=st.booleans())
    def the_past_is_put_away(self, minutes: int, some: bool) -> None:
        places = sorted(self.registry.places)[: 1 if some else None]
        until_ms = self.now_ms - minutes * MINUTE_MS
        pipeline.adopt(self.state, retention.put_away(self.state, until_ms, self.now_ms, places))

    @rule(which=st.integers(0, 50), first=st.integers(0, 200), count=st.integers(1, 3))
    def some_that_were_taken_never_come(self, which: int, first: int, count: int) -> None:
        keys = sorted({batch.key for batch in self.stored})
        if keys:
            key = keys[which % len(keys)]
            instants = sorted({at_ms for batch in self.archive(key) for at_ms in batch.at_ms.tolist()})
            gaps = [Lost(*pair) for pair in zip(instants[first:], instants[first + 1 :], strict=False)][:count]
            self.take(pipeline.lose(self.state, {key: gaps}, self.now_ms))

    @rule(minutes=st.integers(0, 40), at_once=st.integers(1, 4))
    def nothing_comes_for_a_while(self, minutes: int, at_once: int = 1) -> None:
        self.now_ms += minutes * MINUTE_MS
        groups = list(self.registry.groups)
        for n in range(0, len(groups), at_once):
            pipeline.adopt(self.state, pipeline.silence(self.state, self.now_ms, groups[n : n + at_once]))

    @rule(which=st.integers(0, 50), minutes=st.integers(-90, 90).filter(bool), is_removed=st.booleans())
    def custody_is_corrected(self, which: int, minutes: int, is_removed: bool) -> None:
        if not self.case.registry.get("custody"):
            return
        custody = histories.corrected(self.case.registry["custody"], which, minutes, is_removed)
        self.amend(custody=custody)

    @rule(which=st.integers(0, 50), minutes=st.integers(1, 90))
    def monitoring_is_corrected(self, which: int, minutes: int) -> None:
        monitoring = [dict(row) for row in self.case.registry["monitoring"]]
        if monitoring:
            row = monitoring[which % len(monitoring)]
            row["from"] -= timedelta(minutes=minutes)
            self.amend(monitoring=monitoring)

    @rule(which=st.integers(0, 50), minutes=st.integers(0, 300))
    def a_certificate_turns_out_to_have_expired(self, which: int, minutes: int) -> None:
        loggers = [dict(row) for row in self.case.registry["logger"]]
        row = loggers[which % len(loggers)]
        row.pop("calibrated_from", None)
        row["calibrated_until"] = histories.moment(START_MS + minutes * MINUTE_MS)
        self.amend(logger=loggers)

    @rule(which=st.integers(0, 50), stage=st.sampled_from(STAGES))
    def a_place_turns_out_to_be_of_another_stage(self, which: int, stage: str) -> None:
        places = [dict(row) for row in self.case.registry["place"]]
        places[which % len(places)]["stage"] = stage
        self.amend(place=places)

    @rule()
    def a_checkpoint_is_written(self) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "checkpoint"
            sha256 = checkpoint.write(path, remember(self.state), "key")
            self.checkpoint = checkpoint.read(path, sha256, "key"), len(self.stored), self.registry

    @rule()
    def the_service_restarts(self) -> None:
        remembered, position, registry = self.checkpoint
        if registry is not self.registry:
            remembered, position = None, 0
        before = self.state
        self.state, found = pipeline.start(
            self.registry,
            self.profiles,
            self.stored[position:],
            [event for known in before.events.values() for event in known.values()],
            now_ms=self.now_ms,
            is_live=True,
            archive=self.archive,
            remembered=remembered,
            lost=before.lost,
        )
        pipeline.adopt(self.state, found)

    @rule(minutes=st.integers(0, 60), count=st.integers(1, 20), keep=st.integers(0, 5))
    def it_crashes_after_a_commit_that_followed_a_checkpoint(self, minutes: int, count: int, keep: int) -> None:
        self.the_past_is_put_away(minutes, some=False)
        self.a_checkpoint_is_written()
        self.some_arrive_before_their_turn(count, keep)
        self.the_service_restarts()

    @rule(minutes=st.integers(0, 60), count=st.integers(1, 20))
    def another_process_stores_some_after_the_past_was_put_away(self, minutes: int, count: int) -> None:
        self.the_past_is_put_away(minutes, some=False)
        now, self.waiting = self.waiting[:count], self.waiting[count:]
        fresh = [batch for batch in pipeline.step(self.state, batches(now), self.now_ms).fresh if len(batch)]
        self.stored += fresh
        pipeline.adopt(self.state, pipeline.step(self.state, fresh, self.now_ms, are_stored=True))

    @rule(which=st.integers(0, 50), allowed=st.sampled_from(["0s", "7min", "3h"]))
    def a_limit_is_changed(self, which: int, allowed: str) -> None:
        profiles = [{**table, "limit": [dict(limit) for limit in table["limit"]]} for table in self.case.profiles]
        limits = [limit for table in profiles for limit in table["limit"] if "accumulated" in limit]
        if limits:
            limits[which % len(limits)]["accumulated"] = allowed
            self.case = self.case._replace(profiles=profiles)
            self.amend()

    def amend(self, **tables: list[Any]) -> None:
        case = self.case._replace(registry={**self.case.registry, **tables})
        try:
            self.registry, self.profiles = inputs(case)
        except BadInput:  # a kit cannot be made before the kits it is made of
            return
        self.case = case
        self.state, found = pipeline.amend(self.state, self.registry, self.profiles, self.now_ms)
        self.take(found)

    def teardown(self) -> None:
        if not hasattr(self, "case"):
            return
        self.deliver(self.waiting)
        self.nothing_comes_for_a_while(60)
        fresh, found = pipeline.start(
            self.registry, self.profiles, self.stored, now_ms=self.now_ms, is_live=True, lost=self.state.lost
        )
        pipeline.adopt(fresh, found)
        assert pipeline.look(self.state, self.registry.groups, self.now_ms) == fresh.assessments
        assert outcomes(self.state) == outcomes(fresh)
        assert supported(fresh) <= supported(self.state)
        # rules that changed leave what a blind group's earlier composite had found as it was: it has no version
        assert {event for event in supported(self.state) if event.version is not None} <= supported(fresh)


def outcomes(state: State) -> dict[str, tuple[object, ...]]:
    return {group: found.outcome for group, found in state.assessments.items() if group in state.registry.groups}


class Supported(NamedTuple):
    event: str
    breached_at_ms: int
    version: int | None


def supported(state: State) -> set[Supported]:
    kits = state.registry.kits
    events = (event for kit, known in state.events.items() if kit in kits for event in known.values())
    return {Supported(event.id, event.breached_at_ms, event.profile_version) for event in events if event.supported}


def test_three_hundred_lives_that_forget_and_wait_end_like_one_that_has_everything_before_it() -> None:
    run_state_machine_as_test(Life, settings=settings(max_examples=300, stateful_step_count=10))


@pytest.mark.long
def test_twenty_thousand_lives_that_forget_and_wait_end_like_one_that_has_everything_before_it() -> None:
    run_state_machine_as_test(Life, settings=settings(max_examples=20_000, stateful_step_count=14))
