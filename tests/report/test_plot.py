"""What the drawing shows, as facts about its elements."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from coldchain.history import History
from coldchain.kernels import UNKNOWN
from coldchain.model import CustodySegment, Excursion
from coldchain.report import plot
from report.cases import DAY, HOUR, MINUTE, T0


def history(*segments: tuple[int, int]) -> History:
    """Segments of (length, milli-degC) from `T0`."""
    ends = T0 + np.cumsum(np.array([length for length, _ in segments], np.int64))
    values = np.array([value for _, value in segments], np.int32)
    return History(T0, ends, values, values)


CALM = history((10 * HOUR, 5_000))


def draw(step: History = CALM, **parts: Any) -> ElementTree.Element:
    drawing = plot.svg(step, name="p", title="t", label_low_mc=2_000, label_high_mc=8_000, **parts)
    return ElementTree.fromstring(drawing)  # noqa: S314 - our own drawing


def classed(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if element.get("class") == name]


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter() if element.tag.endswith("text")]


def highest(root: ElementTree.Element) -> float:
    """Smallest y of the hot curve: SVG counts downwards."""
    (curve,) = classed(root, "hot")
    return min(float(y) for _, y in re.findall(r"([\d.]+) ([\d.]+)", curve.get("d") or ""))


def test_a_spike_of_one_segment_in_a_million_is_drawn() -> None:
    values = np.full(1_000_000, 5_000, np.int32)
    values[654_321] = 20_000
    step = History(T0, T0 + np.arange(1, 1_000_001, dtype=np.int64) * 30_000, values, values)
    flat = History(T0, step.end_ms, np.full(1_000_000, 5_000, np.int32), np.full(1_000_000, 5_000, np.int32))
    assert highest(draw(step)) < 60
    assert highest(draw(flat)) > 100


def test_a_noisy_year_stays_small() -> None:
    random = np.random.default_rng(7)
    hot = random.integers(-5_000, 20_000, 105_120).astype(np.int32)
    hot[random.integers(0, len(hot), 5_000)] = UNKNOWN
    cold = np.where(hot == UNKNOWN, UNKNOWN, hot - 1_000).astype(np.int32)
    step = History(T0, T0 + np.arange(1, len(hot) + 1, dtype=np.int64) * 5 * MINUTE, hot, cold)
    runs = [Excursion("above", 8_000, T0 + n * HOUR, T0 + n * HOUR + MINUTE, MINUTE, 9_000) for n in range(0, 8_760, 3)]
    drawing = plot.svg(step, name="p", title="t", label_low_mc=2_000, label_high_mc=8_000, excursions=runs)
    assert len(drawing) < 100_000


def test_unknown_time_is_hatched_labelled_and_in_the_legend() -> None:
    root = draw(history((4 * HOUR, 5_000), (2 * HOUR, UNKNOWN), (4 * HOUR, 5_000)))
    (gap,) = classed(root, "no-data")
    assert "hatch" in (gap.get("fill") or "")
    assert float(gap.get("width") or 0) == 120
    assert texts(root).count("no data") == 2
    assert (classed(root, "hot")[0].get("d") or "").count("M") == 2


def test_without_gaps_nothing_is_hatched() -> None:
    assert not classed(draw(), "no-data")


def test_a_history_that_is_all_unknown_is_drawn_without_curves() -> None:
    root = draw(history((HOUR, UNKNOWN)))
    assert not classed(root, "hot")
    assert float(classed(root, "no-data")[0].get("width") or 0) == 600


@pytest.mark.parametrize("start_ms", [T0, T0 + 100 * DAY, T0 + 365 * DAY - 1_000])
def test_an_excursion_of_one_second_in_a_year_is_visible(start_ms: int) -> None:
    run = Excursion("above", 8_000, start_ms, start_ms + 1_000, 1_000, 9_000)
    (mark,) = classed(draw(history((365 * DAY, 5_000)), excursions=[run]), "excursion")
    assert float(mark.get("width") or 0) >= 2


def test_an_excursion_without_known_end_is_shaded_to_the_end() -> None:
    run = Excursion("above", 8_000, T0 + 5 * HOUR, None, HOUR, 9_000)
    (mark,) = classed(draw(excursions=[run]), "excursion")
    assert float(mark.get("x") or 0) + float(mark.get("width") or 0) == 646


def test_every_breach_has_a_line_and_close_ones_share_a_mark() -> None:
    root = draw(breaches=[(T0 + HOUR, "1"), (T0 + HOUR + MINUTE, "2"), (T0 + 8 * HOUR, "3")])
    assert len(classed(root, "breach")) == 3
    assert {"1, 2", "3"} <= set(texts(root))


def test_a_breach_outside_the_history_is_not_drawn() -> None:
    assert not classed(draw(breaches=[(T0 - HOUR, "1")]), "breach")


def test_a_bound_far_from_the_data_is_named_by_an_arrow_and_does_not_squeeze_the_plot() -> None:
    far = texts(draw(limits_mc=[25_000, -70_000]))
    assert {"↑ 25.0 limit", "↓ -70.0 limit", "8.0 label", "2.0 label"} <= set(far)
    assert highest(draw(limits_mc=[25_000])) == highest(draw())


def test_the_band_is_open_where_the_label_has_no_bound() -> None:
    drawing = plot.svg(CALM, name="p", title="t", label_low_mc=None, label_high_mc=8_000)
    assert "8.0 label" in drawing
    assert "2.0 label" not in drawing


def test_custody_is_a_strip_of_places_with_names_that_fit() -> None:
    route = [
        CustodySegment("depot", T0 - HOUR, T0 + 5 * HOUR),
        CustodySegment("x" * 200, T0 + 5 * HOUR, T0 + 9 * HOUR),
        CustodySegment("flash", T0 + 9 * HOUR, T0 + 9 * HOUR + 1),
        CustodySegment("site", T0 + 9 * HOUR, None),
    ]
    found = texts(draw(custody=route))
    assert {"depot", "site"} <= set(found)
    assert "flash" not in found
    assert any(text.startswith("xxx") and text.endswith("…") and len(text) < 50 for text in found)


def test_names_are_escaped() -> None:
    hostile = '</text><script>alert("1")</script>'
    route = [CustodySegment(hostile[:30], T0, None)]
    drawing = plot.svg(CALM, name="p", title=hostile, label_low_mc=2_000, label_high_mc=8_000, custody=route)
    assert "<script" not in drawing
    assert "&lt;/text&gt;" in drawing


def test_the_drawing_describes_itself_to_a_screen_reader() -> None:
    root = draw()
    assert root.get("role") == "img"
    description = next(element.text for element in root if element.tag.endswith("desc"))
    assert description == "10 h, 5.0 to 5.0 °C, without gaps, 0 excursions, 0 breach instants."


def test_a_history_of_one_millisecond_can_be_drawn() -> None:
    assert classed(draw(history((1, 5_000))), "hot")


def test_the_same_history_gives_the_same_drawing() -> None:
    arguments: dict[str, Any] = {"name": "p", "title": "t", "label_low_mc": 2_000, "label_high_mc": 8_000}
    assert plot.svg(CALM, **arguments) == plot.svg(CALM, **arguments, limits_mc=set())
