"""START HERE. What readings mean for kits: `step` for live data, `silence` for missing data, `replay` for everything.

All three come down to the same line of functions: series -> channel -> place -> kit group -> assessment -> events.
Each is pure. `step` returns what would change; `adopt` makes it the state, once it is stored. Time comes in as an
argument, and so does the past that is no longer in memory (`scene`, `retention`).
"""

from __future__ import annotations

from collections import ChainMap, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from coldchain import history, judgement, patience, quarantine, rulebook, stability, tally
from coldchain.history import BEGINNING_MS, EMPTY, NOTHING, Series
from coldchain.model import OPEN_END_MS, Assessment, EarlyWarning, Kind, QuarantineEvent
from coldchain.patience import Waits
from coldchain.profiles import StabilityProfile
from coldchain.readings import ChannelKey, Lost, ReadingBatch
from coldchain.registry import Registry
from coldchain.rulebook import Rules
from coldchain.scene import Scene, plausible, read_again
from coldchain.state import Archive, Remembered, State, Step, adopt, know
from coldchain.tally import Measures, Tally

__all__ = ["State", "Step", "adopt", "look", "lose", "replay", "silence", "start", "step"]

LostReadings = Mapping[ChannelKey, Collection[Lost]]
NONE_LOST: LostReadings = {}

_Number = TypeVar("_Number", bound=np.generic)


def start(
    registry: Registry,
    profiles: Rules,
    batches: Sequence[ReadingBatch] = (),
    events: Iterable[QuarantineEvent] = (),
    warnings: Iterable[EarlyWarning] = (),
    *,
    now_ms: int,
    as_of_ms: int | None = None,
    is_live: bool = False,
    archive: Archive | None = None,
    remembered: Remembered | None = None,
    lost: LostReadings = NONE_LOST,
) -> tuple[State, Step]:
    """The state after a restart, and what judging every kit finds beyond the `events` and `warnings` already given.

    `batches`: every reading, or with `remembered`, from a checkpoint under this registry and these rules, those that
    came after it. `lost`: every reading that is known to be missing. Raises BadInput if a kit names a profile that does
    not exist, or opens a balance of a limit that does not.
    """
    state = empty(registry, profiles, as_of_ms=as_of_ms, is_live=is_live, archive=archive)
    know(state, events, warnings)
    if remembered is not None:
        _recollect(state, remembered)
    scene = Scene(state)
    merged, channels_from = _merge(scene, batches, are_stored=True)
    changed = _places_from(registry, _earliest(channels_from, _lose(scene, lost)))
    for place in registry.places:
        scene.renew(place, changed.get(place, OPEN_END_MS))
    silent = _silent(scene, now_ms, registry.groups_at) if is_live else {}
    groups = {group.id: judgement.first_change_ms(group.fate.route, changed) for group in registry.groups.values()}
    since = {group: OPEN_END_MS if first_ms is None else first_ms for group, first_ms in groups.items()}
    found = _judge(scene, since, silent, now_ms, dict.fromkeys(registry.places, BEGINNING_MS))
    return state, replace(found, fresh=merged.fresh, unverified=merged.unverified, arrivals=merged.arrivals)


def _recollect(state: State, remembered: Remembered) -> None:
    state.settled, state.unverified = dict(remembered.series), dict(remembered.unverified)
    state.lost = dict(remembered.lost)
    state.silent_until = dict(remembered.silent_until)
    state.count(remembered.tallies)
    state.arrivals = remembered.arrivals
    for place, (since_ms, known_ms) in remembered.put_away.items():
        state.records[place] = replace(NOTHING, since_ms=since_ms, known_before_ms=known_ms)


def empty(
    registry: Registry,
    profiles: Rules,
    *,
    as_of_ms: int | None = None,
    is_live: bool = False,
    archive: Archive | None = None,
) -> State:
    """A state that knows the registry and the rules and has seen no reading."""
    chosen = rules(registry, profiles)
    counted: dict[tuple[int, object], Measures] = {}
    measures = {}
    for group_id, profile in chosen.items():
        opening = registry.groups[group_id].fate.opening
        key = id(profile), opening  # trials may choose different versions of one profile
        if key not in counted:
            counted[key] = tally.measures(profile, {balance.limit: balance.amount for balance in opening})
        measures[group_id] = counted[key]
    return State(registry, chosen, measures, as_of_ms, is_live, archive)


