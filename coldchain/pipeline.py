"""START HERE. What readings mean for kits: `step` for live data, `silence` for missing data, `replay` for everything.

All three come down to the same line of functions: series -> channel -> place -> kit group -> assessment -> events.
Each is pure. `step` returns what would change; `adopt` makes it the state, once it is stored. Time comes in as an
argument.
"""

from __future__ import annotations

from collections import ChainMap, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from coldchain import history, quarantine, rulebook, stability
from coldchain.history import EMPTY, NOTHING, Record, Series
from coldchain.model import Assessment, CustodySegment, EarlyWarning, Kind, QuarantineEvent
from coldchain.profiles import StabilityProfile
from coldchain.readings import ABSOLUTE_ZERO_MC, FAULT_MC, HIGHEST_MC, ChannelKey, ReadingBatch
from coldchain.registry import KitGroup, Registry
from coldchain.rulebook import Rules


@dataclass(slots=True)
class State:
    """Everything known so far. Changed by `adopt` alone.

    `series`, `unverified`: readings by channel; the latter have impossible device times and are never judged.
    `channels`, `places`: what they contribute. `silent_until`: up to where a silent place counts as unknown.
    `as_of_ms`: a fixed evaluation instant, None for the default of SEMANTICS 2.4. `is_live`: kits are judged by their
    route up to now; otherwise, in a replay, by the whole route.
    """

    registry: Registry
    rules: Mapping[str, StabilityProfile]
    as_of_ms: int | None = None
    is_live: bool = False
    series: dict[ChannelKey, Series] = field(default_factory=dict)
    unverified: dict[ChannelKey, Series] = field(default_factory=dict)
    channels: dict[ChannelKey, Record] = field(default_factory=dict)
    places: dict[str, Record] = field(default_factory=dict)
    silent_until: dict[str, int] = field(default_factory=dict)
    assessments: dict[str, Assessment] = field(default_factory=dict)
    events: dict[str, dict[str, QuarantineEvent]] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    arrivals: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What one step changes; nothing is changed until `adopt`.

    `fresh` is aligned with the batches of the step: of each, the readings not known before. `assessments` are those
    that changed, by kit group.
    """

    fresh: tuple[ReadingBatch, ...] = ()
    assessments: Mapping[str, Assessment] = field(default_factory=dict)
    events: tuple[QuarantineEvent, ...] = ()
    warnings: tuple[EarlyWarning, ...] = ()
    series: Mapping[ChannelKey, Series] = field(default_factory=dict)
    unverified: Mapping[ChannelKey, Series] = field(default_factory=dict)
    channels: Mapping[ChannelKey, Record] = field(default_factory=dict)
    places: Mapping[str, Record] = field(default_factory=dict)
    silent_until: Mapping[str, int] = field(default_factory=dict)
    arrivals: int = 0


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
) -> tuple[State, Step]:
    """The state after a restart, and what judging every kit finds beyond the `events` and `warnings` already given.

    Raises BadInput if a kit names a profile that does not exist, or opens a balance of a limit that does not.
    """
    state = State(registry, rules(registry, profiles), as_of_ms, is_live)
    for event in events:
        state.events.setdefault(event.kit, {})[event.id] = event
    state.warned.update(warning.id for warning in warnings)
    merged = _merge(state, batches)
    adopt(state, merged)
    places = {place: _place(state, place, state.channels) for place in registry.places}
    silent = _silent(state, places, now_ms) if is_live else {}
    found = _judge_groups(state, registry.groups, places, silent, now_ms)
    return state, replace(found, fresh=merged.fresh, places=places)


def step(state: State, batches: Sequence[ReadingBatch], now_ms: int) -> Step:
    """What new readings change: only the kit groups whose places they reach are judged again."""
    merged = _merge(state, batches)
    changed = {place for key in merged.channels for place in state.registry.places_watched_by.get(key, ())}
    channels = ChainMap(dict(merged.channels), state.channels)
    places = {place: _place(state, place, channels) for place in sorted(changed)}
    groups = {group for place in places for group in state.registry.groups_at.get(place, ())}
    found = _judge_groups(state, groups, places, {}, now_ms)
    return replace(merged, assessments=found.assessments, events=found.events, warnings=found.warnings, places=places)


def silence(state: State, now_ms: int) -> Step:
    """What passing time means for a live state: where a place has been silent for longer than its gap, time up to now
    is unknown; and custody that has ended since a kit was last judged has a known end."""
    silent = _silent(state, state.places, now_ms)
    due = []
    for group in state.registry.groups.values():
        route = history.route_until(group.fate.route, now_ms)
        last = history.last_segment(route) if route else None
        judged = state.assessments.get(group.id)
        if last is None:
            continue
        is_silent = last.to_ms is None and last.place in silent
        has_ended = last.to_ms is not None and (judged is None or judged.as_of_ms != last.to_ms)
        if is_silent or has_ended:
            due.append(group.id)
    return _judge_groups(state, due, {}, silent, now_ms)


def adopt(state: State, change: Step) -> None:
    """Make what a step found the state; called once it is stored."""
    state.series.update(change.series)
    state.unverified.update(change.unverified)
    state.channels.update(change.channels)
    state.places.update(change.places)
    state.silent_until.update(change.silent_until)
    state.assessments.update(change.assessments)
    for event in change.events:
        state.events.setdefault(event.kit, {})[event.id] = event
    state.warned.update(warning.id for warning in change.warnings)
    state.arrivals += change.arrivals


def replay(
    batches: Sequence[ReadingBatch],
    registry: Registry,
    profiles: Rules,
    as_of_ms: int | None = None,
) -> State:
    """The state that all readings together support, judged once; equal to any order of `step`s over them."""
    state, found = start(registry, profiles, batches, now_ms=0, as_of_ms=as_of_ms)
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


def route_of(state: State, group: KitGroup, now_ms: int) -> tuple[CustodySegment, ...]:
    """The route by which a group is judged: up to now in a live state, else the whole one."""
    return history.route_until(group.fate.route, now_ms) if state.is_live else group.fate.route


def _merge(state: State, batches: Sequence[ReadingBatch]) -> Step:
    """The series with the readings of all batches, and the channels they change."""
    by_channel: dict[ChannelKey, list[int]] = defaultdict(list)
    for number, batch in enumerate(batches):
        by_channel[batch.key].append(number)
    fresh = list(batches)
    series: dict[ChannelKey, Series] = {}
    unverified: dict[ChannelKey, Series] = {}
    channels: dict[ChannelKey, Record] = {}
    for key, numbers in by_channel.items():
        logger = state.registry.loggers.get(key.logger)
        mine = [batches[number] for number in numbers]
        at = np.concatenate([batch.at_ms for batch in mine])
        temperature = np.concatenate([batch.temperature_mc for batch in mine])
        impossible = (temperature < ABSOLUTE_ZERO_MC) | (temperature > HIGHEST_MC)
        temperature = np.where(impossible, np.int32(FAULT_MC), temperature)
        verified = np.concatenate([history.is_verified(batch, logger) for batch in mine])
        is_fresh = np.empty(len(at), np.bool_)
        if verified.any():
            before = state.series.get(key, EMPTY)
            series[key], is_fresh[verified] = history.merge(before, at[verified], temperature[verified])
            if logger is not None and is_fresh[verified].any():
                channels[key] = history.channel_record(key, series[key], logger)
        if not verified.all():
            before = state.unverified.get(key, EMPTY)
            unverified[key], is_fresh[~verified] = history.merge(before, at[~verified], temperature[~verified])
        offset = 0
        for number, batch in zip(numbers, mine, strict=True):
            fresh[number] = batch.select(is_fresh[offset : offset + len(batch)])
            offset += len(batch)
    arrivals = sum(len(batch) for batch in batches)
    return Step(tuple(fresh), series=series, unverified=unverified, channels=channels, arrivals=arrivals)


def _place(state: State, place: str, channels: Mapping[ChannelKey, Record]) -> Record:
    return history.place_record(state.registry.monitoring_of.get(place, ()), channels)


def _judge_groups(
    state: State,
    group_ids: Collection[str],
    changed_places: Mapping[str, Record],
    silent: Mapping[str, int],
    now_ms: int,
) -> Step:
    """Assess kit groups again, each once, and find what that changes among the events of their kits."""
    places = ChainMap(dict(changed_places), state.places)
    silent_until = ChainMap(dict(silent), state.silent_until)
    assessments: dict[str, Assessment] = {}
    events: list[QuarantineEvent] = []
    warnings: list[EarlyWarning] = []
    for group_id in sorted(group_ids):
        group = state.registry.groups[group_id]
        assessment = _assess(state, group, places, silent_until, now_ms)
        before = state.assessments.get(group_id)
        if assessment == before:
            continue
        assessments[group_id] = assessment
        if before is None or before.breaches != assessment.breaches:
            for kit in group.kits:
                events.extend(quarantine.revise(state.events.get(kit, {}), kit, assessment, now_ms))
        if before is None or before.warned != assessment.warned:
            warnings.extend(quarantine.early_warnings(state.warned, group.kits, assessment))
    return Step(assessments=assessments, events=tuple(events), warnings=tuple(warnings), silent_until=silent)


def _assess(
    state: State, group: KitGroup, places: Mapping[str, Record], silent_until: Mapping[str, int], now_ms: int
) -> Assessment:
    profile = state.rules[group.id]
    route, opening = route_of(state, group, now_ms), {balance.limit: balance.amount for balance in group.fate.opening}
    if not route:
        return stability.judge(profile, None, opening, history.custody_problems(route, 0))
    last = history.last_segment(route).place
    silent_ms = silent_until.get(last)
    if silent_ms is not None and not _is_silent(state.registry, last, places, silent_ms):
        silent_ms = None  # late data have arrived since the silence was noticed: what is left is an ordinary interval
    as_of_ms = history.evaluation_instant(route, places, state.as_of_ms, silent_ms)
    record = history.kit_record(route, places, as_of_ms)
    return stability.judge(profile, record, opening, history.custody_problems(route, as_of_ms))


def _silent(state: State, places: Mapping[str, Record], now_ms: int) -> dict[str, int]:
    """The places with kits of which nothing has been known for longer than their gap, and up to when: now."""
    return {place: now_ms for place in state.registry.groups_at if _is_silent(state.registry, place, places, now_ms)}


def _is_silent(registry: Registry, place: str, places: Mapping[str, Record], now_ms: int) -> bool:
    """Whether nothing is known of a place, or nothing for longer than its gap."""
    known_ms = history.last_known_ms(places.get(place, NOTHING).history)
    return known_ms is None or now_ms - known_ms > _gap_after_ms(registry, place, now_ms)


def _gap_after_ms(registry: Registry, place: str, now_ms: int) -> int:
    """How long a place may be silent: the longest gap of the loggers that watch it now, 0 if none does."""
    return max(
        (
            registry.loggers[m.logger].gap_after_ms
            for m in registry.monitoring_of.get(place, ())
            if m.from_ms < now_ms and (m.to_ms is None or now_ms <= m.to_ms)
        ),
        default=0,
    )
