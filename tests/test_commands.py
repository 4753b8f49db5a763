"""The commands around the ledger, as a person types them: the right exit code, and one clear line when it is wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from coldchain.profiles import load_profile
from command_line import RULES, coldchain, one_kit_registry

REGISTRY = one_kit_registry(
    interval="10min",
    place="cold-room",
    monitored_from="2026-03-01T00:00:00Z",
    kept_from="2026-03-01T00:00:00Z",
    kept_to="2026-03-01T03:00:00Z",
)

LOGGER_FILE = """\
Device: Q-tag CLm doc LR
Conf:
 Serial: TEST0001
 Zone: 0.00
 Temp unit: C
 Logging Interval: 10
Data:
\tyyyy-MM-dd hh:mm\tT\tOut of limits
""" + "".join(
    f"\t2026-03-01 {minute // 60:02}:{minute % 60:02}\t{5.0 if minute < 90 else 41.0}\t\n"
    for minute in range(10, 190, 10)
)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    (tmp_path / "registry.toml").write_text(REGISTRY)
    (tmp_path / "logger.txt").write_text(LOGGER_FILE)
    path = tmp_path / "settings.toml"
    path.write_text(f'[ledger]\npath = "coldchain.db"\n[rules]\ndir = "{RULES.as_posix()}"\n')
    return path


def load(settings: Path) -> None:
    coldchain("registry", "load", settings.parent / "registry.toml", "--settings", settings)


def test_a_logger_file_goes_from_preview_to_event_to_report(settings: Path) -> None:
    load(settings)
    file, out = settings.parent / "logger.txt", settings.parent / "report.json"
    done = coldchain("import", file, "--logger", "lg-1", "--zone", "UTC", "--settings", settings, "--yes")
    assert "18 readings, 0 faults" in done.stdout
    assert "first 2026-03-01T00:10:00Z, last 2026-03-01T03:00:00Z" in done.stdout
    assert "17 x 10 min" in done.stdout
    assert "18 new readings" in done.stdout

    events = json.loads(coldchain("events", "--json", "--settings", settings).stdout)
    assert [(event["kit"], event["limit"]) for event in events] == [("K-1", "above-40")]
    assert events[0]["breached_at_ms"] == 1_772_328_000_000  # 01:20, the start of the first interval at 41 degC
    assert (events[0]["revision"], events[0]["supported"]) == (1, True)

    coldchain("report", "K-1", "--out", out, "--settings", settings)
    assert json.loads(out.read_text())["report_sha256"]
    status = json.loads(coldchain("status", "--json", "--settings", settings).stdout)
    assert (status["messages"], status["readings"], status["events"]) == (1, 18, 1)
    assert "18" in coldchain("status", "--settings", settings).stdout


def test_an_old_verdict_is_reproduced_by_naming_the_version_that_gave_it(settings: Path) -> None:
    rules, log = settings.parent / "rules", settings.parent / "logger.txt"
    rules.mkdir()
    text = (RULES / "mab-017.toml").read_text(encoding="utf-8")
    later = text.replace("version = 3", "version = 4", 1).replace("above_c = 40.0", "above_c = 45.0")
    (rules / "mab-017-v3.toml").write_text(text, encoding="utf-8")
    (rules / "mab-017-v4.toml").write_text(later.replace("2026-01-01", "2026-02-01"), encoding="utf-8")
    settings.write_text(settings.read_text().replace(RULES.as_posix(), rules.as_posix()))
    hashes = {version: load_profile(rules / f"mab-017-v{version}.toml").sha256 for version in (3, 4)}

    def replayed(registry: Path, *more: str) -> tuple[int, str, list[str]]:
        files = ("--logger", "lg-1", "--zone", "UTC", "--registry", registry, "--rules", rules)
        answer = json.loads(coldchain("replay", log, *files, *more, "--json").stdout)
        (kit,) = answer["kits"]
        assert {event["profile_sha256"] for event in answer["events"]} <= {kit["profile_sha256"]}
        return kit["profile_version"], kit["profile_sha256"], [event["limit"] for event in answer["events"]]

    registry = settings.parent / "registry.toml"
    assert replayed(registry) == (4, hashes[4], [])
    assert replayed(registry, "--profile-version", "mab-017=3") == (3, hashes[3], ["above-40"])
    assert replayed(registry, "--as-of", "2026-01-31T00:00:00Z")[0] == 3
    pinned = settings.parent / "trial.toml"
    pinned.write_text(registry.read_text() + '[[trial]]\nid = "T1"\nprofile_version = { "mab-017" = 3 }\n')
    assert replayed(pinned) == replayed(registry, "--profile-version", "mab-017=3")
    assert replayed(pinned, "--profile-version", "mab-017=4")[0] == 4
    wrong = ("replay", log, "--registry", registry, "--rules", rules, "--profile-version", "mab-017=5")
    assert "mab-017 = 5: no such profile version; there are mab-017 3" in coldchain(*wrong, expect=2).stderr

    load(settings)
    coldchain("import", log, "--logger", "lg-1", "--zone", "UTC", "--settings", settings, "--yes")
    out = settings.parent / "report.json"
    for more, version in (((), 4), (("--profile-version", "mab-017=3"), 3)):
        coldchain("report", "K-1", "--out", out, "--settings", settings, *more)
        told = json.loads(out.read_text())
        assert [(rule["name"], rule["version"], rule["sha256"]) for rule in told["rules"]] == [
            ("mab-017", version, hashes[version])
        ]
        limits = [limit["id"] for limit in told["sections"][0]["limits"] if limit["state"] == "exceeded"]
        assert limits == (["above-40"] if version == 3 else [])


def test_every_event_names_the_file_that_judged_and_the_registry_shows_what_trials_are_set_to(settings: Path) -> None:
    with (settings.parent / "registry.toml").open("a") as registry:
        registry.write('[[trial]]\nid = "T1"\nversions = "in_force"\nprofile_version = { "mab-017" = 3 }\n')
    load(settings)
    file = settings.parent / "logger.txt"
    coldchain("import", file, "--logger", "lg-1", "--zone", "UTC", "--settings", settings, "--yes")
    (event,) = json.loads(coldchain("events", "--json", "--settings", settings).stdout)
    sha256 = hashlib.sha256((RULES / "mab-017.toml").read_bytes()).hexdigest()
    assert (event["profile"], event["profile_version"], event["profile_sha256"]) == ("mab-017", 3, sha256)
    shown = json.loads(coldchain("registry", "show", "--json", "--settings", settings).stdout)
    assert shown["trials"] == [{"trial": "T1", "versions": "in_force", "profile_version": {"mab-017": 3}}]
    told = " ".join(coldchain("registry", "show", "--settings", settings).stdout.split())
    assert "trial T1: judged by the version in force when a kit's custody began, mab-017 version 3" in told


def test_an_import_that_is_not_confirmed_leaves_the_ledger_as_it_was(settings: Path) -> None:
    load(settings)
    file = settings.parent / "logger.txt"
    coldchain("import", file, "--logger", "lg-1", "--zone", "UTC", "--settings", settings, stdin="n\n")
    assert json.loads(coldchain("status", "--json", "--settings", settings).stdout)["messages"] == 0


def test_importing_a_file_twice_keeps_both_files_and_counts_each_reading_once(settings: Path) -> None:
    load(settings)
    arguments = ("import", settings.parent / "logger.txt", "--logger", "lg-1", "--zone", "UTC", "--settings", settings)
    coldchain(*arguments, "--yes")
    assert "0 new readings, 0 quarantine events" in coldchain(*arguments, "--yes").stdout
    status = json.loads(coldchain("status", "--json", "--settings", settings).stdout)
    assert (status["messages"], status["readings"]) == (2, 18)


def test_an_import_for_an_unregistered_logger_is_refused_before_anything_is_written(settings: Path) -> None:
    load(settings)
    file = settings.parent / "logger.txt"
    arguments = ("import", file, "--logger", "lg-9", "--zone", "UTC", "--settings", settings, "--yes")
    assert "--logger = 'lg-9': is not registered" in coldchain(*arguments, expect=2).stderr
    assert json.loads(coldchain("status", "--json", "--settings", settings).stdout)["messages"] == 0


def test_a_registry_that_is_wrong_changes_nothing_and_names_file_line_key_and_value(settings: Path) -> None:
    load(settings)
    bad = settings.parent / "more.toml"
    bad.write_text('[[monitoring]]\nplace = "nowhere"\nlogger = "lg-1"\nfrom = 2026-03-01T00:00:00Z\n')
    line = coldchain("registry", "load", bad, "--settings", settings, expect=2).stderr
    assert line == "coldchain: more.toml:2: monitoring.place = 'nowhere': is not registered\n"
    shown = json.loads(coldchain("registry", "show", "--json", "--settings", settings).stdout)
    assert [file["name"] for file in shown["files"]] == ["registry.toml"]
    assert shown["places"] == [{"place": "cold-room", "kind": "storage", "stage": None, "loggers": ["lg-1"], "kits": 1}]


def test_a_registry_may_not_name_a_stability_profile_that_does_not_exist(settings: Path) -> None:
    other = settings.parent / "registry.toml"
    other.write_text(REGISTRY.replace("mab-017", "mab-999"))
    line = coldchain("registry", "load", other, "--settings", settings, expect=2).stderr
    assert "registry.toml:15: kit.profile = 'mab-999': no such stability profile" in line


def test_a_ledger_that_was_tampered_with_fails_verification_with_exit_code_1(settings: Path) -> None:
    import sqlite3
    from contextlib import closing

    load(settings)
    coldchain("audit", "verify", "--settings", settings)
    with closing(sqlite3.connect(settings.parent / "coldchain.db")) as connection, connection:
        connection.execute("DROP TRIGGER audit_no_update")
        connection.execute("UPDATE audit SET who = 'nobody'")
    coldchain("audit", "verify", "--settings", settings, expect=1)


def test_a_backup_restores_what_the_ledger_held(settings: Path) -> None:
    load(settings)
    copy = settings.parent / "copy.db"
    coldchain("backup", copy, "--settings", settings)
    (settings.parent / "coldchain.db").unlink()
    coldchain("restore", copy, "--reason", "disk replaced", "--settings", settings)
    assert json.loads(coldchain("registry", "show", "--json", "--settings", settings).stdout)["files"]


def test_a_missing_ledger_is_exit_code_3_and_one_line(settings: Path) -> None:
    line = coldchain("status", "--settings", settings, expect=3).stderr
    assert line.count("\n") == 1
    assert "coldchain.db" in line


def test_a_report_about_an_unknown_kit_is_refused(settings: Path) -> None:
    load(settings)
    out = settings.parent / "report.pdf"
    line = coldchain("report", "K-9", "--out", out, "--settings", settings, expect=2).stderr
    assert "kit = 'K-9': is not registered" in line
    assert not out.exists()


def test_the_rules_of_the_project_pass_their_own_check() -> None:
    assert "3 profiles are valid" in coldchain("rules", "check", RULES).stdout


def test_a_bad_rules_folder_is_exit_code_2(tmp_path: Path) -> None:
    text = (RULES / "mab-017.toml").read_text()
    (tmp_path / "mab-017.toml").write_text(text.replace('approver = "qa-approver"', 'approver = "qa-author"'))
    assert "second pair of eyes" in coldchain("rules", "check", tmp_path, expect=2).stderr


def test_the_service_does_not_start_without_its_broker(settings: Path) -> None:
    load(settings)
    settings.write_text(settings.read_text() + '[mqtt]\nhost = "127.0.0.1"\nport = 1\n')
    done = coldchain("run", "--settings", settings, expect=3)
    assert done.stderr.splitlines()[-1].startswith("coldchain: ")


@pytest.mark.parametrize(
    ("limits", "room", "words"),
    [
        ("alarm_percent = 100\nstop_percent = 100\n", "enough", "% full\n"),
        ("alarm_percent = 1\n", "holding", "% full: gateways are asked to keep their backlog"),
        ("alarm_percent = 1\nstop_percent = 1\n", "stopped", "% full: nothing is stored until there is room"),
    ],
)
def test_the_status_tells_what_the_disk_allows(settings: Path, limits: str, room: str, words: str) -> None:
    settings.write_text(settings.read_text().replace('db"\n', f'db"\n{limits}'))
    load(settings)
    status = json.loads(coldchain("status", "--json", "--settings", settings).stdout)
    assert status["disk"] == room
    assert words in coldchain("status", "--settings", settings).stdout
