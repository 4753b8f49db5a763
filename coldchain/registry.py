"""The registry: which loggers watch which place, and which kits are where, when."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from coldchain import registry_file
from coldchain.errors import BadInput
from coldchain.kit_table import KitIds, PerKit, Positions, per_kit
from coldchain.model import CustodySegment, Kit, Logger, Monitoring, OpeningBalance, Place, Trial, VersionChoice
from coldchain.readings import ChannelKey
from coldchain.registry_file import (
    CustodyRow,
    KitRow,
    LoggerRow,
    MonitoringRow,
    PlacedRow,
    PlaceRow,
    RepackRow,
    SourceFile,
    TrialRow,
)
from coldchain.repack import derive


class Fate(NamedTuple):
    """What decides a kit's assessment. `profile` is None for a blind group, which is judged by its composite.

    `versions`: which version of its profiles judges it, as its trial is set.
    """

    route: tuple[CustodySegment, ...]
    profile: str | None
    blind_group: str | None
    opening: tuple[OpeningBalance, ...]
    versions: VersionChoice = VersionChoice()


@dataclass(frozen=True, slots=True)
class KitGroup:
    """Kits that share one fate: one history, one assessment, judged once."""

    id: str
    kits: Sequence[str]
    fate: Fate


@dataclass(frozen=True)
class Registry:
    """What is registered. Immutable; a change is a new registry."""

    loggers: Mapping[str, Logger] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    monitoring: tuple[Monitoring, ...] = ()
    kits: Mapping[str, Kit] = field(default_factory=dict)
    custody: Mapping[str, tuple[CustodySegment, ...]] = field(default_factory=dict)
    trials: Mapping[str, Trial] = field(default_factory=dict)
    sources: tuple[SourceFile, ...] = ()

    @cached_property
    def monitoring_of(self) -> Mapping[str, tuple[Monitoring, ...]]:
        """The monitoring of each place, in a fixed order."""
        by_place: dict[str, list[Monitoring]] = defaultdict(list)
        for entry in self.monitoring:
            by_place[entry.place].append(entry)
        return {place: tuple(entries) for place, entries in by_place.items()}

    @cached_property
    def channels_of(self) -> Mapping[str, tuple[ChannelKey, ...]]:
        """The logger channels that watch each place at any time."""
        return {
            place: tuple(dict.fromkeys(ChannelKey(entry.logger, entry.channel) for entry in entries))
            for place, entries in self.monitoring_of.items()
        }

    @cached_property
    def places_watched_by(self) -> Mapping[ChannelKey, tuple[str, ...]]:
        """The places each logger channel watches at any time."""
        places: dict[ChannelKey, set[str]] = defaultdict(set)
        for entry in self.monitoring:
            places[ChannelKey(entry.logger, entry.channel)].add(entry.place)
        return {key: tuple(sorted(found)) for key, found in places.items()}

    @cached_property
    def groups(self) -> Mapping[str, KitGroup]:
        """Every kit, grouped with those that share its fate; by group id."""
        kits = self.kits if isinstance(self.kits, PerKit) else per_kit(self.kits, shared=_nameless, named=_named)
        routes = self.custody
        if not isinstance(routes, PerKit) or routes.ids is not kits.ids:
            routes = per_kit(routes, kits.ids, default=tuple)
        pairs, pair_of = np.unique(np.stack([kits.codes, routes.codes]), axis=1, return_inverse=True)
        order = np.argsort(pair_of.ravel(), kind="stable").astype(np.int32)
        ends = np.cumsum(np.bincount(pair_of.ravel(), minlength=pairs.shape[1])).tolist()
        members: dict[Fate, list[Positions]] = defaultdict(list)
        for (kit_code, route_code), first, end in zip(pairs.T.tolist(), [0, *ends], ends, strict=False):
            kit, route = kits.values_of_codes[kit_code], routes.values_of_codes[route_code]
            profile = None if kit.blind_group else kit.profile
            fate = Fate(route, profile, kit.blind_group, kit.opening, self._versions_of(kit))
            members[fate].append(order[first:end])
        groups = (
            KitGroup(
                hashlib.sha256(repr(fate).encode()).hexdigest()[:32],
                KitIds(kits.ids, np.sort(np.concatenate(positions))),
                fate,
            )
            for fate, positions in members.items()
        )
        return {group.id: group for group in groups}

    @cached_property
    def groups_at(self) -> Mapping[str, tuple[str, ...]]:
        """The groups that are at a place at any time; by place."""
        by_place: dict[str, set[str]] = defaultdict(set)
        for group in self.groups.values():
            for segment in group.fate.route:
                by_place[segment.place].add(group.id)
        return {place: tuple(sorted(ids)) for place, ids in by_place.items()}

    @cached_property
    def profiles_in(self) -> Mapping[str, tuple[str, ...]]:
        """The profiles that occur in each blind group."""
        names: dict[str, set[str]] = defaultdict(set)
        for kit in self.kinds:
            if kit.blind_group:
                names[kit.blind_group].add(kit.profile)
        return {group: tuple(sorted(found)) for group, found in names.items()}

    @property
    def kinds(self) -> Collection[Kit]:
        """A kit of each kind: every combination of batch, trial, profile, blind group and balances occurs."""
        return self.kits.values_of_codes if isinstance(self.kits, PerKit) else self.kits.values()

    @cached_property
    def channels(self) -> frozenset[ChannelKey]:
        """Every logger channel that watches a place of any kit's route."""
        places = {segment.place for group in self.groups.values() for segment in group.fate.route}
        return frozenset(
            ChannelKey(entry.logger, entry.channel) for place in places for entry in self.monitoring_of.get(place, ())
        )

    def narrowed(self, kits: Iterable[str]) -> Registry:
        """The registry with these kits only, and a kit of each profile of their blind groups: all are judged alike."""
        chosen = {kit: self.kits[kit] for kit in kits}
        blind = {kit.blind_group for kit in chosen.values()} - {None}
        if blind:
            arms = {(kit.blind_group, kit.profile): kit for kit in self.kits.values() if kit.blind_group in blind}
            chosen |= {kit.id: kit for kit in arms.values()}
        return replace(self, kits=dict(sorted(chosen.items())))

    def _versions_of(self, kit: Kit) -> VersionChoice:
        """What the kit's trial chooses, as far as it concerns the profiles that judge the kit."""
        trial = self.trials.get(kit.trial)
        if trial is None:
            return VersionChoice()
        names = self.profiles_in[kit.blind_group] if kit.blind_group else (kit.profile,)
        rule, pinned = trial.versions
        return VersionChoice(rule, tuple(pin for pin in pinned if pin[0] in names))

    def wrong_kit(self, kit_id: str, key: str, value: object, problem: str) -> BadInput:
        """The error for a key of a kit that only a later check finds wrong, with the kit's file and line."""
        return self._wrong(KitRow, f"kit {kit_id}", kit_id, key, value, problem)

    def wrong_trial(self, trial_id: str, key: str, value: object, problem: str) -> BadInput:
        """The same for a key of a trial."""
        return self._wrong(TrialRow, f"trial {trial_id}", trial_id, key, value, problem)

    def _wrong(
        self, kind: type[KitRow | TrialRow], name: str, row_id: str, key: str, value: object, problem: str
    ) -> BadInput:
        for placed in registry_file.rows(self.sources):
            if isinstance(placed.row, kind) and placed.row.id == row_id:
                return placed.wrong(key, value, problem)
        return BadInput(problem, key=f"{name}: {key}", value=value)


