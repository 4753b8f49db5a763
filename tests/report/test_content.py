"""The JSON edition: complete, canonical, and bound to its hash."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coldchain.history import History, Series
from coldchain.model import Kit, OpeningBalance, Verdict
from coldchain.profiles import composite
from coldchain.readings import ChannelKey
from coldchain.report import Report, as_json, content_sha256, report_id
from coldchain.report.content import canonical, history_sha256, place_at
from report.cases import CUSTODY, DAY, HOUR, MINUTE, PROFILE, T0, Case, excursion_series

KITS = tuple(Kit(f"K-{n:04}", "B22" if n < 3 else "B23", "TRIAL-7", "mab-017") for n in range(1, 6))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside lists and tables."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    return [path] if items is None else [leaf for key, child in items for leaf in leaves(child, (*path, key))]


def test_anyone_can_verify_the_hash_with_a_plain_json_library(excursion: Report) -> None:
    document = json.loads(canonical(as_json(excursion)))
    stated = document.pop("report_sha256")
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == stated


def test_any_changed_value_changes_the_hash(excursion: Report) -> None:
    document = as_json(excursion)
    paths = [path for path in leaves(document) if path != ("report_sha256",)]
    assert len(paths) > 150
    for path in paths:
        changed = copy.deepcopy(document)
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = "tampered"
        assert content_sha256(changed) != document["report_sha256"], path


def test_the_report_id_is_the_start_of_the_hash(excursion: Report) -> None:
    document = as_json(excursion)
    assert report_id(document) == f"SIR-{document['report_sha256'][:12].upper()}"


def test_equal_evidence_gives_equal_bytes_whatever_the_order(excursion: Report) -> None:
    assert canonical(as_json(Case().report())) == canonical(as_json(excursion))
    rows = Case(kits=KITS).report_kits()
    turned = Case(monitoring=Case().monitoring[::-1]).report(rows[::-1])
    assert canonical(as_json(turned)) == canonical(as_json(Case(kits=KITS).report(rows)))


@pytest.mark.parametrize("column", ["at_ms", "temperature_mc"])
def test_a_changed_reading_changes_the_report_hash(excursion: Report, column: str) -> None:
    series = excursion_series()
    key = ChannelKey("lg-1001", "1")
    changed = Series(series[key].at_ms.copy(), series[key].temperature_mc.copy())
    getattr(changed, column)[100] += 1
    series[key] = changed
    assert content_sha256(as_json(Case(series=series).report())) != as_json(excursion)["report_sha256"]


def test_a_change_that_only_the_plot_would_show_changes_the_hash(excursion: Report) -> None:
    (kit,) = excursion.sections[0].kits
    assert kit.history is not None
    cold = kit.history.cold_mc.copy()
    cold[200] -= 1
    drawn = replace(kit, history=replace(kit.history, cold_mc=cold))
    assert as_json(Case().report([drawn]))["report_sha256"] != as_json(excursion)["report_sha256"]


@pytest.mark.parametrize("name", ["end_ms", "hot_mc", "cold_mc"])
def test_the_history_hash_covers_every_column_and_the_start(excursion: Report, name: str) -> None:
    history = excursion.sections[0].kits[0].history
    assert history is not None
    columns = {key: getattr(history, key).copy() for key in ("end_ms", "hot_mc", "cold_mc")}
    columns[name][7] += 1
    hashes = {
        history_sha256(history),
        history_sha256(History(history.start_ms, **columns)),
        history_sha256(replace(history, start_ms=history.start_ms - 1)),
    }
    assert len(hashes) == 3


def test_the_decision_box_holds_verdict_governing_limit_and_level_of_evidence(excursion: Report) -> None:
    decision = as_json(excursion)["sections"][0]["decision"]
    assert decision["status"] == "quarantined"
    assert decision["verdict"] == Verdict.OUTSIDE
    assert decision["governing_limit"] == "above-8-single"
    assert decision["evidence_level"] == "S1: allowance table"
    assert decision["proposed_outcome"].startswith("Do not release")


def test_an_event_names_the_place_where_the_limit_was_passed(excursion: Report) -> None:
    events = as_json(excursion)["sections"][0]["events"]
    assert [(event["limit"], event["place"]) for event in events] == [
        ("mkt-24h", "shipper-77"),
        ("above-8-single", "shipper-77"),
    ]
    assert [event["breached_at_ms"] for event in events] == sorted(event["breached_at_ms"] for event in events)


def test_a_report_lists_the_versions_that_applied_of_a_blind_group_all_of_them() -> None:
    other = replace(PROFILE, name="comparator-02", version=1, sha256="b" * 64)
    both = as_json(Case(profile=composite("TRIAL-7", [PROFILE, other])).report())
    expected = [
        {"name": each.name, "version": each.version, "effective_from_ms": each.effective_from_ms, "sha256": each.sha256}
        for each in (other, PROFILE)
    ]
    assert both["rules"] == both["sections"][0]["profile"]["applied"] == expected
    assert as_json(Case().report())["rules"] == expected[1:]


def test_a_version_that_judges_before_its_date_is_a_caution() -> None:
    ahead = replace(PROFILE, effective_from_ms=T0 + 6 * DAY)
    said = "Version 3 of mab-017 is not in force before 2026-03-07T00:00:00Z."
    assert said in as_json(Case(profile=ahead).report())["sections"][0]["decision"]["cautions"]
    at_last = replace(PROFILE, effective_from_ms=T0 + 5 * DAY)
    assert said[:9] not in str(as_json(Case(profile=at_last).report())["sections"][0]["decision"]["cautions"])


def test_events_of_two_versions_are_two_rows_each_with_the_hash_of_its_file() -> None:
    (kit,) = Case().report_kits()
    first = replace(kit.events[0], profile_sha256="a" * 64)
    second = replace(first, id="event-2", profile_version=4, profile_sha256="b" * 64)
    old = replace(first, id="event-3", profile_version=2, profile_sha256=None)
    (section,) = as_json(Case().report([replace(kit, events=(first, second, old))]))["sections"]
    told = [(row["profile_version"], row["profile_sha256"], row["ids"]) for row in section["events"]]
    assert told == [
        (2, None, {"K-0001": "event-3"}),
        (3, "a" * 64, {"K-0001": first.id}),
        (4, "b" * 64, {"K-0001": "event-2"}),
    ]


@pytest.mark.parametrize(
    ("at_ms", "place"),
    [
        (T0 - 1, None),
        (T0, "depot-basel"),
        (T0 + 48 * HOUR - 1, "depot-basel"),
        (T0 + 48 * HOUR, "shipper-77"),
        (T0 + 999 * HOUR, "shipper-77"),
    ],
)
def test_a_breach_at_the_hand_over_belongs_to_the_place_that_follows(at_ms: int, place: str | None) -> None:
    assert place_at(CUSTODY, at_ms) == place


def test_equal_events_of_many_kits_are_one_row_with_the_id_of_each() -> None:
    (section,) = as_json(Case(kits=KITS).report())["sections"]
    assert len(section["events"]) == 2
    assert section["events"][0]["ids"] == {kit.id: f"event-{kit.id}-mkt-24h" for kit in KITS}
    assert section["kits"]["ids"] == [kit.id for kit in KITS]
    assert section["kits"]["batches"] == ["B22", "B23"]


def test_events_detected_at_different_times_are_separate_rows() -> None:
    rows = Case(kits=KITS[:2]).report_kits()
    later = tuple(replace(event, detected_at_ms=event.detected_at_ms + 1) for event in rows[1].events)
    (section,) = as_json(Case().report([rows[0], replace(rows[1], events=later)]))["sections"]
    assert [event["kits"] for event in section["events"]] == ["K-0001", "K-0002"] * 2


def test_time_per_threshold_has_best_and_worst_case_and_leaves_out_opening_balances() -> None:
    kit = replace(KITS[0], opening=(OpeningBalance("above-8-accumulated", HOUR),))
    (section,) = as_json(Case(kits=(kit,)).report())["sections"]
    above, hot, below = section["thermal"]["thresholds"]
    assert (above["side"], above["bound_c"]) == ("above", 8.0)
    assert (hot["bound_c"], hot["total_ms"]) == (25.0, 0)
    assert (below["side"], below["bound_c"]) == ("below", 2.0)
    assert above["total_ms"] == section["thermal"]["excursions"][0]["out_of_range_ms"]
    assert section["limits"][0]["used"] == above["total_ms"] + HOUR
    assert above["worst_total_ms"] >= above["total_ms"]


def test_nothing_known_gives_null_and_never_zero() -> None:
    (section,) = as_json(Case(series={}, as_of_ms=T0 + HOUR).report())["sections"]
    thermal = section["thermal"]
    assert [thermal[key] for key in ("min_c", "max_c", "mean_c", "mkt_c")] == [None] * 4
    assert thermal["thresholds"] == []
    assert section["data"]["unknown_ms"] == HOUR
    assert not section["decision"]["is_computable"]


def test_a_kit_without_custody_is_reported_without_history() -> None:
    document = as_json(Case(custody=()).report())
    (section,) = document["sections"]
    assert document["as_of_ms"] is None
    assert section["data"]["history_sha256"] is None
    assert section["data"]["custody_problems"] == ["custody_missing"]
    assert "no quarantine event" in " ".join(section["decision"]["cautions"])


def test_readings_outside_calibration_and_conflicts_are_cautions() -> None:
    series = excursion_series()
    key = ChannelKey("lg-2002", "1")
    at = np.insert(series[key].at_ms, 1, series[key].at_ms[0])
    temperature = np.insert(series[key].temperature_mc, 1, series[key].temperature_mc[0] + 1)
    series[key] = Series(at, temperature)
    loggers = dict(Case().loggers)
    loggers["lg-1001"] = replace(loggers["lg-1001"], calibrated_until_ms=T0 + MINUTE)
    (section,) = as_json(Case(series=series, loggers=loggers).report())["sections"]
    cautions = " ".join(section["decision"]["cautions"])
    assert "calibration's validity count as unknown: lg-1001" in cautions
    assert "two different temperatures" in cautions
    assert section["data"]["conflicts"][0]["logger"] == "lg-2002"


def test_a_reached_early_warning_is_a_caution() -> None:
    kit = replace(KITS[0], opening=(OpeningBalance("above-8-accumulated", 60 * HOUR),))
    (section,) = as_json(Case(kits=(kit,), custody=CUSTODY[:1]).report())["sections"]
    assert "Limit above-8-accumulated has reached 80 % of what is allowed." in section["decision"]["cautions"]


def test_sections_beyond_the_alphabet_have_two_letters() -> None:
    kits = tuple(
        Kit(f"K-{n:04}", "B", "T", "mab-017", None, (OpeningBalance("above-8-accumulated", n * HOUR),))
        for n in range(28)
    )
    names = [section["name"] for section in as_json(Case(kits=kits, custody=CUSTODY[:1]).report())["sections"]]
    assert names[:2] + names[-3:] == ["A", "B", "Z", "AA", "AB"]
