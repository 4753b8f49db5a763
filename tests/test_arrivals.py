"""However data arrive, late, twice, in conflict, across restarts, with custody corrected later: they mean the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import histories
from coldchain import pipeline
from coldchain.errors import BadInput
from coldchain.pipeline import State
from coldchain.readings import ReadingBatch
from coldchain.registry import Registry
from coldchain.replay_document import document_of
from histories import Case
from test_semantics import batches, inputs


class Arrivals(RuleBasedStateMachine):
    """A service that lives through a case; what it stored is all that a restart may use."""

    @initialize(case=histories.cases())
    def begin(self, case: Case) -> None:
        self.case = case
        self.registry, self.profiles = inputs(case)
        self.waiting, self.delivered = list(case.items), [case.items[:0]]
        self.stored: list[ReadingBatch] = []
        self.clock_ms = 0
        self.state = self.started(self.registry, None)

    def started(self, registry: Registry, before: State | None) -> State:
        """The state from what is stored, as after a restart; events and warnings go on."""
        events = [event for kit in before.events.values() for event in kit.values()] if before else []
        state, found = pipeline.start(
            registry, self.profiles, self.stored, events, now_ms=self.clock_ms, as_of_ms=self.case.as_of_ms
        )
        pipeline.adopt(state, found)
        return state

    def deliver(self, items: list[Any]) -> None:
        self.clock_ms += 1
        arrived = batches(items)
        step = pipeline.step(self.state, arrived, self.clock_ms)
        assert len(step.fresh) == len(arrived)
        self.stored += [batch for batch in step.fresh if len(batch)]
        pipeline.adopt(self.state, step)
        self.delivered.append(items)

    @rule(count=st.integers(1, 40), from_the_end=st.booleans())
    def some_arrive(self, count: int, from_the_end: bool) -> None:
        cut = len(self.waiting) - count if from_the_end else count
        one, other = self.waiting[: max(cut, 0)], self.waiting[max(cut, 0) :]
        self.waiting = one if from_the_end else other
        self.deliver(other if from_the_end else one)

    @rule(which=st.integers(0, 50))
    def some_arrive_again(self, which: int) -> None:
        self.deliver(self.delivered[which % len(self.delivered)])

    @rule()
    def the_service_restarts(self) -> None:
        before = self.state
        self.state = self.started(self.registry, before)
        assert self.state.assessments == before.assessments
        assert self.state.events == before.events

    @rule(which=st.integers(0, 50), minutes=st.integers(-90, 90).filter(bool), is_removed=st.booleans())
    def custody_is_corrected(self, which: int, minutes: int, is_removed: bool) -> None:
        if not self.case.registry.get("custody"):
            return
        custody = histories.corrected(self.case.registry["custody"], which, minutes, is_removed)
        case = self.case._replace(registry={**self.case.registry, "custody": custody})
        try:
            self.registry, self.profiles = inputs(case)
        except BadInput:  # a kit cannot be made before the kits it is made of
            return
        self.case = case
        self.state = self.started(self.registry, self.state)

    def teardown(self) -> None:
        if not hasattr(self, "case"):
            return
        self.deliver(self.waiting)
        whole = pipeline.replay(batches(self.case.items), self.registry, self.profiles, self.case.as_of_ms)
        ours, replayed = (document_of(state, messages=0, rejected=0) for state in (self.state, whole))
        ours["inputs"].pop("duplicates")
        replayed["inputs"].pop("duplicates")
        assert ours == replayed
        supported = {event.id for kit in self.state.events.values() for event in kit.values() if event.supported}
        assert supported == {event["id"] for event in replayed["events"]}


def test_three_hundred_lives_of_a_service_end_where_one_replay_ends() -> None:
    run_state_machine_as_test(Arrivals, settings=settings(max_examples=300, stateful_step_count=8))


@pytest.mark.long
def test_twenty_thousand_lives_of_a_service_end_where_one_replay_ends() -> None:
    run_state_machine_as_test(Arrivals, settings=settings(max_examples=20_000, stateful_step_count=12))
