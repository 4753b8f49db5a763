"""Kinds of place, and what happens at many places of one kind in a day: ambient, door openings, defrosts.

The sizes of equipment are typical of what such a place is bought for and are invented, unlike the constants of
`thermal`; a test holds each kind to what is known of it: how long its compressor's cycle is, how long it holds.

Days are given by `map`, not by generators: a generator that waits for its next turn keeps the arrays of its last one,
which for thousands of blocks is more memory than there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateways.simulator.thermal import (
    DAY_S,
    Cabinet,
    Celsius,
    Floats,
    Shipper,
    ShipperState,
    cabinet_c,
    day_curve_c,
    settled,
    shipper_c,
)

STEP_S = 60
"""Step of the model: short against every time constant, and a divisor of every logging interval."""

STEPS = DAY_S // STEP_S


@dataclass(frozen=True, slots=True)
class Climate:
    """Ambient temperature: mean [degC], half the swing of a day [K], spread of the days' means [K]."""

    mean_c: float
    swing_k: float
    weather_k: float


@dataclass(frozen=True, slots=True)
class Visits:
    """How often a door is opened in a day, between which hours, and how long it stands open on average [s]."""

    per_day: float = 0.0
    from_h: float = 7.0
    to_h: float = 18.0
    open_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Kind:
    """Places of one kind. `in_registry`: its word there. `body`: None for a room, which follows its climate.

    `interval_ms`, `resolution_mc`, `probe_s`: of its loggers: logging interval, resolution [milli-degC] and the time
    constant of the probe [s], a bare one in air or one buffered in glycol.
    """

    in_registry: str
    body: Cabinet | Shipper | None
    climate: Climate
    visits: Visits
    interval_ms: int
    resolution_mc: int
    probe_s: float


AIR_PROBE_S = 120.0
BUFFERED_PROBE_S = 900.0
_MINUTE_MS = 60_000

INDOORS = Climate(21.0, 1.5, 0.7)
ON_THE_ROAD = Climate(19.0, 6.0, 4.0)

COLD_ROOM = Cabinet(
    5.0, 0.9, air_j_k=250e3, content_j_k=2.5e6, content_w_k=150.0, walls_w_k=18.0, door_w_k=250.0, cooling_w=1800.0,
    defrost_every_s=6 * 3600, defrost_s=15 * 60, defrost_w=300.0,
)  # fmt: skip
FRIDGE = Cabinet(
    5.0, 0.9, air_j_k=16e3, content_j_k=40e3, content_w_k=6.0, walls_w_k=1.6, door_w_k=25.0, cooling_w=90.0,
    defrost_every_s=8 * 3600, defrost_s=12 * 60,
)  # fmt: skip
FREEZER = Cabinet(
    -20.0, 1.2, air_j_k=25e3, content_j_k=150e3, content_w_k=8.0, walls_w_k=1.5, door_w_k=20.0, cooling_w=200.0,
    defrost_every_s=12 * 3600, defrost_s=20 * 60, defrost_w=150.0,
)  # fmt: skip
BOX = Shipper(
    load_j_k=12e3, walls_w_k=0.45, gel_w_k=4.5, gel_kg=6.0,
    melting_c=5.0, fusion_j_kg=200e3, solid_j_kg_k=2000.0, liquid_j_kg_k=2200.0,
)  # fmt: skip
"""Packs of a paraffin that melts at 5 degC, as Huang & Piontek, Applied Sciences 7 (2017) 1288, pack a 2-8 degC box;
its heats are assumed."""

KINDS = {
    "cold-room": Kind("storage", COLD_ROOM, INDOORS, Visits(30, open_s=60), 5 * _MINUTE_MS, 100, AIR_PROBE_S),
    "fridge": Kind("storage", FRIDGE, INDOORS, Visits(12), 5 * _MINUTE_MS, 100, BUFFERED_PROBE_S),
    "freezer": Kind("storage", FREEZER, INDOORS, Visits(4), 5 * _MINUTE_MS, 100, BUFFERED_PROBE_S),
    "home-fridge": Kind("patient_home", FRIDGE, INDOORS, Visits(15, 6, 22, 20), 10 * _MINUTE_MS, 100, BUFFERED_PROBE_S),
    "shipper": Kind("shipper", BOX, ON_THE_ROAD, Visits(), 5 * _MINUTE_MS, 10, AIR_PROBE_S),
    "room": Kind("room", None, INDOORS, Visits(), 10 * _MINUTE_MS, 100, AIR_PROBE_S),
}


