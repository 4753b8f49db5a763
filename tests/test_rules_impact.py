"""New rules on past kits: which verdicts change, by which limits, judging each kit group once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from typer.testing import CliRunner

from coldchain import impact as replayed
from coldchain import pipeline, rulebook, stability
from coldchain.cli import app
from coldchain.commands import registry as registry_command
from coldchain.commands import rules_impact
from coldchain.errors import BadInput
from coldchain.model import CustodySegment, Kit, Logger, Monitoring, OpeningBalance, Place, Trial, VersionChoice
from coldchain.profiles import StabilityProfile, load_profiles, parse_profile
from coldchain.readings import ReadingBatch
from coldchain.registry import Registry
from command_line import one_kit_registry
from rule_histories import HOUR_MS, RULES, START_MS

PRESENT = load_profiles(RULES)
MAB = (RULES / "mab-017.toml").read_text(encoding="utf-8")
STRICTER = MAB.replace('"72h"', '"2h"').replace("version = 3", "version = 4")
BAD_HOURS = 10
END_MS = START_MS + 48 * HOUR_MS


def proposed(text: str) -> dict[str, StabilityProfile]:
    profile = parse_profile(text, "new.toml")
    return {**PRESENT, profile.name: profile}


def registry(profiles: dict[str, tuple[str, str]], blind_group: str | None = None) -> Registry:
    """Kits by id with (profile, place), for 48 h; of the places `warm` and `cold` only the first was warm."""
    places = ("warm", "cold")
    return Registry(
        loggers={place: Logger(place, HOUR_MS, 2 * HOUR_MS) for place in places},
        places={place: Place(place, "storage") for place in places},
        monitoring=tuple(Monitoring(place, place, "1", START_MS) for place in places),
        kits={kit: Kit(kit, "B1", "T", profile, blind_group) for kit, (profile, _) in profiles.items()},
        custody={
            kit: (CustodySegment(place, START_MS, START_MS + 48 * HOUR_MS),) for kit, (_, place) in profiles.items()
        },
    )


def batches() -> list[ReadingBatch]:
    at_ms = START_MS + HOUR_MS * np.arange(1, 49, dtype=np.int64)
    warm = np.where(np.arange(48) < BAD_HOURS, 9000, 5000).astype(np.int32)
    return [
        ReadingBatch("warm", "1", at_ms, warm, END_MS),
        ReadingBatch("cold", "1", at_ms, np.full(48, 5000, np.int32), END_MS),
        ReadingBatch("elsewhere", "1", at_ms, np.full(48, 50_000, np.int32), END_MS),
    ]


KITS = {"K-1": ("mab-017", "warm"), "K-2": ("mab-017", "cold"), "K-3": ("smv-204", "warm"), "K-4": ("mab-017", "warm")}


def test_the_kits_that_change_verdict_are_named_with_the_limits_that_do_it() -> None:
    found = replayed.impact(batches(), registry(KITS), PRESENT, proposed(STRICTER))
    assert found.kits == 3
    (change,) = found.changes
    assert change.kits == ("K-1", "K-4")
    assert (change.before.verdict, change.after.verdict) == ("within_allowance", "outside")
    assert (change.before.profile_version, change.after.profile_version) == (3, 4)
    assert (change.broken, change.mended, change.changes_verdict) == (("above-8-accumulated",), (), True)


def test_looser_rules_mend_and_the_same_rules_change_nothing() -> None:
    (change,) = replayed.impact(batches(), registry(KITS), proposed(STRICTER), PRESENT).changes
    assert (change.after.verdict, change.broken, change.mended) == ("within_allowance", (), ("above-8-accumulated",))
    same = replayed.impact(batches(), registry(KITS), PRESENT, PRESENT)
    assert (same.kits, same.changes) == (0, ())


def test_another_broken_limit_under_the_same_verdict_is_named_as_well() -> None:
    stricter_still = STRICTER.replace('single_event = "24h"', 'single_event = "1h"')
    (change,) = replayed.impact(batches(), registry(KITS), proposed(STRICTER), proposed(stricter_still)).changes
    assert (change.broken, change.changes_verdict) == (("above-8-single",), False)


def test_every_kit_of_a_blind_group_is_judged_by_the_composite_of_all_its_arms() -> None:
    arms = {"K-1": ("mab-017", "warm"), "K-2": ("comparator-02", "warm"), "K-3": ("comparator-02", "cold")}
    found = replayed.impact(batches(), registry(arms, "T"), PRESENT, proposed(STRICTER))
    (change,) = found.changes
    assert (found.kits, change.kits) == (3, ("K-1", "K-2"))
    assert change.broken == ("mab-017:above-8-accumulated",)
    whole = {
        profiles: pipeline.replay(batches(), registry(arms, "T"), dict(rules)).assessments.values()
        for profiles, rules in (("before", PRESENT), ("after", proposed(STRICTER)))
    }
    assert change.before in whole["before"]
    assert change.after in whole["after"]


def test_kits_that_keep_the_version_of_their_trial_are_counted_and_not_changed() -> None:
    present = rulebook.of(PRESENT)
    new = rulebook.proposed(present, [parse_profile(STRICTER, "new.toml")])
    pinned = replace(registry(KITS), trials={"T": Trial("T", VersionChoice(pinned=(("mab-017", 3),)))})
    assert replayed.impact(batches(), pinned, present, new) == replayed.Impact(0, (), 3)
    free = replayed.impact(batches(), registry(KITS), present, new)
    assert (free.kits, [change.kits for change in free.changes], free.kept) == (3, [("K-1", "K-4")], 0)
    arms = {"K-1": ("mab-017", "warm"), "K-2": ("comparator-02", "warm"), "K-3": ("smv-204", "cold")}
    blind = replace(registry(arms, "T"), trials=pinned.trials)
    assert replayed.impact(batches(), blind, present, new).kept == 3


def test_the_command_says_how_many_kits_keep_their_version(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (case / "registry.toml").read_text(encoding="utf-8")
    pin = '[[trial]]\nid = "T1"\nprofile_version = { "mab-017" = 3 }\n'
    (case / "registry.toml").write_text(text + pin, encoding="utf-8")
    on_logs(case, case / "new.toml")
    told = json.loads(capsys.readouterr().out)
    assert told == {"kits_judged": 0, "kits_changing_verdict": 0, "kits_kept_by_trial": 1, "changes": []}
    on_logs(case, case / "new.toml", as_json=False)
    assert "1 more kits keep the version that their trial is set to" in capsys.readouterr().out


def test_each_kit_group_is_judged_twice_however_many_kits_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = Mock(wraps=stability.assess)
    monkeypatch.setattr(stability, "assess", judged)
    kits = {f"K-{number:05}": ("mab-017", ("warm", "cold")[number % 2]) for number in range(2_000)}
    found = replayed.impact(batches(), registry(kits), PRESENT, proposed(STRICTER))
    assert (found.kits, [len(change.kits) for change in found.changes]) == (2_000, [1_000])
    assert judged.call_count == 4


def test_an_opening_balance_of_a_limit_that_goes_is_refused() -> None:
    known = registry(KITS)
    known = replace(
        known,
        kits={**known.kits, "K-1": replace(known.kits["K-1"], opening=(OpeningBalance("above-8-accumulated", 1),))},
    )
    renamed = proposed(STRICTER.replace('"above-8-accumulated"', '"above-eight"'))
    with pytest.raises(BadInput, match="no limit with an opening balance"):
        replayed.impact(batches(), known, PRESENT, renamed)


REGISTRY = one_kit_registry(
    interval="1h",
    place="room",
    monitored_from="2026-03-01T10:00:00Z",
    kept_from="2026-03-01T10:00:00Z",
    kept_to="2026-03-01T20:00:00Z",
)


@pytest.fixture
def case(tmp_path: Path) -> Path:
    payload = {"v": 1, "logger": "lg-1", "t0": START_MS + HOUR_MS, "every": HOUR_MS, "mc": [9000] * 10}
    message = {
        "received_at": "2026-03-01T20:00:01.000Z",
        "topic": "coldchain/v1/basel/gw-1/lg-1/readings",
        "payload": payload,
    }
    (tmp_path / "log.ndjson").write_text(json.dumps(message) + "\n", encoding="utf-8")
    (tmp_path / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    (tmp_path / "new.toml").write_text(STRICTER, encoding="utf-8")
    settings = f'[ledger]\npath = "coldchain.db"\n[rules]\ndir = "{RULES.as_posix()}"\n'
    (tmp_path / "settings.toml").write_text(settings, encoding="utf-8")
    return tmp_path


def on_logs(case: Path, new: Path, *, as_json: bool = True, chosen: tuple[str, ...] = ()) -> None:
    rules_impact.run(
        new,
        [case / "log.ndjson"],
        settings_file=None,
        registry=[case / "registry.toml"],
        rules=RULES,
        chosen=chosen,
        as_of=None,
        as_json=as_json,
    )


def on_ledger(case: Path, *, as_of: str | None = None) -> None:
    rules_impact.run(
        case / "new.toml",
        [],
        settings_file=case / "settings.toml",
        registry=[],
        rules=None,
        chosen=[],
        as_of=as_of,
        as_json=True,
    )


def test_message_logs_are_replayed_by_the_present_and_the_new_rules(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on_logs(case, case / "new.toml")
    told = json.loads(capsys.readouterr().out)
    assert (told["kits_judged"], told["kits_changing_verdict"]) == (1, 1)
    (change,) = told["changes"]
    assert (change["kits"], change["broken"], change["mended"]) == (["K-1"], ["above-8-accumulated"], [])
    assert (change["before"]["verdict"], change["after"]["verdict"]) == ("within_allowance", "outside")
    assert (change["before"]["profile_version"], change["after"]["profile_version"]) == (3, 4)
    on_logs(case, case / "new.toml", as_json=False)
    shown = capsys.readouterr().out
    assert "above-8-accumulated: broken" in shown
    assert "1 kits are judged by changed rules, 1 change verdict" in shown


def test_a_folder_of_new_rules_replaces_the_profiles_it_names(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (case / "rules").mkdir()
    (case / "rules" / "mab.toml").write_text(STRICTER, encoding="utf-8")
    on_logs(case, case / "rules")
    assert json.loads(capsys.readouterr().out)["kits_changing_verdict"] == 1
    on_logs(case, RULES, chosen=("mab-017=3",))
    assert json.loads(capsys.readouterr().out)["kits_judged"] == 0
    with pytest.raises(BadInput, match="no such profile version"):
        on_logs(case, RULES, chosen=("mab-017=4",))


def test_the_ledger_is_replayed_with_the_rules_of_its_settings(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry_command.load([case / "registry.toml"], case / "settings.toml")
    capsys.readouterr()
    on_ledger(case)
    told = json.loads(capsys.readouterr().out)
    assert (told["kits_judged"], told["changes"]) == (1, [])
    on_ledger(case, as_of="2026-03-01T12:00:00Z")
    assert json.loads(capsys.readouterr().out)["kits_judged"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["log.ndjson"],
        ["--registry", "registry.toml"],
        ["log.ndjson", "--registry", "registry.toml", "--settings", "settings.toml"],
        ["--settings", "settings.toml", "--rules", "rules"],
    ],
)
def test_what_to_replay_has_to_be_said_once(case: Path, arguments: list[str]) -> None:
    there = [str(case / word) if word.count(".") else word for word in arguments]
    found = CliRunner().invoke(app, ["rules", "impact", str(case / "new.toml"), *there])
    assert isinstance(found.exception, BadInput)
    assert "give --settings for the ledger, or message logs with --registry" in str(found.exception)


def test_the_command_line_hands_everything_on(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(RULES.parent)
    logs = [str(case / "log.ndjson"), "--registry", str(case / "registry.toml"), "--profile-version", "mab-017=3"]
    found = CliRunner().invoke(app, ["rules", "impact", str(case / "new.toml"), *logs, "--json"])
    assert json.loads(found.stdout)["kits_changing_verdict"] == 1
    early = CliRunner().invoke(
        app, ["rules", "impact", str(case / "new.toml"), *logs, "--rules", "rules", "--as-of", "2026-03-01T11:00:00Z"]
    )
    assert "0 change verdict" in early.stdout
