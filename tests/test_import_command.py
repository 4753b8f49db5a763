"""`coldchain import` as a person types it: what is shown before asking, and what the ledger holds afterwards."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.commands.reconciliation import reconcile
from coldchain.history import EMPTY, merge
from coldchain.model import Logger
from coldchain.readings import FAULT_MC, ReadingBatch
from command_line import COLD_ROOM, RULES, coldchain

PROBE = """\
Report of a logger nobody has seen
Nr;Datum;Zeit;Probe 004512 (°C);rF %;Ger\u00e4t
1;03.04.2026;10:00;5,1;50;0451
2;03.04.2026;10:10;5,2;50;0451
3;03.04.2026;10:20;--.-;50;0451
4;03.04.2026;10:30;5,0;50;0451
5;03.04.2026;11:40;5,0;50;0451
"""

ANSWERS = ["", "", "2 3", "4", "6", "dmy", "Europe/Zurich", "85", "", "y"]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    (tmp_path / "registry.toml").write_text(COLD_ROOM)
    (tmp_path / "probe.csv").write_text(PROBE, encoding="utf-8")
    path = tmp_path / "settings.toml"
    path.write_text(f'[ledger]\npath = "coldchain.db"\n[rules]\ndir = "{RULES.as_posix()}"\n')
    coldchain("registry", "load", tmp_path / "registry.toml", "--settings", path)
    return path


def make_map(settings: Path, *more: str | Path, answers: list[str], expect: int = 0) -> tuple[str, str]:
    file, map_file = settings.parent / "probe.csv", settings.parent / "probe.toml"
    stdin = "".join(f"{answer}\n" for answer in answers)
    done = coldchain("import", file, "--make-map", map_file, *more, stdin=stdin, expect=expect)
    return done.stdout, done.stderr


def test_a_logger_nobody_has_seen_is_mapped_by_asking_and_imported_by_that_mapping(settings: Path) -> None:
    shown, _ = make_map(settings, answers=ANSWERS)
    assert "Probe 004512 (°C) (temperature?)" in shown
    assert "noticed: decimal mark comma; order of the date open: dmy or mdy; unit c; zone not stated" in shown
    assert "channel 1: 4 readings, 1 faults" in shown
    text = (settings.parent / "probe.toml").read_text(encoding="utf-8")
    assert 'column = "Probe * (°C)"' in text

    file = settings.parent / "probe.csv"
    arguments = ("import", file, "--logger", "lg-1", "--settings", settings, "--map", settings.parent / "probe.toml")
    done = coldchain(*arguments, stdin="y\n")
    assert "probe, serial 0451, SHA-256 " + hashlib.sha256(file.read_bytes()).hexdigest() in done.stdout
    assert "first 2026-04-03T08:00:00Z, last 2026-04-03T09:40:00Z" in done.stdout
    assert "local 2026-04-03 10:00:00 to 2026-04-03 11:40:00 (Europe/Zurich)" in done.stdout
    assert "intervals: 3 x 10 min, 1 x 70 min" in done.stdout
    assert "faults: 1 x --.-" in done.stdout
    assert "5 new readings" in done.stdout


def test_a_file_in_utf_16_with_two_probes_in_another_language_and_events_is_mapped_by_enter(settings: Path) -> None:
    rows = "".join(f"{i};{12 + i}.04.2026 10:00;4,{i};41,5;\n" for i in range(3)) + "4;15.04.2026 10:07;;;Logg\n"
    head = "Nr;Data, GMT+02:00;Temperatura 1 (\N{DEGREE SIGN}C);Temperatura 2 (\N{DEGREE SIGN}C);Zdarzenie\n"
    (settings.parent / "probe.csv").write_bytes((head + rows).encode("utf-16-le"))
    shown, _ = make_map(settings, answers=["", "", "", "", "", "", "", "", "y"])
    assert "taken as UTF-16" in shown
    assert "order of the date clear; unit c; zone UTC+02:00; 1 rows are events without a temperature" in shown
    assert "channel 2: 3 readings, 0 faults" in shown
    assert "first 2026-04-12T08:00:00Z, last 2026-04-14T08:00:00Z" in shown


def test_the_bytes_of_a_file_and_how_they_were_read_are_kept_with_its_readings(settings: Path) -> None:
    make_map(settings, "--logger", "lg-1", "--settings", settings, answers=[*ANSWERS, "y"])
    with closing(sqlite3.connect(settings.parent / "coldchain.db")) as ledger:
        ((payload, detail),) = ledger.execute("SELECT payload, detail FROM message").fetchall()
    assert payload == (settings.parent / "probe.csv").read_bytes()
    assert "zone Europe/Zurich" in detail
    assert (settings.parent / "probe.toml").read_text(encoding="utf-8") in detail
    coldchain("audit", "verify", "--settings", settings)


@pytest.mark.parametrize("kept", [0, 4, len(ANSWERS) - 1])
def test_a_mapping_whose_questions_are_not_all_answered_is_not_saved(tmp_path: Path, kept: int) -> None:
    (tmp_path / "probe.csv").write_text(PROBE, encoding="utf-8")
    _, said = make_map(tmp_path / "settings.toml", answers=ANSWERS[:kept], expect=2)
    assert said.count("\n") == 1
    assert "ended before every question" in said
    assert not (tmp_path / "probe.toml").exists()


def test_a_mapping_never_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "probe.csv").write_text(PROBE, encoding="utf-8")
    (tmp_path / "probe.toml").write_text("mine")
    _, said = make_map(tmp_path / "settings.toml", answers=ANSWERS, expect=2)
    assert "exists already" in said
    assert (tmp_path / "probe.toml").read_text() == "mine"


def test_wrong_answers_are_asked_again_and_a_mapping_that_is_not_wanted_is_not_saved(tmp_path: Path) -> None:
    (tmp_path / "probe.csv").write_text(PROBE, encoding="utf-8")
    answers = ["dots", "", "", "2 99", "2 3", "4", "6", "dmy", "Europe/Zurich", "-", "", "n"]
    shown, said = make_map(tmp_path / "settings.toml", answers=answers, expect=2)
    assert "one of comma, semicolon, tab, pipe" in shown
    assert "numbers of at most 2 of the columns 1 to 6" in shown
    assert "not saved" in said
    assert not (tmp_path / "probe.toml").exists()


def hobo(rows: list[tuple[str, str]], header: str = "Date Time, GMT+00:00") -> str:
    lines = [f'"#","{header}","Temp, °C (LGR S/N: 0012)"']
    return "\n".join(lines + [f"{i},{at},{value}" for i, (at, value) in enumerate(rows, start=1)]) + "\n"


def test_a_download_is_compared_with_what_the_ledger_has_before_anything_is_asked(settings: Path) -> None:
    streamed = [("2026-04-03 08:10", "5.0"), ("2026-04-03 08:20", "5.1"), ("2026-04-03 09:20", "5.2")]
    download = [
        *streamed[:2],
        *((f"2026-04-03 {8 + m // 60:02}:{m % 60:02}", "5.5") for m in (30, 40, 50, 60, 70)),
        ("2026-04-03 09:20", "5.9"),
    ]
    first, second = settings.parent / "a.csv", settings.parent / "b.csv"
    first.write_text(hobo(streamed), encoding="utf-8")
    second.write_text(hobo(download), encoding="utf-8")
    options = ("--logger", "lg-1", "--settings", settings)
    assert "the ledger has nothing of it yet; 3 are new" in coldchain("import", first, *options, "--yes").stdout
    shown = coldchain("import", second, *options, stdin="n\n").stdout
    assert "the ledger has 3 of it; 2 of the file are equal to stored ones, 6 are new" in shown
    assert "1 conflicts: another temperature at the same instant, first 2026-04-03T09:20:00Z" in shown
    assert "fills 1 of 1 gaps" in shown
    assert "0:50:00 before, 0:00:00 after" in shown
    assert json.loads(coldchain("status", "--json", "--settings", settings).stdout)["readings"] == 3


def test_ambiguous_dates_are_refused_in_one_line_and_an_option_says_which(settings: Path) -> None:
    file = settings.parent / "a.csv"
    file.write_text(hobo([("03/04/2026 08:10", "5.0")]), encoding="utf-8")
    options = ("import", file, "--logger", "lg-1", "--settings", settings, "--yes")
    said = coldchain(*options, expect=2).stderr
    assert said.count("\n") == 1
    assert f"{file}:2: time = '03/04/2026 08:10': ambiguous date" in said
    assert "first 2026-04-03T08:10:00Z" in coldchain(*options, "--date-order", "dmy").stdout
    assert "must be one of dmy, mdy, ymd" in coldchain(*options, "--date-order", "us", expect=2).stderr


def test_an_hour_that_occurs_twice_is_imported_when_the_rows_are_declared_to_be_in_order(settings: Path) -> None:
    file = settings.parent / "a.csv"
    rows = [("2026-10-25 01:30", "5"), ("2026-10-25 02:30", "5"), ("2026-10-25 02:30", "6")]
    file.write_text(hobo(rows, "Date Time"), encoding="utf-8")
    options = ("import", file, "--logger", "lg-1", "--settings", settings, "--zone", "Europe/Zurich", "--yes")
    assert "occurs twice" in coldchain(*options, expect=2).stderr
    assert "last 2026-10-25T01:30:00Z" in coldchain(*options, "--repeated-hour-in-order").stdout


def test_a_vendors_figure_that_differs_by_more_than_a_tenth_is_flagged(settings: Path) -> None:
    text = (
        "Device: Q-tag CLm doc LR\nConf:\n Serial: T1\n Zone: 0.00\n Temp unit: C\n"
        "Res:\n Min T: 4.0\n Max T: 5.0\nData:\n\tyyyy-MM-dd hh:mm\tT\tOut of limits\n"
        "\t2026-04-03 08:10\t4.1\t\n\t2026-04-03 08:20\t5.2\t\n"
    )
    file = settings.parent / "q.txt"
    file.write_text(text)
    options = ("import", file, "--logger", "lg-1", "--settings", settings, "--zone", "UTC")
    lines = coldchain(*options, stdin="n\n").stdout.splitlines()
    (lowest,) = (line for line in lines if line.split()[:1] == ["min"])
    (highest,) = (line for line in lines if line.split()[:1] == ["max"])
    assert "differs" not in lowest
    assert "differs by more than 0.1 K" in highest


@pytest.mark.parametrize(
    ("missing", "named"),
    [(("--settings", "settings.toml"), "--logger: is missing"), (("--logger", "lg-1"), "--settings: is missing")],
)
def test_an_import_without_logger_or_settings_is_one_line(tmp_path: Path, missing: list[str], named: str) -> None:
    file = tmp_path / "probe.csv"
    file.write_text(PROBE, encoding="utf-8")
    assert coldchain("import", file, *missing, expect=2).stderr == f"coldchain: {named}\n"


# -- the comparison, against the slow and obvious one ----------------------------------------------------------------

LOGGER = Logger("lg-1", logging_interval_ms=10, gap_after_ms=20)
FIRST_MS = 1_760_000_000_000
READINGS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from([FAULT_MC, 1, 2])), max_size=20)


def batch(readings: list[tuple[int, int]]) -> ReadingBatch:
    at = np.array([FIRST_MS + 10 * i for i, _ in readings], np.int64)
    return ReadingBatch("lg-1", "1", at, np.array([mc for _, mc in readings], np.int32))


def conflicts(readings: set[tuple[int, int]]) -> set[int]:
    return {at for at, mc in readings for at2, mc2 in readings if at == at2 and FAULT_MC not in (mc, mc2) and mc != mc2}


@given(READINGS, READINGS)
def test_the_numbers_of_a_comparison_are_those_of_plain_sets(
    before: list[tuple[int, int]], file: list[tuple[int, int]]
) -> None:
    had = batch(before)
    stored, _ = merge(EMPTY, had.at_ms, had.temperature_mc)
    numbers = reconcile(batch(file), stored, LOGGER)
    old, more = set(before), set(file)
    assert numbers.stored == len(old)
    assert numbers.repeated == len(file) - len(more)
    assert numbers.equal == len(old & more)
    assert numbers.new == len(more - old)
    found = {(conflict.at_ms - FIRST_MS) // 10 for conflict in numbers.conflicts}
    assert found == conflicts(old | more) - conflicts(old)

    known = sorted({at for at, mc in old if mc != FAULT_MC})
    after = {at for at, mc in old | more if mc != FAULT_MC}
    gaps = [(a, b) for a, b in zip(known, known[1:], strict=False) if b - a > 2]  # noqa: RUF007 (as plain as can be)
    inside = [sorted(at for at in after if a <= at <= b) for a, b in gaps]
    left = [[b - a - 1 for a, b in zip(at, at[1:], strict=False) if b - a > 2] for at in inside]  # noqa: RUF007
    assert (numbers.gaps, numbers.filled) == (len(gaps), sum(not each for each in left))
    assert numbers.unknown_ms == (10 * sum(b - a - 1 for a, b in gaps), 10 * sum(map(sum, left)))


def test_times_of_a_reset_clock_are_counted_apart() -> None:
    reset = ReadingBatch("lg-1", "1", np.array([946_684_800_000, FIRST_MS]), np.array([5000, 5000], np.int32))
    numbers = reconcile(reset, EMPTY, LOGGER)
    assert (numbers.unverified, numbers.new) == (1, 1)
