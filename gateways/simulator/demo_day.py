"""The demo day: a depot, three shipments, two sites, and four things that go wrong.

1. Shipment 2 is packed with gel packs straight from the freezer: its load falls below 0 degC for some 40 minutes.
2. The gateway of shipment 3 is lost on the road. Its box, in which the packs are spent too early, is dark until
   the gateway uploads everything after the day is over.
3. At lyon-site-7 the door of the fridge is left ajar in the morning: 14 degC for hours.
4. The gateway of shipment 1, whose transport is fine, uploads its whole journey a second time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from coldchain.model import CustodySegment, Kit, Logger, Monitoring, Place
from coldchain.readings import ReadingBatch
from gateways.simulator.places import COLD_ROOM, FRIDGE
from gateways.simulator.recorder import parts, record
from gateways.simulator.scenario import DemoDay, Upload, registry_toml
from gateways.simulator.thermal import (
    DAY_S,
    Cabinet,
    Celsius,
    Floats,
    Shipper,
    ShipperState,
    cabinet_c,
    day_curve_c,
    gel_j_kg,
    settled,
    shipper_c,
)

__all__ = ["DEMO_START_MS", "DemoDay", "registry_toml", "scenario"]

DEMO_START_MS = 1_772_409_600_000
"""2026-03-02T00:00:00Z."""

WALL_S = 20.0
"""The day takes so long to publish; the lost gateway uploads after it."""

KITS_AT_DEPOT = 320
KITS_AT_LYON = 16
KITS_IN_SHIPMENT = 24
_UNBLINDED_ONE_IN = 4

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS
DEMO_DAY_MS = 24 * _HOUR_MS
_UPLOAD_EVERY_MS = 30 * _MINUTE_MS
_BACKLOG_READINGS = 120
_MODEL_STEP_S = 30.0

_LEAVES_MS = 1 * _HOUR_MS
_ARRIVES_MS = {1: 3 * _HOUR_MS + 30 * _MINUTE_MS, 2: 3 * _HOUR_MS + 30 * _MINUTE_MS, 3: 7 * _HOUR_MS + 30 * _MINUTE_MS}
_PACKED_BEFORE_MS = 10 * _MINUTE_MS

_BOX = Shipper(
    load_j_k=12e3, walls_w_k=1.33, gel_w_k=8.33, gel_kg=2.8,
    melting_c=5.0, fusion_j_kg=190e3, solid_j_kg_k=2000.0, liquid_j_kg_k=2000.0,
)  # fmt: skip
"""A parcel: thinner walls and fewer packs than a box of `places`."""

_PACKS_J_KG = {1: 0.0, 2: gel_j_kg(_BOX, -20.0), 3: 164e3}
"""Enthalpy of each shipment's gel packs at the start: conditioned; straight from the freezer; nearly spent."""

_DOOR_AJAR_S = (9.0 * 3600, 16.5 * 3600)
_DOOR_AJAR_SHARE = 0.46
_SITES = {
    "gw-basel": "basel",
    "gw-lyon": "lyon",
    "gw-van-1": "courier",
    "gw-van-2": "courier",
    "gw-van-3": "courier",
    "gw-zurich": "zurich",
}
_WATCHED_BY = {
    "basel-cold-2": ("lg-1001", "lg-1002"),
    "shipper-1": ("lg-2001",),
    "shipper-2": ("lg-2002",),
    "shipper-3": ("lg-2003",),
    "lyon-site-7": ("lg-3001",),
    "zurich-site-2": ("lg-3002",),
}


def scenario(seed: int = 1, start_ms: int = DEMO_START_MS) -> DemoDay:
    """The demo day. `seed` decides the probes' noise and which kit holds which treatment; nothing else varies."""
    rng = np.random.default_rng(seed)
    kits = tuple(_kits(rng))
    recordings = {batch.logger: batch for batch in _recordings(start_ms, rng)}
    return DemoDay(
        start_ms=start_ms,
        end_ms=start_ms + DEMO_DAY_MS,
        sites=_SITES,
        loggers=tuple(_logger(logger, start_ms) for loggers in _WATCHED_BY.values() for logger in loggers),
        places=tuple(Place(place, "shipper" if place.startswith("shipper") else "storage") for place in _WATCHED_BY),
        monitoring=tuple(
            Monitoring(place, logger, "1", start_ms) for place, loggers in _WATCHED_BY.items() for logger in loggers
        ),
        kits=kits,
        custody={kit.id: _route(number, start_ms) for number, kit in enumerate(kits)},
        recordings=recordings,
        uploads=tuple(_uploads(recordings, start_ms)),
    )


def _logger(logger: str, start_ms: int) -> Logger:
    interval_ms = _interval_ms(logger)
    return Logger(logger, interval_ms, 2 * interval_ms, start_ms - 60 * DEMO_DAY_MS, start_ms + 305 * DEMO_DAY_MS)


def _interval_ms(logger: str) -> int:
    return (2 if logger.startswith("lg-2") else 5) * _MINUTE_MS