def load_registry(*paths: str | Path) -> Registry:
    """The registry that stands in files (TOML, or CSV named after its table), all taken together."""
    return parse_registry([registry_file.read(path) for path in paths])


def parse_registry(sources: Sequence[tuple[str, str]]) -> Registry:
    """The registry of (name, text) pairs; BadInput names file, line, key and value of the first thing wrong."""
    files = tuple(SourceFile(*source) for source in sources)
    loggers: dict[str, Logger] = {}
    places: dict[str, Place] = {}
    kits: dict[str, Kit] = {}  # by id what the kit shares with others of its kind: there may be millions
    kinds: dict[Kit, Kit] = {}
    trials: dict[str, Trial] = {}
    monitoring: list[tuple[PlacedRow, Monitoring]] = []
    custody: list[tuple[PlacedRow, CustodyRow]] = []
    repacks: list[tuple[PlacedRow, RepackRow]] = []
    for placed in registry_file.rows(files):
        match placed.row:
            case LoggerRow() as row:
                _add(loggers, row.value(), placed)
            case PlaceRow() as row:
                _add(places, row.value(), placed)
            case KitRow() as row:
                if row.id in kits:
                    raise placed.wrong("id", row.id, _TWICE)
                kind = _nameless(row.value())
                kits[row.id] = kinds.setdefault(kind, kind)
            case TrialRow() as row:
                _add(trials, row.value(), placed)
            case MonitoringRow() as row:
                monitoring.append((placed, row.value()))
            case CustodyRow() as row:
                custody.append((placed, row))
            case RepackRow() as row:
                repacks.append((placed, row))
    for placed, entry in monitoring:
        _known(places, "place", entry.place, placed)
        _known(loggers, "logger", entry.logger, placed)
    routes: dict[str, tuple[CustodySegment, ...]] = dict.fromkeys(kits, ())  # by the very ids: a million, held once
    longer: dict[tuple[tuple[CustodySegment, ...], CustodySegment], tuple[CustodySegment, ...]] = {}
    for placed, row in custody:
        _known(places, "place", row.place, placed)
        segment = row.value()
        for kit in row.kits:
            _known(kits, "kits", kit, placed)
            step = routes[kit], segment  # kits that share a route so far share the longer one too
            if step not in longer:
                longer[step] = tuple(sorted({*step[0], segment}, key=_custody_order))
            routes[kit] = longer[step]
    derive(repacks, kits, routes)
    compact = per_kit(kits, named=_named)
    return Registry(
        loggers=loggers,
        places=places,
        monitoring=tuple(sorted({entry for _, entry in monitoring}, key=_monitoring_order)),
        kits=compact,
        custody=per_kit(routes, compact.ids),
        trials=trials,
        sources=files,
    )


def _nameless(kit: Kit) -> Kit:
    """What a kit shares with others of its kind."""
    return replace(kit, id="")


def _named(kind: Kit, kit_id: str) -> Kit:
    return replace(kind, id=kit_id)


_TWICE = "is registered twice: ids are unique over all files"

_Thing = TypeVar("_Thing", Logger, Place, Trial)


def _add(things: dict[str, _Thing], thing: _Thing, placed: PlacedRow) -> None:
    if things.setdefault(thing.id, thing) is not thing:
        raise placed.wrong("id", thing.id, _TWICE)


def _known(things: Mapping[str, object], key: str, name: str, placed: PlacedRow) -> None:
    if name not in things:
        raise placed.wrong(key, name, "is not registered")


def _monitoring_order(entry: Monitoring) -> tuple[str, str, str, int, int]:
    return entry.place, entry.logger, entry.channel, entry.from_ms, entry.to_ms or 2**63


def _custody_order(segment: CustodySegment) -> tuple[int, int, str]:
    return segment.from_ms, segment.to_ms or 2**63, segment.place