def step(state: State, batches: Sequence[ReadingBatch], now_ms: int, *, are_stored: bool = False) -> Step:
    """What new readings change: only the kit groups whose places they reach are judged again, and these only where
    what changed can matter to them. Quiet readings, which can change nothing (`streams`), are not even looked at.

    `are_stored`: the archive has them already, so that none of them is new to it, but all are new to the state.
    """
    is_quiet, quiet = state.streams.sift(batches, state.registry.places_watched_by)
    if all(is_quiet):
        return Step(tuple(batches), quiet, arrivals=len(quiet))
    scene = Scene(state, quiet)
    disturbing = [batch for batch, calm in zip(batches, is_quiet, strict=True) if not calm]
    merged, channels_from = _merge(scene, disturbing, are_stored=are_stored)
    found = _changed(scene, channels_from, now_ms)
    looked_at = iter(merged.fresh)
    fresh = tuple(batch if calm else next(looked_at) for batch, calm in zip(batches, is_quiet, strict=True))
    arrivals = merged.arrivals + len(quiet)
    return replace(found, fresh=fresh, quiet=scene.quiet, unverified=merged.unverified, arrivals=arrivals)


def nothing(_state: State, _now_ms: int) -> Step:
    """The step that changes nothing."""
    return Step()


def lose(state: State, lost: LostReadings, now_ms: int) -> Step:
    """What it changes that some readings were taken and will not come: their time is unknown, however short it is.

    If they come after all, `step` takes them like any other.
    """
    scene = Scene(state)
    return _changed(scene, _lose(scene, lost), now_ms)


def _changed(scene: Scene, channels_from: Mapping[ChannelKey, int], now_ms: int) -> Step:
    """What changed channels, each from when on, change for kits."""
    state = scene.state
    changed: dict[str, int] = {}
    for place, from_ms in sorted(_places_from(state.registry, channels_from).items()):
        # what is known beyond where the place ended is new, the gap before a reading included
        new_from_ms = min(from_ms, scene.known_to_ms(place))
        record = scene.renew(place, from_ms)
        is_counted = from_ms < state.counted_ms.get(place, BEGINNING_MS)  # then tallies are wrong, whatever it means
        if is_counted or not patience.holds(state.patience.get(place, patience.NONE), record, new_from_ms):
            changed[place] = from_ms
    groups = {}
    for group_id in {group for place in changed for group in state.registry.groups_at.get(place, ())}:
        first_ms = judgement.first_change_ms(state.registry.groups[group_id].fate.route, changed)
        if first_ms is not None:
            groups[group_id] = first_ms
    return _judge(scene, groups, {}, now_ms, changed)


def amend(before: State, registry: Registry, profiles: Rules, now_ms: int) -> tuple[State, Step]:
    """The state under a changed registry or changed rules, and what judging the kit groups that they touch finds.

    Places that are watched and of a stage as before, and groups that share the fate and the rules they had, go on from
    where they were. `before` must not be used any more. Raises ValueError without an archive to read channels again.
    """
    if before.archive is None:
        raise ValueError("a state without an archive cannot be amended: start it again")
    state = empty(registry, profiles, as_of_ms=before.as_of_ms, is_live=before.is_live, archive=before.archive)
    state.events, state.warned, state.silent_until = before.events, before.warned, before.silent_until
    state.arrivals = before.arrivals
    state.settled, state.unverified, state.lost = dict(before.series), dict(before.unverified), dict(before.lost)
    same = {place for place in registry.places if _is_alike(before.registry, registry, place)}
    others = registry.places.keys() - same
    changed = {key for key in before.settled.keys() | before.unverified.keys() if _is_other_logger(before, state, key)}
    changed.update(key for place in others for key in registry.channels_of.get(place, ()))
    for key in changed:
        logger = registry.loggers.get(key.logger)
        state.settled[key], state.unverified[key] = read_again(before.archive, key, logger)
    places = before.places
    state.records = {place: places[place] for place in same & places.keys()}
    scene = Scene(state)
    for place in others:
        scene.renew(place, OPEN_END_MS)
    for group in registry.groups.values():
        was = before.registry.groups.get(group.id)
        if was is None or before.rules[group.id] != state.rules[group.id]:
            continue
        if any(segment.place not in same for segment in group.fate.route):
            continue
        if group.id in before.tallies:
            state.count({group.id: before.tallies[group.id]})
        if was.kits == group.kits and group.id in before.assessments:
            state.assessments[group.id] = before.assessments[group.id]
            state.judged_ms[group.id] = before.judged_ms[group.id]
    silent = _silent(scene, now_ms, registry.groups_at) if state.is_live else {}
    due = registry.groups.keys() - state.assessments.keys()
    return state, _judge(scene, dict.fromkeys(due, OPEN_END_MS), silent, now_ms)