def ambient_days_c(climate: Climate, places: int, days: int, rng: np.random.Generator) -> Iterator[Celsius]:
    """Around `places` places, day by day: float64[STEPS, places] [degC], at the begin of each step.

    The mean of each day follows the day before with a correlation of 0.7, and passes gradually from one to the next.
    """
    at_s = np.arange(0.0, DAY_S, STEP_S)[:, None]
    swing_k = climate.swing_k * rng.uniform(0.7, 1.3, places)
    warmest_at_s = 3600 * rng.uniform(14.0, 17.0, places)
    anomaly_k = np.empty((days + 1, places))
    anomaly_k[0] = rng.normal(0.0, climate.weather_k, places)
    for day in range(days):
        anomaly_k[day + 1] = 0.7 * anomaly_k[day] + rng.normal(0.0, climate.weather_k * np.sqrt(1 - 0.7**2), places)

    def one_day(day: int) -> Celsius:
        today_k, tomorrow_k = anomaly_k[day : day + 2]
        mean_c = climate.mean_c + today_k + (tomorrow_k - today_k) * (at_s / DAY_S)
        return day_curve_c(at_s, mean_c, swing_k, warmest_at_s)

    return map(one_day, range(days))


def door_openings(visits: Visits, places: int, rng: np.random.Generator) -> Floats:
    """Which share of each step the doors stand open in a day of `visits`: float64[STEPS, places]."""
    is_open = np.zeros((STEPS, places))
    openings = rng.poisson(visits.per_day * places)
    step = rng.integers(int(visits.from_h * 3600 / STEP_S), int(visits.to_h * 3600 / STEP_S), openings)
    place = rng.integers(0, places, openings)
    lasting = rng.exponential(visits.open_s / STEP_S, openings)
    for later in range(5):
        share = np.clip(lasting - later, 0.0, 1.0)
        np.maximum.at(is_open, (np.minimum(step + later, STEPS - 1), place), share)
    return is_open


@dataclass(frozen=True, slots=True, eq=False)
class Trouble:
    """What is wrong with the equipment in a day, [STEPS, places]: whether it has power, how far a door stands ajar."""

    has_power: NDArray[np.bool_]
    ajar: Floats


def no_trouble(places: int) -> Trouble:
    """A day on which everything works."""
    return Trouble(np.ones((STEPS, places), np.bool_), np.zeros((STEPS, places)))


def store_days_c(
    kind: Kind, cabinet: Cabinet, places: int, troubles: Iterable[Trouble], days: int, rng: np.random.Generator
) -> Iterator[Celsius]:
    """Air temperature in many cabinets, day by day: float64[STEPS, places] [degC], at the end of each step."""
    at_s = np.arange(0.0, DAY_S, STEP_S)[:, None]
    defrosts_at_s = rng.uniform(0.0, cabinet.defrost_every_s, places) if cabinet.defrost_s else np.zeros(places)
    state = settled(cabinet, places)
    ambient = ambient_days_c(kind.climate, places, days, rng)

    def one_day(day: int, ambient_c: Celsius, trouble: Trouble) -> Celsius:
        nonlocal state
        since_defrost_s = (at_s + day * DAY_S - defrosts_at_s) % cabinet.defrost_every_s
        is_defrosting = since_defrost_s < cabinet.defrost_s
        door_open = np.maximum(door_openings(kind.visits, places, rng), trouble.ajar)
        inside_c, state = cabinet_c(cabinet, state, ambient_c, door_open, is_defrosting, trouble.has_power, STEP_S)
        return inside_c

    return map(one_day, range(days), ambient, troubles)


def journey_days_c(
    kind: Kind, shipper: Shipper, packed_s: Floats, enthalpy_j_kg: Floats, days: int, rng: np.random.Generator
) -> Iterator[Celsius]:
    """Load temperature of many boxes, day by day: float64[STEPS, places] [degC], at the end of each step.

    Parameters
    ----------
    packed_s : float64[places], when each box is packed, since the first midnight [s]; before, it is at 5 degC
    enthalpy_j_kg : float64[places], of its packs then, 0 for conditioned ones, see `thermal.gel_c`
    """
    begins_s = np.arange(0.0, DAY_S, STEP_S)[:, None]
    state = ShipperState(np.full(len(packed_s), 5.0), enthalpy_j_kg)

    def one_day(day: int, ambient_c: Celsius) -> Celsius:
        nonlocal state
        is_packed = begins_s + day * DAY_S >= packed_s
        load_c, state = shipper_c(shipper, state, ambient_c, is_packed, STEP_S)
        return load_c

    return map(one_day, range(days), ambient_days_c(kind.climate, len(packed_s), days, rng))
