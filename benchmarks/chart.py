"""The lines of a run as a self-contained SVG: bars on a logarithmic scale, right of the middle is good.

Above, every goal: how many times over it is met. Below, the peers at one job: how many times faster or slower than
ours, and whether they are right. What a colour says (palette after Okabe and Ito) stands beside it in words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from benchmarks.harness import Absent, Figure, Found, Peer, Row, by_goal

_LABEL, _PLOT, _NOTE = 480, 280, 270
_WIDTH, _LINE = _LABEL + _PLOT + _NOTE, 18
_MIDDLE = _LABEL + _PLOT / 2
_DECADES = 2
_LONGEST, _LONGEST_NOTE = 76, 46
INK, FAINT, MET, MISSED = "#1c2430", "#6b7480", "#0060a0", "#b5400a"


class Bar(NamedTuple):
    """One line: what, how many times as much as what it is compared with, and what stands behind the bar.

    `times`: None for what was not measured.
    """

    what: str
    times: float | None
    note: str
    is_good: bool
    goal_id: str = ""


def svg(found: Sequence[Found], subtitle: str) -> str:
    """The drawing; empty parts are left out."""
    parts: list[str] = []
    y = 44
    for title, bars in (
        ("Measured against its goal: 1 is the goal, right of it is better", goals(found)),
        ("Peers at the same job, readings per CPU-second against ours: left of 1 is slower than ours", peers(found)),
    ):
        if bars:
            parts += _section(title, bars, y)
            y += _LINE * (len(bars) + 3)
    return "".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" role="img" aria-labelledby="title"'
            ' font-family="DejaVu Sans, Arial, sans-serif" font-size="10">',
            f'<title id="title">Benchmarks, {escape(subtitle)}</title>',
            f'<rect width="{_WIDTH}" height="{y}" fill="#fff"/>',
            text(12, 22, f"Benchmarks, {subtitle}", 'font-size="13" font-weight="bold"'),
            *parts,
            "</svg>",
        ]
    )


def goals(found: Sequence[Found]) -> list[Bar]:
    """Every line with a goal, and how many times over it is met; below 1 it is missed.

    A goal of which nothing could be measured has a line too.
    """
    bars = []
    for one in by_goal(found):
        if isinstance(one, Row) and one.goal is not None:
            note = f"{_number(one.ratio)} times, at least {_number(one.goal)}"
            bars.append(_goal(one, f"{one.job} / {one.reference}", one.ratio / one.goal, note))
        elif isinstance(one, Figure) and one.goal is not None:
            times = one.value / one.goal if one.is_least else one.goal / one.value
            note = f"{_number(one.value)} {one.unit}, {'at least' if one.is_least else 'at most'} {_number(one.goal)}"
            bars.append(_goal(one, one.what, times, note))
        elif isinstance(one, Absent) and one.goal_id is not None:
            bars.append(Bar(one.what, None, f"not measured: {one.why}", False, one.goal_id))
    return bars


def _goal(one: Row | Figure, what: str, times: float, note: str) -> Bar:
    return Bar(what, times, f"{'met' if times >= 1 else 'MISSED'}: {note}", times >= 1, one.goal_id or "")


def _number(value: float) -> str:
    return f"{value / 1e6:.3g} M" if value >= 1e5 else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def peers(found: Sequence[Found]) -> list[Bar]:
    """Every peer's speed against the first, which is ours, and on which data it is wrong."""
    present = [one for one in found if isinstance(one, Peer)]
    bars = []
    for one in present:
        wrong = [
            f"{name} {100 * (one.kits - count) / one.kits:.0f} %"
            for name, count in one.right.items()
            if count < one.kits
        ]
        note = f"WRONG kits: {', '.join(wrong)}" if wrong else "right on all"
        bars.append(Bar(one.name, one.readings_per_s / present[0].readings_per_s, note, not wrong))
    return bars


def _section(title: str, bars: Sequence[Bar], top: int) -> list[str]:
    bottom = top + _LINE * (len(bars) + 1)
    parts = [text(12, top, title, 'font-weight="bold"')]
    for power in range(-_DECADES, _DECADES + 1):
        x = _x(10.0**power)
        parts.append(f'<path d="M{x:g} {top + 8}V{bottom}" stroke="{FAINT}" stroke-width="{0.3 if power else 1}"/>')
        parts.append(text(x, bottom + 12, f"{10.0**power:g}", 'text-anchor="middle"'))
    for number, bar in enumerate(bars, start=1):
        y = top + _LINE * number
        parts.append(text(12, y + 3.5, bar.goal_id))
        parts.append(text(_LABEL - 8, y + 3.5, _shortened(bar.what, _LONGEST), 'text-anchor="end"'))
        if bar.times is not None:
            x = _x(bar.times)
            left, width = min(x, _MIDDLE), max(1.0, abs(x - _MIDDLE))
            colour = MET if bar.is_good else MISSED
            parts.append(f'<rect x="{left:.4g}" y="{y - 5}" width="{width:.4g}" height="10" fill="{colour}"/>')
        parts.append(text(_LABEL + _PLOT + 8, y + 3.5, _shortened(bar.note, _LONGEST_NOTE)))
    return parts


def _shortened(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _x(times: float) -> float:
    """Where a ratio lies; what is off the scale lies at its end."""
    power = max(-_DECADES, min(_DECADES, math.log10(times))) if times > 0 else -_DECADES
    return round(_MIDDLE + _PLOT / 2 * power / _DECADES, 1)


def text(x: float, y: float, words: str, attributes: str = "") -> str:
    """Words, with the left end of their line at a point unless the attributes say otherwise."""
    return f'<text x="{x:g}" y="{y:g}" fill="{INK}" {attributes}>{escape(words)}</text>'
