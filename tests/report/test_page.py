"""The HTML edition: what a reader finds, and what no name can smuggle in."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from coldchain.history import Series
from coldchain.model import CustodySegment, Kit, Severity, Stage
from coldchain.profiles import StageShare
from coldchain.readings import ChannelKey
from coldchain.report import Report, as_html, as_json
from report.cases import CUSTODY, DAY, HOUR, LIMITS, LOGGERS, MONITORING, PROFILE, T0, Case, excursion_series

HOSTILE = '<script>alert("x")</script>\'&{{ 7*7 }}</style>'


def shown(report: Report) -> str:
    """The visible text, one space between words."""
    texts: list[str] = []
    hidden = 0

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - its form
            nonlocal hidden
            hidden += tag in ("style", "title", "desc")

        def handle_endtag(self, tag: str) -> None:
            nonlocal hidden
            hidden -= tag in ("style", "title", "desc")

        def handle_data(self, data: str) -> None:
            if not hidden:
                texts.append(data)

    Reader().feed(as_html(report))
    return " ".join(" ".join(texts).split())


def test_the_parts_come_in_the_order_a_qp_reads(excursion: Report) -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", as_html(excursion))
    assert headings == [
        "1 Decision",
        "2 Event",
        "3 Labelled and permitted conditions",
        "4 Data integrity",
        "5 Thermal evaluation",
        "6 Lifetime budget",
        "Appendix",
    ]


def test_the_decision_box_recommends_and_leaves_the_decision_to_a_person(excursion: Report) -> None:
    text = shown(excursion)
    box = text[: text.index("2 Event")]
    for words in (
        "quarantined",
        "Outside the allowance",
        "above-8-single",
        "exceeded by 3 h 15 min",
        "S1: allowance table",
        "Proposed outcome (recommendation, not a decision)",
        "Decision of the responsible person",
        "Name",
        "Role",
        "Date and time (UTC)",
        "Signature",
    ):
        assert words in box


def test_mkt_is_printed_with_window_energy_coverage_and_interval_rule(excursion: Report) -> None:
    text = shown(excursion)
    assert "window 96 h, activation energy 83.145 kJ/mol , coverage 97.22 %, interval rule: preceding" in text
    assert "window 24 h, activation energy 83.145 kJ/mol , coverage at least 90 %, interval rule: preceding" in text


def test_every_hash_is_printed_in_full(excursion: Report) -> None:
    document = as_json(excursion)
    text = shown(excursion)
    section = document["sections"][0]
    hashes = [document["report_sha256"], section["profile"]["sha256"], section["data"]["history_sha256"]]
    for value in hashes + [logger["readings_sha256"] for logger in section["loggers"]]:
        assert value in text


def test_instants_with_milliseconds_keep_them() -> None:
    custody = (CustodySegment("depot-basel", T0 + 123, T0 + 2 * DAY), CUSTODY[1])
    assert "00:00:00.123Z" in shown(Case(custody=custody).report())


def test_names_from_outside_are_only_ever_text() -> None:
    kit = Kit(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    logger = replace(LOGGERS["lg-1001"], id=HOSTILE)
    limits = tuple(replace(limit, id=f"{HOSTILE}{n}", source=HOSTILE) for n, limit in enumerate(LIMITS))
    case = Case(
        kits=(kit,),
        series={ChannelKey(HOSTILE, HOSTILE): excursion_series()[ChannelKey("lg-2002", "1")]},
        profile=replace(PROFILE, name=HOSTILE, title=HOSTILE, document=HOSTILE, author=HOSTILE, limits=limits),
        loggers={HOSTILE: logger},
        monitoring=(replace(MONITORING[1], logger=HOSTILE, channel=HOSTILE, place=HOSTILE),),
        custody=(CustodySegment(HOSTILE, T0, T0 + DAY), CustodySegment(HOSTILE, T0 + DAY + 1)),
    )
    page = as_html(case.report())
    assert "<script" not in page
    assert page.count("</style>") == 1
    assert "&lt;script&gt;" in page
    assert "49" not in re.sub(r"[0-9a-f]{64}|[\d.]+", "", page)
    assert shown(case.report()).count(HOSTILE) > 10


def test_the_page_reaches_for_nothing(excursion: Report) -> None:
    page = as_html(excursion)
    assert not re.search(r"<(script|link|img|iframe|object|embed|base)\b", page)
    assert set(re.findall(r"url\(([^)]*)\)", page)) == {"#plot-1-hatch"}
    assert set(re.findall(r"https?://[^\"' ]*", page)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page


def test_each_group_has_its_own_plot_with_its_own_ids() -> None:
    rows = Case().report_kits() + Case(kits=(Kit("K-2", "B", "T", "mab-017"),), custody=CUSTODY[:1]).report_kits()
    page = as_html(Case().report(rows))
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids)) == 6
    assert "Group A" in page
    assert "Group B" in page


def test_a_kit_without_custody_says_not_computable_and_shows_no_number_for_it() -> None:
    text = shown(Case(custody=()).report())
    assert "Not computable: no temperature is known" in text
    assert "No logger watched these kits" in text
    budget = text[text.index("6 Lifetime budget") : text.index("Over the kits' whole")]
    assert budget.count("not computable") == 4 * len(LIMITS)
    assert " 0 s 0 s " not in budget


def test_indeterminate_mkt_is_said_in_words() -> None:
    text = shown(Case(as_of_ms=T0 + 5 * HOUR).report())
    assert "MKT, highest trailing window indeterminate" in text
    assert "no window has enough data" in text


def test_events_cannot_be_bounded_while_time_is_unknown(excursion: Report) -> None:
    assert "below-2-events warning only 0 not bounded 2 2 not breached" in shown(excursion)
    known = Case(custody=CUSTODY[:1]).report()
    assert "below-2-events warning only 0 0 2 2 not breached" in shown(known)


def test_a_kept_limit_that_allows_nothing_has_no_amount_remaining(excursion: Report) -> None:
    assert "above-25-accumulated 0 s 0 s 0 s none is allowed not breached" in shown(excursion)


def test_a_frozen_product_has_no_mkt() -> None:
    frozen = replace(PROFILE, label_low_mc=-25_000, label_high_mc=-10_000, limits=LIMITS[:1])
    text = shown(Case(profile=frozen).report())
    assert "MKT, whole period not computed no MKT for frozen products" in text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (None, 25_000, "Labelled range at or below 25.0 °C"),
        (-150_000, None, "Labelled range at or above -150.0 °C"),
        (2_000, 8_040, "Labelled range 2.0 °C to 8.04 °C"),
    ],
)
def test_the_label_range_may_have_one_side(low: int | None, high: int | None, text: str) -> None:
    profile = replace(PROFILE, label_low_mc=low, label_high_mc=high, limits=LIMITS[:1])
    assert text in shown(Case(profile=profile).report())


def test_a_composite_of_a_blind_group_has_no_version_and_several_energies() -> None:
    blind = replace(PROFILE, version=None, is_composite=True, activation_energies_j_mol=(60_000.0, 90_000.0))
    text = shown(Case(profile=blind).report())
    assert "mab-017 (composite, no version)" in text
    assert "60.0 kJ/mol , 90.0 kJ/mol (the highest result)" in text


def test_custody_problems_are_readable() -> None:
    gap = (CUSTODY[0], replace(CUSTODY[1], from_ms=CUSTODY[1].from_ms + HOUR))
    assert "custody gap from 2026-03-03T00:00:00Z" in shown(Case(custody=gap).report())
    overlap = (CUSTODY[0], replace(CUSTODY[1], from_ms=CUSTODY[1].from_ms - HOUR))
    assert "custody overlap of depot-basel and shipper-77 from 2026-03-02T23:00:00Z" in shown(
        Case(custody=overlap).report()
    )


def test_a_conflict_governs_a_kit_that_keeps_its_limits() -> None:
    series = excursion_series()
    key = ChannelKey("lg-1001", "1")
    at, temperature = series[key].at_ms.copy(), series[key].temperature_mc.copy()
    at[1], temperature[1] = at[0], temperature[0] + 1
    series[key] = Series(at, temperature)
    text = shown(Case(series=series, custody=CUSTODY[:1]).report())
    assert "data-integrity : two different temperatures for one instant" in text
    assert "1: lg-1001 / 1 at 2026-03-01T00:05:00Z" in text


def test_many_excursions_show_the_longest_and_say_so() -> None:
    series = excursion_series()
    key = ChannelKey("lg-1001", "1")
    temperature = series[key].temperature_mc.copy()
    temperature[::8] = 9_000
    temperature[96:100] = 9_500
    series[key] = Series(series[key].at_ms, temperature)
    text = shown(Case(series=series, custody=CUSTODY[:1]).report())
    assert "The 40 longest of 72 excursions" in text
    assert "20 min 9.5 °C" in text


def test_time_left_at_the_present_temperature_is_shown_while_out_of_range() -> None:
    text = shown(Case(as_of_ms=T0 + 62 * HOUR).report())
    assert re.search(r"gone in [\d hmin]+ at this temperature", text)


def test_a_warning_limit_is_marked_as_such() -> None:
    warn = replace(PROFILE, limits=(replace(LIMITS[1], severity=Severity.WARN), *LIMITS[5:]))
    text = shown(Case(profile=warn).report())
    assert "above-8-single warning only" in text
    assert "available" in text[: text.index("2 Event")]


def test_the_budget_shows_a_row_for_each_stage_with_a_share_and_what_it_means() -> None:
    shares = StageShare(Stage.DEPOT, HOUR), StageShare(Stage.TRANSIT, 10 * HOUR), StageShare(Stage.SITE, 0)
    profile = replace(PROFILE, limits=(replace(LIMITS[0], stages=shares), *LIMITS[1:]))
    text = shown(Case(profile=profile).report())
    assert "of it in depots 0 s 1 h 1 h share of the stage: early warning only" in text
    assert re.search(r"of it in transit 1\d h [^f]*10 h passed by [\dh min]+ share of the stage", text)
    assert "of it at sites 0 s 0 s none left share" in text
    assert "More of limit above-8-accumulated is used up than the share of the stage transit." in text
    assert "stage depot" not in text
    unknown = shown(Case(profile=profile, series={}).report())
    assert "of it in depots not computable 1 h not computable share" in unknown
