"""What the report says, as plain values: the JSON edition, and the only source of the HTML and PDF editions."""

from __future__ import annotations

import hashlib
import json
from string import ascii_uppercase
from typing import Any

from coldchain import exposure
from coldchain.history import History
from coldchain.instant import iso
from coldchain.model import CustodySegment, Excursion
from coldchain.profiles import StabilityProfile
from coldchain.report import decision, notation
from coldchain.report.evidence import LoggerEvidence, Report, ReportKit, Section
from coldchain.report.limits import limit_row

Content = dict[str, Any]

FORMAT = 1
"""Counts up when a key of the JSON edition changes its meaning."""

READINGS_HASH_LAYOUT = (
    "SHA-256 over n instants (little-endian int64, ms UTC) followed by n temperatures (little-endian int32, "
    "milli-degC, -2147483648 for a fault), ordered by instant, then temperature"
)
CANONICAL_JSON = "UTF-8 JSON, keys sorted, no whitespace outside strings, without the key report_sha256"


def as_json(report: Report) -> Content:
    """The JSON edition. `report_sha256` is the hash of all other keys in canonical form, see `content_sha256`."""
    kits = [row for section in report.sections for row in section.kits]
    content: Content = {
        "format": FORMAT,
        "title": "Stability impact report",
        "kits": notation.kit_range((row.kit.id for row in kits), most=2),
        "kit_count": len(kits),
        "as_of_ms": max((a for row in kits if (a := row.assessment.as_of_ms) is not None), default=None),
        "prepared_at_ms": report.prepared_at_ms,
        "software": f"coldchain {report.software_version}",
        "interval_rule": "preceding",
        "rules": _rules(report),
        "readings_hash_layout": READINGS_HASH_LAYOUT,
        "report_hash_layout": CANONICAL_JSON,
        "sections": [
            _section(section, _letters(number), report.prepared_at_ms) for number, section in enumerate(report.sections)
        ],
    }
    return content | {"report_sha256": content_sha256(content)}