def _is_alike(one: Registry, other: Registry, place: str) -> bool:
    """Whether two registries say the same of who watches a place and of which stage it is."""
    entries = other.monitoring_of.get(place, ())
    if place not in one.places or one.places[place].stage is not other.places[place].stage:
        return False
    if one.monitoring_of.get(place, ()) != entries:
        return False
    return all(one.loggers[entry.logger] == other.loggers[entry.logger] for entry in entries)


def _is_other_logger(before: State, after: State, key: ChannelKey) -> bool:
    return before.registry.loggers.get(key.logger) != after.registry.loggers.get(key.logger)


def silence(state: State, now_ms: int, group_ids: Iterable[str] | None = None) -> Step:
    """What passing time means for a live state: where a place has been silent for longer than its gap, time up to now
    is unknown; and custody that has ended or begun since a kit was last judged is known to have.

    `group_ids`: the kit groups to look at, all without; those that are no more are left out.
    """
    scene = Scene(state)
    groups = state.registry.groups
    chosen = groups if group_ids is None else [group_id for group_id in group_ids if group_id in groups]
    routes = {group_id: groups[group_id].fate.route for group_id in chosen if groups[group_id].fate.route}
    now = {group_id: history.route_until(route, now_ms) for group_id, route in routes.items()}
    last = {group_id: history.last_segment(route) for group_id, route in now.items()}
    silent = _silent(scene, now_ms, {segment.place for segment in last.values()})
    due = []
    for group_id, segment in last.items():
        judged_ms = state.judged_ms.get(group_id)
        is_silent = segment.to_ms is None and segment.place in silent
        if is_silent or judged_ms is None or history.route_until(routes[group_id], judged_ms) != now[group_id]:
            due.append(group_id)
    return _judge(scene, dict.fromkeys(due, OPEN_END_MS), silent, now_ms)


def look(state: State, group_ids: Iterable[str], now_ms: int) -> dict[str, Assessment]:
    """The assessments of kit groups as of now. Those of the state have the same outcomes, but may be as of earlier."""
    scene = Scene(state)
    groups = ((group_id, state.registry.groups[group_id]) for group_id in group_ids)
    return {
        group_id: judgement.judge(scene, group, state.silent_until, now_ms).assessment for group_id, group in groups
    }


def replay(
    batches: Sequence[ReadingBatch],
    registry: Registry,
    profiles: Rules,
    as_of_ms: int | None = None,
    lost: LostReadings = NONE_LOST,
) -> State:
    """The state that all readings together support, judged once; equal to any order of `step`s over them."""
    state, found = start(registry, profiles, batches, now_ms=0, as_of_ms=as_of_ms, lost=lost)
    adopt(state, found)
    return state


def rules(registry: Registry, profiles: Rules) -> dict[str, StabilityProfile]:
    """The profile that judges each kit group, in the version that its trial is set to."""
    chosen = rulebook.by_group(registry, rulebook.of(profiles))
    for group_id, profile in chosen.items():
        group = registry.groups[group_id]
        if not group.fate.opening:
            continue
        spendable = {limit.id: limit for limit in profile.limits if stability.can_have_opening(limit)}
        for balance in group.fate.opening:
            if balance.limit not in spendable:
                problem = f"no limit with an opening balance; {profile.name} has {', '.join(spendable)}"
                raise registry.wrong_kit(group.kits[0], "opening", balance.limit, problem)
            if balance.is_count != (spendable[balance.limit].kind is Kind.EVENTS):
                problem = 'a balance of events is a whole number, any other a duration such as "10h"'
                raise registry.wrong_kit(group.kits[0], "opening", balance.limit, problem)
    return chosen


