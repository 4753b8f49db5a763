"""The lifetime budget: one row per limit, what it permits in words, how much is used and what remains."""

from __future__ import annotations

from typing import Any

from coldchain.model import Assessment, Kind, Kit, LimitFinding, StageUse
from coldchain.profiles import Limit
from coldchain.report import notation
from coldchain.report.decision import UNKNOWN_KINDS, is_computable

_UNITS = {Kind.EVENTS: "count", Kind.MKT: "degC"}


def limit_row(limit: Limit, finding: LimitFinding, kit: Kit, assessment: Assessment) -> dict[str, Any]:
    """Use of one limit as plain values; None where nothing can be computed, with `state` saying so.

    `unit` says what `used`, `worst_case_used`, `allowed` and `remaining` are: "ms", "count", or "degC" for MKT, where
    `used` is the highest trailing MKT. `remaining` is negative by as much as the limit is exceeded. `stages`: a row for
    each stage that has a share of the limit, absent where none has.
    """
    allowed: float = limit.allowed / 1000 if limit.kind is Kind.MKT else limit.allowed
    used: float | None = finding.peak_c if limit.kind is Kind.MKT else finding.used
    worst: int | None = finding.worst_case_used
    state = _state(limit, finding, assessment)
    if state == "not computable":
        used = worst = None
    row: dict[str, Any] = {
        "id": limit.id,
        "kind": limit.kind.value,
        "severity": limit.severity.value,
        "source": limit.source,
        "condition": condition(limit),
        "unit": _UNITS.get(limit.kind, "ms"),
        "opening": {balance.limit: balance.amount for balance in kit.opening}.get(limit.id),
        "used": used,
        "worst_case_used": worst,
        "allowed": allowed,
        "remaining": None if used is None else allowed - used,
        "breached_at_ms": finding.breached_at_ms,
        "state": state,
        "worst_case_exceeds": state == "kept" and worst is not None and worst > limit.allowed,
        "warned_share": finding.warned_share,
        "exhausted_in_ms": finding.exhausted_in_ms,
    }
    if limit.kind is Kind.MKT:
        row["window_ms"] = limit.window_ms
        row["min_coverage"] = str(limit.min_coverage)
        row["activation_energy_j_mol"] = limit.activation_energy_j_mol
    if finding.stages:
        row["stages"] = [_share(use, is_known=is_computable(assessment)) for use in finding.stages]
    return row


def _share(use: StageUse, *, is_known: bool) -> dict[str, Any]:
    """Use of the share of one stage, without opening balances; `remaining_ms` is negative where the share is passed.

    `is_known`: whether any temperature of the kit is known; else nothing can be computed.
    """
    return {
        "stage": use.stage.value,
        "used_ms": use.used if is_known else None,
        "allowed_ms": use.allowed,
        "remaining_ms": use.allowed - use.used if is_known else None,
    }


def _state(limit: Limit, finding: LimitFinding, assessment: Assessment) -> str:
    """`exceeded`, `not computable` (nothing known), `indeterminate` (no eligible MKT window) or `kept`."""
    if finding.breached_at_ms is not None or (limit.kind is not Kind.MKT and finding.used > limit.allowed):
        return "exceeded"
    if assessment.start_ms is None or (limit.kind not in UNKNOWN_KINDS and not is_computable(assessment)):
        return "not computable"
    if limit.kind is Kind.MKT and finding.peak_c is None:
        return "indeterminate"
    return "kept"


def condition(limit: Limit) -> str:
    """What the limit permits: `above 8.0 °C, accumulated: at most 72 h`."""
    time = notation.duration(limit.allowed) if limit.kind not in (Kind.MKT, Kind.EVENTS) else ""
    at_most = f"at most {time}" if limit.allowed else "never"
    match limit.kind:
        case Kind.ACCUMULATED:
            return f"{bounds(limit)}, accumulated: {at_most}"
        case Kind.SINGLE_EVENT:
            return f"{bounds(limit)}, single event: {at_most}"
        case Kind.EVENTS:
            events = "event" if limit.allowed == 1 else "events"
            return f"{bounds(limit)}: {f'at most {limit.allowed} {events}' if limit.allowed else 'never'}"
        case Kind.MKT:
            window, ceiling = notation.duration(limit.window_ms), notation.temperature(limit.allowed / 1000)
            return f"MKT over the trailing {window}: at most {ceiling} °C"
        case Kind.UNKNOWN_ACCUMULATED:
            return f"time without data, accumulated: {at_most}"
        case Kind.UNKNOWN_SINGLE:
            return f"time without data, in one stretch: {at_most}"


def bounds(limit: Limit) -> str:
    """The side or sides that are out of range."""
    low = None if limit.low_mc is None else notation.temperature(limit.low_mc / 1000)
    high = None if limit.high_mc is None else notation.temperature(limit.high_mc / 1000)
    if low is not None and high is not None:
        return f"outside {low} to {high} °C"
    return f"above {high} °C" if low is None else f"below {low} °C"
