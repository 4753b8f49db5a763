"""A fleet of any size: depots, sites, shipments and patients with their loggers, and the routes of the kits.

Kits go from a depot in a shipper to a site, and some of them on to a patient; the others wait at the depot. A million
kits have some 35 000 loggers; kits and custody are generated as they are asked for and never held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from math import ceil

import numpy as np

from coldchain.errors import BadInput
from coldchain.model import CustodySegment, Kit, Logger, Monitoring, Place
from gateways.simulator.places import KINDS

MOST_KITS = 1_000_000
KITS_PER_DEPOT = 100_000
KITS_PER_SITE = 100
MOST_SITES = 5_000
KITS_IN_SHIPMENT = 20
SHIPMENTS_PER_VAN = 40
KITS_TOGETHER = 1_000
"""Kits in one row of custody at the most: what a CSV cell can hold is bounded."""

DAY_MS = 86_400_000
_STEP_MS = 600_000
"""Every hand-over is at a multiple of it, which every logging interval divides: coverage has no seams."""

_SHIPPED_SHARE = 0.6
_ROOM_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Spot:
    """A place of the fleet and what watches it.

    `kind`: key of `places.KINDS`. `site`, `gateway`: levels of the topic under which its loggers report. It is
    recorded during `(from_ms, to_ms]`.
    """

    id: str
    kind: str
    site: str
    gateway: str
    loggers: tuple[str, ...]
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Lot:
    """Kits with consecutive numbers that share a route; `in_room`: they are kept at 15 to 25 degC, not at 2 to 8."""

    first: int
    kits: int
    route: tuple[CustodySegment, ...]
    in_room: bool = False


@dataclass(frozen=True, slots=True)
class Fleet:
    """Who is where during `(start_ms, end_ms]`. `seed` decides the routes, and which kit holds which treatment."""

    start_ms: int
    end_ms: int
    seed: int
    kit_count: int
    spots: tuple[Spot, ...]
    lots: tuple[Lot, ...]

    @property
    def days(self) -> int:
        return (self.end_ms - self.start_ms) // DAY_MS


def fleet(kits: int, days: int, seed: int, start_ms: int) -> Fleet:
    """A fleet of `kits` kits over `days` days from `start_ms`, a midnight UTC; BadInput beyond what is sensible."""
    if not 1 <= kits <= MOST_KITS:
        raise BadInput(f"1 to {MOST_KITS} kits can be simulated", key="kits", value=kits)
    if not 1 <= days <= 3_660:
        raise BadInput("1 to 3660 days can be simulated", key="days", value=days)
    if seed < 0:
        raise BadInput("a seed is a whole number from 0 on", key="seed", value=seed)
    end_ms = start_ms + days * DAY_MS
    shipped = ceil(kits * _SHIPPED_SHARE)
    depots = [f"depot-{number:02}" for number in range(1, ceil(kits / KITS_PER_DEPOT) + 1)]
    sites = [f"site-{number:04}" for number in range(1, min(MOST_SITES, ceil(kits / KITS_PER_SITE)) + 1)]
    numbers = count(1)
    spots = [
        Spot(f"{depot}-{kind}", kind, depot, f"gw-{depot}", _loggers(numbers, watched_by), start_ms, end_ms)
        for depot in depots
        for kind, watched_by in (("cold-room", 2), ("room", 1), ("freezer", 1))
    ]
    spots += [
        Spot(f"{site}-fridge", "fridge", site, f"gw-{site}", _loggers(numbers, 1), start_ms, end_ms) for site in sites
    ]
    lots: list[Lot] = []
    for number, (leaves_ms, arrives_ms, dispensed_ms) in enumerate(_journeys(shipped, days, seed, start_ms)):
        depot, site = depots[number % len(depots)], sites[number % len(sites)]
        box, home = f"shipper-{number + 1:05}", f"home-{number + 1:05}"
        van = f"gw-van-{number // SHIPMENTS_PER_VAN + 1:04}"
        on_the_road = leaves_ms - _STEP_MS, arrives_ms + _STEP_MS
        spots.append(Spot(box, "shipper", "courier", van, _loggers(numbers, 1), *on_the_road))
        at_home = dispensed_ms - _STEP_MS, end_ms
        spots.append(Spot(home, "home-fridge", site, f"gw-{home}", _loggers(numbers, 1), *at_home))
        to_site = (
            CustodySegment(f"{depot}-cold-room", start_ms, leaves_ms),
            CustodySegment(box, leaves_ms, arrives_ms),
        )
        to_patient = CustodySegment(f"{site}-fridge", arrives_ms, dispensed_ms), CustodySegment(home, dispensed_ms)
        stay = CustodySegment(f"{site}-fridge", arrives_ms)
        lots += _shipped_lots(number, shipped, (*to_site, *to_patient), (*to_site, stay))
    return Fleet(start_ms, end_ms, seed, kits, tuple(spots), (*lots, *_waiting_lots(kits, shipped, depots, start_ms)))


def _loggers(numbers: Iterator[int], how_many: int) -> tuple[str, ...]:
    return tuple(f"lg-{next(numbers):06}" for _ in range(how_many))


def _shipped_lots(
    shipment: int, shipped: int, to_patient: tuple[CustodySegment, ...], stay: tuple[CustodySegment, ...]
) -> Iterator[Lot]:
    """A fifth of a shipment's kits, at least one, goes on to a patient."""
    first = shipment * KITS_IN_SHIPMENT + 1
    together = min(KITS_IN_SHIPMENT, shipped - first + 1)
    dispensed = max(1, together // 5)
    yield Lot(first, dispensed, to_patient)
    if together > dispensed:
        yield Lot(first + dispensed, together - dispensed, stay)


def _waiting_lots(kits: int, shipped: int, depots: list[str], start_ms: int) -> Iterator[Lot]:
    """The kits that no shipment has, spread over the depots, one in ten of them in the room."""
    in_room = int((kits - shipped) * _ROOM_SHARE)
    for kind, begin, end in (("cold-room", shipped, kits - in_room), ("room", kits - in_room, kits)):
        for number, first in enumerate(range(begin, end, KITS_TOGETHER)):
            route = (CustodySegment(f"{depots[number % len(depots)]}-{kind}", start_ms),)
            yield Lot(first + 1, min(KITS_TOGETHER, end - first), route, in_room=kind == "room")


def _journeys(shipped: int, days: int, seed: int, start_ms: int) -> Iterator[tuple[int, int, int]]:
    """When each shipment leaves, arrives, and when some of its kits are dispensed [ms UTC]: within nine tenths."""
    rng = np.random.default_rng([seed, 1])
    shipments = ceil(shipped / KITS_IN_SHIPMENT)
    hours = 24 * days
    leaves_h = rng.uniform(1.0, 0.35 * hours, shipments)
    arrives_h = leaves_h + rng.uniform(3.0, min(60.0, 0.3 * hours), shipments)
    dispensed_h = arrives_h + rng.uniform(1.0, 0.25 * hours, shipments)
    steps = np.rint(np.column_stack([leaves_h, arrives_h, dispensed_h]) * (3_600_000 / _STEP_MS)).astype(np.int64)
    yield from map(tuple, (start_ms + steps * _STEP_MS).tolist())


def kits(fleet: Fleet) -> Iterator[Kit]:
    """Every kit in the order of its number, from which its treatment cannot be told: two arms of a blinded trial, an
    open trial with one of the two products, and a product that is kept at room temperature."""
    rng = np.random.default_rng([fleet.seed, 2])
    for lot in fleet.lots:
        chance = rng.random(lot.kits).tolist()
        for kit_id, x in zip(kit_ids(fleet, lot), chance, strict=True):
            if lot.in_room:
                yield Kit(kit_id, "S11", "TRIAL-9", "smv-204")
            elif x < 0.25:
                yield Kit(kit_id, "B23", "TRIAL-9", "mab-017")
            elif x < 0.625:
                yield Kit(kit_id, "B22", "TRIAL-7", "mab-017", "TRIAL-7")
            else:
                yield Kit(kit_id, "C07", "TRIAL-7", "comparator-02", "TRIAL-7")


def custody(fleet: Fleet) -> Iterator[tuple[list[str], CustodySegment]]:
    """Every segment of custody with the kits that share it."""
    for lot in fleet.lots:
        together = kit_ids(fleet, lot)
        for segment in lot.route:
            yield together, segment


def kit_ids(fleet: Fleet, lot: Lot) -> list[str]:
    """The ids of a lot's kits."""
    width = max(4, len(str(fleet.kit_count)))
    return [f"K-{number:0{width}}" for number in range(lot.first, lot.first + lot.kits)]


def loggers(fleet: Fleet) -> Iterator[Logger]:
    """Every logger, calibrated for longer than the fleet is watched."""
    for spot in fleet.spots:
        interval_ms = KINDS[spot.kind].interval_ms
        for logger in spot.loggers:
            yield Logger(logger, interval_ms, 2 * interval_ms, fleet.start_ms - 60 * DAY_MS, fleet.end_ms + 60 * DAY_MS)


def places(fleet: Fleet) -> Iterator[Place]:
    """Every place."""
    for spot in fleet.spots:
        yield Place(spot.id, KINDS[spot.kind].in_registry)


def monitoring(fleet: Fleet) -> Iterator[Monitoring]:
    """Which logger watches which place, open-ended where that lasts until the end."""
    for spot in fleet.spots:
        for logger in spot.loggers:
            yield Monitoring(spot.id, logger, "1", spot.from_ms, None if spot.to_ms == fleet.end_ms else spot.to_ms)
