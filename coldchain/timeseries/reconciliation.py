"""Is the store what the ledger says? Count and checksum of every logger and day, every hour, event and verdict.

What differs is written again from the ledger; what the store has beyond it is dropped first. The checksum is a CRC-32
over everything compared, in order: one bit of one instant or temperature shows.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from coldchain.ledger import queries
from coldchain.readings import ChannelKey
from coldchain.timeseries.derive import evidence_of, place_hours
from coldchain.timeseries.embedded import by_kit
from coldchain.timeseries.points import DAY_MS, Addition, Cursor, LoggerHour, Readings
from coldchain.timeseries.projector import BEGINNING_MS, Projector
from coldchain.timeseries.retention import Kept
from coldchain.timeseries.store import Store, hourly

PAGE_DAYS = 32

Tally = tuple[int, int]
"""How many, and a checksum over them."""

FROM_THE_BEGINNING = Cursor()
NOTHING: Tally = (0, 0)


class Difference(NamedTuple):
    """One thing that is not as the ledger says. `day_ms`: start of its UTC day, None for what is compared whole."""

    what: str
    where: str
    day_ms: int | None
    ledger: Tally
    store: Tally


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What was compared, what differed, and how much of it still does."""

    channels: int
    readings: int
    differences: tuple[Difference, ...]
    remaining: int


def reconcile(
    projector: Projector,
    store: Store,
    kept: Kept,
    *,
    since: Cursor = FROM_THE_BEGINNING,
    mends: bool = True,
    on_channel: Callable[[str], None] = lambda _: None,
) -> Reconciliation:
    """Compare what the store's cursor says is projected with the ledger; only what came after `since`.

    Of channels that got readings since, the days are compared from the earliest to the latest of those readings.
    `mends`: write again what differs, then compare that once more. To be run while `local_file.projecting`: nothing
    else may write to the store meanwhile. Raises EnvironmentFailed if ledger or store fails, OtherLedger if they do not
    belong together.
    """
    with projector.one_view():
        cursor = store.cursor()
        projector.check_ledger(cursor)
        compared = _Comparison(projector, store, kept, cursor, since)
        ranges = compared.ranges()
        found: list[Difference] = []
        remaining = 0
        for key, first_day, last_day in ranges:
            on_channel("/".join(key))
            for days in compared.pages(key, first_day, last_day):
                differing = list(compared.channel(key, *days))
                found += differing
                if differing and mends:
                    compared.mend_channel(key, differing)
                    differing = list(compared.channel(key, *days))
                remaining += len(differing)
        for compare, mend in (compared.places, compared.mend_place), (compared.records, compared.mend_records):
            differing = list(compare())
            found += differing
            if differing and mends:
                for each in differing:
                    mend(each)
                differing = list(compare())
            remaining += len(differing)
        return Reconciliation(len(ranges), compared.readings, tuple(found), remaining)


