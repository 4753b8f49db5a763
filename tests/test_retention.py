"""What a live state may forget: with its past put away it says what a state says that has everything."""

from __future__ import annotations

import pytest

from coldchain import pipeline, retention, state
from coldchain.model import Assessment
from coldchain.pipeline import State, Step
from coldchain.profiles import parse_profile
from coldchain.readings import ChannelKey, ReadingBatch
from coldchain.registry import Registry
from test_patience import MKT
from test_pipeline import REGISTRY, RULES, batch, every_five, minute, registry

ROOM = ChannelKey("lg-a", "1")


class Live:
    """A live state with an archive of what it was given."""

    def __init__(self, *batches: ReadingBatch, now: float, text: str = REGISTRY, rules: str = RULES) -> None:
        self.profiles = {"mab-017": parse_profile(rules, "mab-017.toml")}
        self.stored = list(batches)
        self.state = State(Registry(), {}, {})
        self.state, found = pipeline.start(
            registry(text), self.profiles, batches, now_ms=minute(now), is_live=True, archive=self.archive
        )
        pipeline.adopt(self.state, found)

    def archive(self, key: ChannelKey) -> list[ReadingBatch]:
        return [stored for stored in self.stored if stored.key == key]

    def feed(self, *batches: ReadingBatch, now: float) -> Step:
        found = pipeline.step(self.state, batches, minute(now))
        self.stored += batches
        pipeline.adopt(self.state, found)
        return found

    def put_away(self, until: float, now: float) -> None:
        pipeline.adopt(self.state, retention.put_away(self.state, minute(until), minute(now)))

    def amend(self, text: str, now: float) -> Step:
        self.state, found = pipeline.amend(self.state, registry(text), self.profiles, minute(now))
        pipeline.adopt(self.state, found)
        return found

    def says(self, now: float) -> dict[str, Assessment]:
        """What it says after a tick."""
        pipeline.adopt(self.state, pipeline.silence(self.state, minute(now)))
        return pipeline.look(self.state, self.state.registry.groups, minute(now))

    def would_say(self, now: float) -> dict[str, Assessment]:
        """What a state says that has everything in memory."""
        whole, found = pipeline.start(self.state.registry, self.profiles, self.stored, now_ms=minute(now), is_live=True)
        pipeline.adopt(whole, found)
        return whole.assessments


def test_what_no_window_needs_is_forgotten_and_what_one_needs_stays() -> None:
    live = Live(every_five("lg-a", 5, 300, 5000), every_five("lg-b", 65, 300, 5000), now=301, rules=MKT)
    live.put_away(280, 301)
    assert len(live.state.series[ROOM]) == 17, "an hour before, what came after, and the reading before the hour"
    plain = Live(every_five("lg-a", 5, 300, 5000), every_five("lg-b", 65, 300, 5000), now=301)
    plain.put_away(280, 301)
    assert len(plain.state.series[ROOM]) == 5


def test_a_window_slides_on_over_what_was_put_away() -> None:
    heat = every_five("lg-a", 185, 215, 15_000)
    live = Live(every_five("lg-a", 5, 180, 5000), heat, every_five("lg-a", 220, 230, 5000), now=231, rules=MKT)
    for now in range(235, 330, 5):
        live.put_away(now - 10, now)
        live.feed(batch("lg-a", (now, 7900)), now=now)
        assert live.says(now) == live.would_say(now)


def test_when_a_place_was_last_known_is_remembered_however_often_its_past_is_put_away() -> None:
    live = Live(every_five("lg-a", 5, 100, 5000), now=101)
    for until in (110, 120, 130):
        live.put_away(until, until)
        assert live.says(until) == live.would_say(until)
    assert live.state.places["room"].known_before_ms == minute(100)


@pytest.mark.parametrize("rules", [RULES, MKT])
def test_a_late_reading_is_counted_in_what_was_counted_already_although_its_place_waits(rules: str) -> None:
    live = Live(every_five("lg-a", 5, 100, 5000), every_five("lg-a", 110, 200, 7000), now=201, rules=rules)
    live.put_away(150, 201)
    late = live.feed(batch("lg-a", (105, 3000)), now=202)
    assert not late.outcomes
    assert live.says(202) == live.would_say(202)


def test_a_late_reading_changes_what_lies_since_the_one_before_it_also_where_that_is_put_away() -> None:
    moved = REGISTRY.replace("to = 2026-03-01T01:00:00Z }", "to = 2026-03-01T00:51:00Z }").replace(
        'place = "box", from = 2026-03-01T01:00:00Z', 'place = "box", from = 2026-03-01T00:51:00Z'
    )
    live = Live(every_five("lg-a", 5, 50, 5000), every_five("lg-b", 55, 200, 5000), now=201, text=moved)
    live.feed(every_five("lg-a", 70, 200, 5000), now=202)
    live.put_away(150, 202)
    live.feed(batch("lg-a", (60, 7000)), now=203)
    assert live.says(203) == live.would_say(203)


