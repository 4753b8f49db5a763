"""What is measured of a start has really started, and what is looked at under load is really stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import flame, start
from benchmarks.fleet import write_rules
from benchmarks.ingest import mosquitto
from coldchain.readings import ReadingBatch


def batch(logger: str, first: int, mc: list[int]) -> ReadingBatch:
    at_ms = 1_000 * np.arange(first, first + len(mc))
    return ReadingBatch(logger, "1", at_ms, np.array(mc, np.int32))


SENT = [batch("lg-1", 1, [1, 2, 3]), batch("lg-2", 1, [4]), batch("lg-1", 4, [5, 6])]


def test_a_start_is_over_when_the_service_stores_what_it_is_sent() -> None:
    wall_s, cpu_s = start.service_start_s()
    assert 0 < wall_s < start.GIVE_UP_S
    assert 0 < cpu_s < start.GIVE_UP_S


def test_help_is_measured_beyond_bare_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "HELPS", 1)
    wall_ms, cpu_ms = start.help_beyond_python_ms()
    assert wall_ms > 10
    assert cpu_ms > 10


def test_a_service_that_does_not_become_ready_is_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "GIVE_UP_S", 5.0)
    with mosquitto(tmp_path) as port:
        write_rules(tmp_path)
        (tmp_path / "rules" / "mab.toml").write_text("not rules")
        with pytest.raises(TimeoutError), start.service(tmp_path, port):
            pass


def test_what_is_stored_under_load_is_the_first_of_what_was_sent() -> None:
    flame.compare([SENT[0], SENT[1]], SENT)
    for wrong in (batch("lg-1", 1, [1, 2, 4]), batch("lg-1", 2, [1, 2, 3])):
        with pytest.raises(AssertionError):
            flame.compare([wrong, SENT[1]], SENT)


def test_the_flame_graph_says_what_it_shows(tmp_path: Path) -> None:
    drawing = tmp_path / "flame.svg"
    drawing.write_text('<svg><text id="title">py-spy record --pid 1 -o /home/x.svg</text><text>run</text></svg>')
    flame.entitle(drawing)
    assert drawing.read_text() == f'<svg><text id="title">{flame.TITLE}</text><text>run</text></svg>'