class _Comparison:
    """The comparisons, and how what they find is mended. `readings`: how many the ledger had of what was compared."""

    def __init__(self, projector: Projector, store: Store, kept: Kept, cursor: Cursor, since: Cursor) -> None:
        self._projector, self._store, self._kept, self._cursor, self._since = projector, store, kept, cursor, since
        self.readings = 0

    def ranges(self) -> list[tuple[ChannelKey, int, int]]:
        """Every channel with readings, and the first and last UTC day of them."""
        found = queries.channel_ranges(self._projector.ledger, self._since.block, self._cursor.block)
        return [(ChannelKey(*key), first_ms // DAY_MS, last_ms // DAY_MS) for *key, first_ms, last_ms in found]

    def pages(self, key: ChannelKey, first_day: int, last_day: int) -> list[tuple[int, int]]:
        """The UTC days between two as pages: up to PAGE_DAYS with readings each, and what lies between those."""
        known = self._projector.view(self._cursor.block).known(key, first_day * DAY_MS - 1, (last_day + 1) * DAY_MS - 1)
        pages: list[tuple[int, int]] = []
        for day in np.unique(known.at_ms // DAY_MS).tolist():
            if pages and day < pages[-1][0] + PAGE_DAYS:
                pages[-1] = pages[-1][0], day
                continue
            if pages and day > pages[-1][1] + 1:
                pages.append((pages[-1][1] + 1, day - 1))
            pages.append((day, day))
        return pages

    def channel(self, key: ChannelKey, first_day: int, last_day: int) -> Iterator[Difference]:
        """Readings and hours of some UTC days. The hour that ends at midnight belongs to the day before."""
        view, name = self._projector.view(self._cursor.block), "/".join(key)
        from_ms, to_ms = first_day * DAY_MS - 1, (last_day + 1) * DAY_MS - 1
        known = view.known(key, from_ms, to_ms)
        self.readings += len(known.at_ms)
        for is_verified, what in ((True, "readings"), (False, "unverified readings")):
            said = _daily(known.readings(key, is_verified=is_verified))
            held = _daily(self._store.readings(key, from_ms, to_ms, is_verified=is_verified))
            for day_ms in said.keys() - held.keys():
                if is_verified and self._kept.may_be_gone(key, day_ms):
                    del said[day_ms]
            yield from _unlike(what, name, said, held)
        hours = view.known(key, from_ms + 1, to_ms + 1).readings(key, is_verified=True)
        held_hours = self._store.logger_hours(key, from_ms + 1, to_ms + 1)
        yield from _unlike("hours", name, _hours_daily(hourly(hours)), _hours_daily(held_hours))

    def mend_channel(self, key: ChannelKey, differing: Sequence[Difference]) -> None:
        """Write the days that differ again, without what the ledger does not have."""
        view = self._projector.view(self._cursor.block)
        for day_ms in sorted({each.day_ms for each in differing if each.day_ms is not None}):
            from_ms, to_ms = day_ms - 1, day_ms + DAY_MS - 1
            known = view.known(key, from_ms, to_ms)
            both = tuple(known.readings(key, is_verified=is_verified) for is_verified in (True, False))
            for said in both:
                held = self._store.readings(key, from_ms, to_ms, is_verified=said.is_verified)
                if not _pairs(held) <= _pairs(said):
                    self._store.forget_readings(key, from_ms, to_ms, is_verified=said.is_verified)
            hours = view.known(key, day_ms, day_ms + DAY_MS).readings(key, is_verified=True)
            self._store.append(Addition(self._cursor, both, {key: hourly(hours)}))

    def places(self) -> Iterator[Difference]:
        """The known hours of every place that a compared channel watches, over the days compared."""
        days: dict[str, list[int]] = defaultdict(list)
        for key, first_day, last_day in self.ranges():
            for place in self._projector.registry.places_watched_by.get(key, ()):
                days[place] += [first_day, last_day]
        view = self._projector.view(self._cursor.block)
        for place, compared in sorted(days.items()):
            span = min(compared) * DAY_MS, (max(compared) + 1) * DAY_MS
            said = [hour for hour in place_hours(view, self._projector.registry, place, *span) if hour.known_ms]
            held = [hour for hour in self._store.place_hours(place, *span) if hour.known_ms]
            if said != held:
                yield Difference("place hours", place, None, _tally(said), _tally(held))

    def mend_place(self, difference: Difference) -> None:
        """Compute a place anew, all of it."""
        self._projector.renew_place(self._projector.view(self._cursor.block), difference.where)

    def records(self) -> Iterator[Difference]:
        """Audit entries, quarantine events in both editions, verdicts of groups and kits."""
        said, held = self._said(), self._held()
        for what in said:
            if said[what] != held[what]:
                yield Difference(what, "", None, *(_tally(sorted(each[what].items())) for each in (said, held)))

    def mend_records(self, _: Difference) -> None:
        """Write all of them again: what is there already stays as it is."""
        acts = self._projector.acts(self._since.audit, self._cursor.audit)
        evidence = (evidence_of(act, self._projector.registry) for act in acts)
        verdicts = self._projector.verdicts(self._since.verdict, self._cursor.verdict)
        found = tuple(each for each in evidence if each is not None)
        self._store.append(Addition(self._cursor, acts=tuple(acts), evidence=found, verdicts=tuple(verdicts)))

    def _said(self) -> dict[str, dict[int, Any]]:
        acts = self._projector.acts(self._since.audit, self._cursor.audit)
        evidence = [found for act in acts if (found := evidence_of(act, self._projector.registry)) is not None]
        verdicts = self._projector.verdicts(self._since.verdict, self._cursor.verdict)
        self._acts_ms = _range(act.at_ms for act in acts)
        self._verdicts_ms = _range(verdict.at_ms for verdict in verdicts)
        return {
            "audit entries": {act.seq: act for act in acts},
            "quarantine events": {each.hold.seq: each._replace(hold=_placeless(each.hold)) for each in evidence},
            "holds": {each.hold.seq: _placeless(each.hold) for each in evidence},
            "verdicts": {each.seq: each._replace(kits=()) for each in verdicts},
            "kit verdicts": {kit.seq: kit for each in verdicts for kit in by_kit(each)},
        }

    def _held(self) -> dict[str, dict[int, Any]]:
        acts, verdicts, cursor = self._acts_ms, self._verdicts_ms, self._cursor
        first_kit = min((v.first_kit for v in self._projector.verdicts(self._since.verdict, cursor.verdict)), default=0)
        evidence = (each for each in self._store.evidence(*acts) if each.hold.seq > self._since.audit)
        return {
            "audit entries": {act.seq: act for act in self._store.acts(*acts) if act.seq > self._since.audit},
            "quarantine events": {each.hold.seq: each._replace(hold=_placeless(each.hold)) for each in evidence},
            "holds": {h.seq: _placeless(h) for h in self._store.holds(*acts) if h.seq > self._since.audit},
            "verdicts": {v.seq: v for v in self._store.verdicts(*verdicts) if v.seq > self._since.verdict},
            "kit verdicts": {k.seq: k for k in self._store.kit_verdicts(*verdicts) if k.seq >= first_kit},
        }


def _placeless(hold: Any) -> Any:
    """Where a kit was is told by the registry of the day on which the event was projected: no difference of data."""
    return hold._replace(place="")


def _range(instants: Iterable[int]) -> tuple[int, int]:
    found = list(instants)
    return (min(found) - 1, max(found)) if found else (BEGINNING_MS, BEGINNING_MS)


def _unlike(what: str, where: str, said: dict[int, Tally], held: dict[int, Tally]) -> Iterator[Difference]:
    for day_ms in sorted(said.keys() | held.keys()):
        ours, theirs = said.get(day_ms, NOTHING), held.get(day_ms, NOTHING)
        if ours != theirs:
            yield Difference(what, where, day_ms, ours, theirs)


def _daily(readings: Readings) -> dict[int, Tally]:
    """Count and checksum of readings by UTC day."""
    days = readings.at_ms // DAY_MS
    edges = np.flatnonzero(np.diff(days)) + 1
    starts = [0, *edges.tolist()] if len(days) else []
    ends = [*starts[1:], len(days)]
    return {
        int(days[first]) * DAY_MS: (
            last - first,
            zlib.crc32(readings.temperature_mc[first:last].tobytes(), zlib.crc32(readings.at_ms[first:last].tobytes())),
        )
        for first, last in zip(starts, ends, strict=False)
    }


def _hours_daily(hours: Iterable[LoggerHour]) -> dict[int, Tally]:
    by_day: dict[int, list[LoggerHour]] = defaultdict(list)
    for hour in hours:
        by_day[(hour.at_ms - 1) // DAY_MS * DAY_MS].append(hour)
    return {day_ms: _tally(found) for day_ms, found in by_day.items()}


def _tally(values: Sequence[object]) -> Tally:
    return len(values), zlib.crc32(repr(list(values)).encode())


def _pairs(readings: Readings) -> set[tuple[int, int]]:
    return set(zip(readings.at_ms.tolist(), readings.temperature_mc.tolist(), strict=True))
