"""The starter library at its edges: exactly the bound is inside, exactly the allowance is allowed, one more is not."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from coldchain.model import Kind, Verdict
from coldchain.profiles import Limit, StabilityProfile, load_profile, load_profiles
from coldchain.stability import can_have_opening, judge
from rule_histories import DAY_MS, HOUR_MS, MINUTE_MS, RULES, SECOND_MS, TEMPLATES, Piece, lasting

LIBRARY = {path.stem: load_profile(path) for path in sorted(TEMPLATES.glob("*.toml"))}
EVERY_LIMIT = [(name, limit) for name, profile in LIBRARY.items() for limit in profile.limits]
OF_TIME = [(name, limit) for name, limit in EVERY_LIMIT if limit.kind in (Kind.ACCUMULATED, Kind.SINGLE_EVENT)]
OF_EVENTS = [(name, limit) for name, limit in EVERY_LIMIT if limit.kind is Kind.EVENTS]
OF_UNKNOWN = [(name, limit) for name, limit in EVERY_LIMIT if limit.kind.startswith("unknown")]
OF_MKT = [(name, limit) for name, limit in EVERY_LIMIT if limit.kind is Kind.MKT]

CRT, COLD, PH_EUR = "usp-controlled-room-temperature", "usp-controlled-cold", "ph-eur-refrigerator"
FROZEN, ULTRA_LOW, CRYOGENIC = "frozen-minus-25-to-minus-15", "ultra-low-minus-60", "cryogenic-minus-150"
TYPE_1, TYPE_2 = "who-q-tag-2plus-type-1", "who-q-tag-2plus-type-2"
MAB, VACCINE, TABLET, EARLY = (
    "mab-2-8-four-steps",
    "vaccine-must-not-freeze",
    "small-molecule-25-mkt",
    "early-phase-no-allowance",
)


def breached(profile: StabilityProfile, *pieces: Piece) -> tuple[Verdict, list[str]]:
    found = judge(profile, lasting(*pieces), {})
    return found.verdict, [limit for limit, _, _ in found.breaches]


def inside_mc(profile: StabilityProfile) -> int:
    return profile.label_high_mc if profile.label_high_mc is not None else profile.label_low_mc or 0


def just_out(limit: Limit) -> list[int]:
    """The first temperatures [milli-degC] that are out of range for a limit, one for each of its sides."""
    return [
        mc
        for mc in (
            None if limit.high_mc is None else limit.high_mc + 1,
            None if limit.low_mc is None else limit.low_mc - 1,
        )
        if mc is not None
    ]


def use_of(profile: StabilityProfile, limit: Limit, *pieces: Piece) -> tuple[int, bool]:
    """How much of one limit is used by a history, and whether it is broken."""
    (finding,) = (f for f in judge(profile, lasting(*pieces), {}).limits if f.limit_id == limit.id)
    return finding.used, finding.breached_at_ms is not None


def test_the_library_holds_every_condition_it_promises() -> None:
    expected = {CRT, COLD, PH_EUR, FROZEN, ULTRA_LOW, CRYOGENIC, TYPE_1, TYPE_2, MAB, VACCINE, TABLET, EARLY}
    assert set(LIBRARY) == expected
    assert {profile.name for profile in LIBRARY.values()} == expected


@pytest.mark.parametrize("name", LIBRARY)
def test_a_template_says_that_it_is_one_and_every_value_has_a_source(name: str) -> None:
    text = (TEMPLATES / f"{name}.toml").read_text(encoding="utf-8")
    assert text.startswith("# Template: replace by the sponsor's data.")
    assert LIBRARY[name].title.startswith("Template: replace by the sponsor's data")
    for limit in tomllib.loads(text)["limit"]:
        assert "to be replaced" in limit["source"] or limit["source"].startswith(("USP", "Ph. Eur.", "WHO"))


def test_no_kit_is_judged_by_a_template() -> None:
    assert not load_profiles(RULES).keys() & LIBRARY.keys()


@pytest.mark.parametrize(("name", "limit"), OF_TIME + OF_EVENTS)
def test_exactly_the_bound_uses_nothing_and_a_thousandth_beyond_it_does(name: str, limit: Limit) -> None:
    profile = LIBRARY[name]
    for mc in just_out(limit):
        bound_mc = mc - 1 if limit.high_mc is not None and mc > limit.high_mc else mc + 1
        assert use_of(profile, limit, (90 * DAY_MS, bound_mc)) == (0, False)
        assert use_of(profile, limit, (HOUR_MS, mc))[0] == (1 if limit.kind is Kind.EVENTS else HOUR_MS)


@pytest.mark.parametrize(("name", "limit"), OF_TIME)
def test_exactly_the_allowance_is_allowed_and_a_millisecond_more_is_not(name: str, limit: Limit) -> None:
    profile = LIBRARY[name]
    rest = (HOUR_MS, inside_mc(profile))
    for mc in just_out(limit):
        if limit.allowed:
            assert use_of(profile, limit, rest, (limit.allowed, mc), rest) == (limit.allowed, False)
        assert use_of(profile, limit, rest, (limit.allowed + 1, mc), rest) == (limit.allowed + 1, True)


@pytest.mark.parametrize(("name", "limit"), OF_EVENTS)
def test_exactly_so_many_events_are_allowed_and_one_more_is_not(name: str, limit: Limit) -> None:
    profile = LIBRARY[name]
    (mc,) = just_out(limit)
    one = ((SECOND_MS, mc), (HOUR_MS, inside_mc(profile)))
    pieces: list[Piece] = [(HOUR_MS, inside_mc(profile)), *(one * limit.allowed)]
    assert use_of(profile, limit, *pieces) == (limit.allowed, False)
    assert use_of(profile, limit, *pieces, *one) == (limit.allowed + 1, True)


@pytest.mark.parametrize(("name", "limit"), OF_UNKNOWN)
def test_exactly_the_allowed_unknown_time_is_allowed_and_a_millisecond_more_is_not(name: str, limit: Limit) -> None:
    profile = LIBRARY[name]
    rest = (HOUR_MS, inside_mc(profile))
    assert use_of(profile, limit, rest, (limit.allowed, None), rest) == (limit.allowed, False)
    assert use_of(profile, limit, rest, (limit.allowed + 1, None), rest) == (limit.allowed + 1, True)


@pytest.mark.parametrize(("name", "limit"), OF_MKT)
def test_a_window_at_exactly_the_highest_mkt_passes_and_a_thousandth_above_does_not(name: str, limit: Limit) -> None:
    profile = LIBRARY[name]
    days: list[Piece] = [(DAY_MS, limit.allowed)] * (limit.window_ms // DAY_MS)
    assert not use_of(profile, limit, *days)[1]
    assert use_of(profile, limit, *days[1:], (DAY_MS, limit.allowed + 1))[1]


@pytest.mark.parametrize(("name", "limit"), EVERY_LIMIT)
def test_totals_and_counts_carry_an_opening_balance_and_nothing_else_does(name: str, limit: Limit) -> None:
    found = judge(LIBRARY[name], lasting((HOUR_MS, inside_mc(LIBRARY[name]))), {limit.id: 1})
    (used,) = (f.used for f in found.limits if f.limit_id == limit.id)
    assert can_have_opening(limit) == (used == 1)


@pytest.mark.parametrize(("name", "limit"), [(name, limit) for name, limit in OF_TIME if limit.allowed])
@pytest.mark.parametrize(("percent", "before"), [(50, None), (80, 50)])
def test_an_early_warning_begins_with_exactly_its_share_of_the_allowance(
    name: str, limit: Limit, percent: int, before: int | None
) -> None:
    mc = just_out(limit)[0]
    share_ms = limit.allowed * percent // 100
    for out_ms, expected in ((share_ms - 1, before), (share_ms, percent)):
        found = judge(LIBRARY[name], lasting((out_ms, mc)), {})
        assert [f.warned_share for f in found.limits if f.limit_id == limit.id] == [expected]


def test_the_least_share_of_the_least_allowance_is_warned_of() -> None:
    profile = LIBRARY[PH_EUR]
    least = replace(profile.limits[0], kind=Kind.ACCUMULATED, low_mc=None, high_mc=8000, allowed=1, warn_at=(1,))
    found = judge(replace(profile, limits=(least,)), lasting((1, 8001), (HOUR_MS, 5000)), {})
    assert [finding.warned_share for finding in found.limits] == [1]


@pytest.mark.parametrize("name", LIBRARY)
def test_without_a_history_nothing_is_used_and_nothing_is_good(name: str) -> None:
    found = judge(LIBRARY[name], None, {})
    assert found.verdict is Verdict.INDETERMINATE
    assert {limit.used for limit in found.limits} == {0}
    for limit, finding in zip(LIBRARY[name].limits, found.limits, strict=True):
        has_worst_case = limit.kind in (Kind.ACCUMULATED, Kind.SINGLE_EVENT)
        assert (finding.allowed, finding.worst_case_used) == (limit.allowed, 0 if has_worst_case else None)


WITHIN, OUTSIDE = Verdict.WITHIN_ALLOWANCE, Verdict.OUTSIDE

SCENARIOS: list[tuple[str, list[Piece], Verdict, list[str]]] = [
    (COLD, [(48 * HOUR_MS, 8000)], Verdict.WITHIN_LABEL, []),
    (COLD, [(48 * HOUR_MS, 8001)], OUTSIDE, ["above-8-accumulated", "mkt-24h"]),
    (COLD, [(72 * HOUR_MS, 2000), (24 * HOUR_MS, 8001)], OUTSIDE, ["mkt-24h"]),
    (COLD, [(72 * HOUR_MS, 2000), (6 * HOUR_MS, 12_000), (40 * HOUR_MS, 2000)], WITHIN, []),
    (COLD, [(72 * HOUR_MS, 5000), (6 * HOUR_MS, 14_000)], OUTSIDE, ["mkt-24h"]),
    (COLD, [(1, 15_001)], OUTSIDE, ["above-15"]),
    (COLD, [(1, 1999)], OUTSIDE, ["below-2"]),
    (CRT, [(60 * DAY_MS, 25_000)], Verdict.WITHIN_LABEL, []),
    (CRT, [(60 * DAY_MS, 20_000), (24 * HOUR_MS, 30_001)], WITHIN, []),
    (CRT, [(60 * DAY_MS, 20_000), (24 * HOUR_MS + 1, 30_001)], OUTSIDE, ["above-30-accumulated"]),
    (CRT, [(60 * DAY_MS, 20_000), (24 * HOUR_MS, 40_000)], WITHIN, []),
    (CRT, [(1, 40_001)], OUTSIDE, ["above-40"]),
    (CRT, [(60 * DAY_MS, 15_000)], WITHIN, []),
    (CRT, [(1, 14_999)], OUTSIDE, ["below-15"]),
    (PH_EUR, [(HOUR_MS, 8000), (HOUR_MS, 2000)], Verdict.WITHIN_LABEL, []),
    (PH_EUR, [(1, 8001)], OUTSIDE, ["outside-2-8"]),
    (FROZEN, [(DAY_MS, -15_000), (DAY_MS, -25_000)], Verdict.WITHIN_LABEL, []),
    (FROZEN, [(HOUR_MS, -14_999)], WITHIN, []),
    (FROZEN, [(HOUR_MS + 1, -14_999)], OUTSIDE, ["above-minus-15-accumulated"]),
    (FROZEN, [(10 * MINUTE_MS, -9999)], WITHIN, []),
    (FROZEN, [(10 * MINUTE_MS, 0)], WITHIN, []),
    (FROZEN, [(1, 1)], OUTSIDE, ["thaw"]),
    (ULTRA_LOW, [(DAY_MS, -60_000)], Verdict.WITHIN_LABEL, []),
    (ULTRA_LOW, [(10 * MINUTE_MS, -59_999)], WITHIN, []),
    (ULTRA_LOW, [(10 * MINUTE_MS + 1, -59_999)], OUTSIDE, ["above-minus-60-single"]),
    (CRYOGENIC, [(DAY_MS, -150_000)], Verdict.WITHIN_LABEL, []),
    (CRYOGENIC, [(60 * SECOND_MS, -149_999)], WITHIN, []),
    (CRYOGENIC, [(60 * SECOND_MS + 1, -149_999)], OUTSIDE, ["above-minus-150-dwell"]),
    (CRYOGENIC, [(SECOND_MS, -149_999), (SECOND_MS, -150_000)] * 6, WITHIN, []),
    (CRYOGENIC, [(SECOND_MS, -149_999), (SECOND_MS, -150_000)] * 7, OUTSIDE, ["transfers"]),
    (CRYOGENIC, [(1, -129_999)], OUTSIDE, ["above-minus-130"]),
    (TYPE_1, [(HOUR_MS, 45_000)], WITHIN, []),
    (TYPE_1, [(HOUR_MS + 1, 45_000)], OUTSIDE, ["at-45-single"]),
    (TYPE_1, [(10 * HOUR_MS + 1, 44_999)], OUTSIDE, ["at-30-accumulated"]),
    (TYPE_1, [(10 * HOUR_MS, 30_000)], WITHIN, []),
    (TYPE_1, [(HOUR_MS + 1, -500)], OUTSIDE, ["at-minus-0.5-single"]),
    (TYPE_1, [(99 * HOUR_MS, -499), (99 * HOUR_MS, 29_999)], WITHIN, []),
    (TYPE_2, [(20 * HOUR_MS, 10_000), (99 * HOUR_MS, 9999)], WITHIN, []),
    (TYPE_2, [(20 * HOUR_MS + 1, 10_000)], OUTSIDE, ["at-10-accumulated"]),
    (MAB, [(72 * HOUR_MS, 8001)], WITHIN, []),
    (MAB, [(64 * HOUR_MS, 8001), (8 * HOUR_MS, 25_001)], WITHIN, []),
    (MAB, [(64 * HOUR_MS + 1, 8001), (8 * HOUR_MS, 25_001)], OUTSIDE, ["above-8-accumulated"]),
    (MAB, [(24 * HOUR_MS + 1, 15_001)], OUTSIDE, ["above-15-accumulated"]),
    (MAB, [(HOUR_MS + 1, 30_001)], OUTSIDE, ["above-30-accumulated"]),
    (MAB, [(1, -1)], OUTSIDE, ["below-0"]),
    (VACCINE, [(HOUR_MS, 0)], WITHIN, []),
    (VACCINE, [(1, -1)], OUTSIDE, ["must-not-freeze"]),
    (VACCINE, [(48 * HOUR_MS + 1, 8001)], OUTSIDE, ["above-8-accumulated"]),
    (TABLET, [(60 * DAY_MS, 25_000)], Verdict.WITHIN_LABEL, []),
    (TABLET, [(30 * DAY_MS, 25_001)], OUTSIDE, ["mkt-30d"]),
    (TABLET, [(24 * HOUR_MS, 30_001), (29 * DAY_MS, 20_000)], WITHIN, []),
    (EARLY, [(DAY_MS, 2000), (DAY_MS, 8000)], Verdict.WITHIN_LABEL, []),
    (EARLY, [(1, 8001)], OUTSIDE, ["no-allowance"]),
    (EARLY, [(1, 1999)], OUTSIDE, ["no-allowance"]),
    (EARLY, [(30 * MINUTE_MS, None), (MINUTE_MS, 5000), (30 * MINUTE_MS, None)], Verdict.WITHIN_LABEL, []),
    (EARLY, [(30 * MINUTE_MS + 1, None)], Verdict.INDETERMINATE, ["unknown-single"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "pieces", "verdict", "limits"), SCENARIOS)
def test_what_happens_to_a_kit_is_judged_as_its_template_says(
    name: str, pieces: list[Piece], verdict: Verdict, limits: list[str]
) -> None:
    assert breached(LIBRARY[name], *pieces) == (verdict, limits)


def test_every_template_has_a_scenario() -> None:
    assert {name for name, *_ in SCENARIOS} == set(LIBRARY)
