"""Events: raised once, revised when their evidence changes, never removed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from coldchain import quarantine
from coldchain.model import (
    Assessment,
    Conflict,
    EarlyWarning,
    Kind,
    LimitFinding,
    QuarantineEvent,
    Reason,
    Severity,
    Verdict,
)

HOT = LimitFinding("above-8", Kind.ACCUMULATED, Severity.QUARANTINE, allowed=60, used=61, breached_at_ms=500)
SAFE = replace(HOT, used=10, breached_at_ms=None)
UNKNOWN = LimitFinding("unknown", Kind.UNKNOWN_SINGLE, Severity.QUARANTINE, allowed=60, used=61, breached_at_ms=700)
WARN = LimitFinding("mkt-24h", Kind.MKT, Severity.WARN, allowed=8000, peak_c=9.0, breached_at_ms=900)


def assessment(*limits: LimitFinding, version: int = 3, conflicts: tuple[Conflict, ...] = ()) -> Assessment:
    return Assessment("mab-017", version, "00", Verdict.OUTSIDE, limits=limits, conflicts=conflicts)


def known(*events: QuarantineEvent) -> dict[str, QuarantineEvent]:
    return {event.id: event for event in events}


def raised(*limits: LimitFinding, now_ms: int = 1000) -> tuple[QuarantineEvent, ...]:
    return tuple(quarantine.revise({}, "K-1", assessment(*limits), now_ms))


def test_the_id_of_an_event_is_fixed_for_all_time() -> None:
    # written down once: ids in ledgers, receipts and other people's systems must never change with a release
    assert quarantine.event_id("K-1", "mab-017", 3, "above-8") == "d9d2a914-7bb1-55c0-a550-6eb00718ca9c"
    assert quarantine.event_id("K-1", "TRIAL-7", None, "mab-017:above-8") == "86c6c89f-aff4-5c26-8c09-0a0c2a1e616b"


@pytest.mark.parametrize(
    "other",
    [
        ("K-2", "mab-017", 3, "above-8"),
        ("K-1", "mab-018", 3, "above-8"),
        ("K-1", "mab-017", 4, "above-8"),
        ("K-1", "mab-017", None, "above-8"),
        ("K-1", "mab-017", 3, "above-9"),
        ("K-1mab-017", "", 3, "above-8"),
        ("K-", "1mab-017", 3, "above-8"),
    ],
)
def test_kit_profile_version_and_limit_each_make_another_event(other: tuple[str, str, int | None, str]) -> None:
    assert quarantine.event_id(*other) != quarantine.event_id("K-1", "mab-017", 3, "above-8")


def test_every_breached_quarantine_limit_raises_one_event() -> None:
    conflicts = (Conflict("lg", "1", 300), Conflict("lg", "1", 200))
    found = list(quarantine.revise({}, "K-1", assessment(UNKNOWN, HOT, WARN, conflicts=conflicts), 1000))
    assert [(event.limit, event.reason, event.breached_at_ms) for event in found] == [
        ("unknown", Reason.DATA_MISSING, 700),
        ("above-8", Reason.LIMIT, 500),
        ("data-integrity", Reason.DATA_INTEGRITY, 200),
    ]
    assert found[1] == QuarantineEvent(
        id=quarantine.event_id("K-1", "mab-017", 3, "above-8"),
        kit="K-1",
        limit="above-8",
        reason=Reason.LIMIT,
        breached_at_ms=500,
        detected_at_ms=1000,
        profile="mab-017",
        profile_version=3,
        revision=1,
        supported=True,
        profile_sha256="00",
    )


def test_judging_the_same_again_changes_nothing() -> None:
    (event,) = raised(HOT)
    assert list(quarantine.revise(known(event), "K-1", assessment(HOT), 2000)) == []
    assert list(quarantine.revise(known(event), "K-1", assessment(replace(HOT, used=99)), 2000)) == []


def test_another_breach_instant_revises_the_event_and_keeps_when_it_was_detected() -> None:
    (event,) = raised(HOT)
    (revised,) = quarantine.revise(known(event), "K-1", assessment(replace(HOT, breached_at_ms=450)), 2000)
    assert revised == replace(event, breached_at_ms=450, revision=2)


def test_an_event_that_the_data_no_longer_support_stays_and_says_so_once() -> None:
    (event,) = raised(HOT)
    (unsupported,) = quarantine.revise(known(event), "K-1", assessment(SAFE), 2000)
    assert unsupported == replace(event, supported=False, revision=2)
    assert list(quarantine.revise(known(unsupported), "K-1", assessment(SAFE), 3000)) == []


def test_an_event_that_is_supported_again_is_the_same_event_with_one_more_revision() -> None:
    (event,) = raised(HOT)
    unsupported = replace(event, supported=False, revision=2)
    (again,) = quarantine.revise(known(unsupported), "K-1", assessment(HOT), 3000)
    assert again == replace(event, revision=3)


def test_events_of_another_version_or_profile_stand_as_they_are() -> None:
    (event,) = raised(HOT)
    assert list(quarantine.revise(known(event), "K-1", assessment(SAFE, version=4), 2000)) == []
    (new,) = quarantine.revise(known(event), "K-1", assessment(HOT, version=4), 2000)
    assert (new.profile_version, new.revision) == (4, 1)
    of_another = replace(event, profile="mab-016")
    assert list(quarantine.revise(known(of_another), "K-1", assessment(SAFE), 2000)) == []


def test_an_event_of_a_blind_group_stands_when_a_version_behind_its_composite_changes() -> None:
    composite = replace(assessment(HOT), profile="TRIAL-7", profile_version=None)
    looser = replace(composite, profile_sha256="11", limits=(SAFE,))
    (event,) = quarantine.revise({}, "K-1", composite, 1000)
    assert list(quarantine.revise(known(event), "K-1", looser, 2000)) == []
    (gone,) = quarantine.revise(known(event), "K-1", replace(looser, profile_sha256="00"), 2000)
    assert (gone.supported, gone.profile_sha256) == (False, "00")
    # an event of an older release has no hash: it is taken to be of the present rules, as it was then
    (gone,) = quarantine.revise(known(replace(event, profile_sha256=None)), "K-1", looser, 2000)
    assert (gone.supported, gone.profile_sha256) == (False, "11")


def test_a_revision_names_the_file_that_judged_it_and_another_file_alone_is_no_revision() -> None:
    (event,) = raised(HOT)
    edited = replace(assessment(HOT), profile_sha256="11")
    assert list(quarantine.revise(known(event), "K-1", edited, 2000)) == []
    (revised,) = quarantine.revise(known(event), "K-1", replace(edited, limits=(replace(HOT, breached_at_ms=4),)), 2000)
    assert revised == replace(event, breached_at_ms=4, revision=2, profile_sha256="11")


def test_an_early_warning_is_given_once_for_each_kit_limit_and_share() -> None:
    half = assessment(replace(SAFE, warned_share=50))
    first, second = quarantine.early_warnings((), ["K-1", "K-2"], half)
    assert (first.kit, first.limit, first.share) == ("K-1", "above-8", 50)
    assert second == EarlyWarning(second.id, "K-2", "above-8", 50, "00")
    given = {first.id}
    assert list(quarantine.early_warnings(given, ["K-1", "K-2"], half)) == [second]
    (more,) = quarantine.early_warnings(given, ["K-1"], assessment(replace(SAFE, warned_share=80)))
    assert (more.share, more.id in given) == (80, False)
    assert list(quarantine.early_warnings((), ["K-1"], assessment(SAFE))) == []