def canonical(content: Content) -> bytes:
    """The bytes that are hashed, and the JSON file: UTF-8, keys sorted, no white space, shortest form of floats."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def content_sha256(content: Content) -> str:
    """Hash of the canonical form without `report_sha256`: compare it with that key to find any change."""
    return hashlib.sha256(canonical({k: v for k, v in content.items() if k != "report_sha256"})).hexdigest()


def report_id(content: Content) -> str:
    """Short name of a report: the start of its hash, so that equal names mean equal content."""
    return f"SIR-{content['report_sha256'][:12].upper()}"


def _rules(report: Report) -> list[Content]:
    """Which versions of which profiles judged the kits of the report."""
    applied = sorted({part for section in report.sections for part in section.kits[0].profile.applied})
    return [part._asdict() for part in applied]


def _letters(number: int) -> str:
    rest, letter = divmod(number, 26)
    return (_letters(rest - 1) if rest else "") + ascii_uppercase[letter]


def _section(section: Section, name: str, prepared_at_ms: int) -> Content:
    first = section.kits[0]
    assessment, profile, history = first.assessment, first.profile, first.history
    findings = {finding.limit_id: finding for finding in assessment.limits}
    limits = [limit_row(x, findings[x.id], first.kit, assessment) for x in profile.limits if x.id in findings]
    governing = decision.governing_limit(assessment)
    return {
        "name": name,
        "kits": {
            "range": notation.kit_range(section.kit_ids),
            "ids": list(section.kit_ids),
            "batches": sorted({row.kit.batch for row in section.kits}),
            "trials": sorted({row.kit.trial for row in section.kits}),
            "rows": [{"kit": r.kit.id, "batch": r.kit.batch, "trial": r.kit.trial} for r in section.kits],
        },
        "decision": {
            "status": "quarantined" if decision.is_quarantined(first) else "available",
            "verdict": assessment.verdict.value,
            "verdict_words": decision.verdict_words(assessment),
            "is_computable": decision.is_computable(assessment),
            "governing_limit": governing,
            "evidence_level": decision.evidence_level(profile),
            "proposed_outcome": decision.proposed_outcome(first),
            "cautions": _cautions(section, limits, prepared_at_ms),
        },
        "profile": _profile(profile),
        "route": [{"place": s.place, "from_ms": s.from_ms, "to_ms": s.to_ms} for s in first.custody],
        "events": events(section),
        "data": {
            "start_ms": assessment.start_ms,
            "as_of_ms": assessment.as_of_ms,
            "known_ms": assessment.known_ms,
            "unknown_ms": assessment.unknown_ms,
            "longest_unknown_ms": assessment.longest_unknown_ms,
            "conflicts": [{"logger": c.logger, "channel": c.channel, "at_ms": c.at_ms} for c in assessment.conflicts],
            "custody_problems": list(assessment.custody_problems),
            "history_sha256": history_sha256(history),
        },
        "loggers": [_logger(row) for row in section.loggers],
        "thermal": {
            "min_c": _degc(assessment.min_mc),
            "max_c": _degc(assessment.max_mc),
            "mean_c": assessment.mean_c,
            "mkt_c": assessment.mkt_c,
            "is_frozen": profile.is_frozen,
            "thresholds": _thresholds(profile, history) if history and decision.is_computable(assessment) else [],
            "excursions": [_excursion(e, first.custody) for e in assessment.excursions],
        },
        "limits": limits,
    }


def _degc(mc: int | None) -> float | None:
    return None if mc is None else mc / 1000


def _profile(profile: StabilityProfile) -> Content:
    return {
        "name": profile.name,
        "version": profile.version,
        "title": profile.title,
        "is_composite": profile.is_composite,
        "label_low_c": _degc(profile.label_low_mc),
        "label_high_c": _degc(profile.label_high_mc),
        "activation_energies_j_mol": list(profile.activation_energies_j_mol),
        "document": profile.document,
        "document_version": profile.document_version,
        "author": profile.author,
        "approver": profile.approver,
        "approved_at_ms": profile.approved_at_ms,
        "effective_from_ms": profile.effective_from_ms,
        "sha256": profile.sha256,
        "applied": [part._asdict() for part in profile.applied],
    }


def events(section: Section) -> list[Content]:
    """Equal events of several kits are one row; each kit keeps the id of its own event."""
    rows: dict[tuple[Any, ...], Content] = {}
    for kit in section.kits:
        for event in kit.events:
            judged_by = event.profile, event.profile_version or 0, event.profile_sha256 or ""
            key = (event.breached_at_ms, event.limit, event.detected_at_ms, event.revision, event.supported, *judged_by)
            row = rows.setdefault(
                key,
                {
                    "limit": event.limit,
                    "reason": event.reason.value,
                    "place": place_at(kit.custody, event.breached_at_ms),
                    "breached_at_ms": event.breached_at_ms,
                    "detected_at_ms": event.detected_at_ms,
                    "revision": event.revision,
                    "supported": event.supported,
                    "profile": event.profile,
                    "profile_version": event.profile_version,
                    "profile_sha256": event.profile_sha256,
                    "ids": {},
                },
            )
            row["ids"][kit.kit.id] = event.id
    for row in rows.values():
        row["kits"] = notation.kit_range(row["ids"])
    return [rows[key] for key in sorted(rows)]


def place_at(custody: tuple[CustodySegment, ...], at_ms: int) -> str | None:
    """Where a kit is in the moment after an instant: a breach instant is the start of what is too much."""
    for segment in reversed(custody):
        if segment.from_ms <= at_ms and (segment.to_ms is None or at_ms < segment.to_ms):
            return segment.place
    return None


def _logger(row: LoggerEvidence) -> Content:
    return {
        "place": row.place,
        "logger": row.logger.id,
        "channel": row.channel,
        "logging_interval_ms": row.logger.logging_interval_ms,
        "gap_after_ms": row.logger.gap_after_ms,
        "calibrated_from_ms": row.logger.calibrated_from_ms,
        "calibrated_until_ms": row.logger.calibrated_until_ms,
        "blocked": row.logger.blocked,
        "first_ms": row.first_ms,
        "last_ms": row.last_ms,
        "readings": row.readings,
        "faults": row.faults,
        "outside_calibration": row.outside_calibration,
        "readings_sha256": row.sha256,
    }


def _thresholds(profile: StabilityProfile, history: History) -> list[Content]:
    """Time beyond every bound of the label and of the limits, opening balances not included."""
    lows = {profile.label_low_mc} | {limit.low_mc for limit in profile.limits}
    highs = {profile.label_high_mc} | {limit.high_mc for limit in profile.limits}
    sides = [("above", mc) for mc in sorted(x for x in highs if x is not None)]
    sides += [("below", mc) for mc in sorted((x for x in lows if x is not None), reverse=True)]
    rows = []
    for side, mc in sides:
        found = exposure.out_of_range(history, *((None, mc) if side == "above" else (mc, None)))
        rows.append(
            {
                "side": side,
                "bound_c": mc / 1000,
                "total_ms": found.total_ms,
                "worst_total_ms": found.worst_total_ms,
                "longest_ms": found.longest_run_ms,
                "worst_longest_ms": found.worst_longest_run_ms,
                "events": found.runs,
            }
        )
    return rows


def _excursion(row: Excursion, custody: tuple[CustodySegment, ...]) -> Content:
    return {
        "side": row.side,
        "bound_c": row.bound_mc / 1000,
        "start_ms": row.start_ms,
        "end_ms": row.end_ms,
        "out_of_range_ms": row.out_of_range_ms,
        "extreme_c": row.extreme_mc / 1000,
        "place": place_at(custody, row.start_ms),
    }


def history_sha256(history: History | None) -> str | None:
    """Hash of the judged step function, so that the plot is bound to the report: start, then the three columns."""
    if history is None:
        return None
    digest = hashlib.sha256(int(history.start_ms).to_bytes(8, "little", signed=True))
    for column, layout in ((history.end_ms, "<i8"), (history.hot_mc, "<i4"), (history.cold_mc, "<i4")):
        digest.update(column.astype(layout).tobytes())
    return digest.hexdigest()


def _cautions(section: Section, limits: list[Content], prepared_at_ms: int) -> list[str]:
    """What a reader must weigh beside the verdict, one sentence each."""
    first: ReportKit = section.kits[0]
    found = [
        f"If the time without data was out of range, limit {row['id']} would be exceeded."
        for row in limits
        if row["worst_case_exceeds"]
    ]
    found += [
        f"Limit {r['id']} is indeterminate: no window has enough data." for r in limits if r["state"] == "indeterminate"
    ]
    found += [
        f"Limit {r['id']} has reached {r['warned_share']} % of what is allowed." for r in limits if r["warned_share"]
    ]
    found += [
        f"More of limit {r['id']} is used up than the share of the stage {share['stage']}."
        for r in limits
        for share in r.get("stages", ())
        if share["used_ms"] is not None and share["remaining_ms"] < 0
    ]
    if not decision.is_quarantined(first) and not decision.is_demonstrated(first.assessment):
        found.append("The software holds no quarantine event for these kits, although their temperature is not shown.")
    found += [
        f"Version {part.version} of {part.name} is not in force before {iso(part.effective_from_ms)}."
        for part in first.profile.applied
        if part.effective_from_ms > prepared_at_ms
    ]
    if first.assessment.conflicts:
        found.append("A logger reports two different temperatures for one instant.")
    if first.assessment.custody_problems:
        found.append("The custody record has problems, see section 4.")
    uncalibrated = sorted({row.logger.id for row in section.loggers if row.outside_calibration})
    if uncalibrated:
        found.append(f"Readings outside the calibration's validity count as unknown: {notation.listed(uncalibrated)}.")
    unstated = sorted({row.logger.id for row in section.loggers if row.logger.calibrated_until_ms is None})
    if unstated:
        found.append(f"No end of calibration is stated for {notation.listed(unstated)}.")
    if not section.loggers:
        found.append("No logger watched any place of the route.")
    return found
