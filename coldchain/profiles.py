"""Stability profiles: the reviewed limits of a product, from `rules/*.toml` (SEMANTICS section 4)."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from coldchain import profile_mistakes
from coldchain.errors import BadInput
from coldchain.instant import instant_ms
from coldchain.model import Kind, Severity, Stage
from coldchain.profile_file import DEFAULT_ACTIVATION_ENERGY_J_MOL, MEASURES, LimitTable

WARN_AT_PERCENT = (50, 80)


class StageShare(NamedTuple):
    """How much of a budget one stage may use up."""

    stage: Stage
    allowed_ms: int


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a product.

    `low_mc`, `high_mc`: out of range is strictly below, strictly above; None: no such side. `allowed`: ms for times,
    a count for events, milli-degC for `mkt`. `window_ms`, `min_coverage`, `activation_energy_j_mol`: `mkt` only.
    `stages`: `accumulated` only, in the order of the way to the patient.
    """

    id: str
    kind: Kind
    severity: Severity
    source: str
    low_mc: int | None
    high_mc: int | None
    allowed: int
    window_ms: int = 0
    min_coverage: Decimal = Decimal("0.9")
    activation_energy_j_mol: float = DEFAULT_ACTIVATION_ENERGY_J_MOL
    warn_at: tuple[int, ...] = WARN_AT_PERCENT
    stages: tuple[StageShare, ...] = ()


class RuleVersion(NamedTuple):
    """Which version of a profile judged: its number, from when it holds, and the SHA-256 of its file."""

    name: str
    version: int | None
    effective_from_ms: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StabilityProfile:
    """What a product may bear, and who says so.

    A composite of a blind group has version None, and in `parts` the versions it is made of.
    """

    name: str
    version: int | None
    title: str
    label_low_mc: int | None
    label_high_mc: int | None
    activation_energies_j_mol: tuple[float, ...]
    limits: tuple[Limit, ...]
    document: str
    document_version: str
    author: str
    approver: str
    approved_at_ms: int
    effective_from_ms: int
    sha256: str
    is_composite: bool = False
    parts: tuple[RuleVersion, ...] = ()

    @property
    def applied(self) -> tuple[RuleVersion, ...]:
        """The versions that judge where this profile does: itself, or what it is made of."""
        return self.parts or (RuleVersion(self.name, self.version, self.effective_from_ms, self.sha256),)

    @property
    def in_force_from_ms(self) -> int:
        """From when on it may judge: its effective date, but never before it was approved."""
        return max(self.effective_from_ms, self.approved_at_ms)

    @property
    def is_frozen(self) -> bool:
        """Whether the label says frozen (high bound at or below 0 degC): no MKT is computed for it."""
        return self.label_high_mc is not None and self.label_high_mc <= 0


