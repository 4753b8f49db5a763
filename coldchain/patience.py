"""How long a place needs no look: while its temperature crosses no bound, no outcome of its kits can change.

A reading must cost the same whether it guards one kit or ten thousand. As long as the loggers of a place stay between
two neighbouring bounds of all limits in use there, nothing new can begin: no run, no excursion, no unknown time. What
goes on can only grow with time, so it cannot reach its next threshold before a known instant. Until then the kit groups
of the place are not judged again; their assessments are as of earlier, their outcomes are those of now.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from coldchain.history import BEGINNING_MS, NOTHING, History, Record
from coldchain.kernels import UNKNOWN
from coldchain.model import OPEN_END_MS, Assessment, CustodySegment, Kind, Place, end_ms
from coldchain.profiles import Limit, StabilityProfile
from coldchain.tally import Measures

_HIGHEST, _LOWEST = 2**31 - 1, UNKNOWN


@dataclass(frozen=True, slots=True)
class Patience:
    """No look is needed while hot stays in `(hot_above_mc, hot_most_mc]` and cold in `[cold_least_mc, cold_below_mc)`,
    as both did since `calm_since_ms`, and nothing is known beyond `until_ms`."""

    calm_since_ms: int
    until_ms: int
    hot_above_mc: int
    hot_most_mc: int
    cold_least_mc: int
    cold_below_mc: int


class Waits:
    """Collects how long the kit groups that are judged in a step can wait, for the patience of their places.

    `before`: the patience of every place so far. `complete`: the places all of whose groups that were there after an
    instant are judged in this step, and that instant. `registered`: what the registry says of each place.
    """

    def __init__(
        self, before: Mapping[str, Patience], complete: Mapping[str, int], registered: Mapping[str, Place]
    ) -> None:
        self._before, self._complete, self._registered = before, complete, registered
        self._until_ms: dict[str, int] = {}
        self._measures: dict[str, dict[int, Measures]] = defaultdict(dict)

    def add(
        self,
        route: Sequence[CustodySegment],
        profile: StabilityProfile,
        measures: Measures,
        assessment: Assessment,
        record: Record,
        places: Mapping[str, Record],
    ) -> None:
        """A kit group that has just been judged. `record`: at least the longest window of its own."""
        for place in {segment.place for segment in route}:
            there = places.get(place, NOTHING).history
            if there is None or (place not in self._complete and place not in self._before):
                continue
            until_ms = _until_ms(self._registered[place], route, profile, measures, assessment, record, there)
            self._until_ms[place] = min(until_ms, self._until_ms.get(place, OPEN_END_MS))
            self._measures[place][id(measures)] = measures

    def patience(self, places: Mapping[str, Record]) -> dict[str, Patience]:
        """The patience of every place that any of them was or will be at."""
        found = {}
        for place, until_ms in self._until_ms.items():
            if place in self._complete:
                waits = _at_place(places[place], self._measures[place].values(), until_ms)
                # who had left by then is not asked, and may have had narrower bounds
                found[place] = replace(waits, calm_since_ms=max(waits.calm_since_ms, self._complete[place]))
            else:
                before = self._before[place]
                found[place] = replace(before, until_ms=min(before.until_ms, until_ms))
        return found


NONE = Patience(OPEN_END_MS, BEGINNING_MS, _HIGHEST, _LOWEST, _HIGHEST, _LOWEST)


def holds(patience: Patience, record: Record, changed_from_ms: int) -> bool:
    """Whether what changed in a place from an instant on leaves every outcome as it is."""
    history = record.history
    if history is None or changed_from_ms < patience.calm_since_ms or history.as_of_ms > patience.until_ms:
        return False
    if record.conflicts and record.conflicts[-1].at_ms > changed_from_ms:
        return False
    first = int(np.searchsorted(history.end_ms, changed_from_ms, side="right"))
    hot, cold = history.hot_mc[first:], history.cold_mc[first:]
    return bool(
        len(hot)
        and hot.min() > patience.hot_above_mc
        and hot.max() <= patience.hot_most_mc
        and cold.min() >= patience.cold_least_mc
        and cold.max() < patience.cold_below_mc
    )


def _at_place(record: Record, measures: Iterable[Measures], until_ms: int) -> Patience:
    """The patience that a place allows whose kit groups count by these measures and can wait `until_ms`."""
    history = record.history
    if history is None or not len(history.end_ms) or history.hot_mc[-1] == UNKNOWN:
        return NONE
    highs, lows = _bounds(measures)
    hot, cold = int(history.hot_mc[-1]), int(history.cold_mc[-1])
    above, below = bisect_left(highs, hot), bisect_right(lows, cold)
    band = Patience(
        history.start_ms,
        until_ms,
        highs[above - 1] if above else _LOWEST,
        highs[above] if above < len(highs) else _HIGHEST,
        lows[below - 1] if below else _LOWEST,
        lows[below] if below < len(lows) else _HIGHEST,
    )
    outside = (history.hot_mc <= band.hot_above_mc) | (history.hot_mc > band.hot_most_mc)
    outside |= (history.cold_mc < band.cold_least_mc) | (history.cold_mc >= band.cold_below_mc)
    elsewhere = np.flatnonzero(outside)
    return replace(band, calm_since_ms=int(history.end_ms[elsewhere[-1]])) if len(elsewhere) else band


def _bounds(measures: Iterable[Measures]) -> tuple[list[int], list[int]]:
    """Every upper and every lower bound that anything is compared with."""
    highs: set[int] = set()
    lows: set[int] = set()
    for counted in measures:
        lows.update(counted.limits[:, 1].tolist())
        highs.update(counted.limits[:, 2].tolist())
        highs.update(window.max_mc for window in counted.windows)
        lows.update(bound for bound in (counted.label_low_mc,) if bound is not None)
        highs.update(bound for bound in (counted.label_high_mc,) if bound is not None)
    return sorted(highs), sorted(lows)


def _until_ms(
    place: Place,
    route: Sequence[CustodySegment],
    profile: StabilityProfile,
    measures: Measures,
    assessment: Assessment,
    record: Record,
    there: History,
) -> int:
    """Until when a kit group can wait for its next look if its place, of which this much is known, stays as it is.

    `route`: the whole one; `record`: at least the longest window of the kit's own.
    """
    known_to_ms = there.as_of_ms
    if all(end_ms(segment) <= known_to_ms for segment in route if segment.place == place.id):
        return OPEN_END_MS  # it has left
    until_ms = OPEN_END_MS
    is_there = False
    for segment in route:
        if segment.from_ms >= known_to_ms:
            until_ms = min(until_ms, segment.from_ms)
        elif end_ms(segment) > known_to_ms:
            is_there = True
            until_ms = min(until_ms, end_ms(segment))
            if segment.place != place.id:
                return BEGINNING_MS
    if not is_there:
        return until_ms
    if assessment.as_of_ms != known_to_ms or _is_hot(measures, record, known_to_ms, assessment):
        return BEGINNING_MS
    waits = [until_ms - known_to_ms]
    for limit, finding in zip(profile.limits, assessment.limits, strict=True):
        # a budget that is broken, and so never exhausted again, still goes on in its stages
        if finding.stages and _is_out(limit, there):
            shares_left = (u.allowed - u.used for u in finding.stages if u.stage is place.stage and not u.is_passed)
            waits.extend(left_ms // 2 for left_ms in shares_left)
        if finding.exhausted_in_ms is None:
            continue
        rate = 2 if limit.kind is Kind.ACCUMULATED else 1  # above and below at once count twice
        reached = finding.used if limit.kind is Kind.ACCUMULATED else limit.allowed - finding.exhausted_in_ms
        shares = (-(-share * limit.allowed // 100) for share in limit.warn_at)
        nearest = min([limit.allowed + 1, *(amount for amount in shares if amount > finding.used)])
        waits.append((nearest - reached - 1) // rate)
    return known_to_ms + min(waits)


def _is_out(limit: Limit, there: History) -> bool:
    """Whether the last that is known of a place is out of a limit's range."""
    is_above = limit.high_mc is not None and there.hot_mc[-1] > limit.high_mc
    return bool(is_above or (limit.low_mc is not None and there.cold_mc[-1] < limit.low_mc))


def _is_hot(measures: Measures, record: Record, now_ms: int, assessment: Assessment) -> bool:
    """Whether any trailing window that can still exceed its limit holds anything hotter than that limit."""
    if not measures.windows or record.history is None:
        return False
    breached = [f.breached_at_ms for f in assessment.limits if f.kind is Kind.MKT]
    for window, breached_at_ms in zip(measures.windows, breached, strict=True):
        first = int(np.searchsorted(record.history.end_ms, now_ms - window.length_ms, side="right"))
        if breached_at_ms is None and record.history.hot_mc[first:].max(initial=UNKNOWN) > window.max_mc:
            return True
    return False
