"""Judging by a profile: what each limit uses, when it is breached, and which verdict holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coldchain.history import EMPTY, History, Record
from coldchain.kernels import UNKNOWN
from coldchain.model import Assessment, Conflict, Kind, LimitFinding, Reason, Severity, Verdict
from coldchain.profiles import Limit, StabilityProfile
from coldchain.stability import judge

ENERGY = 83144.62618
CONFLICT = Conflict("lg", "1", 1015)

Piece = tuple[int, int | None] | tuple[int, int, int]


def lasting(*pieces: Piece, conflicts: tuple[Conflict, ...] = ()) -> Record:
    """A record from 1000 on of (duration_ms, hot_mc[, cold_mc]) with a reading at the end of each known piece."""
    end = 1000 + np.cumsum([piece[0] for piece in pieces], dtype=np.int64)
    hot = np.array([UNKNOWN if piece[1] is None else piece[1] for piece in pieces], np.int32)
    cold = np.array([UNKNOWN if piece[-1] is None else piece[-1] for piece in pieces], np.int32)
    return Record(History(1000, end, hot, cold), end[hot != UNKNOWN], conflicts)


def limit(kind: Kind, allowed: int, low: int | None = None, high: int | None = None, **more: Any) -> Limit:
    return Limit(
        more.pop("id", str(kind)), kind, more.pop("severity", Severity.QUARANTINE), "s", low, high, allowed, **more
    )


UNKNOWN_LIMIT = limit(Kind.UNKNOWN_ACCUMULATED, 10**9)


def profile(*limits: Limit, low: int | None = 2000, high: int | None = 8000) -> StabilityProfile:
    return StabilityProfile(
        name="mab-017",
        version=3,
        title="mAb 017",
        label_low_mc=low,
        label_high_mc=high,
        activation_energies_j_mol=(ENERGY,),
        limits=limits or (UNKNOWN_LIMIT,),
        document="STAB-0042",
        document_version="4",
        author="qa-author",
        approver="qa-approver",
        approved_at_ms=0,
        effective_from_ms=0,
        sha256="00",
    )


def finding(one: Limit, *pieces: Piece, opening: int = 0) -> LimitFinding:
    return judge(profile(one), lasting(*pieces), {one.id: opening}).limits[0]


def verdict(*limits: Limit, pieces: list[Piece], conflicts: tuple[Conflict, ...] = ()) -> Verdict:
    return judge(profile(*limits), lasting(*pieces, conflicts=conflicts), {}).verdict


def test_exactly_what_is_allowed_is_within_allowance_and_a_millisecond_more_is_outside() -> None:
    exact = judge(profile(limit(Kind.ACCUMULATED, 60, high=8000)), lasting((40, 5000), (60, 8001), (5, 5000)), {})
    assert (exact.verdict, exact.limits[0].used, exact.limits[0].breached_at_ms) == ("within_allowance", 60, None)
    beyond = judge(profile(limit(Kind.ACCUMULATED, 60, high=8000)), lasting((40, 5000), (61, 8001), (5, 5000)), {})
    assert (beyond.verdict, beyond.limits[0].used, beyond.limits[0].breached_at_ms) == ("outside", 61, 1100)


def test_eight_degrees_is_within_the_label_of_eight() -> None:
    assert verdict(pieces=[(10, 8000), (10, 2000)]) is Verdict.WITHIN_LABEL
    assert verdict(pieces=[(10, 8001)]) is Verdict.WITHIN_ALLOWANCE
    assert verdict(pieces=[(10, 1999)]) is Verdict.WITHIN_ALLOWANCE


def test_the_worst_verdict_holds() -> None:
    hot = limit(Kind.ACCUMULATED, 0, high=8000)
    blind = limit(Kind.UNKNOWN_ACCUMULATED, 0)
    assert verdict(hot, blind, pieces=[(10, 9000), (10, None)]) is Verdict.OUTSIDE
    assert verdict(hot, blind, pieces=[(10, 5000), (10, None)]) is Verdict.INDETERMINATE
    assert verdict(hot, blind, pieces=[(10, 9000)], conflicts=(CONFLICT,)) is Verdict.OUTSIDE
    assert verdict(hot, blind, pieces=[(10, 5000)], conflicts=(CONFLICT,)) is Verdict.INDETERMINATE
    assert verdict(hot, blind, pieces=[(10, 5000)]) is Verdict.WITHIN_LABEL


def test_a_warning_limit_does_not_quarantine_but_unknown_time_beyond_one_is_still_not_good() -> None:
    warn = limit(Kind.ACCUMULATED, 0, high=8000, severity=Severity.WARN)
    assert verdict(warn, pieces=[(10, 9000)]) is Verdict.WITHIN_ALLOWANCE
    blind = limit(Kind.UNKNOWN_SINGLE, 0, severity=Severity.WARN)
    found = judge(profile(blind), lasting((10, None)), {})
    assert (found.verdict, found.breaches) == (Verdict.INDETERMINATE, ())


def test_every_breach_is_named_with_its_reason_in_the_order_of_the_profile() -> None:
    limits = (
        limit(Kind.UNKNOWN_SINGLE, 5),
        limit(Kind.ACCUMULATED, 0, high=8000),
        limit(Kind.EVENTS, 0, high=8000, severity=Severity.WARN),
    )
    conflicts = (Conflict("b", "1", 1030), CONFLICT)
    found = judge(profile(*limits), lasting((10, 5000), (10, 9000), (10, None), conflicts=conflicts), {})
    assert found.breaches == (
        ("unknown_single", Reason.DATA_MISSING, 1025),
        ("accumulated", Reason.LIMIT, 1010),
        ("data-integrity", Reason.DATA_INTEGRITY, 1015),
    )


def test_time_above_a_higher_threshold_is_time_above_the_lower_one_too() -> None:
    nested = [limit(Kind.ACCUMULATED, 99, high=high, id=str(high)) for high in (8000, 25_000, 40_000)]
    found = judge(profile(*nested), lasting((10, 8000), (10, 9000), (10, 30_000), (10, 40_000)), {})
    assert [one.used for one in found.limits] == [30, 20, 0]


@pytest.mark.parametrize(
    ("opening", "used", "breached_at_ms"),
    [
        (0, 30, None),
        (70, 100, None),  # exactly all of it
        (71, 101, 1039),  # one ms less is left: 29 of the run that begins at 1010
        (100, 130, 1010),  # nothing left: the first offending interval
        (101, 131, 1000),  # more than allowed before anything was measured
    ],
)
def test_an_opening_balance_counts_as_used(opening: int, used: int, breached_at_ms: int | None) -> None:
    for one in (limit(Kind.ACCUMULATED, 100, high=8000), limit(Kind.UNKNOWN_ACCUMULATED, 100)):
        out: Piece = (30, 9000) if one.kind is Kind.ACCUMULATED else (30, None)
        found = finding(one, (10, 5000), out, (10, 5000), opening=opening)
        assert (found.used, found.breached_at_ms) == (used, breached_at_ms)


def test_an_opening_balance_beyond_the_limit_is_a_breach_without_any_excursion() -> None:
    assert finding(limit(Kind.ACCUMULATED, 100, high=8000), (10, 5000), opening=100).breached_at_ms is None
    assert finding(limit(Kind.ACCUMULATED, 100, high=8000), (10, 5000), opening=101).breached_at_ms == 1000


@pytest.mark.parametrize(
    ("opening", "count", "breached_at_ms"), [(0, 2, None), (1, 3, None), (2, 4, 1020), (3, 5, 1000), (4, 6, 1000)]
)
def test_runs_that_were_there_before_count(opening: int, count: int, breached_at_ms: int | None) -> None:
    events = limit(Kind.EVENTS, 3, high=8000)
    found = finding(events, (10, 9000), (10, 5000), (10, 9000), opening=opening)
    assert (found.used, found.breached_at_ms) == (count, breached_at_ms)


def test_a_single_event_has_no_opening_balance_and_measures_the_longest_run() -> None:
    single = limit(Kind.SINGLE_EVENT, 20, high=8000)
    assert finding(single, (20, 9000), (1, 8000), (20, 9000), (1, 8000)).breached_at_ms is None
    found = finding(single, (15, 9000), (10, 5000), (15, 9000), (5, None), (6, 9000), (1, None), (9, 5000), opening=999)
    assert (found.used, found.worst_case_used, found.breached_at_ms) == (21, 27, 1050)


def test_a_run_goes_on_over_a_hand_over_and_over_missing_data() -> None:
    # two places in a row are one history: the kit is as warm after the hand-over as before
    single = limit(Kind.SINGLE_EVENT, 99, high=8000)
    found = finding(single, (30, 9000), (40, None), (30, 12_000))
    assert (found.used, found.worst_case_used) == (60, 100)


def test_the_worst_case_of_a_total_starts_from_the_opening_balance() -> None:
    found = finding(limit(Kind.ACCUMULATED, 999, high=8000), (10, None), (10, 9000), (10, 5000), opening=100)
    assert (found.used, found.worst_case_used) == (110, 120)


def test_a_shared_budget_is_spent_from_both_sides() -> None:
    outside = limit(Kind.ACCUMULATED, 25, low=2000, high=8000)
    swing = finding(outside, (10, 9000), (10, 5000), (10, 1000), (10, 9000, 1000))
    # 10 above, 10 below, and the last interval spends two a millisecond: 5 are left after 2
    assert (swing.used, swing.breached_at_ms) == (40, 1032)


def test_unknown_time_is_limited_in_total_and_in_one_stretch() -> None:
    pieces: list[Piece] = [(10, None), (10, 5000), (20, None), (5, None)]
    total, single = limit(Kind.UNKNOWN_ACCUMULATED, 30), limit(Kind.UNKNOWN_SINGLE, 20)
    assert finding(total, *pieces).breached_at_ms == 1040
    assert finding(single, *pieces).breached_at_ms == 1040
    assert (finding(total, *pieces).used, finding(single, *pieces).used) == (35, 25)
    assert finding(replace(total, allowed=35), *pieces).breached_at_ms is None
    assert finding(replace(single, allowed=25), *pieces, opening=999).breached_at_ms is None


@pytest.mark.parametrize(("out_ms", "share"), [(49, None), (50, 50), (79, 50), (80, 80), (100, 80), (101, None)])
def test_an_early_warning_holds_from_its_share_of_the_budget_until_the_breach(out_ms: int, share: int | None) -> None:
    for one in (limit(Kind.ACCUMULATED, 100, high=8000), limit(Kind.SINGLE_EVENT, 100, high=8000)):
        assert finding(one, (out_ms, 9000), (1, 5000)).warned_share == share
    found = judge(profile(limit(Kind.UNKNOWN_SINGLE, 100)), lasting((out_ms, None)), {})
    assert found.warned == (() if share is None else (("unknown_single", share),))


def test_the_opening_balance_warns_too_and_a_limit_of_nothing_has_no_shares() -> None:
    assert finding(limit(Kind.ACCUMULATED, 100, high=8000), (10, 5000), opening=50).warned_share == 50
    assert finding(limit(Kind.ACCUMULATED, 0, high=8000), (10, 5000)).warned_share is None


@pytest.mark.parametrize(
    ("pieces", "total_left", "single_left"),
    [
        ([(10, 5000), (30, 9000)], 70, 70),
        ([(40, 9000), (10, 5000), (30, 9000)], 30, 70),  # a single event begins anew
        ([(100, 9000)], 0, 0),
        ([(30, 9000), (10, 5000)], None, None),  # in range now
        ([(30, 9000), (10, None)], None, None),  # what it is now is not known
        ([(101, 9000)], None, None),  # passed
    ],
)
def test_time_to_exhaustion_counts_from_now_at_the_present_temperature(
    pieces: list[Piece], total_left: int | None, single_left: int | None
) -> None:
    assert finding(limit(Kind.ACCUMULATED, 100, high=8000), *pieces).exhausted_in_ms == total_left
    assert finding(limit(Kind.SINGLE_EVENT, 100, high=8000), *pieces).exhausted_in_ms == single_left
    assert finding(limit(Kind.EVENTS, 100, high=8000), *pieces).exhausted_in_ms is None


def test_out_on_both_sides_a_shared_budget_runs_out_twice_as_fast() -> None:
    outside = limit(Kind.ACCUMULATED, 101, low=2000, high=8000)
    assert finding(outside, (10, 9000, 1000)).exhausted_in_ms == (101 - 20) // 2
    assert finding(outside, (10, 9000), opening=50).exhausted_in_ms == 41


def mkt_limit(max_mc: int = 8000) -> Limit:
    return limit(Kind.MKT, max_mc, window_ms=100, activation_energy_j_mol=ENERGY)


def test_an_mkt_limit_judges_the_trailing_window() -> None:
    found = finding(mkt_limit(), (90, 5000), (10, 5000), (50, 9000), (50, 9000), (100, 5000))
    assert found.breached_at_ms == 1200
    assert found.peak_c == pytest.approx(9.0)
    assert (found.used, found.warned_share, found.exhausted_in_ms) == (0, None, None)
    assert verdict(mkt_limit(), pieces=[(100, 9000)]) is Verdict.OUTSIDE
    assert verdict(mkt_limit(9000), pieces=[(100, 9000)]) is Verdict.WITHIN_ALLOWANCE


def test_an_mkt_limit_without_an_eligible_window_is_indeterminate_and_changes_no_verdict() -> None:
    found = judge(profile(mkt_limit()), lasting((80, 5000), (19, None)), {})
    assert (found.limits[0].peak_c, found.limits[0].breached_at_ms) == (None, None)
    assert found.verdict is Verdict.WITHIN_LABEL


def test_the_mkt_of_a_kit_is_the_highest_over_the_activation_energies_and_none_for_frozen_products() -> None:
    record = lasting((10, 5000), (10, 15_000))
    two = replace(profile(), activation_energies_j_mol=(60_000.0, 120_000.0))
    one = replace(profile(), activation_energies_j_mol=(120_000.0,))
    assert judge(two, record, {}).mkt_c == judge(one, record, {}).mkt_c
    assert judge(profile(low=None, high=1), record, {}).mkt_c is not None
    assert judge(profile(low=-25_000, high=0), record, {}).mkt_c is None
    assert judge(profile(low=2000, high=None), record, {}).mkt_c is not None


def test_a_frozen_product_counts_its_thaw_events() -> None:
    thaw = limit(Kind.EVENTS, 1, high=-15_000)
    found = judge(profile(thaw, low=-25_000, high=-15_000), lasting((10, -14_999), (10, -20_000), (10, -14_000)), {})
    assert (found.limits[0].used, found.limits[0].breached_at_ms, found.verdict) == (2, 1020, Verdict.OUTSIDE)


def test_the_facts_of_a_history_stand_in_the_assessment() -> None:
    found = judge(
        profile(), lasting((10, 5000), (20, None), (30, 9000, 1000), conflicts=(CONFLICT,)), {}, ("custody_gap@1",)
    )
    expected = Assessment(
        profile="mab-017",
        profile_version=3,
        profile_sha256="00",
        verdict=Verdict.INDETERMINATE,
        start_ms=1000,
        as_of_ms=1060,
        known_ms=40,
        unknown_ms=20,
        longest_unknown_ms=20,
        min_mc=1000,
        max_mc=9000,
        mean_c=8.0,
        mkt_c=found.mkt_c,
        limits=found.limits,
        excursions=found.excursions,
        conflicts=(CONFLICT,),
        custody_problems=("custody_gap@1",),
    )
    assert found == expected
    assert [(run.side, run.start_ms, run.end_ms) for run in found.excursions] == [
        ("above", 1030, None),
        ("below", 1030, None),
    ]


@pytest.mark.parametrize("record", [None, Record(None, EMPTY.at_ms, ())])
def test_a_kit_without_a_history_is_indeterminate_and_keeps_its_opening_balances(record: Record | None) -> None:
    limits = (limit(Kind.ACCUMULATED, 100, high=8000), mkt_limit())
    found = judge(profile(*limits), record, {"accumulated": 60}, ("custody_missing",))
    assert found.verdict is Verdict.INDETERMINATE
    assert (found.limits[0].used, found.limits[0].worst_case_used, found.limits[0].warned_share) == (60, 60, 50)
    assert found.custody_problems == ("custody_missing",)
    assert (found.start_ms, found.min_mc, found.mkt_c, found.breaches) == (None, None, None, ())


def test_an_empty_history_is_within_the_label_so_far() -> None:
    found = judge(
        profile(), Record(History(1000, EMPTY.at_ms, EMPTY.temperature_mc, EMPTY.temperature_mc), EMPTY.at_ms, ()), {}
    )
    assert (found.verdict, found.known_ms, found.as_of_ms, found.mkt_c) == (Verdict.WITHIN_LABEL, 0, 1000, None)


def test_unknown_time_has_no_worst_case_but_itself() -> None:
    for kind in (Kind.UNKNOWN_ACCUMULATED, Kind.UNKNOWN_SINGLE):
        found = finding(limit(kind, 60), (10, 9000), (20, None), (10, 5000))
        assert (found.used, found.worst_case_used, found.exhausted_in_ms) == (20, None, None)


def test_an_excursion_names_the_bound_of_its_side_of_the_label() -> None:
    found = judge(profile(), lasting((10, 9000), (10, 5000), (10, 1000), (10, 5000)), {}).excursions
    assert [(run.side, run.bound_mc) for run in found] == [("above", 8000), ("below", 2000)]


def test_a_constant_temperature_is_its_own_mean_kinetic_temperature() -> None:
    assert judge(profile(), lasting((60_000, 12_345)), {}).mkt_c == pytest.approx(12.345, abs=1e-9)


def test_what_allows_nothing_has_no_share_to_warn_of_not_even_before_custody() -> None:
    never = limit(Kind.ACCUMULATED, 0, high=8000)
    found = judge(profile(never), None, {never.id: 5}, ("custody_missing",))
    assert (found.limits[0].used, found.limits[0].warned_share) == (5, None)
