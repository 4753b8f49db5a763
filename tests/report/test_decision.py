"""The decision box: governing limit, status, outcome."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coldchain.model import Assessment, Conflict, Kind, LimitFinding, Severity, Verdict
from coldchain.report import ReportKit, decision
from report.cases import HOUR, PROFILE, T0, Case

CALM = Case(as_of_ms=T0 + 48 * HOUR).report_kits()[0]


def finding(name: str, allowed: int, used: int, kind: Kind = Kind.ACCUMULATED, at: int | None = None) -> LimitFinding:
    return LimitFinding(name, kind, Severity.QUARANTINE, allowed, used, breached_at_ms=at)


def governing(*findings: LimitFinding, conflicts: tuple[Conflict, ...] = ()) -> str | None:
    return decision.governing_limit(replace(CALM.assessment, limits=findings, conflicts=conflicts))


def outcome(kit: ReportKit, **changes: object) -> str:
    assessment: Assessment = replace(kit.assessment, **changes)  # type: ignore[arg-type]  # any field of it
    return decision.proposed_outcome(replace(kit, assessment=assessment))


def test_without_a_breach_the_least_remaining_share_governs() -> None:
    assert governing(finding("long", 100, 20), finding("short", 10, 5)) == "short"


def test_of_several_breaches_the_largest_multiple_governs() -> None:
    assert governing(finding("twice", 10, 20, at=5), finding("thrice", 1, 3, at=9), finding("near", 9, 8)) == "thrice"


def test_a_limit_that_allows_nothing_governs_when_breached_but_not_when_kept() -> None:
    never = finding("never", 0, 0)
    assert governing(never, finding("some", 10, 1)) == "some"
    assert governing(replace(never, used=1, breached_at_ms=3), finding("some", 10, 90, at=1)) == "never"
    assert governing(never) == "never"


def test_a_breach_on_temperature_governs_before_a_conflict_and_a_conflict_before_missing_data() -> None:
    missing = finding("gap", 1, 50, Kind.UNKNOWN_SINGLE, at=1)
    conflict = (Conflict("lg", "1", 1),)
    assert governing(missing, finding("hot", 10, 11, at=2), conflicts=conflict) == "hot"
    assert governing(missing, conflicts=conflict) == "data-integrity"
    assert governing(missing) == "gap"


def test_an_mkt_ceiling_governs_only_when_it_is_breached() -> None:
    mkt = LimitFinding("mkt", Kind.MKT, Severity.QUARANTINE, 8_000, peak_c=7.999)
    assert governing(mkt, finding("some", 10, 1)) == "some"
    assert governing(replace(mkt, peak_c=8.1, breached_at_ms=4), finding("some", 10, 1)) == "mkt"


def test_a_warning_never_governs() -> None:
    warn = replace(finding("warn", 1, 9, at=1), severity=Severity.WARN)
    assert governing(warn, finding("some", 10, 1)) == "some"


def test_missing_data_governs_even_as_a_warning_because_it_makes_the_kit_indeterminate() -> None:
    missing = replace(finding("gap", 1, 50, Kind.UNKNOWN_SINGLE, at=1), severity=Severity.WARN)
    assert governing(missing, finding("some", 10, 1)) == "gap"


def test_a_profile_without_quarantine_limits_has_no_governing_limit() -> None:
    assert governing() is None


def test_nothing_known_never_reads_as_a_pass() -> None:
    unseen = replace(CALM.assessment, known_ms=0, verdict=Verdict.WITHIN_LABEL)
    assert decision.verdict_words(unseen) == decision.NOT_COMPUTABLE
    assert outcome(CALM, known_ms=0).startswith("Do not release")


@pytest.mark.parametrize("verdict", [Verdict.INDETERMINATE, Verdict.OUTSIDE])
def test_only_a_demonstrated_kit_is_proposed_for_use(verdict: Verdict) -> None:
    assert outcome(CALM, verdict=verdict).startswith("Do not release")
    assert not outcome(CALM, verdict=Verdict.WITHIN_ALLOWANCE).startswith("Do not release")


def test_without_a_sourced_limit_the_evidence_is_s0_and_an_excursion_is_not_demonstrated() -> None:
    bare = tuple(replace(limit, source="") for limit in PROFILE.limits)
    kit = replace(CALM, profile=replace(PROFILE, limits=bare))
    assert decision.evidence_level(kit.profile).startswith("S0")
    assert outcome(kit, verdict=Verdict.WITHIN_ALLOWANCE).startswith("Do not release")
    assert decision.evidence_level(PROFILE) == "S1: allowance table"


def test_an_event_that_data_no_longer_support_still_holds_the_kit() -> None:
    held = replace(CALM, events=Case().report_kits()[0].events)
    assert decision.is_quarantined(held)
    assert "until a person lifts it" in decision.proposed_outcome(held)


def test_a_breach_without_a_stored_event_is_shown_as_quarantined() -> None:
    assert decision.is_quarantined(replace(Case().report_kits()[0], events=()))
    assert not decision.is_quarantined(CALM)
