"""Checking a folder of rules: every mistake is named, limits that never bind are findings, the schema is current."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coldchain import profile_file, redundancy
from coldchain.cli import app
from coldchain.commands import rules
from coldchain.errors import BadInput
from coldchain.model import Kind, Severity
from coldchain.profiles import Limit, load_profile, load_profiles
from rule_histories import RULES, TEMPLATES

MAB = (RULES / "mab-017.toml").read_text(encoding="utf-8")
UNKNOWN = MAB[MAB.index('[[limit]]\nid = "unknown"') :]

MISTAKES = {
    "unknown-key": ("above_c = 40.0", "abve_c = 40.0", "limit[5].abve_c = 40.0: unknown key: did you mean above_c?"),
    "no-source": ('source = "STAB-0042, section 5.4"\n', "", "limit[6].source: is missing: document, section"),
    "inside-out": ("label_high_c = 8.0", "label_high_c = 1.0", "label_high_c = 1.0: the label range is inside out"),
    "duplicate-id": ('id = "above-40"', 'id = "below-freezing"', "limit[7].id = 'below-freezing': is taken"),
    "two-eyes": ('"qa-approver"', '"qa-author"', "approval.approver = 'qa-author': author and approver are the same"),
    "no-unknown": (UNKNOWN, "", "no limit on unknown time: add a limit with unknown_accumulated"),
    "frozen-mkt": ("_high_c = 8.0", "_high_c = -5.0", "limit[8].mkt_window = '24h': no MKT for a frozen product"),
    "decimals": ("above_c = 25.0", "above_c = 25.0001", "limit[4].above_c = 25.0001: more than three decimals"),
}


def folder_of(tmp_path: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    return tmp_path


def mistaken(name: str) -> str:
    old, new, _ = MISTAKES[name]
    assert MAB.count(old) == 1 or name in ("inside-out", "frozen-mkt")
    text = MAB.replace(old, new)
    return text.replace("label_low_c = 2.0", "label_low_c = -25.0") if name == "frozen-mkt" else text


def test_every_mistake_of_a_folder_is_named_with_file_line_key_value_and_what_would_be_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path, **{name: mistaken(name) for name in MISTAKES})
    assert rules.check(folder) == 2
    told = capsys.readouterr().err.splitlines()
    for name, (_, _, expected) in MISTAKES.items():
        (line,) = (line for line in told if f"{name}.toml:" in line)
        assert line.startswith(f"coldchain: {folder / name}.toml:")
        assert line.removeprefix(f"coldchain: {folder / name}.toml:").split(":")[0].isdecimal()
        assert expected in line


def test_every_mistake_of_one_file_is_named_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = MAB
    for name in ("unknown-key", "no-source", "two-eyes", "decimals"):
        text = text.replace(*MISTAKES[name][:2])
    assert rules.check(folder_of(tmp_path, all=text)) == 2
    told = capsys.readouterr().err
    assert [told.count(MISTAKES[name][2]) for name in ("unknown-key", "no-source", "two-eyes", "decimals")] == [1] * 4
    lines = [int(line.split(".toml:")[1].split(":")[0]) for line in told.splitlines()]
    assert lines == sorted(lines)
    assert len(lines) == 4


def test_a_misspelt_measure_is_one_mistake_and_names_the_right_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rules.check(folder_of(tmp_path, a=MAB.replace('accumulated = "72h"', 'acumulated = "72h"'))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "limit[1].acumulated = '72h': unknown key: did you mean accumulated?" in line


def test_a_key_unlike_any_other_is_answered_with_the_keys_there_are(tmp_path: Path) -> None:
    folder_of(tmp_path, a=MAB.replace('version = "4"', 'version = "4"\nzzz = 1'))
    with pytest.raises(BadInput, match=r"source\.zzz = 1: unknown key: there are document, version"):
        load_profiles(tmp_path)


def test_what_is_no_toml_or_cannot_be_read_does_not_hide_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_of(tmp_path, a="profile = = 3\n", c=mistaken("two-eyes"))
    (tmp_path / "b.toml").write_bytes(b"\xff")
    assert rules.check(tmp_path) == 2
    told = capsys.readouterr().err.splitlines()
    assert ["not valid TOML" in told[0], "cannot be read" in told[1], "second pair of eyes" in told[2]] == [True] * 3


def test_the_same_version_twice_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rules.check(folder_of(tmp_path, a=MAB, b=MAB)) == 2
    assert "b.toml:1: version of mab-017 = 3: stands in" in capsys.readouterr().err


def test_limits_that_never_bind_are_findings_and_the_profile_still_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path, a=MAB.replace('single_event = "24h"', 'single_event = "80h"'))
    assert rules.check(folder) == 1
    told = capsys.readouterr().out
    assert "above-8-single can never bind (above 8 degC, single event: 80 h)" in told
    assert "above-8-accumulated is broken first (above 8 degC, accumulated: 72 h)" in told
    assert list(load_profiles(folder)) == ["mab-017"]


def dated(version: int, effective: str) -> str:
    return MAB.replace("version = 3", f"version = {version}").replace("from = 2026-01-01", f"from = {effective}")


def test_the_versions_of_a_folder_are_told_by_what_they_do_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    folder_of(tmp_path, a=dated(1, "2020-01-01"), b=dated(2, "2026-01-01"), c=dated(3, "2999-01-01"))
    assert rules.check(tmp_path) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.split()[:1] == ["mab-017"]]
    assert [(row[1], " ".join(row[-2:])) for row in rows] == [
        ("1", "qa-approver superseded"),
        ("2", "in force"),
        ("3", "from 2999-01-01T00:00:00Z"),
    ]


def test_a_version_that_another_replaces_before_its_date_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_of(tmp_path, a=dated(3, "2026-06-01"), b=dated(4, "2026-05-01"), c=dated(5, "2026-05-01"))
    folder_of(tmp_path, d=dated(1, "2026-09-01").replace('"mab-017"', '"a-mab"', 1))
    assert rules.check(tmp_path) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if "never in force" in line]
    assert told == ["mab-017 version 3 is never in force: version 4 is from 2026-05-01T00:00:00Z"]


def test_a_template_that_only_moved_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (TEMPLATES / "ph-eur-refrigerator.toml").read_text(encoding="utf-8")
    assert rules.check(folder_of(tmp_path, a=text)) == 1
    assert "title still says template" in capsys.readouterr().out


def test_the_rules_of_the_project_pass_and_templates_are_checked_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rules.check(RULES) == 0
    assert "3 profiles are valid; 12 templates are valid" in capsys.readouterr().out
    (folder_of(tmp_path, a=MAB) / "templates").mkdir()
    folder_of(tmp_path / "templates", b=mistaken("two-eyes"))
    assert rules.check(tmp_path) == 2


def test_a_check_as_json_says_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path, a=mistaken("decimals"), b=MAB.replace('single_event = "24h"', 'single_event = "80h"'))
    assert rules.check(folder, as_json=True) == 2
    told = json.loads(capsys.readouterr().out)
    (mistake,) = told["mistakes"]
    assert (mistake["key"], mistake["value"], mistake["line"]) == ("limit[4].above_c", 25.0001, 40)
    assert (len(told["findings"]), told["profiles"]) == (1, 1)


def test_the_published_schema_is_that_of_the_model_and_knows_every_key() -> None:
    published = json.loads((RULES / "schema.json").read_text(encoding="utf-8"))
    assert published == profile_file.json_schema(), "renew it: coldchain rules schema > rules/schema.json"
    limit = published["$defs"]["LimitTable"]
    assert limit["properties"].keys() == profile_file.LimitTable.model_fields.keys()
    assert {"required": ["events"]} in limit["oneOf"]
    assert published["additionalProperties"] is limit["additionalProperties"] is False


def test_the_schema_command_prints_what_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    rules.schema()
    assert capsys.readouterr().out == (RULES / "schema.json").read_text(encoding="utf-8")


def test_the_exit_code_tells_findings_from_mistakes(tmp_path: Path) -> None:
    run = CliRunner()
    assert run.invoke(app, ["rules", "check", str(RULES)]).exit_code == 0
    folder_of(tmp_path, a=MAB.replace('single_event = "24h"', 'single_event = "80h"'))
    assert run.invoke(app, ["rules", "check", str(tmp_path)]).exit_code == 1
    folder_of(tmp_path, b=mistaken("two-eyes"))
    assert run.invoke(app, ["rules", "check", str(tmp_path), "--json"]).exit_code == 2


def test_the_other_commands_answer_on_stdout(tmp_path: Path) -> None:
    run = CliRunner()
    assert run.invoke(app, ["rules", "diff", str(RULES), str(RULES)]).stdout == "no difference\n"
    assert json.loads(run.invoke(app, ["rules", "diff", str(RULES), str(RULES), "--json"]).stdout) == []
    assert run.invoke(app, ["rules", "schema"]).stdout == (RULES / "schema.json").read_text(encoding="utf-8")
    chosen = run.invoke(app, ["rules", "select", str(RULES), "mab-017=3", "--out", str(tmp_path / "old")])
    assert "mab-017 version 3, SHA-256 " in chosen.stdout


def limit(kind: Kind, allowed: int, low: int | None = None, high: int | None = 8000, **more: object) -> Limit:
    return replace(Limit("x", kind, Severity.QUARANTINE, "s", low, high, allowed), **more)  # type: ignore[arg-type] # any field of a limit


def unknown(kind: Kind, allowed: int) -> Limit:
    return limit(kind, allowed, None, None)


def mkt(max_mc: int, **more: object) -> Limit:
    return limit(Kind.MKT, max_mc, None, None, **({"window_ms": 100} | more))


A, S, E, UA, US = Kind.ACCUMULATED, Kind.SINGLE_EVENT, Kind.EVENTS, Kind.UNKNOWN_ACCUMULATED, Kind.UNKNOWN_SINGLE
WARN = Severity.WARN

NEVER_BINDS = [
    (limit(A, 10), limit(A, 9)),
    (limit(A, 10), limit(A, 10)),
    (limit(A, 10, high=25_000), limit(A, 10)),
    (limit(A, 10), limit(A, 10, low=2000)),
    (limit(A, 10, low=2000, high=None), limit(A, 10, low=2000)),
    (limit(A, 10, low=2000), limit(A, 10, low=2001, high=7999)),
    (limit(S, 10), limit(A, 10)),
    (limit(S, 10, high=25_000), limit(S, 10)),
    (limit(E, 5), limit(E, 5)),
    (limit(E, 5), limit(A, 0)),
    (limit(A, 9, high=25_000), limit(E, 0)),
    (limit(A, 9), limit(S, 0)),
    (limit(A, 10, severity=WARN), limit(A, 10)),
    (unknown(UA, 10), unknown(UA, 9)),
    (unknown(US, 10), unknown(UA, 10)),
    (unknown(US, 10), unknown(US, 10)),
    (unknown(UA, 10), unknown(US, 0)),
    (mkt(8000), mkt(7000)),
    (mkt(8000), mkt(8000, min_coverage=Decimal("0.5"))),
    (mkt(8000), limit(A, 0, high=8000)),
]
BINDS = [
    (limit(A, 9), limit(A, 10)),
    (limit(A, 10), limit(A, 10, high=25_000)),
    (limit(A, 10, low=2000), limit(A, 10)),
    (limit(A, 10, low=2000, high=None), limit(A, 10)),
    (limit(A, 10, low=2001), limit(A, 10, low=2000)),
    (limit(A, 10), limit(S, 10)),
    (limit(S, 9), limit(A, 10)),
    (limit(S, 9), limit(S, 10)),
    (limit(S, 10), limit(E, 5)),
    (limit(E, 5), limit(A, 1)),
    (limit(E, 5, high=25_000), limit(E, 4)),
    (limit(E, 5), limit(E, 6)),
    (limit(A, 10), limit(A, 5, severity=WARN)),
    (limit(A, 10), unknown(UA, 0)),
    (unknown(UA, 10), limit(A, 0)),
    (unknown(UA, 9), unknown(UA, 10)),
    (unknown(UA, 10), unknown(US, 1)),
    (unknown(US, 9), unknown(UA, 10)),
    (mkt(7000), mkt(8000)),
    (mkt(8000), mkt(7000, window_ms=99)),
    (mkt(8000), mkt(7000, activation_energy_j_mol=1.0)),
    (mkt(8000, min_coverage=Decimal("0.5")), mkt(7000)),
    (mkt(8000), limit(A, 0, high=8001)),
    (mkt(8000), limit(A, 1)),
    (mkt(8000), limit(A, 0, low=2000, high=None)),
    (limit(A, 10), mkt(7000)),
]


def never_binding(*limits: Limit) -> list[tuple[str, str]]:
    profile = load_profile(RULES / "mab-017.toml")
    numbered = tuple(replace(each, id=str(number)) for number, each in enumerate(limits))
    return [(one.id, other.id) for one, other in redundancy.never_binding(replace(profile, limits=numbered))]


@pytest.mark.parametrize(("loose", "strict"), NEVER_BINDS)
def test_a_looser_limit_behind_a_stricter_one_never_binds_wherever_it_stands(loose: Limit, strict: Limit) -> None:
    assert never_binding(strict, loose) == [("1", "0")]
    assert never_binding(loose, strict) == [
        ("1", "0") if never_binding(loose, loose) and _is_equal(loose, strict) else ("0", "1")
    ]


def _is_equal(one: Limit, other: Limit) -> bool:
    return replace(one, id="") == replace(other, id="") or (one.allowed == other.allowed == 0)


@pytest.mark.parametrize(("one", "other"), BINDS)
def test_a_limit_that_can_break_first_is_no_finding(one: Limit, other: Limit) -> None:
    assert ("0", "1") not in never_binding(one, other)
