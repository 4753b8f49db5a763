"""What a full run leaves behind must say what it measured, and what it missed."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest

from benchmarks import chart, record
from benchmarks.__main__ import show
from benchmarks.harness import Absent, Figure, Found, Peer, Row, race

MET = Row("replay", 10, "numpy", 2e6, 1e6, 2.0, 1.9, 2.1, goal=1.5)
MISSED = Figure("end to end", 1.5e6, "readings/s", 2e6, is_least=True)
OURS = Peer("coldchain", "itself", 2e6, 22, 40, {"clean": 40, "late": 40})
OTHER = Peer("a <stream>", "node", 1e6, 30, 40, {"clean": 40, "late": 10})
FOUND: list[Found] = [MET, MISSED, OURS, OTHER, Absent("Node-RED", "not installed")]


def test_the_json_has_every_line_with_date_machine_and_versions(tmp_path: Path) -> None:
    record.write(FOUND, 1.25, tmp_path)
    document = orjson.loads((tmp_path / "benchmarks.json").read_bytes())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", document["date"])
    assert document["machine"]["cores"] >= 1
    assert document["machine"]["load_before"] == 1.2
    assert document["versions"]["numpy"]
    assert [len(document[kind]) for kind in ("races", "figures", "peers", "absent")] == [1, 1, 2, 1]
    assert document["races"][0]["is_met"] is True
    assert document["figures"][0]["is_met"] is False
    assert document["peers"][1]["right"] == {"clean": 40, "late": 10}


def test_the_drawing_is_well_formed_and_says_in_words_what_its_colours_say() -> None:
    drawing = chart.svg(FOUND, "today & here")
    ElementTree.fromstring(drawing)  # noqa: S314 - our own drawing
    for text in ("met: 2 times, at least 1.5", "MISSED: 1.5 M readings/s, at least 2 M", "WRONG kits: late 75 %"):
        assert text in drawing
    assert "right on all" in drawing
    assert "a &lt;stream&gt;" in drawing


def test_a_goal_is_met_from_one_on_whichever_side_it_bounds() -> None:
    bars = chart.goals([MET, MISSED, Figure("restart", 5.0, "s", goal=10), Figure("no goal", 1.0, "s", None)])
    assert [(round(bar.times, 3), bar.is_good) for bar in bars] == [(1.333, True), (0.75, False), (2.0, True)]


def test_the_peers_are_drawn_against_ours() -> None:
    assert [(bar.times, bar.is_good) for bar in chart.peers(FOUND)] == [(1.0, True), (0.5, False)]


def test_what_was_not_measured_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    show(FOUND)
    assert "not measured: Node-RED: not installed" in capsys.readouterr().out


def test_a_race_can_have_a_goal_for_each_reference() -> None:
    rows = race("nothing", 1, lambda: sum(range(1000)), {"a": tuple, "b": tuple}, rounds=1, goal={"b": 2.0})
    assert [row.goal for row in rows] == [None, 2.0]
