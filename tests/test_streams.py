"""Quiet readings that wait: a state that lets them wait is, at every moment, the state that looks at every reading."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import histories
import oracle
from coldchain import pipeline, retention, rings
from coldchain.errors import BadInput
from coldchain.history import AHEAD_OF_CLOCK_MS, Record, Series
from coldchain.pipeline import State, Step
from coldchain.profiles import parse_profile
from coldchain.readings import ChannelKey, Lost, ReadingBatch
from coldchain.state import remember
from coldchain.streams import Expected, Streams
from histories import START_MS, Case
from test_live import outcomes
from test_patience import living
from test_pipeline import REGISTRY, RULES, batch, every_five, minute, registry
from test_semantics import batches, inputs

MINUTE_MS = histories.MINUTE_MS
ROOM = ChannelKey("lg-a", "1")
quiet_seen = 0


class Deaf(Streams):
    """Expects nothing of any channel: every reading is looked at."""

    def expect(self, key: ChannelKey, place: str, expected: Expected | None) -> None:
        """Forget it."""


@st.composite
def calm_cases(draw: st.DrawFn) -> Case:
    """Draw two places whose channels read on for hours at one level, with now and then a jump, a pause, a fault, a
    copy; kits that stay, leave and come, loggers that move, certificates that end."""
    at = st.integers(0, 400).map(lambda minutes: histories.moment(START_MS + minutes * MINUTE_MS))
    later = st.none() | at
    number = draw(st.integers(1, 3))
    loggers = [{"id": f"lg-{n}", "logging_interval": draw(st.sampled_from(["5min", "10min"]))} for n in range(number)]
    loggers[0] |= histories.present(calibrated_until=draw(later))
    monitoring = [{"place": "room", "logger": row["id"], "from": histories.START} for row in loggers]
    moved = draw(later)
    if moved is not None and moved > histories.START:
        monitoring[-1]["to"] = moved
        monitoring.append({"place": "box", "logger": loggers[-1]["id"], "from": moved})
    custody = [{"kits": ["K-1", "K-2"], "place": "room", "from": histories.START}]
    left = draw(later)
    if left is not None and left > histories.START:
        custody[0] |= {"kits": ["K-1"]}
        custody += [{"kits": ["K-2"], "place": "room", "from": histories.START, "to": left}]
        custody += [{"kits": ["K-2"], "place": "box", "from": left}]
    places = [{"id": "room", "kind": "storage", "stage": "depot"}, {"id": "box", "kind": "shipper"}]
    kits = [{"id": f"K-{n}", "batch": "B", "trial": "T", "profile": "mab-017"} for n in (1, 2)]
    registry = {"logger": loggers, "place": places, "monitoring": monitoring, "kit": kits, "custody": custody}
    kits[1]["profile"] = draw(st.sampled_from(["mab-017", "vax-2"]))
    profiles = [draw(calm_profiles()) | {"profile": name} for name in ("mab-017", "vax-2")]
    return Case(registry, profiles, draw(calm_items(loggers)), None)


@st.composite
def calm_profiles(draw: st.DrawFn) -> oracle.Table:
    """Draw a profile of a refrigerated product without its name."""
    limits = draw(st.lists(histories.limit_tables([*histories.TIME_KINDS, "mkt"]), max_size=3))
    limits.append({"unknown_accumulated": draw(st.sampled_from(["30min", "12h"]))})
    limits = [{**limit, "id": f"limit-{n}", "source": "s"} for n, limit in enumerate(limits)]
    label = {"label_low_c": Decimal("2.0"), "label_high_c": Decimal("8.0")}
    return draw(histories.profile_tables()) | {"version": 1, "limit": limits, **label}


@st.composite
def calm_items(draw: st.DrawFn, loggers: list[oracle.Table]) -> list[oracle.Item]:
    """Draw what the loggers deliver."""
    random = draw(st.randoms(use_true_random=False))
    items = []
    for row in loggers:
        at_ms, level_mc = START_MS, random.choice(LEVELS_MC)
        for _ in range(random.randint(20, 60)):
            at_ms += oracle.duration_ms(row["logging_interval"]) * random.choice([*[1] * 40, 2, 3, 9])
            level_mc = random.choice([*[level_mc] * 100, *LEVELS_MC])
            mc = random.choice([*[level_mc + random.randint(-2, 2)] * 80, None, 2_000_000])
            received_ms = random.choice([*[at_ms, at_ms + 700, None] * 30, at_ms - 10**6])
            items += [oracle.Item(row["id"], "1", at_ms, mc, received_ms)] * random.choice([*[1] * 50, 2])
    return items


LEVELS_MC = [5000, 5000, 5000, 5000, 8000, 9000, 1000, 20_000]


class Twins(RuleBasedStateMachine):
    """Two live states that are told the same; one of them lets quiet readings wait."""

    @initialize(case=calm_cases() | calm_cases() | histories.cases(), is_archived=st.booleans())
    def begin(self, case: Case, is_archived: bool) -> None:
        self.case = case._replace(as_of_ms=None)
        self.registry, self.profiles = inputs(self.case)
        self.waiting = sorted(case.items, key=lambda item: (item.received_ms or item.at_ms, item.at_ms))
        self.sent: list[Any] = []
        self.stored: list[ReadingBatch] = []
        self.now_ms = START_MS
        self.archive = (lambda key: [one for one in self.stored if one.key == key]) if is_archived else None
        self.state, ours = self.started()
        self.plain, theirs = self.started()
        self.plain.streams = Deaf()
        self.take(ours, theirs)

    def started(self) -> tuple[State, Step]:
        return pipeline.start(self.registry, self.profiles, now_ms=self.now_ms, is_live=True, archive=self.archive)

    def take(self, ours: Step, theirs: Step) -> None:
        """The archive grows before it can be asked again; what the steps found is the same."""
        assert plain_batches(ours.fresh) == plain_batches(theirs.fresh)
        assert (ours.events, ours.warnings, ours.outcomes) == (theirs.events, theirs.warnings, theirs.outcomes)
        assert (ours.arrivals, ours.lost) == (theirs.arrivals, theirs.lost)
        self.stored += [one for one in ours.fresh if len(one)]
        pipeline.adopt(self.state, ours)
        pipeline.adopt(self.plain, theirs)

    def deliver(self, items: list[Any]) -> None:
        global quiet_seen
        self.now_ms = max([self.now_ms, *(item.at_ms for item in items if item.at_ms < START_MS + 10**9)])
        self.sent += items
        arrived = batches(items)
        ours = pipeline.step(self.state, arrived, self.now_ms)
        quiet_seen += len(ours.quiet)
        self.take(ours, pipeline.step(self.plain, arrived, self.now_ms))

    @rule(count=st.integers(1, 12))
    def some_arrive(self, count: int) -> None:
        now, self.waiting = self.waiting[:count], self.waiting[count:]
        self.deliver(now)

    @rule(count=st.integers(1, 30))
    def one_by_one(self, count: int) -> None:
        for item in self.waiting[:count]:
            self.deliver([item])
        self.waiting = self.waiting[count:]

    @rule(count=st.integers(1, 20), keep=st.integers(0, 30))
    def some_arrive_before_their_turn(self, count: int, keep: int) -> None:
        late, now, rest = self.waiting[:keep], self.waiting[keep : keep + count], self.waiting[keep + count :]
        self.waiting = late + rest
        self.deliver(now)

    @rule(which=st.integers(0, 300), count=st.integers(1, 5))
    def some_arrive_again_with_new_ones(self, which: int, count: int) -> None:
        again = self.sent[which % len(self.sent) :][:count] if self.sent else []
        now, self.waiting = self.waiting[:count], self.waiting[count:]
        self.deliver(again + now)

    @rule(count=st.integers(1, 10))
    def some_cannot_be_stored(self, count: int) -> None:
        for state in (self.state, self.plain):
            pipeline.step(state, batches(self.waiting[:count]), self.now_ms)

    @rule(minutes=st.integers(0, 40))
    def nothing_comes_for_a_while(self, minutes: int) -> None:
        self.now_ms += minutes * MINUTE_MS
        self.take(*(pipeline.silence(state, self.now_ms) for state in (self.state, self.plain)))

    @rule(minutes=st.integers(0, 200), some=st.booleans())
    def the_past_is_put_away(self, minutes: int, some: bool) -> None:
        if self.archive is not None:
            places = sorted(self.registry.places)[: 1 if some else None]
            until_ms = self.now_ms - minutes * MINUTE_MS
            both = (self.state, self.plain)
            self.take(*(retention.put_away(state, until_ms, self.now_ms, places) for state in both))

    @rule(which=st.integers(0, 50), first=st.integers(0, 200), count=st.integers(1, 3))
    def some_that_were_taken_never_come(self, which: int, first: int, count: int) -> None:
        keys = sorted({one.key for one in self.stored})
        if keys:
            key = keys[which % len(keys)]
            instants = sorted({at_ms for one in self.stored if one.key == key for at_ms in one.at_ms.tolist()})
            gaps = [Lost(*pair) for pair in zip(instants[first:], instants[first + 1 :], strict=False)][:count]
            self.take(*(pipeline.lose(state, {key: gaps}, self.now_ms) for state in (self.state, self.plain)))

    @rule(which=st.integers(0, 50), minutes=st.integers(-90, 90).filter(bool), is_removed=st.booleans())
    def custody_is_corrected(self, which: int, minutes: int, is_removed: bool) -> None:
        if self.archive is None or not self.case.registry.get("custody"):
            return
        custody = histories.corrected(self.case.registry["custody"], which, minutes, is_removed)
        case = self.case._replace(registry={**self.case.registry, "custody": custody})
        try:
            self.registry, self.profiles = inputs(case)
        except BadInput:  # a kit cannot be made before the kits it is made of
            return
        self.case = case
        self.state, ours = pipeline.amend(self.state, self.registry, self.profiles, self.now_ms)
        self.plain, theirs = pipeline.amend(self.plain, self.registry, self.profiles, self.now_ms)
        self.plain.streams = Deaf()
        self.take(ours, theirs)

    @rule()
    def somebody_asks(self) -> None:
        looks = (pipeline.look(state, self.registry.groups, self.now_ms) for state in (self.state, self.plain))
        assert next(looks) == next(looks)

    @rule()
    def a_checkpoint_is_made(self) -> None:
        ours, theirs = remember(self.state), remember(self.plain)
        assert plain_series(ours.series) == plain_series(theirs.series)
        assert ours.put_away == theirs.put_away

    def teardown(self) -> None:
        if not hasattr(self, "case"):
            return
        while self.waiting:
            now, self.waiting = self.waiting[:3], self.waiting[3:]
            self.deliver(now)
        self.somebody_asks()
        self.a_checkpoint_is_made()
        assert {place: plain_record(one) for place, one in self.state.places.items()} == {
            place: plain_record(one) for place, one in self.plain.places.items()
        }
        assert self.state.events == self.plain.events
        self.nothing_comes_for_a_while(30)
        at_once, found = pipeline.start(
            self.registry, self.profiles, self.stored, now_ms=self.now_ms, is_live=True, lost=self.state.lost
        )
        pipeline.adopt(at_once, found)
        assert pipeline.look(self.state, self.registry.groups, self.now_ms) == at_once.assessments
        assert outcomes(self.state) == outcomes(at_once)
        assert self.state.lost == self.plain.lost
        assert self.state.arrivals == self.plain.arrivals


def plain_batches(found: tuple[ReadingBatch, ...]) -> list[tuple[Any, ...]]:
    return [(one.key, one.at_ms.tolist(), one.temperature_mc.tolist(), one.seq) for one in found]


def plain_series(found: Any) -> dict[ChannelKey, tuple[Any, ...]]:
    return {key: plain_one(series) for key, series in found.items()}


def plain_one(series: Series) -> tuple[Any, ...]:
    assert [column.dtype for column in (series.at_ms, series.temperature_mc)] == [np.dtype("i8"), np.dtype("i4")]
    return series.at_ms.tolist(), series.temperature_mc.tolist(), series.since_ms


def plain_record(record: Record) -> tuple[Any, ...]:
    history = record.history
    columns = None
    if history is not None:
        columns = history.start_ms, history.end_ms.tolist(), history.hot_mc.tolist(), history.cold_mc.tolist()
    return columns, record.reading_at_ms.tolist(), record.conflicts, record.since_ms, record.known_before_ms


def test_three_hundred_lives_that_let_quiet_readings_wait_are_as_those_that_look_at_each() -> None:
    global quiet_seen
    quiet_seen = 0
    run_state_machine_as_test(Twins, settings=settings(max_examples=300, stateful_step_count=10))
    assert quiet_seen > 1000, "some lives must have had quiet readings, or this says nothing"


@pytest.mark.long
def test_twenty_thousand_lives_that_let_quiet_readings_wait_are_as_those_that_look_at_each() -> None:
    run_state_machine_as_test(Twins, settings=settings(max_examples=20_000, stateful_step_count=14))


def test_a_quiet_reading_is_kept_without_a_look_and_is_there_when_asked_for() -> None:
    state = living(every_five("lg-a", 5, 30, 5000), now=31)
    found = pipeline.step(state, [batch("lg-a", (35, 5001))], minute(35))
    assert (len(found.quiet), found.series, found.places) == (1, {}, {})
    pipeline.adopt(state, found)
    assert (len(state.settled[ROOM]), state.last_ms(ROOM)) == (6, minute(35))
    assert (len(state.series[ROOM]), state.last_ms(ROOM)) == (7, minute(35))
    history = state.places["room"].history
    assert history is not None
    assert (history.as_of_ms, history.hot_mc[-1]) == (minute(35), 5001)


def test_a_step_that_cannot_be_stored_leaves_nothing_behind() -> None:
    state = living(every_five("lg-a", 5, 30, 5000), now=31)
    sent = [batch("lg-a", (35, 5000), (40, 5000)), batch("lg-a", (45, 5000))]
    found = [pipeline.step(state, sent, minute(45)) for _ in range(2)]
    assert [step.quiet.at_ms.tolist() for step in found] == [[minute(35), minute(40), minute(45)]] * 2
    assert len(state.series[ROOM]) == 6


def test_a_ring_that_is_full_is_emptied_into_the_series() -> None:
    state = living(every_five("lg-a", 5, 70, 5000), now=71)
    last = 70 + 5 * (2 * rings.DEPTH + 3)
    pipeline.adopt(state, pipeline.step(state, [every_five("lg-a", 75, last, 5000)], minute(last)))
    assert len(state.settled[ROOM]) == 14 + 2 * rings.DEPTH + 3
    assert state.series[ROOM].at_ms.tolist() == [minute(when) for when in range(5, last + 1, 5)]


@pytest.mark.parametrize("length", [31, 33, 100, 1_024, 1_100])
def test_a_message_longer_than_a_ring_is_settled_with_what_waits(length: int) -> None:
    """Two of them and a single reading before each, so that rings hold something when they overflow."""
    sent = [every_five("lg-a", 5, 60, 5000)]
    state, now = living(*sent, now=61), 60
    for count in (1, length, 1, length):
        sent.append(every_five("lg-a", now + 5, now + 5 * count, 5000 + count % 7))
        now += 5 * count
        step = pipeline.step(state, sent[-1:], minute(now))
        assert len(step.quiet) == count
        pipeline.adopt(state, step)
    assert state.last_ms(ROOM) == minute(now)
    assert state.series[ROOM].at_ms.tolist() == [minute(when) for when in range(5, now + 1, 5)]
    assert state.series[ROOM].temperature_mc.tolist() == [mc for one in sent for mc in one.temperature_mc.tolist()]


def test_what_disturbs_a_place_takes_all_of_it_and_nothing_else() -> None:
    state = living(every_five("lg-a", 5, 70, 5000), every_five("lg-b", 65, 70, 5000), now=71)
    sent = [batch("lg-a", (75, 5000)), batch("lg-b", (75, 5001)), batch("lg-a", (80, 9000)), batch("lg-a", (85, 9000))]
    found = pipeline.step(state, sent, minute(85))
    assert found.quiet.temperature_mc.tolist() == [5001]
    assert {key: len(series) for key, series in found.series.items()} == {ROOM: 17}
    assert [len(one) for one in found.fresh] == [1, 1, 1, 1]


def test_a_kit_that_has_moved_on_is_judged_by_what_its_former_place_was_quietly_told() -> None:
    rules = RULES.replace('"30min"', '"4min"')
    state = living(every_five("lg-a", 5, 55, 5000), now=56, rules=rules)
    found = pipeline.step(state, [batch("lg-a", (60, 5000)), batch("lg-b", (65, 5000))], minute(65))
    assert (found.events, len(found.quiet)) == ((), 0)
    pipeline.adopt(state, found)
    assert [event.kit for event in state_alone(rules).events] == ["K-3"], "what it is spared"


@pytest.mark.parametrize(
    ("level_mc", "mc", "is_quiet"),
    [
        (5000, 8000, True),
        (5000, 8001, False),
        (5000, 2000, True),
        (5000, 1999, False),
        (9000, 8001, True),
        (9000, 8000, False),
        (1000, 1999, True),
        (1000, 2000, False),
    ],
)
def test_a_reading_is_quiet_between_the_bounds_next_to_the_level_of_its_place(
    level_mc: int, mc: int, is_quiet: bool
) -> None:
    rules = RULES.replace("above_c = 8.0", "outside_c = [2.0, 8.0]").replace('"20min"', '"20h"')
    state = living(every_five("lg-a", 5, 70, 5000), now=71, rules=rules)
    for when in (75, 80):
        pipeline.adopt(state, pipeline.step(state, [batch("lg-a", (when, level_mc))], minute(when)))
    found = pipeline.step(state, [batch("lg-a", (85, mc))], minute(85))
    assert len(found.quiet) == is_quiet
    assert (found.assessments == {}) is is_quiet


@pytest.mark.parametrize(
    ("logger", "watch"),
    [(", calibrated_until = 2026-03-01T01:20:00Z", ""), ("", ", to = 2026-03-01T01:20:00Z")],
)
def test_a_certificate_or_a_watch_that_ends_ends_the_quiet(logger: str, watch: str) -> None:
    text = REGISTRY.replace('"lg-a", logging_interval = "5min"', f'"lg-a", logging_interval = "5min"{logger}')
    text = text.replace('"lg-a", from = 2026-02-01T00:00:00Z', f'"lg-a", from = 2026-02-01T00:00:00Z{watch}')
    state = begun_with(text, every_five("lg-a", 5, 65, 5000))
    pipeline.adopt(state, pipeline.step(state, [batch("lg-a", (70, 5000))], minute(70)))
    assert [len(pipeline.step(state, [every_five("lg-a", 75, to, 5000)], minute(to)).quiet) for to in (80, 85)] == [
        2,
        0,
    ]


@pytest.mark.parametrize(("received", "is_quiet"), [(70, True), (69.99, False)])
def test_a_clock_that_is_too_far_ahead_is_not_quiet(received: float, is_quiet: bool) -> None:
    state = living(every_five("lg-a", 5, 65, 5000), now=66)
    pipeline.adopt(state, pipeline.step(state, [batch("lg-a", (70, 5000))], minute(70)))
    found = pipeline.step(state, [batch("lg-a", (75, 5000), received=received)], minute(75))
    assert (len(found.quiet), len(found.unverified)) == (is_quiet, not is_quiet)


def test_a_blocked_logger_is_not_quiet() -> None:
    text = REGISTRY.replace('{ place = "box", logger = "lg-b"', '{ place = "room", logger = "lg-b"')
    text = text.replace('{ id = "lg-b", ', '{ id = "lg-b", blocked = true, ')
    state = begun_with(text, every_five("lg-a", 5, 65, 5000), every_five("lg-b", 5, 65, 5000))
    sent = [batch("lg-a", (70, 5000)), batch("lg-b", (70, 5000))]
    pipeline.adopt(state, pipeline.step(state, sent, minute(70)))
    assert len(pipeline.step(state, [batch("lg-a", (75, 5000))], minute(75)).quiet) == 1
    assert len(pipeline.step(state, [batch("lg-b", (75, 5000))], minute(75)).quiet) == 0


def test_a_logger_that_lags_behind_a_jump_of_its_place_is_not_quiet() -> None:
    text = REGISTRY.replace('{ place = "box", logger = "lg-b"', '{ place = "room", logger = "lg-b"')
    six = 'limit = [\n  { id = "above-6", above_c = 6.0, accumulated = "20h", source = "s" },'
    state = begun_with(
        text,
        every_five("lg-a", 5, 70, 5000),
        every_five("lg-b", 5, 70, 5000),
        rules=RULES.replace("limit = [", six),
    )
    for when, mc in ((75, 5000), (80, 7000), (85, 7000)):
        pipeline.adopt(state, pipeline.step(state, [batch("lg-b", (when, mc))], minute(when)))
    assert len(pipeline.step(state, [batch("lg-b", (90, 7000))], minute(90)).quiet) == 1
    assert len(pipeline.step(state, [batch("lg-a", (75, 7000))], minute(90)).quiet) == 0


def test_a_logger_that_has_left_kits_behind_is_not_quiet() -> None:
    moved = 'logger = "lg-b", from = 2026-02-01T00:00:00Z'
    text = REGISTRY.replace(moved, f"{moved}, to = 2026-03-01T01:10:00Z")
    text = text.replace(
        "monitoring = [", 'monitoring = [\n  { place = "room", logger = "lg-b", from = 2026-03-01T01:10:00Z },'
    )
    for kits_stay in (True, False):
        if not kits_stay:
            text = text.replace(
                '"box", from = 2026-03-01T01:00:00Z', '"box", from = 2026-03-01T01:00:00Z, to = 2026-03-01T01:10:00Z'
            )
        state = begun_with(text, every_five("lg-a", 5, 70, 5000), every_five("lg-b", 5, 70, 5000))
        for when in (75, 80):
            sent = [batch("lg-a", (when, 5000)), batch("lg-b", (when, 5000))]
            pipeline.adopt(state, pipeline.step(state, sent, minute(when)))
        assert len(pipeline.step(state, [batch("lg-b", (85, 5000))], minute(85)).quiet) == (not kits_stay)


def begun_with(text: str, *sent: ReadingBatch, rules: str = RULES) -> State:
    profiles = {"mab-017": parse_profile(rules, "mab-017.toml")}
    state, found = pipeline.start(registry(text), profiles, sent, now_ms=int(sent[0].at_ms[-1]), is_live=True)
    pipeline.adopt(state, found)
    return state


def test_a_logger_that_will_be_moved_is_quiet_until_then() -> None:
    text = REGISTRY.replace(
        "monitoring = [", 'monitoring = [\n  { place = "spare", logger = "lg-a", from = 2026-03-01T01:20:00Z },'
    ).replace("place = [", 'place = [{ id = "spare", kind = "storage" }, ')
    state = begun_with(text, every_five("lg-a", 5, 65, 5000))
    pipeline.adopt(state, pipeline.step(state, [batch("lg-a", (70, 5000))], minute(70)))
    assert [len(pipeline.step(state, [every_five("lg-a", 75, to, 5000)], minute(to)).quiet) for to in (80, 85)] == [
        2,
        0,
    ]


def test_a_reading_that_ends_a_gap_of_lost_ones_is_looked_at() -> None:
    patient = REGISTRY.replace(
        '"lg-a", logging_interval = "5min"', '"lg-a", logging_interval = "5min", gap_after = "1h"'
    )
    profiles = {"mab-017": parse_profile(RULES.replace('"30min"', '"9min"'), "mab-017.toml")}
    sent = [every_five("lg-a", 5, 70, 5000)]
    state, found = pipeline.start(registry(patient), profiles, sent, now_ms=minute(71), is_live=True)
    pipeline.adopt(state, found)
    pipeline.adopt(state, pipeline.step(state, [batch("lg-a", (75, 5000))], minute(75)))
    pipeline.adopt(state, pipeline.lose(state, {ROOM: [Lost(minute(75), minute(90))]}, minute(76)))
    found = pipeline.step(state, [batch("lg-a", (90, 5000))], minute(90))
    assert {(event.kit, event.breached_at_ms) for event in found.events} == {("K-1", minute(84)), ("K-2", minute(84))}


def state_alone(rules: str) -> Step:
    """The same without the reading of the former place."""
    state = living(every_five("lg-a", 5, 55, 5000), now=56, rules=rules)
    return pipeline.step(state, [batch("lg-b", (65, 5000))], minute(65))


instants = st.integers(-3, 12)
rows_of_tables = st.tuples(instants, st.integers(1, 3), instants, st.integers(-2, 0), st.integers(0, 2))
messages = st.tuples(
    st.integers(-1, 19), instants, st.lists(st.tuples(instants, st.integers(-3, 3)), max_size=3)
)  # row, latest, readings


@given(st.lists(rows_of_tables, min_size=20, max_size=20), st.lists(messages, max_size=12))
def test_messages_are_quiet_whose_readings_all_follow_one_another_as_expected(rows: Any, sent: Any) -> None:
    streams = Streams()
    for number, expected in enumerate(rows):
        streams.expect(ChannelKey(f"lg-{number}", "1"), f"room-{number}", Expected(*expected))
    arrived = [
        ReadingBatch(f"lg-{row}", "1", column(at), column(mc).astype(np.int32), latest - AHEAD_OF_CLOCK_MS)
        for row, latest, readings in sent
        for at, mc in [tuple(zip(*readings, strict=True)) or ((), ())]
    ]
    lasts, wanted = {row: expected[0] for row, expected in enumerate(rows)}, []
    for row, latest, readings in sent:
        is_quiet = row >= 0
        last = lasts.get(row, 0)
        for at, mc in readings if is_quiet else ():
            _, gap_after, until, lowest, highest = rows[row]
            is_quiet &= last < at <= min(until, latest) and at - last <= gap_after and lowest <= mc <= highest
            last = at
        lasts[row] = last if is_quiet else lasts.get(row, 0)
        wanted.append(is_quiet)
    disturbed = {row for (row, _, _), is_quiet in zip(sent, wanted, strict=True) if not is_quiet}
    wanted = [row not in disturbed for row, _, _ in sent]
    watched = {ChannelKey(f"lg-{number}", "1"): (f"room-{number}",) for number in range(20)}
    for _ in range(2):
        is_quiet, quiet = streams.sift(arrived, watched)
        assert is_quiet == wanted
        assert quiet.at_ms.tolist() == [
            at for (_, _, readings), one in zip(sent, wanted, strict=True) if one for at, _ in readings
        ]


def column(numbers: Any) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, np.int64)
