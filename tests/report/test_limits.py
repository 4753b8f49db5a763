"""One row of the lifetime budget."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from coldchain.history import Series
from coldchain.model import Kind, Kit, OpeningBalance, Severity, Stage
from coldchain.profiles import Limit, StabilityProfile, StageShare
from coldchain.readings import ChannelKey
from coldchain.report import as_json
from coldchain.report.limits import condition, limit_row
from report.cases import DAY, HOUR, LIMITS, PROFILE, T0, Case, excursion_series

SHIPPER = ChannelKey("lg-2002", "1")


def row(name: str, case: Case | None = None) -> dict[str, Any]:
    kit = (case or Case()).report_kits()[0]
    limit = next(limit for limit in kit.profile.limits if limit.id == name)
    found = next(finding for finding in kit.assessment.limits if finding.limit_id == name)
    return limit_row(limit, found, kit.kit, kit.assessment)


def limit(kind: Kind, allowed: int, low_mc: int | None = None, high_mc: int | None = None) -> Limit:
    return Limit("x", kind, Severity.QUARANTINE, "s", low_mc, high_mc, allowed, DAY, Decimal("0.9"))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (limit(Kind.ACCUMULATED, 72 * HOUR, None, 8_000), "above 8.0 °C, accumulated: at most 72 h"),
        (limit(Kind.ACCUMULATED, 0, -500, None), "below -0.5 °C, accumulated: never"),
        (limit(Kind.SINGLE_EVENT, HOUR, 2_000, 8_040), "outside 2.0 to 8.04 °C, single event: at most 1 h"),
        (limit(Kind.EVENTS, 1, None, -15_000), "above -15.0 °C: at most 1 event"),
        (limit(Kind.EVENTS, 0, None, -15_000), "above -15.0 °C: never"),
        (limit(Kind.MKT, 8_000), "MKT over the trailing 24 h: at most 8.0 °C"),
        (limit(Kind.UNKNOWN_SINGLE, 6 * HOUR), "time without data, in one stretch: at most 6 h"),
        (limit(Kind.UNKNOWN_ACCUMULATED, 0), "time without data, accumulated: never"),
    ],
)
def test_a_limit_says_what_it_permits(rule: Limit, text: str) -> None:
    assert condition(rule) == text


def staged(*shares: tuple[Stage, int]) -> StabilityProfile:
    """The profile with shares of its first budget, 72 h above 8 degC."""
    first = replace(LIMITS[0], stages=tuple(StageShare(*share) for share in shares))
    return replace(PROFILE, limits=(first, *LIMITS[1:]))


def test_a_limit_with_shares_shows_the_use_of_each_stage() -> None:
    shares = staged((Stage.DEPOT, HOUR), (Stage.TRANSIT, 10 * HOUR), (Stage.SITE, 0))
    found = row("above-8-accumulated", Case(profile=shares))
    depot, transit, site = found["stages"]
    assert depot == {"stage": "depot", "used_ms": 0, "allowed_ms": HOUR, "remaining_ms": HOUR}
    assert (transit["used_ms"], transit["remaining_ms"]) == (found["used"], 10 * HOUR - found["used"])
    assert transit["remaining_ms"] < 0
    assert (site["used_ms"], site["remaining_ms"]) == (0, 0)
    assert "stages" not in row("above-8-accumulated")


def test_without_any_known_temperature_no_use_of_a_stage_is_given() -> None:
    found = row("above-8-accumulated", Case(profile=staged((Stage.DEPOT, HOUR)), series={}))
    assert found["stages"] == [{"stage": "depot", "used_ms": None, "allowed_ms": HOUR, "remaining_ms": None}]


def test_a_kept_limit_shows_what_remains() -> None:
    kept = row("above-8-accumulated")
    assert (kept["state"], kept["used"] + kept["remaining"], kept["allowed"]) == ("kept", 72 * HOUR, 72 * HOUR)
    assert kept["breached_at_ms"] is None


def test_an_exceeded_limit_shows_by_how_much_and_since_when() -> None:
    exceeded = row("above-8-single")
    assert exceeded["state"] == "exceeded"
    assert exceeded["remaining"] == 10 * HOUR - exceeded["used"] < 0
    assert exceeded["breached_at_ms"] is not None


def test_mkt_comes_with_window_coverage_and_activation_energy() -> None:
    mkt = row("mkt-24h")
    assert (mkt["unit"], mkt["allowed"], mkt["window_ms"], mkt["min_coverage"]) == ("degC", 8.0, DAY, "0.9")
    assert mkt["activation_energy_j_mol"] == 83144.62618
    assert mkt["used"] > 8.0


def test_without_an_eligible_window_mkt_is_indeterminate_not_kept() -> None:
    short = row("mkt-24h", Case(as_of_ms=Case().custody[0].from_ms + 5 * HOUR))
    assert (short["state"], short["used"], short["remaining"]) == ("indeterminate", None, None)


def test_with_nothing_known_temperature_limits_are_not_computable_and_unknown_time_is_counted() -> None:
    blind = Case(series={}, as_of_ms=Case().custody[0].from_ms + 5 * HOUR)
    assert {row(rule.id, blind)["state"] for rule in LIMITS[:5]} == {"not computable"}
    assert row("above-8-accumulated", blind)["used"] is None
    assert row("unknown-single", blind)["used"] == 5 * HOUR


def test_without_custody_no_limit_is_computable() -> None:
    assert {row(rule.id, Case(custody=()))["state"] for rule in LIMITS} == {"not computable"}


def test_an_opening_balance_is_shown_and_counted() -> None:
    kit = Kit("K-1", "B", "T", "mab-017", None, (OpeningBalance("above-8-accumulated", 50 * HOUR),))
    opened = row("above-8-accumulated", Case(kits=(kit,)))
    assert opened["opening"] == 50 * HOUR
    assert opened["used"] == row("above-8-accumulated")["used"] + 50 * HOUR


def test_an_opening_balance_beyond_the_limit_is_exceeded_even_without_custody() -> None:
    kit = Kit("K-1", "B", "T", "mab-017", None, (OpeningBalance("above-8-accumulated", 73 * HOUR),))
    assert row("above-8-accumulated", Case(kits=(kit,), custody=()))["state"] == "exceeded"


def test_a_worst_case_beyond_the_limit_is_pointed_out() -> None:
    strict = replace(PROFILE, limits=(replace(LIMITS[0], allowed=14 * HOUR), *LIMITS[1:]))
    series = excursion_series()
    shipper = series[SHIPPER]
    silent = (shipper.at_ms > T0 + 73 * HOUR) & (shipper.at_ms <= T0 + 78 * HOUR)
    series[SHIPPER] = Series(shipper.at_ms[~silent], shipper.temperature_mc[~silent])
    case = Case(profile=strict, series=series)
    (section,) = as_json(case.report())["sections"]
    assert section["limits"][0]["state"] == "kept"
    assert section["limits"][0]["worst_case_exceeds"]
    assert any("above-8-accumulated would be exceeded" in text for text in section["decision"]["cautions"])
