"""The nouns of the field. Values only: nothing here computes, reads a clock or does I/O.

Instants are milliseconds UTC (`*_ms`), temperatures integer milli-degC (`*_mc`); intervals are half-open on the
left, `(from, to]` (SEMANTICS section 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """What the data say about a kit, from best to worst; the worst holds."""

    WITHIN_LABEL = "within_label"
    WITHIN_ALLOWANCE = "within_allowance"
    INDETERMINATE = "indeterminate"
    OUTSIDE = "outside"


class Reason(StrEnum):
    """Why a quarantine event was raised."""

    LIMIT = "limit"
    DATA_MISSING = "data_missing"
    DATA_INTEGRITY = "data_integrity"


class Severity(StrEnum):
    QUARANTINE = "quarantine"
    WARN = "warn"


class Kind(StrEnum):
    """What a limit measures."""

    ACCUMULATED = "accumulated"
    SINGLE_EVENT = "single_event"
    EVENTS = "events"
    MKT = "mkt"
    UNKNOWN_ACCUMULATED = "unknown_accumulated"
    UNKNOWN_SINGLE = "unknown_single"


class Stage(StrEnum):
    """A part of a kit's way to the patient, in the order of that way."""

    DEPOT = "depot"
    TRANSIT = "transit"
    SITE = "site"
    PATIENT = "patient"


@dataclass(frozen=True, slots=True)
class Logger:
    """A data logger and what its readings are worth."""

    id: str
    logging_interval_ms: int
    gap_after_ms: int
    calibrated_from_ms: int | None = None
    calibrated_until_ms: int | None = None
    registered_at_ms: int | None = None
    blocked: bool = False
    sites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where kits are kept: a cold room, a shipper box, a site fridge. `stage` None: time there is of no stage."""

    id: str
    kind: str
    stage: Stage | None = None


@dataclass(frozen=True, slots=True)
class Monitoring:
    """A logger channel watches a place during `(from_ms, to_ms]`; an open end is None."""

    place: str
    logger: str
    channel: str
    from_ms: int
    to_ms: int | None = None


class OpeningBalance(NamedTuple):
    """What a kit had spent of a limit before its first custody: ms, or a count for a limit on events."""

    limit: str
    amount: int
    is_count: bool = False


class VersionRule(StrEnum):
    """Which version of a profile judges the kits of a trial, where no version is pinned."""

    NEWEST = "newest"
    IN_FORCE = "in_force"


class VersionChoice(NamedTuple):
    """Which version of each profile judges a kit, for its whole life: the pinned (name, version), else by the rule."""

    rule: VersionRule = VersionRule.NEWEST
    pinned: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """A clinical trial, as far as it decides by which versions of the rules its kits are judged."""

    id: str
    versions: VersionChoice


@dataclass(frozen=True, slots=True)
class Kit:
    """What a patient receives."""

    id: str
    batch: str
    trial: str
    profile: str
    blind_group: str | None = None
    opening: tuple[OpeningBalance, ...] = ()


OPEN_END_MS = 2**62
"""Later than every instant."""


def end_ms(interval: Monitoring | CustodySegment) -> int:
    """The end of an interval, later than every instant where it is open."""
    return OPEN_END_MS if interval.to_ms is None else interval.to_ms


@dataclass(frozen=True, slots=True)
class CustodySegment:
    """A kit is at a place during `(from_ms, to_ms]`; an open end is None."""

    place: str
    from_ms: int
    to_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Excursion:
    """A run above the label's high or below its low bound; `end_ms` is None until known in-range time follows."""

    side: str
    bound_mc: int
    start_ms: int
    end_ms: int | None
    out_of_range_ms: int
    extreme_mc: int


@dataclass(frozen=True, slots=True)
class StageUse:
    """How much of a limit's budget a kit has used up in one stage, and the share [ms] that it may use up there."""

    stage: Stage
    allowed: int
    used: int

    @property
    def is_passed(self) -> bool:
        """Whether more is used than the share."""
        return self.used > self.allowed


