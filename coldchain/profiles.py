"""Stability profiles: the reviewed limits of a product, from `rules/*.toml` (SEMANTICS section 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from coldchain import toml_source
from coldchain.duration import DurationMs
from coldchain.errors import BadInput
from coldchain.model import Kind, Severity
from coldchain.readings import ABSOLUTE_ZERO_MC

DEFAULT_ACTIVATION_ENERGY_J_MOL = 83_144.62618
"""Gives a = 10 000 K with R = 8.314462618 J/mol/K; a convention (Haynes 1971), not a property of a product."""

WARN_AT_PERCENT = (50, 80)


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a product.

    `low_mc`, `high_mc`: out of range is strictly below, strictly above; None: no such side. `allowed`: ms for times,
    a count for events, milli-degC for `mkt`. `window_ms`, `min_coverage`, `activation_energy_j_mol`: `mkt` only.
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


@dataclass(frozen=True, slots=True)
class StabilityProfile:
    """What a product may bear, and who says so. A composite of a blind group has version None."""

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

    @property
    def is_frozen(self) -> bool:
        """Whether the label says frozen (high bound at or below 0 degC): no MKT is computed for it."""
        return self.label_high_mc is not None and self.label_high_mc <= 0


def _milli(value: object) -> int:
    """Milli-degC of a temperature as written; refuses more decimals than a milli-degree holds."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("not a temperature: write a number of degC such as 8.0")
    milli = Decimal(value) * 1000
    if not milli.is_finite() or milli != milli.to_integral_value():
        raise ValueError("more than three decimals: limits are exact to 0.001 degC")
    if not ABSOLUTE_ZERO_MC <= milli <= 1_000_000:
        raise ValueError("not a temperature a product can have (-273.15 to 1000 degC)")
    return int(milli)


def _plain(text: str) -> str:
    if not text.strip() or any(ord(character) < 32 for character in text):
        raise ValueError("empty, or with control characters")
    return text


