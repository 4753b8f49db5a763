"""The first box of the report: status, governing limit, what is left of it, level of evidence, proposed outcome.

Everything here is derived; nothing here decides. Only a person releases or rejects a kit.
"""

from __future__ import annotations

from fractions import Fraction

from coldchain.model import Assessment, Kind, LimitFinding, Severity, Verdict
from coldchain.profiles import StabilityProfile
from coldchain.report.evidence import ReportKit

UNKNOWN_KINDS = frozenset({Kind.UNKNOWN_ACCUMULATED, Kind.UNKNOWN_SINGLE})

DATA_INTEGRITY = "data-integrity"

VERDICT_WORDS = {
    Verdict.WITHIN_LABEL: "Within the labelled range",
    Verdict.WITHIN_ALLOWANCE: "Within the allowance",
    Verdict.INDETERMINATE: "Indeterminate",
    Verdict.OUTSIDE: "Outside the allowance",
}

NOT_COMPUTABLE = "Not computable: no temperature is known"

_OUTCOMES = {
    Verdict.WITHIN_LABEL: "Use without restriction on temperature grounds: the recorded history shows no excursion.",
    Verdict.WITHIN_ALLOWANCE: (
        "Use may continue: the temperature left the labelled range, and every limit of the stability profile is kept."
    ),
    Verdict.INDETERMINATE: (
        "Do not release on the present data: stability is not demonstrated. "
        "Obtain the missing records or resolve the conflict, then assess again."
    ),
    Verdict.OUTSIDE: (
        "Do not release: an allowed limit is exceeded. Reject, unless stability data beyond this allowance table, "
        "assessed by the sponsor, support use."
    ),
}
_OUTCOME_NOT_COMPUTABLE = (
    "Do not release: nothing is known about the temperature. Obtain the records, then assess again."
)
_OUTCOME_UNSUPPORTED = (
    "Later data no longer support an earlier quarantine event; the hold stays until a person lifts it."
)


def is_quarantined(kit: ReportKit) -> bool:
    """Whether software holds the kit: it has an event, or its assessment has a breach that raises one."""
    return bool(kit.events or kit.assessment.breaches)


def is_computable(assessment: Assessment) -> bool:
    """Whether any temperature is known at all; if not, no temperature figure may be printed."""
    return assessment.known_ms > 0


def is_demonstrated(assessment: Assessment) -> bool:
    """Whether the data show that the kit is within label or allowance."""
    return is_computable(assessment) and assessment.verdict in (Verdict.WITHIN_LABEL, Verdict.WITHIN_ALLOWANCE)


def verdict_words(assessment: Assessment) -> str:
    """The verdict for a person; a history without any known temperature never reads as a pass."""
    if not is_computable(assessment) and assessment.verdict is not Verdict.OUTSIDE:
        return NOT_COMPUTABLE
    return VERDICT_WORDS[assessment.verdict]


def governing_limit(assessment: Assessment) -> str | None:
    """Id of the limit that decides: the worst breached one, else the one with the least remaining share.

    Quarantine limits govern, and limits on unknown time, which make a kit indeterminate whatever their severity.
    Breached limits on temperature go before a conflict, and a conflict before missing data; within a kind the largest
    multiple of what is allowed is the worst. A limit that is kept and allows nothing has no share, nor has an MKT
    ceiling, since degC is no ratio scale.
    """
    limits = [f for f in assessment.limits if f.severity is Severity.QUARANTINE or f.kind in UNKNOWN_KINDS]
    breached = [f for f in limits if f.breached_at_ms is not None]
    on_temperature = [f for f in breached if f.kind not in UNKNOWN_KINDS]
    if on_temperature:
        return max(on_temperature, key=_overuse).limit_id
    if assessment.conflicts:
        return DATA_INTEGRITY
    if breached:
        return max(breached, key=_overuse).limit_id
    if not is_computable(assessment):
        limits = [f for f in limits if f.kind in UNKNOWN_KINDS]
    shared = [f for f in limits if f.allowed > 0 and f.kind is not Kind.MKT]
    return min(shared or limits, key=_used_share).limit_id if limits else None


def _used_share(finding: LimitFinding) -> Fraction:
    return -Fraction(finding.used, finding.allowed) if finding.allowed > 0 else Fraction(0)


def _overuse(finding: LimitFinding) -> tuple[bool, Fraction, int]:
    """Orders breached limits: those that allow nothing first, then by multiple of the allowance, then the earliest."""
    used = Fraction(finding.peak_c or 0) * 1000 if finding.kind is Kind.MKT else Fraction(finding.used)
    multiple = used / abs(finding.allowed) if finding.allowed else used
    return finding.allowed == 0, multiple, -(finding.breached_at_ms or 0)


def evidence_level(profile: StabilityProfile) -> str:
    """What kind of stability data the judgement rests on."""
    if any(limit.source.strip() for limit in profile.limits if limit.kind not in UNKNOWN_KINDS):
        return "S1: allowance table"
    return "S0: nothing product-specific"


def proposed_outcome(kit: ReportKit) -> str:
    """A recommendation in words; the human decision stands beside it and may differ."""
    assessment = kit.assessment
    if not is_computable(assessment) and assessment.verdict is not Verdict.OUTSIDE:
        return _OUTCOME_NOT_COMPUTABLE
    if evidence_level(kit.profile).startswith("S0") and assessment.verdict is Verdict.WITHIN_ALLOWANCE:
        return _OUTCOMES[Verdict.INDETERMINATE]
    outcome = _OUTCOMES[assessment.verdict]
    if is_quarantined(kit) and not assessment.breaches:
        outcome = f"{_OUTCOME_UNSUPPORTED} {outcome}"
    return outcome
