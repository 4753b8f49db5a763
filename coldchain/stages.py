"""Stages: when a kit was in a depot, in transit, at a site, with a patient - by the places of its custody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from coldchain.model import CustodySegment, Place, Stage, end_ms

Stays = Mapping[Stage, tuple[tuple[int, int], ...]]
"""The time `(from_ms, to_ms]` that a kit spends in each stage, in order, no two intervals of a stage overlapping."""

NO_STAYS: Stays = MappingProxyType({})


def stays(route: Iterable[CustodySegment], places: Mapping[str, Place]) -> Stays:
    """When a route is in which stage. Stays that overlap or follow at once are one, so no time counts twice."""
    found: dict[Stage, list[tuple[int, int]]] = defaultdict(list)
    for segment in sorted(route, key=lambda segment: segment.from_ms):
        stage = places[segment.place].stage
        if stage is None:
            continue
        before = found[stage]
        if before and segment.from_ms <= before[-1][1]:
            from_ms, to_ms = before.pop()
            before.append((from_ms, max(to_ms, end_ms(segment))))
        else:
            before.append((segment.from_ms, end_ms(segment)))
    return {stage: tuple(intervals) for stage, intervals in found.items()}