def _merge(scene: Scene, batches: Sequence[ReadingBatch], *, are_stored: bool) -> tuple[Step, dict[ChannelKey, int]]:
    """The series with the readings of all batches, and the channels they change, each from when on."""
    state = scene.state
    by_channel: dict[ChannelKey, list[int]] = defaultdict(list)
    for number, batch in enumerate(batches):
        by_channel[batch.key].append(number)
    fresh = list(batches)
    unverified: dict[ChannelKey, Series] = {}
    changed: dict[ChannelKey, int] = {}
    for key, numbers in by_channel.items():
        logger = state.registry.loggers.get(key.logger)
        mine = [batches[number] for number in numbers]
        believed = _joined([history.is_verified(batch, logger) for batch in mine])
        at = _joined([batch.at_ms for batch in mine])
        temperature = plausible(_joined([batch.temperature_mc for batch in mine]))
        is_fresh = np.zeros(len(believed), np.bool_)
        are_all = bool(believed.all())
        if believed.any():
            those = slice(None) if are_all else believed
            is_fresh[those] = scene.merge(key, at[those], temperature[those])
            new_at = at[those] if are_stored else at[is_fresh]
            if logger is not None and len(new_at):
                first_ms = int(new_at.min())
                changed[key] = history.changed_from_ms(scene.series_before(key, first_ms), first_ms, logger)
        if not are_all:
            before = state.unverified.get(key, EMPTY)
            unverified[key], is_fresh[~believed] = history.merge(before, at[~believed], temperature[~believed])
        offset = 0
        for number, batch in zip(numbers, mine, strict=True):
            fresh[number] = batch.select(is_fresh[offset : offset + len(batch)])
            offset += len(batch)
    arrivals = sum(len(batch) for batch in batches)
    return Step(tuple(fresh), series=scene.series.maps[0], unverified=unverified, arrivals=arrivals), changed


def _joined(parts: Sequence[NDArray[_Number]]) -> NDArray[_Number]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _lose(scene: Scene, lost: LostReadings) -> dict[ChannelKey, int]:
    """Note lost readings; the channels of which more are missing than before, each from when on."""
    changed: dict[ChannelKey, int] = {}
    for key, gaps in lost.items():
        before = scene.lost.get(key, ())
        more = set(gaps).difference(before)
        if more:
            scene.lost[key] = tuple(sorted({*before, *more}))
            changed[key] = min(more).after_ms
    return changed


def _earliest(one: Mapping[ChannelKey, int], other: Mapping[ChannelKey, int]) -> dict[ChannelKey, int]:
    return {key: min(one.get(key, OPEN_END_MS), other.get(key, OPEN_END_MS)) for key in one.keys() | other.keys()}


def _places_from(registry: Registry, channels: Mapping[ChannelKey, int]) -> dict[str, int]:
    """The places that changed channels watch, each with the first instant that may differ."""
    changed: dict[str, int] = {}
    for key, from_ms in channels.items():
        for place in registry.places_watched_by.get(key, ()):
            changed[place] = min(from_ms, changed.get(place, from_ms))
    return changed


def _judge(
    scene: Scene,
    groups: Mapping[str, int],
    silent: Mapping[str, int],
    now_ms: int,
    complete: Mapping[str, int] = MappingProxyType({}),
) -> Step:
    """Assess kit groups again, each once, and find what that changes among the events of their kits.

    `groups`: each with the first instant of its custody that may differ. `complete`: the places all of whose groups
    that were there after an instant are among them, and that instant.
    """
    state = scene.state
    silent_until = ChainMap(dict(silent), state.silent_until)
    assessments: dict[str, Assessment] = {}
    outcomes: dict[str, Assessment] = {}
    tallies: dict[str, Tally] = {}
    events: list[QuarantineEvent] = []
    warnings: list[EarlyWarning] = []
    waits = Waits(state.patience, complete, state.registry.places)
    for group_id in sorted(groups):
        group = state.registry.groups[group_id]
        judged = judgement.judge(scene, group, silent_until, now_ms, groups[group_id])
        now, before = judged.assessment, state.assessments.get(group_id)
        if judged.kept is not None:
            tallies[group_id] = judged.kept
        if state.is_live and judged.record is not None:
            waits.add(
                group.fate.route, state.rules[group_id], state.measures[group_id], now, judged.record, scene.places
            )
        if now == before:
            continue
        assessments[group_id] = now
        if before is None or before.outcome != now.outcome:
            outcomes[group_id] = now
        if before is None or before.breaches != now.breaches:
            for kit in group.kits:
                events.extend(quarantine.revise(state.events.get(kit, {}), kit, now, now_ms))
        if before is None or before.warned != now.warned:
            warnings.extend(quarantine.early_warnings(state.warned, group.kits, now))
    return Step(
        assessments=assessments,
        outcomes=outcomes,
        judged_ms=dict.fromkeys(groups, now_ms),
        events=tuple(events),
        warnings=tuple(warnings),
        series=scene.series.maps[0],
        whole=scene.whole,
        lost=scene.lost.maps[0],
        places=scene.places.maps[0],
        tallies=tallies,
        silent_until=silent,
        patience=waits.patience(scene.places),
    )


def _silent(scene: Scene, now_ms: int, places: Iterable[str]) -> dict[str, int]:
    """Those of some places of which nothing has been known for longer than their gap, and up to when: now."""
    return {place: now_ms for place in places if judgement.is_silent(scene, place, now_ms)}
