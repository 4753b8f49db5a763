"""A replay place by place says what a replay that holds everything says, whatever else it has forgotten by then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import histories
from coldchain import mass_replay, pipeline
from coldchain.errors import EnvironmentFailed
from coldchain.readings import ChannelKey, ReadingBatch
from coldchain.replay_document import document, document_of
from histories import Case
from test_semantics import batches, inputs


def by_channel(sent: list[ReadingBatch]) -> dict[ChannelKey, list[ReadingBatch]]:
    found: dict[ChannelKey, list[ReadingBatch]] = defaultdict(list)
    for batch in sent:
        found[batch.key].append(batch)
    return dict(found)


@given(histories.cases(), st.integers(1, 3))
def test_it_says_what_a_replay_in_memory_says(case: Case, places_at_once: int) -> None:
    registry, profiles = inputs(case)
    sent = batches(case.items)
    channels = by_channel([*sent, *sent[::2]])  # some come twice
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(mass_replay, "PLACES_AT_ONCE", places_at_once)
        found = mass_replay.replay(channels.__getitem__, list(channels), registry, profiles, case.as_of_ms)
    whole = pipeline.replay([*sent, *sent[::2]], registry, profiles, case.as_of_ms)
    ours = document(registry, found.assessments, found.channels.values(), messages=1, rejected=2)
    assert ours == document_of(whole, messages=1, rejected=2)


@given(histories.cases())
def test_every_channel_is_counted_once_and_only_what_exists_is_asked_for(case: Case) -> None:
    registry, profiles = inputs(case)
    channels = by_channel(batches(case.items))
    asked: set[ChannelKey] = set()

    def archive(key: ChannelKey) -> Iterator[ReadingBatch]:
        asked.add(key)
        return iter(channels[key])

    found = mass_replay.replay(archive, list(channels), registry, profiles, case.as_of_ms)
    assert asked == found.channels.keys() == channels.keys()


@given(histories.cases().filter(lambda case: bool(case.items)))
def test_an_archive_that_fails_ends_the_replay_with_its_error(case: Case) -> None:
    registry, profiles = inputs(case)

    def archive(_: ChannelKey) -> Iterator[ReadingBatch]:
        raise EnvironmentFailed("disk", "gone")

    with pytest.raises(EnvironmentFailed, match="gone"):
        mass_replay.replay(archive, list(by_channel(batches(case.items))), registry, profiles, case.as_of_ms)
