"""What a new version changes: in the words of a stability document, and whether it is stricter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coldchain.amendment import changes
from coldchain.commands import rules
from coldchain.errors import BadInput
from coldchain.profiles import load_profile, load_profiles, load_versions, parse_profile
from rule_histories import RULES

MAB = (RULES / "mab-017.toml").read_text(encoding="utf-8")
EVENTS = MAB[MAB.index('[[limit]]\nid = "above-8-events"') : MAB.index('[[limit]]\nid = "above-25-accumulated"')]


def told(old: str, new: str) -> list[str]:
    assert MAB.count(old) == 1
    before, after = parse_profile(MAB, "a.toml"), parse_profile(MAB.replace(old, new), "b.toml")
    return [str(change) for change in changes(before, after)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"72h"', '"48h"', "above 8 degC, accumulated: 72 h -> 48 h, stricter (above-8-accumulated)"),
        ('"72h"', '"73h"', "above 8 degC, accumulated: 72 h -> 73 h, looser (above-8-accumulated)"),
        ('"2h"', '"90min"', "below 2 degC, accumulated: 2 h -> 1 h 30 min, stricter (below-2-accumulated)"),
        ('"2h"', '"30s"', "below 2 degC, accumulated: 2 h -> 30 s, stricter (below-2-accumulated)"),
        ('"4h"', '"0s"', "above 25 degC, accumulated: 4 h -> 0 h, stricter (above-25-accumulated)"),
        ("events = 10", "events = 9", "above 8 degC, events: 10 -> 9, stricter (above-8-events)"),
        (EVENTS, "", "above 8 degC, events: 10 -> no limit, looser (above-8-events)"),
        (
            "above_c = 25.0",
            "above_c = 20.0",
            "above 20 degC, accumulated, bound: above 25 degC -> above 20 degC, stricter (above-25-accumulated)",
        ),
        (
            "below_c = -0.5",
            "below_c = -1.0",
            "below -1 degC, accumulated, bound: below -0.5 degC -> below -1 degC, looser (below-freezing)",
        ),
        (
            "above_c = 25.0",
            "below_c = 1.0",
            "below 1 degC, accumulated, bound: above 25 degC -> below 1 degC, different (above-25-accumulated)",
        ),
        (
            "above_c = 25.0",
            "outside_c = [0.0, 25.0]",
            "outside 0 to 25 degC, accumulated, bound: "
            "above 25 degC -> outside 0 to 25 degC, stricter (above-25-accumulated)",
        ),
        (
            "mkt_max_c = 8.0",
            "mkt_max_c = 7.5",
            "mean kinetic temperature over 24 h: 8 degC -> 7.5 degC, stricter (mkt-24h)",
        ),
        (
            'mkt_window = "24h"',
            'mkt_window = "12h"',
            "mean kinetic temperature over 12 h, window: 24 h -> 12 h, different (mkt-24h)",
        ),
        (
            "min_coverage = 0.9",
            "min_coverage = 0.5",
            "mean kinetic temperature over 24 h, least coverage: 0.9 -> 0.5, stricter (mkt-24h)",
        ),
        (
            'severity = "warn"\n',
            "",
            "mean kinetic temperature over 24 h, severity: warn -> quarantine, stricter (mkt-24h)",
        ),
        (
            '"STAB-0042, section 5.5"',
            '"STAB-0042, 5.6"',
            "mean kinetic temperature over 24 h, source: STAB-0042, section 5.5 -> STAB-0042, 5.6 (mkt-24h)",
        ),
        (
            'unknown_accumulated = "24h"',
            'unknown_accumulated = "25h"',
            "unknown time, accumulated: 24 h -> 25 h, looser (unknown)",
        ),
        (
            'id = "unknown-single"',
            'id = "no-data"',
            "unknown time, single stretch, id: unknown-single -> no-data (no-data)",
        ),
        ("label_high_c = 8.0", "label_high_c = 7.0", "label range: 2 to 8 degC -> 2 to 7 degC, stricter"),
        ("label_low_c = 2.0\n", "", "label range: 2 to 8 degC -> at most 8 degC, looser"),
        ("label_high_c = 8.0\n", "", "label range: 2 to 8 degC -> at least 2 degC, looser"),
        ("_mol = 83144.62618", "_mol = 100000", "activation energy: 83.1446 kJ/mol -> 100 kJ/mol, different"),
        ("version = 3", "version = 4", "version: 3 -> 4"),
        ('version = "4"', 'version = "5"', "stability document: STAB-0042 version 4 -> STAB-0042 version 5"),
        ("from = 2026-01-01", "from = 2026-02-01", "effective from: 2026-01-01T00:00:00Z -> 2026-02-01T00:00:00Z"),
        ('"qa-approver"', '"qa-other"', "approver: qa-approver -> qa-other"),
    ],
)
def test_a_change_is_told_in_one_sentence(old: str, new: str, expected: str) -> None:
    assert told(old, new) == [expected]


def test_a_label_that_moves_is_neither_stricter_nor_looser() -> None:
    moved = MAB.replace("label_low_c = 2.0", "label_low_c = 3.0").replace("label_high_c = 8.0", "label_high_c = 9.0")
    (change,) = changes(parse_profile(MAB, "a"), parse_profile(moved, "b"))
    assert change.effect == "different"


def test_a_limit_of_another_kind_under_an_old_id_is_one_limit_less_and_one_more() -> None:
    assert told('accumulated = "4h"', "events = 2") == [
        "above 25 degC, events: no limit -> 2, stricter (above-25-accumulated)",
        "above 25 degC, accumulated: 4 h -> no limit, looser (above-25-accumulated)",
    ]


def test_files_and_folders_are_compared_and_equal_ones_have_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "mab-017.toml"
    new.write_text(MAB.replace('"72h"', '"48h"').replace("version = 3", "version = 4"), encoding="utf-8")
    rules.diff(RULES / "mab-017.toml", new)
    assert capsys.readouterr().out.splitlines() == [
        "mab-017: version: 3 -> 4",
        "mab-017: above 8 degC, accumulated: 72 h -> 48 h, stricter (above-8-accumulated)",
    ]
    rules.diff(RULES, tmp_path)
    assert "comparator-02: profile: version 1 -> no profile\n" in capsys.readouterr().out
    rules.diff(RULES, RULES)
    assert capsys.readouterr().out == "no difference\n"
    rules.diff(RULES / "mab-017.toml", new, as_json=True)
    assert json.loads(capsys.readouterr().out)[1] == {
        "profile": "mab-017",
        "limit": "above-8-accumulated",
        "subject": "above 8 degC, accumulated",
        "before": "72 h",
        "after": "48 h",
        "effect": "stricter",
    }


@pytest.fixture
def two_versions(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "mab-017-v3.toml").write_bytes(MAB.encode())
    (folder / "mab-017-v4.toml").write_bytes(MAB.replace("version = 3", "version = 4").encode())
    (folder / "smv-204.toml").write_bytes((RULES / "smv-204.toml").read_bytes())
    return folder


def test_all_versions_may_stand_in_one_folder_and_the_newest_judges_unless_another_is_chosen(
    two_versions: Path,
) -> None:
    assert {name: list(found) for name, found in load_versions(two_versions).items()} == {
        "mab-017": [3, 4],
        "smv-204": [1],
    }
    assert load_profiles(two_versions)["mab-017"].version == 4
    assert load_profiles(two_versions, {"mab-017": 3})["mab-017"] == load_profile(RULES / "mab-017.toml")
    for chosen in ({"mab-017": 2}, {"mab-018": 3}):
        with pytest.raises(BadInput, match="there are mab-017 3, mab-017 4, smv-204 1"):
            load_profiles(two_versions, chosen)


def test_the_rules_of_an_old_verdict_are_copied_byte_for_byte(two_versions: Path, tmp_path: Path) -> None:
    out = tmp_path / "old"
    rules.select(two_versions, ["mab-017=3"], out)
    assert [path.name for path in sorted(out.iterdir())] == ["mab-017-v3.toml", "smv-204.toml"]
    assert load_profiles(out)["mab-017"].sha256 == load_profile(RULES / "mab-017.toml").sha256
    with pytest.raises(BadInput, match="is not empty"):
        rules.select(two_versions, ["mab-017=3"], out)


@pytest.mark.parametrize("text", ["mab-017", "mab-017=", "=3", "mab-017=three", "mab-017=-1"])
def test_a_chosen_version_is_a_name_and_a_number(text: str) -> None:
    with pytest.raises(BadInput, match=r"write NAME=N"):
        rules.versions([text])
    assert rules.versions(["a=1", "b=20"]) == {"a": 1, "b": 20}