@dataclass(frozen=True, slots=True)
class LimitFinding:
    """How much of one limit is used. Units follow `kind`: ms for times, a count for events, degC for MKT.

    `used`, `worst_case_used`, `allowed`: of a time or count limit. `peak_c`: highest eligible trailing MKT of an
    `mkt` limit, None (indeterminate) if no window was eligible. `warned_share`: the highest early-warning share that
    is reached, None below the lowest. `exhausted_in_ms`: time left at the present temperature, None while in range.
    `stages`: use of each stage's share, for limits that have shares.
    """

    limit_id: str
    kind: Kind
    severity: Severity
    allowed: int
    used: int = 0
    worst_case_used: int | None = None
    peak_c: float | None = None
    breached_at_ms: int | None = None
    warned_share: int | None = None
    exhausted_in_ms: int | None = None
    stages: tuple[StageUse, ...] = ()

    @property
    def has_news(self) -> bool:
        """Whether the limit is breached, or anything of it has to be warned of."""
        passed = any(use.is_passed for use in self.stages)
        return passed or self.breached_at_ms is not None or self.warned_share is not None


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two different temperatures of one channel at one instant."""

    logger: str
    channel: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the whole history of a kit group says: facts, use of every limit, verdict. None: not computable."""

    profile: str
    profile_version: int | None
    profile_sha256: str
    verdict: Verdict
    start_ms: int | None = None
    as_of_ms: int | None = None
    known_ms: int = 0
    unknown_ms: int = 0
    longest_unknown_ms: int = 0
    min_mc: int | None = None
    max_mc: int | None = None
    mean_c: float | None = None
    mkt_c: float | None = None
    limits: tuple[LimitFinding, ...] = ()
    excursions: tuple[Excursion, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    custody_problems: tuple[str, ...] = ()

    @property
    def breaches(self) -> tuple[tuple[str, Reason, int], ...]:
        """(limit id, reason, breached_at_ms) of everything that quarantines, in the order of the profile."""
        found = [
            (f.limit_id, Reason.DATA_MISSING if f.kind.startswith("unknown") else Reason.LIMIT, f.breached_at_ms)
            for f in self.limits
            if f.breached_at_ms is not None and f.severity is Severity.QUARANTINE
        ]
        if self.conflicts:
            found.append(("data-integrity", Reason.DATA_INTEGRITY, min(c.at_ms for c in self.conflicts)))
        return tuple(found)

    @property
    def warned(self) -> tuple[tuple[str, int], ...]:
        """(limit id, share in percent) of every early warning that holds; for a stage's share `limit@stage`, 100 %."""
        of_budgets = tuple((f.limit_id, f.warned_share) for f in self.limits if f.warned_share is not None)
        passed = ((f.limit_id, use.stage) for f in self.limits for use in f.stages if use.is_passed)
        return of_budgets + tuple((f"{limit}{AT_STAGE}{stage}", 100) for limit, stage in passed)

    def in_brief(self) -> Assessment:
        """The assessment without the limits that have nothing to tell and without excursions: the same outcome."""
        return replace(self, limits=tuple(f for f in self.limits if f.has_news), excursions=())

    @property
    def outcome(self) -> tuple[object, ...]:
        """What anybody has to be told of: verdict, breaches, early warnings, and what is wrong with the data."""
        return self.verdict, self.breaches, self.warned, self.conflicts, self.custody_problems


@dataclass(frozen=True, slots=True)
class QuarantineEvent:
    """The fact that software put a kit on hold. Never deleted: evidence that changes counts `revision` up.

    `profile_sha256`: of the file that judged this revision, of a composite that of all its files; None only where an
    older release, which did not keep it, wrote the event.
    """

    id: str
    kit: str
    limit: str
    reason: Reason
    breached_at_ms: int
    detected_at_ms: int
    profile: str
    profile_version: int | None
    revision: int = 1
    supported: bool = True
    profile_sha256: str | None = None


AT_STAGE = "@"
"""Between a limit's id, which cannot hold it, and a stage."""


@dataclass(frozen=True, slots=True)
class EarlyWarning:
    """The fact that a share of a kit's budget is used up; raised once per kit, limit and share [percent].

    `limit`: its id, or `above-8@depot` where more is used than the share of a stage.
    """

    id: str
    kit: str
    limit: str
    share: int
    profile_sha256: str | None = None

    @property
    def stage(self) -> Stage | None:
        """The stage whose share is passed; None for a warning about the budget as a whole."""
        _, _, stage = self.limit.partition(AT_STAGE)
        return Stage(stage) if stage else None
