"""What a live state keeps in memory: the last days of every place, and what every kit group was exposed to before.

Putting the past away changes no answer. Whatever reaches back behind it, late data or corrected custody, is counted
again from the archive (`scene`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, MutableMapping

from coldchain import history, judgement, tally
from coldchain.history import EMPTY, NOTHING, Record
from coldchain.model import end_ms
from coldchain.readings import ChannelKey
from coldchain.registry import KitGroup
from coldchain.scene import Scene
from coldchain.state import State, Step
from coldchain.tally import Tally


def put_away(state: State, until_ms: int, now_ms: int, places: Collection[str] | None = None) -> Step:
    """Count the tallies of the kit groups of some places up to an instant, and forget what no group needs any more.

    All places without `places`. A group needs its longest MKT window before the instant of its tally; readings of
    channels that watch no place are forgotten too. Raises ValueError for a state that has no archive to read again.
    """
    if state.archive is None:
        raise ValueError("a state without an archive cannot put its past away")
    scene = Scene(state)
    chosen = state.registry.places if places is None else places
    groups = {group for place in chosen for group in state.registry.groups_at.get(place, ())}
    lately: dict[object, Record] = {}
    tallies = {group: _counted(scene, state.registry.groups[group], until_ms, now_ms, lately) for group in groups}
    for place in chosen:
        there = state.registry.groups_at.get(place, ())
        needed = (since for group in there for since in _needed(state, group, place, tallies[group]))
        # a custody that is planned for later needs nothing yet, but it may still be corrected to begin earlier
        scene.places[place] = history.put_away(scene.places.get(place, NOTHING), min([until_ms, *needed]))
    watched = {key for place in chosen for key in state.registry.channels_of.get(place, ())}
    strangers = state.settled.keys() - state.registry.places_watched_by.keys()
    for key in (watched | strangers) & state.settled.keys():
        kept_ms = min((scene.places.get(p, NOTHING).since_ms for p in _needing(scene, key)), default=until_ms)
        scene.series[key] = history.put_away_readings(scene.series.get(key, EMPTY), min(kept_ms, until_ms))
    return Step(series=scene.series.maps[0], places=scene.places.maps[0], tallies=tallies)


def _counted(
    scene: Scene, group: KitGroup, until_ms: int, now_ms: int, lately: MutableMapping[object, Record]
) -> Tally:
    """The tally of a group up to an instant, or up to where it is judged. `lately`: the records of groups that were
    at the same places since theirs, which are the same."""
    state = scene.state
    counted, before = state.measures[group.id], state.tallies.get(group.id)
    route = judgement.route_of(state, group, now_ms)
    before = before or tally.begin(counted, route[0].from_ms)
    to_ms = min(until_ms, judgement.evaluation_instant(scene, route, state.silent_until))
    since_ms = before.as_of_ms - counted.longest_window_ms
    stays = ((s.place, max(s.from_ms, since_ms), s.to_ms) for s in route if end_ms(s) > since_ms)
    same = max(route[0].from_ms, since_ms), to_ms, *stays
    if same not in lately:
        lately[same] = history.kit_record(route, scene.places, to_ms, since_ms)
    return tally.advance(before, counted, lately[same], judgement.stays_of(state, group, route))


def _needed(state: State, group_id: str, place: str, counted: Tally) -> Iterator[int]:
    """From when on a group needs each of its stays at a place; nothing once its life is counted to its end."""
    route = state.registry.groups[group_id].fate.route
    since_ms = counted.as_of_ms - state.measures[group_id].longest_window_ms
    if end_ms(history.last_segment(route)) <= counted.as_of_ms:
        return
    for segment in route:
        if segment.place == place and end_ms(segment) > since_ms:
            yield max(since_ms, segment.from_ms)


def _needing(scene: Scene, key: ChannelKey) -> Iterator[str]:
    """The places that need a channel's readings: it watches them after what they have put away."""
    for place in scene.state.registry.places_watched_by.get(key, ()):
        since_ms = scene.places.get(place, NOTHING).since_ms
        for entry in scene.state.registry.monitoring_of[place]:
            if (entry.logger, entry.channel) == key and end_ms(entry) > since_ms:
                yield place