MilliDegC = Annotated[int, BeforeValidator(_milli)]
Text = Annotated[str, AfterValidator(_plain)]
Share = Annotated[Decimal, Field(gt=0, le=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _LimitTable(_Table):
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    source: Text
    severity: Annotated[Severity, BeforeValidator(Severity)] = Severity.QUARANTINE
    above_c: MilliDegC | None = None
    below_c: MilliDegC | None = None
    outside_c: tuple[MilliDegC, MilliDegC] | None = Field(default=None, strict=False)
    accumulated: DurationMs | None = None
    single_event: DurationMs | None = None
    events: Annotated[int, Field(ge=0)] | None = None
    mkt_window: DurationMs | None = None
    mkt_max_c: MilliDegC | None = None
    min_coverage: Share = Decimal("0.9")
    unknown_accumulated: DurationMs | None = None
    unknown_single: DurationMs | None = None

    @model_validator(mode="after")
    def _one_measure(self) -> _LimitTable:
        measures = {kind: getattr(self, name) for kind, name in _MEASURE_KEYS if getattr(self, name) is not None}
        if len(measures) != 1:
            raise ValueError(f"one measure per limit: give exactly one of {', '.join(n for _, n in _MEASURE_KEYS)}")
        bounds = [n for n in ("above_c", "below_c", "outside_c") if getattr(self, n) is not None]
        needs_bound = next(iter(measures)) in (Kind.ACCUMULATED, Kind.SINGLE_EVENT, Kind.EVENTS)
        if len(bounds) != (1 if needs_bound else 0):
            raise ValueError("give exactly one of above_c, below_c, outside_c with accumulated, single_event or events")
        if self.outside_c is not None and self.outside_c[0] > self.outside_c[1]:
            raise ValueError("outside_c is inside out: write [low, high]")
        if (self.mkt_window is None) != (self.mkt_max_c is None) or self.mkt_window == 0:
            raise ValueError("mkt_window (longer than 0) and mkt_max_c belong together")
        if self.mkt_window is None and "min_coverage" in self.model_fields_set:
            raise ValueError("min_coverage belongs to an mkt_window")
        return self


_MEASURE_KEYS = (
    (Kind.ACCUMULATED, "accumulated"),
    (Kind.SINGLE_EVENT, "single_event"),
    (Kind.EVENTS, "events"),
    (Kind.MKT, "mkt_window"),
    (Kind.UNKNOWN_ACCUMULATED, "unknown_accumulated"),
    (Kind.UNKNOWN_SINGLE, "unknown_single"),
)


class _SourceTable(_Table):
    document: Text
    version: Text


class _ApprovalTable(_Table):
    author: Text
    approver: Text
    approved_at: AwareDatetime

    @model_validator(mode="after")
    def _four_eyes(self) -> _ApprovalTable:
        if self.author == self.approver:
            raise ValueError("author and approver are the same person: a second pair of eyes must approve")
        return self


class _ProfileTable(_Table):
    profile: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    version: Annotated[int, Field(ge=1)]
    title: Text
    effective_from: AwareDatetime
    label_low_c: MilliDegC | None = None
    label_high_c: MilliDegC | None = None
    activation_energy_j_mol: Annotated[Decimal, Field(gt=0, le=1_000_000)] = Decimal(
        str(DEFAULT_ACTIVATION_ENERGY_J_MOL)
    )
    source: _SourceTable
    approval: _ApprovalTable
    limit: Annotated[tuple[_LimitTable, ...], Field(min_length=1, strict=False)]

    @model_validator(mode="after")
    def _consistent(self) -> _ProfileTable:
        low, high = self.label_low_c, self.label_high_c
        if low is None and high is None:
            raise ValueError("a label range needs label_low_c, label_high_c or both")
        if low is not None and high is not None and low >= high:
            raise ValueError("the label range is inside out: label_low_c must be below label_high_c")
        ids = [limit.id for limit in self.limit]
        for number, limit in enumerate(self.limit):
            if limit.id in ids[:number] or limit.id == "data-integrity":
                raise ValueError(f"limit id {limit.id!r} is taken: ids are unique, data-integrity is reserved")
            if limit.mkt_window is not None and high is not None and high <= 0:
                raise ValueError(f"limit {limit.id!r}: no MKT for a frozen product, count thaw events instead")
        if not any(x.unknown_accumulated is not None or x.unknown_single is not None for x in self.limit):
            raise ValueError("no limit on unknown time: give unknown_accumulated or unknown_single")
        return self


def parse_profile(text: str, file: str) -> StabilityProfile:
    """One reviewed profile; BadInput names file, line, key and value of the first thing that is wrong."""
    document = toml_source.parse(text, file)
    try:
        table = _ProfileTable.model_validate(document)
    except ValidationError as exc:
        raise toml_source.refuse(exc, text, file) from exc
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
        approved_at_ms=round(table.approval.approved_at.timestamp() * 1000),
        effective_from_ms=round(table.effective_from.timestamp() * 1000),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def _limit(row: _LimitTable, energy: float) -> Limit:
    kind, allowed = next((k, getattr(row, name)) for k, name in _MEASURE_KEYS if getattr(row, name) is not None)
    low, high = row.outside_c or (row.below_c, row.above_c)
    extra: dict[str, Any] = {}
    if kind is Kind.MKT:
        extra = {"window_ms": allowed, "min_coverage": row.min_coverage, "activation_energy_j_mol": energy}
        allowed = row.mkt_max_c
    return Limit(row.id, kind, row.severity, row.source, low, high, allowed, **extra)


def load_profile(path: str | Path) -> StabilityProfile:
    """The profile in one file."""
    try:
        return parse_profile(Path(path).read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"cannot be read: {exc}", file=str(path)) from exc


def load_profiles(folder: str | Path) -> dict[str, StabilityProfile]:
    """Every profile of a folder by name; of several versions the highest one governs."""
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInput("no such folder of rules", file=str(folder))
    chosen: dict[str, tuple[StabilityProfile, Path]] = {}
    for path in sorted(folder.glob("*.toml")):
        profile = load_profile(path)
        other = chosen.get(profile.name)
        if other and other[0].version == profile.version:
            raise BadInput(f"{profile.name} version {profile.version} stands in {other[1]} too", file=str(path))
        if other is None or (profile.version or 0) > (other[0].version or 0):
            chosen[profile.name] = (profile, path)
    if not chosen:
        raise BadInput("holds no rules (*.toml)", file=str(folder))
    return {name: profile for name, (profile, _) in sorted(chosen.items())}


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
    )
