"""Which version of a stability profile judges which kit: the one that its trial is set to, for the kit's whole life.

One version for a whole life, so that no budget ever spans two of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coldchain.model import VersionChoice, VersionRule
from coldchain.profiles import StabilityProfile, composite, in_force, listed, load_chosen
from coldchain.registry import KitGroup, Registry


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Every version of every profile, and those that judge by default.

    `newest`: of each name the version in force when the question is asked. `chosen`: versions that a person asked for,
    which go before everything. `next_change_ms`: when `newest` will no longer be right, None if never.
    """

    versions: Mapping[str, Mapping[int, StabilityProfile]]
    newest: Mapping[str, StabilityProfile]
    chosen: Mapping[str, int] = field(default_factory=dict)
    next_change_ms: int | None = None

    def judging(self, name: str, choice: VersionChoice, began_ms: int | None) -> StabilityProfile:
        """The version of a profile for a kit of a trial with that choice, whose first custody began then."""
        number = self.chosen.get(name, dict(choice.pinned).get(name))
        if number is not None:
            return self.versions[name][number]
        if choice.rule is VersionRule.IN_FORCE and began_ms is not None:
            return in_force(self.versions[name], began_ms)
        return self.newest[name]


Rules = Mapping[str, StabilityProfile] | Rulebook
"""What a replay is given: a rulebook, or simply one profile of each name."""


def load(folder: str | Path, at_ms: int, chosen: Mapping[str, int] | None = None) -> Rulebook:
    """The rules of a folder at an instant; `chosen` versions judge whatever the trials are set to."""
    versions = load_chosen(folder, chosen or {})
    later = [p.in_force_from_ms for numbers in versions.values() for p in numbers.values()]
    return Rulebook(
        versions=versions,
        newest={name: in_force(numbers, at_ms) for name, numbers in versions.items()},
        chosen=chosen or {},
        next_change_ms=min((instant for instant in later if instant > at_ms), default=None),
    )


def of(rules: Rules) -> Rulebook:
    """A rulebook of whatever a replay is given."""
    if isinstance(rules, Rulebook):
        return rules
    return Rulebook({name: {profile.version or 0: profile} for name, profile in rules.items()}, rules)


def proposed(present: Rulebook, profiles: Iterable[StabilityProfile]) -> Rulebook:
    """The present rules with proposed profiles as the newest of their names, as if already in force."""
    new = {profile.name: profile for profile in profiles}
    added = {name: {**present.versions.get(name, {}), profile.version or 0: profile} for name, profile in new.items()}
    return Rulebook(
        versions={**present.versions, **added},
        newest={**present.newest, **new},
        chosen={name: number for name, number in present.chosen.items() if name not in new},
    )


def by_group(registry: Registry, book: Rulebook) -> dict[str, StabilityProfile]:
    """The profile that judges each kit group: its own, or the composite of its blind group.

    BadInput where a kit or a trial names what does not exist, or where one blind group would be judged in two ways:
    whoever sees the verdicts could then tell its kits apart.
    """
    unknown = {kit.profile for kit in registry.kinds} - book.newest.keys()
    if unknown:
        wrong = next(kit for kit in registry.kits.values() if kit.profile in unknown)
        there_are = f"no such stability profile; there are {', '.join(book.newest)}"
        raise registry.wrong_kit(wrong.id, "profile", wrong.profile, there_are)
    for trial in registry.trials.values():
        for name, number in trial.versions.pinned:
            if number not in book.versions.get(name, {}):
                problem = f"no such profile version; there are {listed(book.versions)}"
                raise registry.wrong_trial(trial.id, "profile_version", f"{name} {number}", problem)
    choices: dict[str, KitGroup] = {}
    composites: dict[tuple[str, tuple[str, ...]], StabilityProfile] = {}
    found = {}
    for group in registry.groups.values():
        fate = group.fate
        began_ms = fate.route[0].from_ms if fate.route else None
        if fate.blind_group is None:
            found[group.id] = book.judging(fate.profile or "", fate.versions, began_ms)
            continue
        other = choices.setdefault(fate.blind_group, group)
        if other.fate.versions != fate.versions:
            kit = registry.kits[group.kits[0]]
            problem = f"chooses other versions of the rules than the trial of {other.kits[0]} in the same blind group"
            raise registry.wrong_kit(kit.id, "trial", kit.trial, problem)
        names = registry.profiles_in[fate.blind_group]
        parts = tuple(book.judging(name, fate.versions, began_ms) for name in names)
        key = fate.blind_group, tuple(part.sha256 for part in parts)
        if key not in composites:
            composites[key] = composite(fate.blind_group, parts)
        found[group.id] = composites[key]
    return found
