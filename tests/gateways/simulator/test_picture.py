"""The picture in the guide is what the present models draw."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from gateways.simulator import picture

DOCS = Path(__file__).parents[3] / "docs"
_SVG = "{http://www.w3.org/2000/svg}"


def curves(text: str) -> list[np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    drawn = ElementTree.fromstring(text).iter(f"{_SVG}polyline")  # noqa: S314 (our own file)
    return [np.array([point.split(",") for point in line.attrib["points"].split()], float) for line in drawn]


def test_the_picture_in_the_guide_shows_every_curve_as_the_models_give_it() -> None:
    anew = curves(picture.svg(picture.panels()))
    kept = curves((DOCS / "places.svg").read_text(encoding="utf-8"))
    assert len(anew) == sum(len(panel.curves) for panel in picture.panels()) == len(kept)
    for now, then in zip(anew, kept, strict=True):
        # other machines round the last bit otherwise, and may start a compressor one step later
        assert np.median(np.abs(now - then)) < 0.2


def test_every_curve_stays_inside_its_panel() -> None:
    for points in curves(picture.svg(picture.panels())):
        assert points[:, 0].min() >= 0
        assert points[:, 0].max() <= 400
        assert points[:, 1].min() >= 0
        assert points[:, 1].max() <= 150
