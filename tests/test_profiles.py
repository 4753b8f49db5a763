"""Stability profiles: what a reviewed file says, and that nothing doubtful gets past it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from coldchain import profile_mistakes
from coldchain.errors import BadInput
from coldchain.instant import instant_ms
from coldchain.model import Kind, Severity
from coldchain.profiles import Limit, StabilityProfile, composite, load_profile, load_profiles, parse_profile

RULES = Path(__file__).parents[1] / "rules"

PROFILE = """\
profile = "mab-017"
version = 3
title = "mAb 017, vial"
effective_from = 2026-01-01T00:00:00Z
label_low_c = 2.0
label_high_c = 8.0

[source]
document = "STAB-0042"
version = "4"

[approval]
author = "qa-author"
approver = "qa-approver"
approved_at = 2025-12-20T10:00:00+01:00

[[limit]]
id = "above-8"
above_c = 8.0
accumulated = "72h"
source = "section 5.2"

[[limit]]
id = "unknown"
unknown_accumulated = "24h"
source = "section 6"
"""
MKT = '\n[[limit]]\nid = "mkt"\nmkt_window = "24h"\nmkt_max_c = 8.0\nsource = "section 5.5"\n'
FROZEN = PROFILE.replace("label_low_c = 2.0", "label_low_c = -25.0").replace("label_high_c = 8.0", "label_high_c = -15")


def changed(old: str, new: str, text: str = PROFILE) -> str:
    assert old in text
    return text.replace(old, new, 1)


def refusal(text: str) -> BadInput:
    with pytest.raises(BadInput) as caught:
        parse_profile(text, "rules/mab-017.toml")
    return caught.value


def limits(text: str) -> tuple[Limit, ...]:
    return parse_profile(text, "f.toml").limits


def test_a_profile_says_what_its_file_says() -> None:
    found = parse_profile(PROFILE, "f.toml")
    assert found == StabilityProfile(
        name="mab-017",
        version=3,
        title="mAb 017, vial",
        label_low_mc=2000,
        label_high_mc=8000,
        activation_energies_j_mol=(83144.62618,),
        limits=(
            Limit("above-8", Kind.ACCUMULATED, Severity.QUARANTINE, "section 5.2", None, 8000, 72 * 3_600_000),
            Limit("unknown", Kind.UNKNOWN_ACCUMULATED, Severity.QUARANTINE, "section 6", None, None, 86_400_000),
        ),
        document="STAB-0042",
        document_version="4",
        author="qa-author",
        approver="qa-approver",
        approved_at_ms=instant_ms("2025-12-20T09:00:00Z"),
        effective_from_ms=instant_ms("2026-01-01T00:00:00Z"),
        sha256=hashlib.sha256(PROFILE.encode()).hexdigest(),
        is_composite=False,
    )
    assert not found.is_frozen
    assert parse_profile(FROZEN, "f.toml").is_frozen


@pytest.mark.parametrize(
    ("measure", "kind", "low_mc", "high_mc", "allowed"),
    [
        ('above_c = 8.004\naccumulated = "0s"', Kind.ACCUMULATED, None, 8004, 0),
        ('below_c = -0.5\nsingle_event = "30min"', Kind.SINGLE_EVENT, -500, None, 1_800_000),
        ("outside_c = [2, 8.0]\nevents = 0", Kind.EVENTS, 2000, 8000, 0),
        ('outside_c = [2.0, 2.0]\naccumulated = "7d"', Kind.ACCUMULATED, 2000, 2000, 604_800_000),
        ('unknown_single = "250ms"', Kind.UNKNOWN_SINGLE, None, None, 250),
        ('mkt_window = "24h"\nmkt_max_c = 8.0', Kind.MKT, None, None, 8000),
    ],
)
def test_each_measure_becomes_a_limit_in_exact_units(
    measure: str, kind: Kind, low_mc: int | None, high_mc: int | None, allowed: int
) -> None:
    (found, _) = limits(changed('above_c = 8.0\naccumulated = "72h"', measure))
    assert (found.kind, found.low_mc, found.high_mc, found.allowed) == (kind, low_mc, high_mc, allowed)


def test_an_mkt_limit_carries_its_window_coverage_and_activation_energy() -> None:
    text = changed("label_low_c", "activation_energy_j_mol = 60000.5\nlabel_low_c") + MKT
    mkt = limits(text)[2]
    assert (mkt.window_ms, mkt.min_coverage, mkt.activation_energy_j_mol) == (86_400_000, Decimal("0.9"), 60000.5)
    assert parse_profile(text, "f.toml").activation_energies_j_mol == (60000.5,)
    warn = limits(changed('mkt_window = "24h"', 'mkt_window = "24h"\nmin_coverage = 0.75\nseverity = "warn"', text))[2]
    assert (warn.min_coverage, warn.severity) == (Decimal("0.75"), Severity.WARN)


def test_whole_numbers_serve_where_decimals_do() -> None:
    text = changed("label_low_c = 2.0", "activation_energy_j_mol = 60000\nlabel_low_c = 2") + MKT
    found = parse_profile(changed("mkt_max_c", "min_coverage = 1\nmkt_max_c", text), "f.toml")
    assert (found.label_low_mc, found.activation_energies_j_mol) == (2000, (60000.0,))
    assert found.limits[2].min_coverage == 1


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "value"),
    [
        pytest.param("above_c", "abve_c", 19, "limit[1].abve_c", 8.0, id="an unknown key"),
        pytest.param("label_low_c", "label_lo_c", 5, "label_lo_c", 2.0, id="an unknown key at the top"),
        pytest.param('document = "STAB-0042"', 'document = ""', 9, "source.document", "", id="an empty source"),
        pytest.param('"section 5.2"', '" "', 21, "limit[1].source", " ", id="a blank source of a limit"),
        pytest.param("above_c = 8.0", "above_c = 8.0001", 19, "limit[1].above_c", 8.0001, id="four decimals"),
        pytest.param("above_c = 8.0", "above_c = true", 19, "limit[1].above_c", True, id="a truth value"),
        pytest.param("above_c = 8.0", 'above_c = "8.0"', 19, "limit[1].above_c", "8.0", id="a text"),
        pytest.param("above_c = 8.0", "above_c = inf", 19, "limit[1].above_c", float("inf"), id="infinity"),
        pytest.param("above_c = 8.0", "above_c = 1000.001", 19, "limit[1].above_c", 1000.001, id="too hot"),
        pytest.param("above_c = 8.0", "above_c = -273.151", 19, "limit[1].above_c", -273.151, id="too cold"),
        pytest.param('"72h"', '"72 hours"', 20, "limit[1].accumulated", "72 hours", id="a bad duration"),
        pytest.param('"72h"', '"-72h"', 20, "limit[1].accumulated", "-72h", id="a negative duration"),
        pytest.param('"72h"', "72", 20, "limit[1].accumulated", 72, id="a duration without unit"),
        pytest.param('accumulated = "72h"', "events = true", 20, "limit[1].events", True, id="a count that is none"),
        pytest.param('accumulated = "72h"', "events = -1", 20, "limit[1].events", -1, id="a negative count"),
        pytest.param('accumulated = "72h"', "events = 1.0", 20, "limit[1].events", 1.0, id="a count with decimals"),
        pytest.param('"above-8"', '"above 8"', 18, "limit[1].id", "above 8", id="a blank in an id"),
        pytest.param('"above-8"', '"p:above-8"', 18, "limit[1].id", "p:above-8", id="a prefix in an id"),
        pytest.param('"mab-017"', '"mab 017"', 1, "profile", "mab 017", id="a blank in a name"),
        pytest.param("version = 3", "version = 0", 2, "version", 0, id="version 0"),
        pytest.param("version = 3", "version = true", 2, "version", True, id="a version that is none"),
        pytest.param('"mAb 017, vial"', '"mAb\\t017"', 3, "title", "mAb\t017", id="a tab"),
        pytest.param("title", "activation_energy_j_mol = 0.0\ntitle", 3, "activation_energy_j_mol", 0.0, id="energy"),
        pytest.param("above_c", 'severity = "panic"\nabove_c', 19, "limit[1].severity", "panic", id="a severity"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_file_line_key_and_value(
    old: str, new: str, line: int, key: str, value: object
) -> None:
    error = refusal(changed(old, new))
    assert (error.file, error.line, error.key, error.value) == ("rules/mab-017.toml", line, key, value)
    shown = "" if value is None else f" = {value!r}"
    assert str(error).startswith(f"rules/mab-017.toml:{line}: {key}{shown}: ")


def test_a_number_that_is_none_is_refused() -> None:
    error = refusal(changed("above_c = 8.0", "above_c = nan"))
    assert (error.line, error.key, str(error.value)) == (19, "limit[1].above_c", "nan")


@pytest.mark.parametrize("number", ["1e1000000", "1e99999999999999999999", "8." + 40 * "0" + "1", "-1e-40"])
def test_a_number_beyond_all_bounds_is_refused_like_any_other(number: str) -> None:
    assert refusal(changed("above_c = 8.0", f"above_c = {number}")).file == "rules/mab-017.toml"


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        pytest.param('accumulated = "72h"', 'accumulated = "72h"\nevents = 2', 21, "limit[1].events", id="twice"),
        pytest.param('accumulated = "72h"\n', "", 17, "limit[1]", id="no measure"),
        pytest.param("above_c = 8.0\n", "", 19, "limit[1].accumulated", id="no bound"),
        pytest.param("above_c = 8.0", "above_c = 8.0\nbelow_c = 2.0", 20, "limit[1].below_c", id="two bounds"),
        pytest.param('"qa-approver"', '"QA-Author "', 14, "approval.approver", id="two eyes"),
        pytest.param("above_c = 8.0", "outside_c = [8.0, 2.0]", 19, "limit[1].outside_c", id="a range inside out"),
        pytest.param("above_c = 8.0", "outside_c = [2.0]", 19, "limit[1].outside_c[2]", id="half a range"),
        pytest.param("unknown_acc", "above_c = 8.0\nunknown_acc", 25, "limit[2].above_c", id="a bound of unknown time"),
        pytest.param("above_c", "min_coverage = 0.5\nabove_c", 19, "limit[1].min_coverage", id="no window"),
        pytest.param(
            'above_c = 8.0\naccumulated = "72h"', 'mkt_window = "24h"', 19, "limit[1].mkt_window", id="a window alone"
        ),
        pytest.param("accumulated", "mkt_max_c = 8.0\naccumulated", 20, "limit[1].mkt_max_c", id="a maximum alone"),
        pytest.param('document = "STAB-0042"\n', "", 8, "source.document", id="no document"),
        pytest.param('source = "section 5.2"\n', "", 17, "limit[1].source", id="a limit without source"),
        pytest.param('id = "above-8"\n', "", 17, "limit[1].id", id="a limit without id"),
    ],
)  # fmt: skip
def test_what_is_missing_or_too_much_is_refused_at_its_table(old: str, new: str, line: int, key: str) -> None:
    error = refusal(changed(old, new))
    assert (error.file, error.line, error.key) == ("rules/mab-017.toml", line, key)


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ('[source]\ndocument = "STAB-0042"\nversion = "4"\n', "source"),
        ('version = 3\n', "version"),
        ("effective_from = 2026-01-01T00:00:00Z\n", "effective_from"),
        (PROFILE[PROFILE.index("[approval]") : PROFILE.index("[[limit]]")], "approval"),
        (PROFILE[PROFILE.index("[[limit]]") :], "limit"),
    ],
)  # fmt: skip
def test_a_file_without_one_of_its_parts_is_refused(block: str, key: str) -> None:
    error = refusal(changed(block, ""))
    assert (error.file, error.key) == ("rules/mab-017.toml", key)
    assert "missing" in str(error)


NO_MEASURE = "accumulated, single_event, events, mkt_window, unknown_accumulated, unknown_single"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("label_low_c = 2.0\nlabel_high_c = 8.0\n", "",
         "1: label_high_c: is missing: a label range needs label_low_c, label_high_c or both"),
        ('accumulated = "72h"\n', "", f"17: limit[1]: one measure per limit: give one of {NO_MEASURE}"),
        ('above_c = 8.0\naccumulated = "72h"', "mkt_max_c = 8.0",
         f"19: limit[1].mkt_max_c = 8.0: one measure per limit: give one of {NO_MEASURE}"),
        ('accumulated = "72h"', 'accumulated = "72h"\nevents = 2',
         "21: limit[1].events = 2: one measure per limit: accumulated is given already, write another [[limit]] for "
         "this"),
        ("above_c = 8.0\n", "",
         "19: limit[1].accumulated = '72h': of which temperature? give one of above_c, below_c, outside_c"),
        ("above_c = 8.0", "above_c = 8.0\nbelow_c = 2.0",
         "20: limit[1].below_c = 2.0: one bound per limit: above_c is given already; outside_c takes both sides"),
        ("above_c = 8.0", "outside_c = [8.0, 2.0]",
         "19: limit[1].outside_c: is inside out: write [low, high], here [2.0, 8.0]"),
        ('above_c = 8.0\naccumulated = "72h"', 'mkt_window = "24h"',
         "19: limit[1].mkt_window = '24h': a window needs its mkt_max_c, the highest mean kinetic temperature [degC]"),
        ("above_c", "min_coverage = 0.5\nabove_c",
         "19: limit[1].min_coverage = 0.5: belongs to an mkt_window: leave this out"),
        ('unknown_accumulated = "24h"', "below_c = 2.0\nevents = 1",
         "23: limit[2]: no limit on unknown time: add a limit with unknown_accumulated or unknown_single"),
        ('"above-8"', '"above 8"',
         "18: limit[1].id = 'above 8': not a name: write letters, digits, '.', '_' and '-', beginning with a letter or "
         "digit"),
        ("above_c = 8.0", "outside_c = [2.0]",
         "19: limit[1].outside_c[2]: is missing: write both ends, [low, high]"),
        ('[source]\ndocument = "STAB-0042"\nversion = "4"\n', "",
         "1: source: is missing: a table [source]: the stability document that the whole profile rests on"),
        ('approver = "qa-approver"', 'aprover = "qa-approver"',
         "12: approval.approver: is missing: who checked and approved it; somebody else"),
        ('author = "qa-author"', 'author = "qa-author"\nzzz = 1',
         "14: approval.zzz = 1: unknown key: there are author, approver, approved_at"),
        ("above_c = 8.0", "above_c = true",
         "19: limit[1].above_c = True: not a temperature: write a number of degC such as 8.0"),
        ("label_low_c = 2.0", "label_low_c = nan",
         "5: label_low_c = nan: not a temperature a product can have (-273.15 to 1000 degC)"),
        ("above_c = 8.0", 'outside_c = ["cold", 8.0]',
         "19: limit[1].outside_c[1] = 'cold': not a temperature: write a number of degC such as 8.0"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_would_be_right(old: str, new: str, expected: str) -> None:
    assert str(refusal(changed(old, new))) == f"rules/mab-017.toml:{expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROFILE[: PROFILE.index("[[limit]]")].replace("[source]", "limit = []\n[source]"), ["limit"]),
        (PROFILE[: PROFILE.index("[[limit]]")].replace("[source]", "limit = 5\n[source]"), ["limit"]),
        (PROFILE[: PROFILE.index("[[limit]]")].replace("[source]", "limit = [5]\n[source]"), ["limit[1]"]),
        (PROFILE.replace('id = "above-8"\n', "").replace('id = "unknown"\n', ""), ["limit[1].id", "limit[2].id"]),
        (PROFILE + MKT.replace("mkt_window", "mkt_windw"), ["limit[3].mkt_windw"]),
        (PROFILE.replace('"above-8"', '"unknown"').replace("version = 3", "version = 0"), ["version", "limit[2].id"]),
    ],
)  # fmt: skip
def test_each_mistake_is_told_once_and_none_hides_another(text: str, expected: list[str]) -> None:
    found = profile_mistakes.mistakes(text, "f.toml")
    assert [error.key for error in found] == expected
    assert {error.file for error in found} == {"f.toml"}


def test_a_limit_on_one_stretch_of_unknown_time_is_enough() -> None:
    assert len(limits(changed("unknown_accumulated", "unknown_single"))) == 2


def test_an_mkt_window_of_no_length_is_refused() -> None:
    error = refusal(PROFILE + MKT.replace("24h", "0s"))
    assert (error.line, error.key, error.value) == (30, "limit[3].mkt_window", "0s")


def test_a_profile_without_a_limit_on_unknown_time_is_refused() -> None:
    error = refusal(changed('unknown_accumulated = "24h"', "below_c = 2.0\nevents = 1"))
    assert str(error).startswith("rules/mab-017.toml")
    assert "no limit on unknown time" in str(error)


@pytest.mark.parametrize("low", ["9.0", "8.0"])
def test_a_label_inside_out_is_refused_where_it_stands(low: str) -> None:
    error = refusal(changed("label_low_c = 2.0", f"label_low_c = {low}"))
    assert (error.line, error.key) in [(5, "label_low_c"), (6, "label_high_c")]
    assert error.value in (float(low), 8.0)
    assert "inside out" in str(error)


@pytest.mark.parametrize("limit_id", ["above-8", "data-integrity"])
def test_a_limit_id_that_is_taken_is_refused_where_it_stands(limit_id: str) -> None:
    error = refusal(changed('"unknown"', f'"{limit_id}"'))
    assert (error.line, error.key, error.value) == (24, "limit[2].id", limit_id)


def test_a_product_without_any_label_bound_is_refused() -> None:
    assert "label" in str(refusal(changed("label_low_c = 2.0\nlabel_high_c = 8.0\n", "")))
    assert parse_profile(changed("label_low_c = 2.0\n", ""), "f.toml").label_low_mc is None
    assert parse_profile(changed("label_high_c = 8.0\n", ""), "f.toml").label_high_mc is None


def test_mkt_of_a_frozen_product_is_refused_where_it_stands() -> None:
    error = refusal(FROZEN + MKT)
    assert "frozen" in str(error)
    assert error.line in range(28, 33)
    assert str(error.key).startswith("limit[3]")


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00", 4, "effective_from"),
        ("2026-01-01T00:00:00Z", "2026-01-01", 4, "effective_from"),
        ("2026-01-01T00:00:00Z", '"2026-01-01T00:00:00Z"', 4, "effective_from"),
        ("2025-12-20T10:00:00+01:00", "2025-12-20T10:00:00", 15, "approval.approved_at"),
    ],
)
def test_an_instant_without_a_zone_is_refused(old: str, new: str, line: int, key: str) -> None:
    error = refusal(changed(old, new))
    assert (error.line, error.key) == (line, key)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("version = 3", "version = = 3", 2),
        ("version = 3", "version = 3\nversion = 4", 3),
        ("[[limit]]", "[[limit]", 17),
    ],
)
def test_a_syntax_error_is_refused_with_its_line(old: str, new: str, line: int) -> None:
    error = refusal(changed(old, new))
    assert (error.file, error.line) == ("rules/mab-017.toml", line)
    assert "TOML" in str(error)


def test_of_several_versions_the_highest_governs_whatever_the_files_are_called(tmp_path: Path) -> None:
    for name, version in (("a", 2), ("b", 10), ("c", 9)):
        (tmp_path / f"{name}.toml").write_text(changed("version = 3", f"version = {version}"))
    (tmp_path / "z.toml").write_text(changed('"mab-017"', '"mab-001"'))
    (tmp_path / "README.md").write_text("not a rule")
    found = load_profiles(tmp_path)
    assert [(name, profile.version) for name, profile in found.items()] == [("mab-001", 3), ("mab-017", 10)]


def test_the_same_version_twice_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text(PROFILE)
    with pytest.raises(BadInput, match=r"b\.toml.*version 3 stands in .*a\.toml too"):
        load_profiles(tmp_path)


def test_a_folder_without_rules_and_a_file_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere: no such folder of rules$"):
        load_profiles(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r": holds no rules \(\*\.toml\)$"):
        load_profiles(tmp_path)
    (tmp_path / "a.toml").write_text(changed("version = 3", "version = 0"))
    with pytest.raises(BadInput) as caught:
        load_profile(tmp_path / "a.toml")
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "a.toml"), 2)
    (tmp_path / "a.toml").unlink()
    with pytest.raises(BadInput, match=r"absent\.toml: cannot be read"):
        load_profile(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes("title = 'µ'".encode("latin-1"))
    with pytest.raises(BadInput, match=r"latin\.toml: cannot be read"):
        load_profiles(tmp_path)


def test_the_rules_of_the_project_are_valid_and_name_a_source_for_every_limit() -> None:
    found = load_profiles(RULES)
    assert len(found) == len(list(RULES.glob("*.toml")))
    for profile in found.values():
        assert profile.author != profile.approver
        assert all(limit.source for limit in profile.limits)


def test_a_composite_holds_every_limit_of_every_arm_and_the_narrowest_label() -> None:
    one = parse_profile(PROFILE, "f.toml")
    text = (
        changed('"mab-017"', '"comparator-02"').replace("8.0", "25.0").replace("label_low_c = 2.0", "label_low_c = 5.0")
    )
    two = replace(parse_profile(text, "f.toml"), activation_energies_j_mol=(60_000.0,))
    three = replace(one, name="mab-018", label_low_mc=None, label_high_mc=None)
    found = composite("TRIAL-7", [one, two, three])
    assert found == composite("TRIAL-7", [three, two, one])
    assert (found.name, found.version, found.is_composite) == ("TRIAL-7", None, True)
    assert (found.label_low_mc, found.label_high_mc) == (5000, 8000)
    assert found.activation_energies_j_mol == (60_000.0, 83144.62618)
    assert [limit.id for limit in found.limits] == [
        "comparator-02:above-8",
        "comparator-02:unknown",
        "mab-017:above-8",
        "mab-017:unknown",
        "mab-018:above-8",
        "mab-018:unknown",
    ]
    assert found.limits[0] == replace(two.limits[0], id="comparator-02:above-8")
    assert found.sha256 == hashlib.sha256((two.sha256 + one.sha256 + three.sha256).encode()).hexdigest()


def test_a_composite_names_the_documents_and_people_behind_every_arm() -> None:
    one = parse_profile(PROFILE, "f.toml")
    two = replace(one, name="z", document="STAB-2", document_version="7", author="ann", approver="bob")
    found = composite("TRIAL-7", [two, one])
    assert found.title == "composite of blind group TRIAL-7"
    assert (found.document, found.document_version) == ("STAB-0042, STAB-2", "4, 7")
    assert (found.author, found.approver) == ("qa-author, ann", "qa-approver, bob")
    assert [part.name for part in found.parts] == ["mab-017", "z"]


def test_a_composite_of_profiles_without_a_high_bound_has_none() -> None:
    one = replace(parse_profile(PROFILE, "f.toml"), label_high_mc=None)
    assert composite("T", [one]).label_high_mc is None
    assert composite("T", [replace(one, label_low_mc=None)]).label_low_mc is None


def test_a_composite_is_as_new_as_its_newest_profile() -> None:
    one = parse_profile(PROFILE, "f.toml")
    two = replace(one, name="z", approved_at_ms=one.approved_at_ms + 5, effective_from_ms=one.effective_from_ms + 7)
    found = composite("T", [one, two])
    assert (found.approved_at_ms, found.effective_from_ms) == (two.approved_at_ms, two.effective_from_ms)


def test_a_label_that_ends_at_zero_is_frozen_and_a_thousandth_warmer_is_not() -> None:
    at_zero = changed("label_low_c = 2.0\nlabel_high_c = 8.0", "label_low_c = -25.0\nlabel_high_c = 0.0")
    assert parse_profile(at_zero, "f.toml").is_frozen
    assert not parse_profile(changed("label_high_c = 0.0", "label_high_c = 0.001", at_zero), "f.toml").is_frozen
    assert "frozen" in str(refusal(at_zero + MKT))


def test_what_a_folder_refuses_names_the_folder_key_and_value(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(BadInput) as caught:
            load_profiles(folder)
        assert caught.value.file == str(folder)
    (tmp_path / "a.toml").write_text(PROFILE)
    with pytest.raises(BadInput) as caught:
        load_profiles(tmp_path, {"mab-017": 2})
    assert (caught.value.file, caught.value.key, caught.value.value) == (str(tmp_path), "mab-017", 2)
