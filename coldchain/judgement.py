"""The assessment of one kit group by what is known now: from where its tally stands, or its whole life again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coldchain import history, stability, tally
from coldchain.history import NOTHING, Record
from coldchain.model import OPEN_END_MS, Assessment, CustodySegment, end_ms
from coldchain.registry import KitGroup, Registry
from coldchain.scene import Scene
from coldchain.stages import NO_STAYS, Stays, stays
from coldchain.state import State
from coldchain.tally import Tally


@dataclass(frozen=True, slots=True)
class Judged:
    """An assessment and what it was made from. `record`: at least the group's last window, None without custody.

    `kept`: the group's tally up to what its places have put away, where that had to be counted anew.
    """

    assessment: Assessment
    record: Record | None = None
    kept: Tally | None = None


def judge(
    scene: Scene, group: KitGroup, silent_until: Mapping[str, int], now_ms: int, changed_from_ms: int = OPEN_END_MS
) -> Judged:
    """Assess a kit group whose record is, before `changed_from_ms`, what it was when its tally was counted."""
    state = scene.state
    profile, counted = state.rules[group.id], state.measures[group.id]
    opening = {balance.limit: balance.amount for balance in group.fate.opening}
    route = route_of(state, group, now_ms)
    if not route:
        return Judged(stability.assess(profile, None, opening, history.custody_problems(route, 0)))
    as_of_ms = evaluation_instant(scene, route, silent_until)
    in_stage = stays_of(state, group, route)
    before = state.tallies.get(group.id)
    kept = None
    if before is not None and before.as_of_ms <= min(changed_from_ms, as_of_ms):
        record = history.kit_record(route, scene.places, as_of_ms, before.as_of_ms - counted.longest_window_ms)
    elif all(scene.places.get(s.place, NOTHING).since_ms <= s.from_ms for s in route):
        kept = None if before is None else tally.begin(counted, route[0].from_ms)
        before = kept or tally.begin(counted, route[0].from_ms)
        record = history.kit_record(route, scene.places, as_of_ms)
    else:
        whole = {segment.place: scene.whole_place(segment.place) for segment in route}
        record = history.kit_record(route, whole, as_of_ms)
        put_away_ms = max(scene.places.get(s.place, NOTHING).since_ms for s in route) + counted.longest_window_ms
        begun = tally.begin(counted, route[0].from_ms)
        put_away = history.kit_record(route, whole, min(as_of_ms, put_away_ms, now_ms))  # no route is sure beyond now
        before = kept = tally.advance(begun, counted, put_away, in_stage)
        for segment in route:
            if end_ms(segment) > kept.as_of_ms - counted.longest_window_ms:
                scene.keep(segment.place, max(kept.as_of_ms - counted.longest_window_ms, segment.from_ms))
    whole_life = tally.advance(before, counted, record, in_stage)
    problems = history.custody_problems(route, as_of_ms)
    return Judged(stability.assess(profile, whole_life, opening, problems), record, kept)


def route_of(state: State, group: KitGroup, now_ms: int) -> tuple[CustodySegment, ...]:
    """The route by which a group is judged: up to now in a live state, else the whole one."""
    return history.route_until(group.fate.route, now_ms) if state.is_live else group.fate.route


def stays_of(state: State, group: KitGroup, route: Sequence[CustodySegment]) -> Stays:
    """When a group is in which stage on its route, as far as its limits ask for that."""
    return stays(route, state.registry.places) if state.measures[group.id].stages else NO_STAYS


def route_and_record(
    state: State, group: KitGroup, assessment: Assessment, now_ms: int
) -> tuple[tuple[CustodySegment, ...], Record | None]:
    """The route and the record behind an assessment of a state that has put nothing away; None without custody."""
    route = route_of(state, group, now_ms)
    if not route or assessment.as_of_ms is None:
        return route, None
    return route, history.kit_record(route, state.places, assessment.as_of_ms)


def evaluation_instant(scene: Scene, route: Sequence[CustodySegment], silent_until: Mapping[str, int]) -> int:
    """`as_of` of a kit by what is known now; a silence that late data have ended does not count any more."""
    last = history.last_segment(route).place
    silent_ms = silent_until.get(last)
    if silent_ms is not None and not is_silent(scene, last, silent_ms):
        silent_ms = None
    return history.evaluation_instant(route, scene.places, scene.state.as_of_ms, silent_ms)


def is_silent(scene: Scene, place: str, now_ms: int) -> bool:
    """Whether nothing is known of a place, or nothing for longer than its gap."""
    known_ms = scene.last_known_ms(place)
    return known_ms is None or now_ms - known_ms > _gap_after_ms(scene.state.registry, place, now_ms)


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


def first_change_ms(route: Sequence[CustodySegment], changed: Mapping[str, int]) -> int | None:
    """The first instant of a kit's custody that may differ; None if what changed in its places came after it.

    `changed`: by place, from when on it differs.
    """
    starts = [
        max(changed[segment.place], segment.from_ms)
        for segment in route
        if end_ms(segment) > changed.get(segment.place, OPEN_END_MS)
    ]
    return min(starts, default=None)