def _kits(rng: np.random.Generator) -> Iterator[Kit]:
    """Kits in the order of their numbers; which arm a kit belongs to cannot be told from its number."""
    total = KITS_AT_DEPOT + KITS_AT_LYON
    for number, active in enumerate(rng.random(total) < 0.5, start=1):
        if number % _UNBLINDED_ONE_IN == 0:
            yield Kit(f"K-{number:04}", "B23", "TRIAL-9", "mab-017")
        elif active:
            yield Kit(f"K-{number:04}", "B22", "TRIAL-7", "mab-017", "TRIAL-7")
        else:
            yield Kit(f"K-{number:04}", "C07", "TRIAL-7", "comparator-02", "TRIAL-7")


def _route(number: int, start_ms: int) -> tuple[CustodySegment, ...]:
    """The route of the kit at position `number`: the first ones are shipped, the last ones were at Lyon before."""
    if number >= KITS_AT_DEPOT:
        return (CustodySegment("lyon-site-7", start_ms),)
    shipment = number // KITS_IN_SHIPMENT + 1
    if shipment not in _ARRIVES_MS:
        return (CustodySegment("basel-cold-2", start_ms),)
    leaves_ms, arrives_ms = start_ms + _LEAVES_MS, start_ms + _ARRIVES_MS[shipment]
    return (
        CustodySegment("basel-cold-2", start_ms, leaves_ms),
        CustodySegment(f"shipper-{shipment}", leaves_ms, arrives_ms),
        CustodySegment("zurich-site-2", arrives_ms),
    )


def _recordings(start_ms: int, rng: np.random.Generator) -> Iterator[ReadingBatch]:
    day_s = np.arange(0.0, DAY_S + _MODEL_STEP_S, _MODEL_STEP_S)
    room_c = day_curve_c(day_s, mean_c=21.0, swing_c=1.5, warmest_at_s=15 * 3600)
    shut = np.zeros(len(day_s))
    ajar = np.where((day_s >= _DOOR_AJAR_S[0]) & (day_s < _DOOR_AJAR_S[1]), _DOOR_AJAR_SHARE, 0.0)
    stores = {
        "basel-cold-2": _store_c(COLD_ROOM, room_c, shut),
        "lyon-site-7": _store_c(FRIDGE, room_c, ajar),
        "zurich-site-2": _store_c(FRIDGE, room_c, shut),
    }
    for place, true_c in stores.items():
        at_ms = start_ms + np.arange(0, DEMO_DAY_MS + 1, 5 * _MINUTE_MS, dtype=np.int64)
        for logger in _WATCHED_BY[place]:
            # The second probe of the cold room sits nearer to the door.
            offset_c = 0.3 if logger == "lg-1002" else 0.0
            yield record(logger, at_ms, day_s, true_c, start_ms, offset_c, 100, rng)
    for shipment, arrives_ms in _ARRIVES_MS.items():
        packed_ms = _LEAVES_MS - _PACKED_BEFORE_MS
        journey_s = np.arange(packed_ms / 1000, arrives_ms / 1000 + 600, _MODEL_STEP_S)
        logger = _WATCHED_BY[f"shipper-{shipment}"][0]
        at_ms = start_ms + np.arange(packed_ms, arrives_ms + 1, _interval_ms(logger), dtype=np.int64)
        true_c = _load_c(journey_s, _PACKS_J_KG[shipment])
        yield record(logger, at_ms, journey_s, true_c, start_ms, 0.0, 10, rng)


def _store_c(cabinet: Cabinet, room_c: Celsius, door_open: Floats) -> Celsius:
    """Air temperature [degC] in one cabinet, at the instants of `room_c`, without defrosts."""
    works = np.ones((len(room_c), 1), np.bool_)
    air_c, _ = cabinet_c(
        cabinet, settled(cabinet, 1), room_c[:, None], door_open[:, None], ~works, works, _MODEL_STEP_S
    )
    return air_c[:, 0]


def _load_c(journey_s: Floats, packs_j_kg: float) -> Celsius:
    """Temperature [degC] of the load of one box on the road, at the instants of `journey_s`."""
    van_c = day_curve_c(journey_s, mean_c=14.0, swing_c=3.0, warmest_at_s=15 * 3600)[:, None]
    packed = ShipperState(np.array([5.0]), np.array([packs_j_kg]))
    load_c, _ = shipper_c(_BOX, packed, van_c, np.ones((len(van_c), 1), np.bool_), _MODEL_STEP_S)
    return load_c[:, 0]


def _uploads(recordings: dict[str, ReadingBatch], start_ms: int) -> Iterator[Upload]:
    gateway_of = {
        "lg-1001": "gw-basel",
        "lg-1002": "gw-basel",
        "lg-2001": "gw-van-1",
        "lg-2002": "gw-van-2",
        "lg-3001": "gw-lyon",
        "lg-3002": "gw-zurich",
    }
    for logger, gateway in gateway_of.items():
        for part in parts(recordings[logger], _UPLOAD_EVERY_MS // _interval_ms(logger)):
            yield Upload(gateway, _offset_s(int(part.at_ms[-1]) - start_ms), part)
    yield Upload("gw-van-1", _offset_s(_ARRIVES_MS[1] + _HOUR_MS), recordings["lg-2001"])
    for number, part in enumerate(parts(recordings["lg-2003"], _BACKLOG_READINGS)):
        yield Upload("gw-van-3", WALL_S + 1.0 + 0.5 * number, part, as_cbor=True)


def _offset_s(since_start_ms: int) -> float:
    return WALL_S * since_start_ms / DEMO_DAY_MS
