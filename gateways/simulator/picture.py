"""A picture of every kind of place: `python -m gateways.simulator.picture docs/places.svg`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from gateways.simulator.places import (
    AIR_PROBE_S,
    BOX,
    BUFFERED_PROBE_S,
    COLD_ROOM,
    FREEZER,
    FRIDGE,
    KINDS,
    STEP_S,
    Trouble,
    ambient_days_c,
    journey_days_c,
    no_trouble,
    store_days_c,
)
from gateways.simulator.thermal import Cabinet, Celsius, gel_j_kg, lagged_c

SEED = 3
_WIDTH, _HEIGHT, _LEFT, _TOP, _ACROSS, _DOWN = 400, 150, 50, 40, 500, 230
_INK, _BAND = "#1c2430", "#e3eef6"
_STYLES = (("#0060a0", ""), ("#b5400a", ""), ("#6b7480", ' stroke-dasharray="4 2"'))
"""Colours after Okabe and Ito; each curve is named in its panel as well."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Curves [degC] over whole days, each with its name; `label_c`: the range that is shaded."""

    title: str
    curves: Sequence[tuple[str, Celsius]]
    label_c: tuple[float, float]
    days: int = 1


def panels() -> list[Panel]:
    """One day of every kind of store, three days of boxes."""
    shut_c = _store("fridge", FRIDGE, no_trouble(1))
    trouble = no_trouble(1)
    trouble.has_power[12 * 3600 // STEP_S : 15 * 3600 // STEP_S] = False
    room_c = next(ambient_days_c(KINDS["room"].climate, 1, 1, np.random.default_rng(SEED)))
    return [
        Panel("Cold room, air: compressor, doors, four defrosts", [("air", _store("cold-room", COLD_ROOM))], (2, 8)),
        Panel(
            "Site fridge: a bare and a buffered probe",
            [("in air", _probe(shut_c, AIR_PROBE_S)), ("in glycol", _probe(shut_c, BUFFERED_PROBE_S))],
            (2, 8),
        ),
        Panel(
            "Site fridge, compressor failed from 12:00 to 15:00",
            [("ordinary", shut_c), ("failed", _store("fridge", FRIDGE, trouble))],
            (2, 8),
        ),
        Panel("Freezer, air: two defrosts", [("air", _store("freezer", FREEZER))], (-25, -15)),
        Panel("Shipper, three days on the road", _boxes(), (2, 8), 3),
        Panel("Room", [("air", room_c[:, 0])], (15, 25)),
    ]


def _store(kind: str, cabinet: Cabinet, trouble: Trouble | None = None) -> Celsius:
    day = [trouble or no_trouble(1)]
    return next(store_days_c(KINDS[kind], cabinet, 1, day, 1, np.random.default_rng(SEED)))[:, 0]


def _probe(air_c: Celsius, time_constant_s: float) -> Celsius:
    return lagged_c(air_c[:, None], air_c[:1], time_constant_s, STEP_S)[:, 0]


def _boxes() -> list[tuple[str, Celsius]]:
    curves = []
    packs = {"conditioned packs": 0.0, "spent packs": 0.9 * BOX.fusion_j_kg, "from the freezer": gel_j_kg(BOX, -20.0)}
    for name, enthalpy in packs.items():
        days = journey_days_c(
            KINDS["shipper"], BOX, np.array([6 * 3600.0]), np.array([enthalpy]), 3, np.random.default_rng(SEED)
        )
        curves.append((name, np.concatenate(list(days))[:, 0]))
    return curves


def svg(found: Sequence[Panel]) -> str:
    """The panels in two columns."""
    rows = (len(found) + 1) // 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _ACROSS} {rows * _DOWN + 10}" role="img" '
        'font-family="DejaVu Sans, Arial, sans-serif" font-size="12">',
        "<title>Simulated temperatures of every kind of place</title>",
        f'<rect width="{2 * _ACROSS}" height="{rows * _DOWN + 10}" fill="#fff"/>',
    ]
    for number, panel in enumerate(found):
        parts.append(f'<g transform="translate({number % 2 * _ACROSS + _LEFT} {number // 2 * _DOWN + _TOP})">')
        parts += [*_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel) -> list[str]:
    values = np.concatenate([curve for _, curve in panel.curves])
    low = min(float(values.min()), panel.label_c[0]) - 0.5
    high = max(float(values.max()), panel.label_c[1]) + 0.5

    def y(celsius: float) -> float:
        return round(_HEIGHT * (high - celsius) / (high - low), 1)

    upper, lower = y(panel.label_c[1]), y(panel.label_c[0])
    parts = [
        f'<text y="-22" font-weight="bold" fill="{_INK}">{escape(panel.title)}</text>',
        f'<rect y="{upper}" width="{_WIDTH}" height="{round(lower - upper, 1)}" fill="{_BAND}"/>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="{_INK}"/>',
    ]
    for mark in panel.label_c:
        parts.append(f'<text x="-6" y="{y(mark) + 4:.1f}" text-anchor="end" fill="{_INK}">{mark:g} °C</text>')
    for extreme in (float(values.min()), float(values.max())):
        if min(abs(y(extreme) - y(mark)) for mark in panel.label_c) > 12:
            parts.append(f'<text x="-6" y="{y(extreme) + 4:.1f}" text-anchor="end" fill="{_INK}">{extreme:.1f}</text>')
    hours = 24 * panel.days
    for hour in range(0, hours + 1, hours // 4):
        x = _WIDTH * hour / hours
        parts.append(f'<path d="M{x:g} {_HEIGHT}v4" stroke="{_INK}"/>')
        parts.append(f'<text x="{x:g}" y="{_HEIGHT + 18}" text-anchor="middle" fill="{_INK}">{hour} h</text>')
    legend_x = 0.0
    for (name, curve), (colour, dash) in zip(panel.curves, _STYLES, strict=False):
        every = 2 * panel.days
        points = " ".join(
            f"{_WIDTH * step / len(curve):.1f},{y(float(curve[step])):.1f}" for step in range(0, len(curve), every)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"{dash}/>')
        parts.append(f'<path d="M{legend_x:g} -9h16" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(f'<text x="{legend_x + 20:g}" y="-5" fill="{_INK}">{escape(name)}</text>')
        legend_x += 36 + 7 * len(name)
    return parts


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(svg(panels()), encoding="utf-8")
