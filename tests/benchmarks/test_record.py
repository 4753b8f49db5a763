"""What a full run leaves behind must say what it measured, and what it missed."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest

from benchmarks import __main__ as command
from benchmarks import chart, harness, record
from benchmarks.harness import GOALS, Absent, Curve, Figure, Found, Peer, Row, by_goal, race, standing_for

MET = Row("replay", 10, "numpy", 2e6, 1e6, 2.0, 1.9, 2.1, goal=1.5, goal_id="B1")
MISSED = Figure("end to end", 1.5e6, "readings/s", 2e6, is_least=True, goal_id="B6")
OURS = Peer("coldchain", "itself", 2e6, 22, 40, {"clean": 40, "late": 40}, "B10")
OTHER = Peer("a <stream>", "node", 1e6, 30, 40, {"clean": 40, "late": 10}, "B10")
CURVE = Curve("memory", "bytes", "kits", [(1.0, 100.0), (1000.0, 101.0)])
FOUND: list[Found] = [MISSED, MET, CURVE, OURS, OTHER, Absent("Node-RED", "not installed", "B10")]


def test_the_json_has_every_line_with_date_machine_and_versions(tmp_path: Path) -> None:
    record.write(FOUND, 1.25, tmp_path)
    document = orjson.loads((tmp_path / "benchmarks.json").read_bytes())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", document["date"])
    assert document["machine"]["cores"] >= 1
    assert document["machine"]["load_before"] == 1.2
    assert document["versions"]["numpy"]
    kinds = ("races", "figures", "peers", "curves", "absent")
    assert [len(document[kind]) for kind in kinds] == [1, 1, 2, 1, 1]
    assert [document[kind][0]["goal_id"] for kind in kinds] == ["B1", "B6", "B10", None, "B10"]
    assert document["curves"][0]["points"] == [[1.0, 100.0], [1000.0, 101.0]]
    assert document["races"][0]["is_met"] is True
    assert document["figures"][0]["is_met"] is False
    assert document["peers"][1]["right"] == {"clean": 40, "late": 10}


def test_the_drawing_is_well_formed_and_says_in_words_what_its_colours_say() -> None:
    drawing = chart.svg(FOUND, "today & here")
    ElementTree.fromstring(drawing)  # noqa: S314 - our own drawing
    for text in ("met: 2 times, at least 1.5", "MISSED: 1.5 M readings/s, at least 2 M", "WRONG kits: late 75 %"):
        assert text in drawing
    assert "right on all" in drawing
    words = ("B1", "replay / numpy", "B6", "end to end", "B10", "Node-RED")
    assert sorted(words, key=lambda each: drawing.index(f">{each}<")) == list(words)
    assert "not measured: not installed" in drawing
    assert "a &lt;stream&gt;" in drawing


def test_a_goal_is_met_from_one_on_whichever_side_it_bounds() -> None:
    bars = chart.goals([MET, MISSED, Figure("restart", 5.0, "s", goal=10), Figure("no goal", 1.0, "s", None)])
    assert [(bar.times and round(bar.times, 3), bar.is_good) for bar in bars] == [
        (1.333, True),
        (0.75, False),
        (2.0, True),
    ]


def test_the_peers_are_drawn_against_ours() -> None:
    assert [(bar.times, bar.is_good) for bar in chart.peers(FOUND)] == [(1.0, True), (0.5, False)]


def test_every_line_is_printed_with_its_goal_what_was_not_measured_included(capsys: pytest.CaptureFixture[str]) -> None:
    command.show(FOUND)
    said = capsys.readouterr().out
    for words in (
        r"B1 .*replay \(10\).* 2 M/s .*numpy: 1 M/s .*2 \(1.9 to 2.1\) .*at least 1.5 .*met",
        r"B6 .*end to end .*1,500,000 readings/s .*at least 2,000,000 readings/s .*MISSED",
        r"B10 .*Node-RED .*not measured .*not installed",
        r"memory, bytes .*kits .*1: 100, 1,000: 101",
        r"B10 .*coldchain .*itself .*2 M/s .*1 .*22 .*40 .*40",
        r"B10 .*a <stream> .*node .*1 M/s .*2 .*30 .*40 .*10",
    ):
        assert re.search(words, said), words


def test_the_tables_are_written_as_markdown(tmp_path: Path) -> None:
    record.write(FOUND, 1.25, tmp_path)
    text = (tmp_path / "benchmark-results.md").read_text()
    assert re.search(r"Written by `make bench`, \d{4}-\d\d-\d\d, .*load before 1.2", text)
    assert "| B1 | replay (10) | 2 M/s | numpy: 1 M/s | 2 (1.9 to 2.1) | at least 1.5 | met |" in text
    assert "| B10 | a &lt;stream> | node | 1 M/s | 2 | 30 | 40 | 10 |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {8, 5, 9}


def test_after_a_run_every_goal_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[str | None, object]] = [("B1", lambda: [MET]), (None, lambda: [CURVE, MISSED])]
    monkeypatch.setattr(command, "steps", lambda *_: measured)
    found = command.measure(1)
    assert found[:3] == [MET, CURVE, MISSED]
    assert {line.goal_id for line in found} == {*GOALS, None}
    assert {line.goal_id for line in found[3:]} == GOALS.keys() - {"B1", "B6"}
    assert all(isinstance(line, Absent) for line in found[3:])


def test_every_step_stands_for_a_goal_or_for_none(tmp_path: Path) -> None:
    assert {goal_id for goal_id, _ in command.steps(1, tmp_path)} <= {*GOALS, None}


def test_a_line_stands_for_the_goal_of_its_benchmark_unless_it_names_another() -> None:
    nameless = Figure("start", 1.0, "s", 2)
    assert [line.goal_id for line in standing_for("B9", [nameless, MISSED])] == ["B9", "B6"]
    shuffled: list[Found] = [CURVE, OURS, MISSED, MET]
    assert [line.goal_id for line in by_goal(shuffled)] == ["B1", "B6", "B10", None]


def test_a_quick_race_has_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    for is_quick, rounds in ((False, harness.ROUNDS), (True, harness.ROUNDS_OF_A_SHARE)):
        monkeypatch.setattr(harness, "_rounds", harness.ROUNDS)
        if is_quick:
            harness.hurry()
        runs.clear()
        race("counting", 1, lambda: runs.append(1), {"other": lambda: sum(range(100))})
        assert len(runs) == 1 + rounds


def test_a_race_can_have_a_goal_for_each_reference() -> None:
    rows = race("nothing", 1, lambda: sum(range(1000)), {"a": tuple, "b": tuple}, rounds=1, goal={"b": 2.0})
    assert [row.goal for row in rows] == [None, 2.0]
