"""A temperature history as a small, self-contained SVG: nothing that happened is too short to be seen.

No colour carries a meaning alone: line styles, hatching and labels repeat it, so that the plot
reads in black and white and by the colour-blind (palette after Okabe and Ito).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from coldchain.history import History
from coldchain.kernels import UNKNOWN
from coldchain.model import CustodySegment, Excursion
from coldchain.report import axis, notation
from coldchain.report.columns import Columns, columns, runs

_LEFT, _TOP, _WIDTH, _HEIGHT = 46, 26, 600, 210
_RIGHT = _LEFT + _WIDTH
_BOTTOM = _TOP + _HEIGHT
_STRIP_TOP, _STRIP_HEIGHT = _BOTTOM + 38, 18
_LEGEND_TOP = _STRIP_TOP + _STRIP_HEIGHT + 22
_TOTAL_WIDTH, _TOTAL_HEIGHT = _RIGHT + 96, _LEGEND_TOP + 12
_CHARACTER_WIDTH = 6.4

_HOT, _COLD, _BAND, _EXCURSION, _INK, _FAINT = "#b5400a", "#0060a0", "#e3eef6", "#f7d9b5", "#1c2430", "#6b7480"


@dataclass(frozen=True, slots=True)
class Scale:
    """From instants and temperatures to points of the drawing."""

    start_ms: int
    end_ms: int
    low_mc: int
    high_mc: int

    def x(self, at_ms: int) -> float:
        return round(_LEFT + _WIDTH * (at_ms - self.start_ms) / (self.end_ms - self.start_ms), 1)

    def y(self, mc: float) -> float:
        return round(_BOTTOM - _HEIGHT * (mc - self.low_mc) / (self.high_mc - self.low_mc), 1)


def svg(
    history: History,
    *,
    name: str,
    title: str,
    label_low_mc: int | None,
    label_high_mc: int | None,
    limits_mc: Iterable[int] = (),
    excursions: Sequence[Excursion] = (),
    custody: Sequence[CustodySegment] = (),
    breaches: Sequence[tuple[int, str]] = (),
) -> str:
    """The plot of one history, which must have a length.

    Parameters
    ----------
    name : prefix of ids inside the drawing, unique in its document; letters, digits and hyphens
    limits_mc : bounds of limits; those far from what was measured are named by an arrow, so that it stays legible
    breaches : instant and short mark of each breach
    """
    cut = columns(history, _WIDTH)
    scale = _scale(history, cut, [mc for mc in (label_low_mc, label_high_mc) if mc is not None])
    bounds = dict.fromkeys(limits_mc, "limit") | {mc: "label" for mc in (label_low_mc, label_high_mc) if mc is not None}
    step = _WIDTH / len(cut.hot_mc)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_TOTAL_WIDTH} {_TOTAL_HEIGHT}" role="img"'
        f' aria-labelledby="{name}-title {name}-desc" font-family="DejaVu Sans, Arial, sans-serif" font-size="10">',
        f'<title id="{name}-title">{escape(title)}</title>',
        f'<desc id="{name}-desc">{escape(_description(history, cut, excursions, breaches))}</desc>',
        f'<defs><pattern id="{name}-hatch" width="5" height="5" patternUnits="userSpaceOnUse">'
        '<rect width="5" height="5" fill="#fff"/><path d="M0 5L5 0" stroke="#7d8590" stroke-width="0.9"/>'
        "</pattern></defs>",
        *_band(scale, label_low_mc, label_high_mc),
        *_excursions(scale, excursions),
        *_no_data(cut, step, name),
        *_axes(scale),
        *_bounds(scale, bounds),
        *_curves(cut, scale, step),
        *_breaches(scale, breaches),
        _rect(_LEFT, _TOP, _WIDTH, _HEIGHT, f'fill="none" stroke="{_INK}" stroke-width="0.7"'),
        *_custody(scale, custody),
        *_legend(name),
        "</svg>",
    ]
    return "".join(parts)


def _scale(history: History, cut: Columns, label: list[int]) -> Scale:
    known = cut.hot_mc != UNKNOWN
    values = [*label, *cut.hot_mc[known].tolist(), *cut.cold_mc[known].tolist()]
    low, high = min(values), max(values)
    margin = max(500, (high - low) // 8)
    return Scale(history.start_ms, history.as_of_ms, low - margin, high + margin)


def _description(
    history: History, cut: Columns, excursions: Sequence[Excursion], breaches: Sequence[tuple[int, str]]
) -> str:
    known = cut.hot_mc != UNKNOWN
    extremes = "no temperature known"
    if known.any():
        coldest, hottest = (
            notation.temperature(int(v) / 1000) for v in (cut.cold_mc[known].min(), cut.hot_mc[known].max())
        )
        extremes = f"{coldest} to {hottest} °C"
    gaps = "with time without data" if cut.has_unknown.any() else "without gaps"
    length = notation.duration(history.as_of_ms - history.start_ms)
    return f"{length}, {extremes}, {gaps}, {len(excursions)} excursions, {len(breaches)} breach instants."


def _rect(x: float, y: float, width: float, height: float, attributes: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{max(0.0, width):.4g}" height="{max(0.0, height):.4g}" {attributes}/>'


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" fill="{_INK}" {attributes}>{escape(text)}</text>'


def _band(scale: Scale, low_mc: int | None, high_mc: int | None) -> list[str]:
    top = _TOP if high_mc is None else scale.y(high_mc)
    bottom = _BOTTOM if low_mc is None else scale.y(low_mc)
    return [_rect(_LEFT, top, _WIDTH, bottom - top, f'class="label-band" fill="{_BAND}"')]


def _excursions(scale: Scale, excursions: Sequence[Excursion]) -> list[str]:
    """A tint over the whole height, and a dark bar at the top edge that survives a black and white printer."""
    covered = np.zeros(_WIDTH, dtype=bool)
    for row in excursions:
        left = int(scale.x(row.start_ms) - _LEFT)
        right = scale.x(scale.end_ms if row.end_ms is None else row.end_ms) - _LEFT
        covered[max(0, min(left, _WIDTH - 2) - 1) : max(left + 2, int(np.ceil(right)))] = True
    parts = []
    for begin, end in runs(covered):
        parts.append(
            _rect(
                _LEFT + begin, _TOP, end - begin, _HEIGHT, f'class="excursion" fill="{_EXCURSION}" fill-opacity="0.75"'
            )
        )
        parts.append(_rect(_LEFT + begin, _TOP - 4, end - begin, 4, f'fill="{_INK}"'))
    return parts


def _no_data(cut: Columns, step: float, name: str) -> list[str]:
    parts = []
    for begin, end in runs(cut.has_unknown):
        x, width = round(_LEFT + begin * step, 1), (end - begin) * step
        parts.append(_rect(x, _TOP, width, _HEIGHT, f'class="no-data" fill="url(#{name}-hatch)"'))
        parts.append(_rect(x, _BOTTOM - 4, max(2.0, width), 4, f'fill="{_FAINT}"'))
        if width > 56:
            middle = x + width / 2
            parts.append(_rect(middle - 24, _TOP + 6, 48, 14, 'fill="#fff"'))
            parts.append(_text(round(middle, 1), _TOP + 16.5, "no data", 'text-anchor="middle"'))
    return parts


def _corners(values: NDArray[np.int32], begin: int, end: int, scale: Scale, step: float) -> list[str]:
    """The corners of a step line over the columns `begin` to `end`, one level per column."""
    levels = [scale.y(mc) for mc in values[begin:end].tolist()]
    corners = [f"{_LEFT + begin * step:.4g} {levels[0]:g}"]
    for number, (level, following) in enumerate(pairwise(levels), start=begin + 1):
        if level != following:
            x = f"{_LEFT + number * step:.4g}"
            corners += [f"{x} {level:g}", f"{x} {following:g}"]
    return [*corners, f"{_LEFT + end * step:.4g} {levels[-1]:g}"]


def _curves(cut: Columns, scale: Scale, step: float) -> list[str]:
    """Hottest and coldest as step lines, broken where a column knows nothing, and the area between them."""
    hot, cold, between = [], [], []
    for begin, end in runs(cut.hot_mc != UNKNOWN):
        upper, lower = (_corners(values, begin, end, scale, step) for values in (cut.hot_mc, cut.cold_mc))
        hot.append("M" + "L".join(upper))
        cold.append("M" + "L".join(lower))
        if upper != lower:
            between.append("M" + "L".join(upper + lower[::-1]) + "Z")
    styles = (
        ("envelope", between, f'fill="{_FAINT}" fill-opacity="0.25"'),
        ("cold", cold, f'fill="none" stroke="{_COLD}" stroke-width="1.1" stroke-dasharray="4 2"'),
        ("hot", hot, f'fill="none" stroke="{_HOT}" stroke-width="1.2"'),
    )
    return [f'<path class="{name}" d="{"".join(path)}" {style}/>' for name, path, style in styles if path]


def _axes(scale: Scale) -> list[str]:
    parts = []
    for mc in axis.temperature_marks(scale.low_mc, scale.high_mc):
        y = scale.y(mc)
        parts.append(f'<path d="M{_LEFT - 3} {y:g}H{_LEFT}" stroke="{_INK}" stroke-width="0.7"/>')
        parts.append(_text(_LEFT - 5, y + 3.5, notation.temperature(mc / 1000), 'text-anchor="end"'))
    marks = axis.time_marks(scale.start_ms, scale.end_ms)
    for at, (time, date) in zip(marks, axis.time_labels(marks), strict=True):
        x = scale.x(at)
        parts.append(f'<path d="M{x:g} {_BOTTOM}v3" stroke="{_INK}" stroke-width="0.7"/>')
        parts.append(_text(x, _BOTTOM + 14, time, 'text-anchor="middle"'))
        if date:
            parts.append(_text(x, _BOTTOM + 26, date, 'text-anchor="middle"'))
    parts.append(_text(_LEFT - 5, _TOP - 8, "°C", 'text-anchor="end"'))
    parts.append(_text(_RIGHT + 40, _BOTTOM + 14, "UTC"))
    return parts


def _bounds(scale: Scale, bounds: Mapping[int, str]) -> list[str]:
    parts = []
    last_y = float("inf")
    for mc, kind in sorted(bounds.items()):
        is_above, is_below = mc > scale.high_mc, mc < scale.low_mc
        y = scale.y(min(max(mc, scale.low_mc), scale.high_mc))
        if not (is_above or is_below):
            dash = "" if kind == "label" else ' stroke-dasharray="1.5 2"'
            parts.append(f'<path d="M{_LEFT} {y:g}H{_RIGHT}" stroke="{_INK}" stroke-width="0.8"{dash}/>')
        last_y = min(y + 3.5, last_y - 11)
        arrow = "↑ " if is_above else "↓ " if is_below else ""
        parts.append(_text(_RIGHT + 6, round(last_y, 1), f"{arrow}{notation.temperature(mc / 1000)} {kind}"))
    return parts


def _breaches(scale: Scale, breaches: Sequence[tuple[int, str]]) -> list[str]:
    parts = []
    marks: list[tuple[float, str]] = []
    for at, mark in sorted(breaches):
        if not scale.start_ms <= at <= scale.end_ms:
            continue
        x = scale.x(at)
        line = f'class="breach" stroke="{_INK}" stroke-width="1" stroke-dasharray="6 2 1 2"'
        parts.append(f'<path d="M{x:g} {_TOP - 4}V{_BOTTOM}" {line}/>')
        if marks and x - marks[-1][0] < 13:
            marks[-1] = (marks[-1][0], f"{marks[-1][1]}, {mark}")
        else:
            marks.append((x, mark))
    for x, mark in marks:
        parts.append(f'<path d="M{x:g} {_TOP - 4}l-3.5 -6h7z" fill="{_INK}"/>')
        parts.append(_text(x + 5, _TOP - 7, mark, 'font-weight="bold"'))
    return parts


def _custody(scale: Scale, custody: Sequence[CustodySegment]) -> list[str]:
    parts = []
    for number, segment in enumerate(custody):
        begin = max(segment.from_ms, scale.start_ms)
        end = scale.end_ms if segment.to_ms is None else min(segment.to_ms, scale.end_ms)
        if begin >= end:
            continue
        x, width = scale.x(begin), max(0.5, scale.x(end) - scale.x(begin))
        fill = "#eef0f3" if number % 2 else "#dfe3e8"
        parts.append(_rect(x, _STRIP_TOP, width, _STRIP_HEIGHT, f'fill="{fill}" stroke="{_FAINT}" stroke-width="0.5"'))
        room = int((width - 6) / _CHARACTER_WIDTH)
        text = segment.place if len(segment.place) <= room else f"{segment.place[: room - 1]}…"
        if room >= 3:
            parts.append(_text(round(x + 4, 1), _STRIP_TOP + 12.5, text))
    parts.append(_text(_LEFT - 5, _STRIP_TOP + 12.5, "place", 'text-anchor="end"'))
    return parts


def _legend(name: str) -> list[str]:
    y = _LEGEND_TOP
    hatched = f'fill="url(#{name}-hatch)" stroke="{_FAINT}" stroke-width="0.4"'
    samples = (
        ("hottest logger", f'<path d="M0 {y}h18" stroke="{_HOT}" stroke-width="1.4"/>'),
        ("coldest logger", f'<path d="M0 {y}h18" stroke="{_COLD}" stroke-width="1.4" stroke-dasharray="4 2"/>'),
        ("labelled range", _rect(0, y - 5, 18, 10, f'fill="{_BAND}" stroke="{_INK}" stroke-width="0.6"')),
        ("excursion", _rect(0, y - 4, 18, 9, f'fill="{_EXCURSION}"') + _rect(0, y - 7, 18, 3, f'fill="{_INK}"')),
        ("no data", _rect(0, y - 5, 18, 10, hatched) + _rect(0, y + 2, 18, 3, f'fill="{_FAINT}"')),
        ("breach", f'<path d="M9 {y - 6}v12" stroke="{_INK}" stroke-dasharray="6 2 1 2"/>'),
    )
    parts, x = [], float(_LEFT)
    for label, sample in samples:
        parts.append(f'<g transform="translate({x:g} 0)">{sample}{_text(23, y + 3.5, label)}</g>')
        x += 42 + len(label) * _CHARACTER_WIDTH
    return parts