def parse_profile(text: str, file: str) -> StabilityProfile:
    """One reviewed profile; BadInput names file, line, key and value of the first thing that is wrong."""
    table = profile_mistakes.read(text, file)
    energy = float(table.activation_energy_j_mol)
    return StabilityProfile(
        name=table.profile,
        version=table.version,
        title=table.title,
        label_low_mc=table.label_low_c,
        label_high_mc=table.label_high_c,
        activation_energies_j_mol=(energy,),
        limits=tuple(_limit(row, energy) for row in table.limit),
        document=table.source.document,
        document_version=table.source.version,
        author=table.approval.author,
        approver=table.approval.approver,
        approved_at_ms=instant_ms(table.approval.approved_at),
        effective_from_ms=instant_ms(table.effective_from),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def _limit(row: LimitTable, energy: float) -> Limit:
    measure = next(name for name in MEASURES if getattr(row, name) is not None)
    kind, allowed = MEASURES[measure], getattr(row, measure)
    low, high = row.outside_c or (row.below_c, row.above_c)
    extra: dict[str, Any] = {}
    if kind is Kind.MKT:
        extra = {"window_ms": allowed, "min_coverage": row.min_coverage, "activation_energy_j_mol": energy}
        allowed = row.mkt_max_c
    shares = ((stage, getattr(row.stages, stage, None)) for stage in Stage)
    stages = tuple(StageShare(stage, share_ms) for stage, share_ms in shares if share_ms is not None)
    return Limit(row.id, kind, row.severity, row.source, low, high, allowed, stages=stages, **extra)


def read_text(path: Path) -> str:
    """The text of a file as it stands, so that its SHA-256 is that of the file; BadInput if it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"cannot be read: {exc}", file=str(path)) from exc


def load_profile(path: str | Path) -> StabilityProfile:
    """The profile in one file."""
    return parse_profile(read_text(Path(path)), str(path))


def profile_files(folder: str | Path) -> list[Path]:
    """The profile files that stand in a folder itself; the templates in a folder below it judge no kit."""
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInput("no such folder of rules", file=str(folder))
    found = sorted(folder.glob("*.toml"))
    if not found:
        raise BadInput("holds no rules (*.toml)", file=str(folder))
    return found


def load_versions(folder: str | Path) -> dict[str, dict[int, StabilityProfile]]:
    """Every version of every profile of a folder: by name, then by version, both in order."""
    files: dict[str, dict[int, Path]] = defaultdict(dict)
    loaded: dict[str, dict[int, StabilityProfile]] = defaultdict(dict)
    for path in profile_files(folder):
        profile = load_profile(path)
        version = profile.version or 0
        if version in loaded[profile.name]:
            other = files[profile.name][version]
            raise BadInput(f"{profile.name} version {version} stands in {other} too", file=str(path))
        loaded[profile.name][version], files[profile.name][version] = profile, path
    return {name: dict(sorted(loaded[name].items())) for name in sorted(loaded)}


def load_profiles(folder: str | Path, chosen: Mapping[str, int] | None = None) -> dict[str, StabilityProfile]:
    """One profile of each name in a folder: its highest version, in force already or not, or the `chosen` one."""
    versions = load_chosen(folder, chosen or {})
    return {name: numbers[(chosen or {}).get(name, max(numbers))] for name, numbers in versions.items()}


def load_chosen(folder: str | Path, chosen: Mapping[str, int]) -> dict[str, dict[int, StabilityProfile]]:
    """Every version of every profile of a folder; BadInput if a `chosen` one is not among them."""
    versions = load_versions(folder)
    for name, version in chosen.items():
        if version not in versions.get(name, {}):
            problem = f"no such profile version; there are {listed(versions)}"
            raise BadInput(problem, file=str(folder), key=name, value=version)
    return versions


def listed(versions: Mapping[str, Iterable[int]]) -> str:
    """The versions there are, for an error: `mab-017 3, mab-017 4`."""
    return ", ".join(f"{name} {number}" for name, numbers in versions.items() for number in numbers)


def in_force(numbers: Mapping[int, StabilityProfile], at_ms: int) -> StabilityProfile:
    """The version of a profile that is in force at an instant: the highest that may judge by then.

    Before any of them may, the first one to do so judges: a kit without rules would look good.
    """
    first_ms = min(profile.in_force_from_ms for profile in numbers.values())
    until_ms = max(at_ms, first_ms)
    return numbers[max(number for number, profile in numbers.items() if profile.in_force_from_ms <= until_ms)]


def composite(group: str, profiles: Iterable[StabilityProfile]) -> StabilityProfile:
    """One profile for every kit of a blind group: all limits of all its profiles, the narrowest label range.

    Judging each kit of the group by this profile makes every outcome independent of the treatment arm
    (SEMANTICS section 5, Blinding).
    """
    members = sorted(profiles, key=lambda profile: profile.name)
    lows = [p.label_low_mc for p in members if p.label_low_mc is not None]
    highs = [p.label_high_mc for p in members if p.label_high_mc is not None]
    return StabilityProfile(
        name=group,
        version=None,
        title=f"composite of blind group {group}",
        label_low_mc=max(lows, default=None),
        label_high_mc=min(highs, default=None),
        activation_energies_j_mol=tuple(sorted({e for p in members for e in p.activation_energies_j_mol})),
        limits=tuple(replace(limit, id=f"{p.name}:{limit.id}") for p in members for limit in p.limits),
        document=", ".join(p.document for p in members),
        document_version=", ".join(p.document_version for p in members),
        author=", ".join(p.author for p in members),
        approver=", ".join(p.approver for p in members),
        approved_at_ms=max(p.approved_at_ms for p in members),
        effective_from_ms=max(p.effective_from_ms for p in members),
        sha256=hashlib.sha256("".join(p.sha256 for p in members).encode()).hexdigest(),
        is_composite=True,
        parts=tuple(part for p in members for part in p.applied),
    )
