"""The JSON document of `coldchain replay` (INTERFACES.md): facts of the inputs, every kit, every event."""

from __future__ import annotations

from typing import Any

import numpy as np

from coldchain import quarantine
from coldchain.history import EMPTY, Series, merge
from coldchain.model import Assessment, Kind, LimitFinding
from coldchain.pipeline import State
from coldchain.readings import FAULT_MC


def document(state: State, *, messages: int, rejected: int) -> dict[str, Any]:
    """What a replay found, as plain values in a fixed order; None where something is not computable."""
    kits = []
    events = []
    for kit, group_id in sorted((kit, group.id) for group in state.registry.groups.values() for kit in group.kits):
        assessment = state.assessments[group_id]
        kits.append({"kit": kit, **assessment_document(assessment)})
        for event in sorted(quarantine.events_of(kit, assessment, 0), key=lambda e: e.limit):
            events.append(
                {
                    "id": event.id,
                    "kit": kit,
                    "limit": event.limit,
                    "reason": str(event.reason),
                    "breached_at_ms": event.breached_at_ms,
                    "profile_sha256": event.profile_sha256,
                }
            )
    return {"inputs": inputs(state, messages, rejected), "kits": kits, "events": events}


def inputs(state: State, messages: int, rejected: int) -> dict[str, int]:
    """What came in: distinct readings and faults, and what was set aside and why."""
    judged = {key: state.series.get(key, EMPTY) for key in state.series.keys() | state.unverified.keys()}
    distinct = {key: _with(series, state.unverified.get(key, EMPTY)) for key, series in judged.items()}
    known = [key for key in judged if key.logger in state.registry.loggers]
    total = sum(distinct.values())
    faults = sum(int((judged[key].temperature_mc == FAULT_MC).sum()) for key in known)
    return {
        "messages": messages,
        "rejected": rejected,
        "readings": sum(len(judged[key]) for key in known) - faults,
        "duplicates": state.arrivals - total,
        "conflicts": sum(_conflicts(judged[key]) for key in known),
        "faults": faults,
        "unverified_time": sum(distinct[key] - len(judged[key]) for key in known),
        "unknown_logger": total - sum(distinct[key] for key in known),
    }


def _with(series: Series, unverified: Series) -> int:
    """How many distinct readings there are; one that came again with a device time to believe is counted once."""
    return len(merge(series, unverified.at_ms, unverified.temperature_mc)[0])


def _conflicts(series: Series) -> int:
    """Instants with more than one temperature; a fault beside a temperature is none."""
    valid = series.at_ms[series.temperature_mc != FAULT_MC]
    repeated = valid[1:][np.diff(valid) == 0]
    return len(np.unique(repeated))


def assessment_document(assessment: Assessment) -> dict[str, Any]:
    """One kit's assessment with the keys of INTERFACES.md."""
    return {
        "verdict": str(assessment.verdict),
        "profile": assessment.profile,
        "profile_version": assessment.profile_version,
        "profile_sha256": assessment.profile_sha256,
        "as_of_ms": assessment.as_of_ms,
        "known_ms": assessment.known_ms,
        "unknown_ms": assessment.unknown_ms,
        "longest_unknown_ms": assessment.longest_unknown_ms,
        "min_c": _celsius(assessment.min_mc),
        "max_c": _celsius(assessment.max_mc),
        "mean_c": _rounded(assessment.mean_c),
        "mkt_c": _rounded(assessment.mkt_c),
        "limits": [_limit(finding) for finding in assessment.limits],
        "excursions": [
            {
                "side": run.side,
                "bound_c": _celsius(run.bound_mc),
                "start_ms": run.start_ms,
                "end_ms": run.end_ms,
                "out_of_range_ms": run.out_of_range_ms,
                "extreme_c": _celsius(run.extreme_mc),
            }
            for run in assessment.excursions
        ],
        "findings": [f"conflict:{c.logger}/{c.channel}@{c.at_ms}" for c in assessment.conflicts]
        + list(assessment.custody_problems),
    }


def _limit(finding: LimitFinding) -> dict[str, Any]:
    head = {"id": finding.limit_id, "kind": str(finding.kind)}
    tail = {"breached_at_ms": finding.breached_at_ms}
    times = {"used_ms": finding.used, "worst_case_used_ms": finding.worst_case_used, "allowed_ms": finding.allowed}
    match finding.kind:
        case Kind.ACCUMULATED:
            found = head | times | {"remaining_ms": max(0, finding.allowed - finding.used)} | tail
            return found | {"stages": _stages(finding)} if finding.stages else found
        case Kind.SINGLE_EVENT:
            return head | times | tail
        case Kind.EVENTS:
            return head | {"count": finding.used, "allowed": finding.allowed} | tail
        case Kind.MKT:
            peak = {"peak_c": _rounded(finding.peak_c), "allowed_c": _celsius(finding.allowed)}
            return head | peak | {"indeterminate": finding.peak_c is None} | tail
        case Kind.UNKNOWN_ACCUMULATED | Kind.UNKNOWN_SINGLE:
            return head | {"used_ms": finding.used, "allowed_ms": finding.allowed} | tail


def _stages(finding: LimitFinding) -> list[dict[str, Any]]:
    return [{"stage": str(u.stage), "used_ms": u.used, "allowed_ms": u.allowed} for u in finding.stages]


def _celsius(temperature_mc: int | None) -> float | None:
    return None if temperature_mc is None else temperature_mc / 1000


def _rounded(value_c: float | None) -> float | None:
    """To 1e-9 degC: far below what any logger resolves, and the same text on every platform."""
    return None if value_c is None else round(value_c, 9)