def test_a_slower_logger_of_a_waiting_place_is_looked_at_where_its_readings_lie_in_what_was_counted() -> None:
    both = REGISTRY.replace('{ place = "box", logger = "lg-b"', '{ place = "room", logger = "lg-b"')
    live = Live(every_five("lg-a", 5, 100, 5000), every_five("lg-b", 5, 200, 5000), now=201, text=both, rules=MKT)
    live.put_away(150, 201)
    late = live.feed(batch("lg-a", (105, 7000), (110, 7000)), now=202)
    assert not len(late.quiet)
    assert live.says(202) == live.would_say(202)


@pytest.mark.parametrize("rules", [RULES, MKT, RULES.replace('"30min"', '"30h"')])
def test_a_reading_that_follows_in_order_ends_unknown_time_that_was_counted_already(rules: str) -> None:
    live = Live(every_five("lg-a", 5, 100, 5000), now=101, rules=rules)
    assert live.says(125) == live.would_say(125)
    live.put_away(120, 125)
    late = live.feed(batch("lg-a", (106, 5000)), now=126)
    assert not len(late.quiet)
    assert live.says(126) == live.would_say(126)


def test_a_kit_that_is_registered_late_gets_back_what_its_window_needs() -> None:
    nobody_there = REGISTRY[: REGISTRY.index("custody = [")]
    live = Live(every_five("lg-a", 5, 300, 5000), now=301, text=nobody_there, rules=MKT)
    live.put_away(300, 301)
    assert len(live.state.series[ROOM]) == 1
    live.amend(REGISTRY, now=301)
    for now in range(305, 380, 5):
        live.feed(batch("lg-a", (now, 9000)), now=now)
        assert live.says(now) == live.would_say(now)


def test_a_planned_custody_that_is_corrected_to_begin_earlier_has_lost_nothing() -> None:
    planned = """{ kits = ["K-3"], place = "box", from = 2026-03-01T01:00:00Z },"""
    later = REGISTRY.replace(planned, planned.replace("01:00", "05:00"))
    live = Live(every_five("lg-a", 5, 60, 5000), now=61, text=later)
    live.put_away(30, 61)
    assert live.state.places["box"].since_ms <= minute(30)
    live.amend(REGISTRY, now=62)
    live.feed(every_five("lg-b", 65, 120, 9000), now=120)
    assert live.says(120) == live.would_say(120)


def test_a_backlog_in_many_pieces_reads_the_past_of_its_channel_once() -> None:
    live = Live(every_five("lg-a", 5, 100, 5000), every_five("lg-a", 300, 600, 5000), now=601)
    live.put_away(580, 601)
    asked: list[ChannelKey] = []
    stored = live.archive

    def archive(key: ChannelKey) -> list[ReadingBatch]:
        asked.append(key)
        return stored(key)

    live.state.archive = archive
    for minutes in range(105, 295, 5):
        live.feed(batch("lg-a", (minutes, 9000)), now=601)
    assert asked == [ROOM]
    assert live.says(601) == live.would_say(601)

    live.feed(batch("lg-a", (605, 5000)), now=605)
    live.put_away(604, 605)
    live.feed(batch("lg-a", (297, 9000)), now=605)
    assert asked == [ROOM, ROOM], "what has been put away since is not in what was read before"
    assert live.says(605) == live.would_say(605)


def test_no_more_of_the_past_is_held_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MOST_WHOLE", 70)
    live = Live(every_five("lg-a", 5, 300, 5000), every_five("lg-b", 65, 300, 5000), now=301)
    live.put_away(280, 301)
    for late in (batch("lg-a", (7, 5000)), batch("lg-b", (67, 5000)), batch("lg-a", (8, 5000))):
        live.feed(late, now=301)
        assert len(live.state.whole) == 1
        assert live.says(301) == live.would_say(301)


def test_a_kit_that_joins_others_on_hold_is_held_too() -> None:
    live = Live(every_five("lg-a", 5, 60, 9000), now=61)
    live.put_away(60, 61)
    joined = REGISTRY.replace('kits = ["K-1", "K-2"]', 'kits = ["K-1", "K-2", "K-5"]').replace(
        "kit = [", 'kit = [\n  { id = "K-5", batch = "B22", trial = "TRIAL-7", profile = "mab-017" },'
    )
    found = live.amend(joined, now=62)
    assert [(event.kit, event.limit) for event in found.events] == [("K-5", "above-8")]


def test_nothing_is_put_away_without_an_archive() -> None:
    state, found = pipeline.start(registry(), {"mab-017": parse_profile(RULES, "r.toml")}, now_ms=0, is_live=True)
    pipeline.adopt(state, found)
    with pytest.raises(ValueError, match="without an archive"):
        retention.put_away(state, minute(10), minute(10))
    with pytest.raises(ValueError, match="without an archive"):
        pipeline.amend(state, registry(), {"mab-017": parse_profile(RULES, "r.toml")}, minute(10))
