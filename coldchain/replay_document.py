"""The JSON document of `coldchain replay` (INTERFACES.md): facts of the inputs, every kit, every event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from coldchain import quarantine, segments
from coldchain.history import EMPTY, Series, merge
from coldchain.model import Assessment, Kind, LimitFinding
from coldchain.readings import FAULT_MC
from coldchain.registry import Registry
from coldchain.state import State


class ChannelFacts(NamedTuple):
    """What came in of one channel: distinct readings and faults, what came again, what was set aside and why."""

    readings: int = 0
    duplicates: int = 0
    conflicts: int = 0
    faults: int = 0
    unverified_time: int = 0
    unknown_logger: int = 0


def document(
    registry: Registry,
    assessments: Mapping[str, Assessment],
    channels: Iterable[ChannelFacts],
    *,
    messages: int,
    rejected: int,
) -> dict[str, Any]:
    """What a replay found, as plain values in a fixed order; None where something is not computable."""
    kits = []
    events = []
    said = {group_id: assessment_document(assessment) for group_id, assessment in assessments.items()}
    for kit, group_id in sorted((kit, group.id) for group in registry.groups.values() for kit in group.kits):
        assessment = assessments[group_id]
        kits.append({"kit": kit, **said[group_id]})
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
    counted = (sum(counts) for counts in zip(ChannelFacts(), *channels, strict=True))
    inputs = {"messages": messages, "rejected": rejected, **ChannelFacts(*counted)._asdict()}
    return {"inputs": inputs, "kits": kits, "events": events}


def document_of(state: State, *, messages: int, rejected: int) -> dict[str, Any]:
    """The same of a state that has put nothing away."""
    channels = facts_of(state)
    return document(state.registry, state.assessments, channels, messages=messages, rejected=rejected)


def facts_of(state: State) -> list[ChannelFacts]:
    """What came into a state, by channel; which channel was sent a reading twice, it does not know any more."""
    found = [
        channel_facts(series, unverified, _distinct(series, unverified), is_known=key.logger in state.registry.loggers)
        for key in state.series.keys() | state.unverified.keys()
        for series, unverified in [(state.series.get(key, EMPTY), state.unverified.get(key, EMPTY))]
    ]
    distinct = sum(facts.readings + facts.faults + facts.unverified_time + facts.unknown_logger for facts in found)
    return [*found, ChannelFacts(duplicates=state.arrivals - distinct)]


def channel_facts(series: Series, unverified: Series, arrivals: int, *, is_known: bool) -> ChannelFacts:
    """What a channel held, of which so many readings and faults arrived; `is_known`: its logger is registered."""
    distinct = _distinct(series, unverified)
    if not is_known:
        return ChannelFacts(duplicates=arrivals - distinct, unknown_logger=distinct)
    faults = int((series.temperature_mc == FAULT_MC).sum())
    return ChannelFacts(
        readings=len(series) - faults,
        duplicates=arrivals - distinct,
        conflicts=_conflicts(series) if segments.spacing(series.at_ms)[0] == 0 else 0,
        faults=faults,
        unverified_time=distinct - len(series),
    )


def _distinct(series: Series, unverified: Series) -> int:
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
