"""The state that a service keeps: from a checkpoint or from everything, with or without its past, it says the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coldchain import keeper, pipeline
from coldchain.keeper import Kept
from coldchain.ledger import checkpoint
from coldchain.ledger.entries import Message
from coldchain.ledger.ledger import Ledger
from coldchain.readings import ChannelKey, ReadingBatch
from service_values import MINUTE_MS, REGISTRY, RULES, START_MS

HOUR_MS = 60 * MINUTE_MS
KEY = ChannelKey("lg-1", "1")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "mab-017.toml").write_text(RULES, encoding="utf-8")
    with Ledger.open(tmp_path / "coldchain.db") as ledger:
        ledger.register("registry.toml", REGISTRY, "tester", START_MS)
        yield ledger


def minutes(first: int, last: int, mc: int = 5000) -> ReadingBatch:
    at = START_MS + np.arange(first, last + 1, dtype=np.int64) * MINUTE_MS
    return ReadingBatch("lg-1", "1", at, np.full(len(at), mc, np.int32), int(at[-1]))


def caught_up(ledger: Ledger, folder: Path, now_ms: int, kept: Kept | None = None) -> Kept:
    """The state brought up to the ledger, everything found on the way stored."""
    for now, found in keeper.catch_up(ledger, folder / "rules", kept, now_ms):
        ledger.save((), found, (), now_ms)
        pipeline.adopt(now.state, found)
        kept = now
    assert kept is not None
    return kept


def received(ledger: Ledger, kept: Kept, batch: ReadingBatch, now_ms: int) -> Kept:
    """The state after a message, as the service stores and adopts it."""
    step = pipeline.step(kept.state, [batch], now_ms)
    position = ledger.save((Message(now_ms, "t", b"x", (batch,)),), step, (), now_ms)
    pipeline.adopt(kept.state, step)
    return replace(kept, position=position)


def stored_elsewhere(ledger: Ledger, batch: ReadingBatch, now_ms: int) -> None:
    """Another process stores a batch, and the events that it finds."""
    other = caught_up(ledger, Path(ledger._path).parent, now_ms)
    received(ledger, other, batch, now_ms)


def assessments(kept: Kept, now_ms: int) -> object:
    return pipeline.look(kept.state, kept.state.registry.groups, now_ms)


def test_a_start_from_a_checkpoint_and_the_readings_after_it_is_a_start_from_all(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = START_MS + 10 * HOUR_MS
    kept = received(ledger, caught_up(ledger, tmp_path, now_ms), minutes(1, 590), now_ms)
    keeper.put_away(kept, now_ms, HOUR_MS)
    keeper.write_checkpoint(ledger, kept, now_ms)
    kept = received(ledger, kept, minutes(591, 620, 9000), now_ms + HOUR_MS)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "start", (begun := Recorder(pipeline.start)))
        warm = caught_up(ledger, tmp_path, now_ms + HOUR_MS)
    assert [len(batch) for batch in begun.arguments[2]] == [30]
    assert len(warm.state.series[KEY]) < 620
    checkpoint.path_of(tmp_path / "coldchain.db").unlink()
    cold = caught_up(ledger, tmp_path, now_ms + HOUR_MS)
    assert len(cold.state.series[KEY]) == 620
    pipeline.adopt(kept.state, pipeline.silence(kept.state, now_ms + HOUR_MS))
    assert (
        assessments(warm, now_ms + HOUR_MS)
        == assessments(cold, now_ms + HOUR_MS)
        == assessments(kept, now_ms + HOUR_MS)
    )
    assert warm.state.events == cold.state.events == kept.state.events != {}


class Recorder:
    """Calls through and remembers the arguments."""

    def __init__(self, function: object) -> None:
        self._function = function
        self.arguments: tuple[list[ReadingBatch], ...] = ()

    def __call__(self, *arguments: list[ReadingBatch], **more: object) -> object:
        self.arguments = arguments
        return self._function(*arguments, **more)  # type: ignore[operator]  # whatever start is


@pytest.mark.parametrize("place", [0, 100, -1])
def test_an_altered_checkpoint_is_not_believed(ledger: Ledger, tmp_path: Path, place: int) -> None:
    kept = received(ledger, caught_up(ledger, tmp_path, START_MS), minutes(1, 20), START_MS + HOUR_MS)
    keeper.write_checkpoint(ledger, kept, START_MS + HOUR_MS)
    assert ledger.read_checkpoint(kept.key)[1] is not None
    path = checkpoint.path_of(tmp_path / "coldchain.db")
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert ledger.read_checkpoint(kept.key) == (0, None)


def test_a_checkpoint_under_another_registry_or_other_rules_is_not_used(ledger: Ledger, tmp_path: Path) -> None:
    now_ms = START_MS + HOUR_MS
    kept = received(ledger, caught_up(ledger, tmp_path, START_MS), minutes(1, 20), now_ms)
    keeper.write_checkpoint(ledger, kept, now_ms)
    assert ledger.read_checkpoint("another key") == (0, None)
    (tmp_path / "rules" / "mab-017.toml").write_text(RULES.replace('"10min"', '"5min"'), encoding="utf-8")
    assert caught_up(ledger, tmp_path, now_ms).key != kept.key
    (tmp_path / "rules" / "mab-017.toml").write_text(RULES, encoding="utf-8")
    assert caught_up(ledger, tmp_path, now_ms).key == kept.key
    ledger.register("registry.toml", REGISTRY + "to = 2026-03-01T11:00:00Z\n", "tester", now_ms)
    assert caught_up(ledger, tmp_path, now_ms).key != kept.key


def test_what_is_put_away_leaves_memory_and_late_data_behind_it_are_judged_all_the_same(
    ledger: Ledger, tmp_path: Path
) -> None:
    now_ms = START_MS + 10 * HOUR_MS
    kept = received(ledger, caught_up(ledger, tmp_path, now_ms), minutes(100, 600), now_ms)
    assert keeper.put_away(kept, now_ms, HOUR_MS) == 0
    assert len(kept.state.series[KEY]) <= 61
    before = kept.state.series[KEY].since_ms
    kept = received(ledger, kept, minutes(1, 30, 9000), now_ms)
    assert kept.state.series[KEY].since_ms == before
    (event,) = [event for known in kept.state.events.values() for event in known.values()]
    assert (event.limit, event.breached_at_ms) == ("above-8", START_MS + 10 * MINUTE_MS)
    (found,) = pipeline.look(kept.state, kept.state.registry.groups, now_ms).values()
    assert (found.known_ms, found.unknown_ms) == ((30 + 501) * MINUTE_MS, 69 * MINUTE_MS)
    again = received(ledger, kept, minutes(1, 30, 9000), now_ms)
    assert again.state.events == kept.state.events


def test_readings_that_another_process_stored_are_taken_in_and_its_events_are_not_raised_twice(
    ledger: Ledger, tmp_path: Path
) -> None:
    now_ms = START_MS + 2 * HOUR_MS
    kept = received(ledger, caught_up(ledger, tmp_path, now_ms), minutes(1, 20), now_ms)
    stored_elsewhere(ledger, minutes(21, 40, 9000), now_ms)
    kept = caught_up(ledger, tmp_path, now_ms + 1, kept)
    assert len(kept.state.series[KEY]) == 40
    assert [event.revision for event in ledger.load_events()] == [1]
    assert kept.position == ledger.position()


def late_and_hot(ledger: Ledger, folder: Path, now_ms: int) -> Kept:
    """A state whose past is put away, to which nothing late has come yet."""
    kept = received(ledger, caught_up(ledger, folder, now_ms), minutes(100, 600), now_ms)
    keeper.put_away(kept, now_ms, HOUR_MS)
    keeper.write_checkpoint(ledger, kept, now_ms)
    assert kept.state.series[KEY].since_ms > START_MS + 30 * MINUTE_MS
    return kept


def assert_holds_what_a_start_from_all_holds(kept: Kept, ledger: Ledger, folder: Path, now_ms: int) -> None:
    (event,) = [event for known in kept.state.events.values() for event in known.values()]
    assert (event.breached_at_ms, event.supported) == (START_MS + 10 * MINUTE_MS, True)
    pipeline.adopt(kept.state, pipeline.silence(kept.state, now_ms))
    assert [each for known in kept.state.events.values() for each in known.values()] == [event]
    held = assessments(kept, now_ms)
    checkpoint.path_of(folder / "coldchain.db").unlink()
    assert held == assessments(caught_up(ledger, folder, now_ms), now_ms)


def test_late_data_behind_what_is_put_away_count_after_a_crash_that_follows_their_commit(
    ledger: Ledger, tmp_path: Path
) -> None:
    now_ms = START_MS + 10 * HOUR_MS
    received(ledger, late_and_hot(ledger, tmp_path, now_ms), minutes(1, 30, 9000), now_ms)
    after_the_crash = caught_up(ledger, tmp_path, now_ms)
    assert_holds_what_a_start_from_all_holds(after_the_crash, ledger, tmp_path, now_ms)


def test_late_data_behind_what_is_put_away_count_when_another_process_has_stored_them(
    ledger: Ledger, tmp_path: Path
) -> None:
    now_ms = START_MS + 10 * HOUR_MS
    kept = late_and_hot(ledger, tmp_path, now_ms)
    stored_elsewhere(ledger, minutes(1, 30, 9000), now_ms)
    kept = caught_up(ledger, tmp_path, now_ms, kept)
    assert_holds_what_a_start_from_all_holds(kept, ledger, tmp_path, now_ms)


def test_custody_that_is_corrected_while_the_past_is_put_away_is_counted_from_the_ledger(
    ledger: Ledger, tmp_path: Path
) -> None:
    now_ms = START_MS + 10 * HOUR_MS
    kept = received(ledger, caught_up(ledger, tmp_path, now_ms), minutes(1, 600), now_ms)
    keeper.put_away(kept, now_ms, HOUR_MS)
    earlier = REGISTRY.replace("2026-03-01T10:00:00Z", "2026-03-01T12:00:00Z")
    ledger.register("registry.toml", earlier, "tester", now_ms)
    kept = caught_up(ledger, tmp_path, now_ms, kept)
    (found,) = kept.state.assessments.values()
    assert (found.start_ms, found.known_ms) == (START_MS + 2 * HOUR_MS, 8 * HOUR_MS)
