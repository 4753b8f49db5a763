"""The guide to rule files: every key explained, and the worked example says what the engine says."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from pydantic import BaseModel

from coldchain.instant import instant_ms
from coldchain.profile_file import ApprovalTable, LimitTable, ProfileTable, SourceTable
from coldchain.profiles import in_force, load_profile, load_profiles
from coldchain.stability import judge
from rule_histories import HOUR_MS, RULES, Piece, lasting

README = (RULES / "README.md").read_text(encoding="utf-8")
KEYS = README[README.index("## Keys") : README.index("A limit has exactly one measure")]


def explained(section: str) -> set[str]:
    """The keys in the first column of the tables of a section."""
    rows = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    return {key.strip("[]") for row in rows for key in re.findall(r"`([^`]+)`", row)}


@pytest.mark.parametrize("table", [ProfileTable, SourceTable, ApprovalTable, LimitTable])
def test_every_key_of_a_file_is_explained_and_described_in_the_schema(table: type[BaseModel]) -> None:
    tables = {"source", "approval", "limit"}
    assert set(table.model_fields) - explained(KEYS) <= tables
    assert all(field.description for key, field in table.model_fields.items() if key not in tables)


def test_no_key_is_explained_that_does_not_exist() -> None:
    keys = {key for table in (ProfileTable, SourceTable, ApprovalTable, LimitTable) for key in table.model_fields}
    assert explained(KEYS) <= keys


@pytest.mark.parametrize("command", ["check", "diff", "impact", "select", "schema"])
def test_every_command_about_rules_is_explained(command: str) -> None:
    assert f"`coldchain rules {command}" in README


EXAMPLE: list[Piece] = [
    (24 * HOUR_MS, 5000),
    (10 * HOUR_MS, 12_000),
    (700 * HOUR_MS, 5000),
    (3 * HOUR_MS, 28_000),
    (700 * HOUR_MS, 5000),
    (25 * HOUR_MS, 11_000),
]


@pytest.mark.parametrize(
    ("pieces", "row"),
    [
        (1, "| 0 h | 0 h | 0 h | `within_label` |"),
        (2, "| 10 h | 10 h | 0 h | `within_allowance`; 62 h remain |"),
        (4, "| 13 h | 10 h | 3 h | `within_allowance`; 59 h and 1 h remain |"),
        (6, "| 38 h | 25 h | 3 h | `outside`: `above-8-single`, after 24 h of it |"),
    ],
)
def test_the_worked_example_says_what_the_engine_says(pieces: int, row: str) -> None:
    assert row in README
    found = judge(load_profile(RULES / "mab-017.toml"), lasting(*EXAMPLE[:pieces]), {})
    above_8, single, _, above_25 = found.limits[:4]
    hours = " | ".join(f"{limit.used // HOUR_MS} h" for limit in (above_8, single, above_25))
    assert row.startswith(f"| {hours} | `{found.verdict}`")
    assert [limit for limit, _, _ in found.breaches] == re.findall(r"(above-8-single)", row)


def test_the_example_of_two_versions_says_what_the_engine_says() -> None:
    assert (
        "has used 60 h is\n`outside` from 1 June on in a trial that says nothing, and stays `within_allowance`"
        in README
    )
    old = load_profile(RULES / "mab-017.toml")
    tighter = tuple(
        replace(limit, allowed=48 * HOUR_MS) if limit.allowed == 72 * HOUR_MS else limit for limit in old.limits
    )
    may, june = instant_ms("2026-05-01T00:00:00Z"), instant_ms("2026-06-01T00:00:00Z")
    new = replace(old, version=4, effective_from_ms=june, limits=tighter)
    used: list[Piece] = [(20 * HOUR_MS, 9000), (HOUR_MS, 5000)] * 3
    verdicts = [judge(in_force({3: old, 4: new}, at), lasting(*used), {}).verdict for at in (may, june - 1, june)]
    assert verdicts == ["within_allowance", "within_allowance", "outside"]


def test_the_readme_and_the_folder_agree_on_the_blinded_example() -> None:
    rules = load_profiles(RULES)
    assert "11 h above 8 degC puts the kits of both arms on hold" in README
    allowed = [limit.allowed for limit in rules["comparator-02"].limits if limit.id == "above-8-accumulated"]
    assert allowed == [10 * HOUR_MS]
