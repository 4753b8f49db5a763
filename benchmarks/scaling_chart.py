"""The curves of a run as a self-contained SVG of small multiples: what flat is costs the same at any size.

Each panel has its own scales: sizes logarithmic, cost linear from zero. Every point has its cost beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from benchmarks.chart import FAINT, MET, text
from benchmarks.harness import Curve

_COLUMNS = 3
_PANEL, _HEIGHT, _TOP = 340, 200, 40
_LEFT, _RIGHT, _ABOVE, _BELOW = 20, 30, 52, 42
_HEADROOM = 1.25
"""So much of a panel above its highest point is left for the numbers."""


def svg(curves: Sequence[Curve], subtitle: str) -> str:
    """The drawing."""
    rows = math.ceil(len(curves) / _COLUMNS)
    width, height = _COLUMNS * _PANEL, _TOP + rows * _HEIGHT
    panels = [
        part
        for number, curve in enumerate(curves)
        for part in _panel(curve, number % _COLUMNS * _PANEL, _TOP + number // _COLUMNS * _HEIGHT)
    ]
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title"'
            ' font-family="DejaVu Sans, Arial, sans-serif" font-size="10">',
            f'<title id="title">Scaling, {escape(subtitle)}</title>',
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            text(12, 22, f"Scaling, {subtitle}", 'font-size="13" font-weight="bold"'),
            *panels,
            "</svg>",
        ]
    )


def _panel(curve: Curve, left: float, top: float) -> list[str]:
    """One curve in the box whose corner is given."""
    begin, end, floor = left + _LEFT, left + _PANEL - _RIGHT, top + _HEIGHT - _BELOW
    logs = [math.log10(size) for size, _ in curve.points]
    span = (logs[-1] - logs[0]) or 1.0
    highest = _HEADROOM * max(cost for _, cost in curve.points)
    reach = floor - top - _ABOVE
    at = [
        (round(begin + 12 + (end - begin - 24) * (log - logs[0]) / span, 1), round(floor - reach * cost / highest, 1))
        for log, (_, cost) in zip(logs, curve.points, strict=True)
    ]
    line = "L".join(f"{x:g} {y:g}" for x, y in at)
    parts = [
        text(begin, top + 16, curve.what, 'font-weight="bold"'),
        text(begin, top + 30, f"{curve.unit}, against {curve.against}"),
        f'<path d="M{begin:g} {floor:g}H{end:g}" stroke="{FAINT}"/>',
        f'<path d="M{line}" fill="none" stroke="{MET}" stroke-width="1.5"/>',
    ]
    for (x, y), (size, cost) in zip(at, curve.points, strict=True):
        parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="3" fill="{MET}"/>')
        parts.append(text(x, y - 8, f"{cost:.3g}" if cost < 1000 else f"{cost:,.0f}", 'text-anchor="middle"'))
        parts.append(text(x, floor + 14, _short(size), 'text-anchor="middle"'))
    return parts


def _short(size: float) -> str:
    """A size in few letters."""
    for unit, letter in ((1e6, " M"), (1e3, " k")):
        if size >= unit:
            return f"{size / unit:.3g}{letter}"
    return f"{size:g}"
