"""A replay of more readings than fit in memory: place by place, on every core.

Each place is read when the first kit group that was there is judged, and forgotten after the last. Groups that ended at
the same place are judged together, so a depot that all kits have passed is read again for every few sites, and a
site once. How a group is judged is `judgement`'s business; the answer is that of `pipeline.replay`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

from coldchain import history, judgement, pipeline
from coldchain.model import OPEN_END_MS, Assessment
from coldchain.readings import ChannelKey
from coldchain.registry import KitGroup, Registry
from coldchain.replay_document import ChannelFacts, channel_facts
from coldchain.rulebook import Rules
from coldchain.scene import Scene, read_again
from coldchain.state import Archive, State

_Item = TypeVar("_Item")

PLACES_AT_ONCE = 32
"""So many places where kits end are judged by one thread before it forgets what it has read."""


@dataclass(frozen=True, slots=True)
class MassReplay:
    """What a replay found: the assessment of every kit group, and what each channel held."""

    registry: Registry
    assessments: Mapping[str, Assessment]
    channels: Mapping[ChannelKey, ChannelFacts]


def replay(
    archive: Archive,
    channels: Collection[ChannelKey],
    registry: Registry,
    profiles: Rules,
    as_of_ms: int | None = None,
    *,
    on_channel: Callable[[], None] = lambda: None,
) -> MassReplay:
    """Judge every kit group by everything that `archive` has of `channels`; `on_channel` is called for each read.

    Raises BadInput as `pipeline.start` does, and whatever `archive` raises.
    """
    state = pipeline.empty(registry, profiles, as_of_ms=as_of_ms)
    known = set(channels)
    assessments: dict[str, Assessment] = {}
    facts: dict[ChannelKey, ChannelFacts] = {}

    def judge(groups: list[KitGroup]) -> _Judged:
        return _judge(state, groups, archive, known, on_channel)

    def count(keys: list[ChannelKey]) -> dict[ChannelKey, ChannelFacts]:
        return {key: _read(state, archive, key, on_channel)[1] for key in keys}

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for judged in pool.map(judge, _convoys(registry)):
            assessments |= judged.assessments
            facts |= judged.channels
        beside = [key for key in channels if key not in facts]
        for counted in pool.map(count, _some_at_once(beside)):
            facts |= counted
    finally:
        pool.shutdown(cancel_futures=True)
    return MassReplay(registry, assessments, facts)


@dataclass(frozen=True, slots=True)
class _Judged:
    assessments: dict[str, Assessment]
    channels: dict[ChannelKey, ChannelFacts]


def _convoys(registry: Registry) -> Iterator[list[KitGroup]]:
    """Kit groups by where they ended, some places at once; those without custody first."""
    ended = sorted((_last_place(group), group.id) for group in registry.groups.values())
    by_place = [[group for _, group in groups] for _, groups in groupby(ended, key=itemgetter(0))]
    for some in _some_at_once(by_place):
        yield [registry.groups[group] for groups in some for group in groups]


def _some_at_once(items: list[_Item]) -> Iterator[list[_Item]]:
    return (items[first : first + PLACES_AT_ONCE] for first in range(0, len(items), PLACES_AT_ONCE))


def _last_place(group: KitGroup) -> str:
    return history.last_segment(group.fate.route).place if group.fate.route else ""


def _judge(
    whole: State,
    groups: list[KitGroup],
    archive: Archive,
    known: set[ChannelKey],
    on_channel: Callable[[], None],
) -> _Judged:
    """Judge some groups in a state of their own, which ends with them."""
    state = State(whole.registry, whole.rules, whole.measures, whole.as_of_ms)
    found = _Judged({}, {})
    last_needed = {segment.place: number for number, group in enumerate(groups) for segment in group.fate.route}
    for number, group in enumerate(groups):
        places = {segment.place for segment in group.fate.route}
        for place in sorted(places - state.records.keys()):
            keys = {ChannelKey(entry.logger, entry.channel) for entry in whole.registry.monitoring_of.get(place, ())}
            for key in sorted(keys & known):
                state.settled[key], found.channels[key] = _read(state, archive, key, on_channel)
            state.records[place] = Scene(state).renew(place, OPEN_END_MS)
            state.settled.clear()
        found.assessments[group.id] = judgement.judge(Scene(state), group, {}, now_ms=0).assessment
        for place in places:
            if last_needed[place] == number:
                del state.records[place]
    return found


def _read(
    state: State, archive: Archive, key: ChannelKey, on_channel: Callable[[], None]
) -> tuple[history.Series, ChannelFacts]:
    """The series of a channel by which kits are judged, and what else it held."""
    logger = state.registry.loggers.get(key.logger)
    batches = list(archive(key))
    series, unverified = read_again(lambda _: batches, key, logger)
    on_channel()
    return series, channel_facts(series, unverified, sum(map(len, batches)), is_known=logger is not None)
