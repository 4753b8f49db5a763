"""What goes wrong in a fleet: the plan that the simulation follows, and the truth against which tests count.

Nothing else goes wrong: an empty plan is a fleet in which every reading arrives once, in order, from equipment that
works.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from gateways.simulator.fleet import DAY_MS, Fleet, Spot
from gateways.simulator.places import KINDS
from gateways.simulator.thermal import Cabinet, Shipper


class Mishap(StrEnum):
    """Kinds of incident. What `Incident.subject` names and `Incident.amount` means stands behind each."""

    COMPRESSOR_FAILED = "compressor_failed"  # a place
    DOOR_AJAR = "door_ajar"  # a place; share of the open door's heat
    PACKS_FROZEN = "packs_frozen"  # a place; temperature of the packs when it is packed [degC]
    PACKS_SPENT = "packs_spent"  # a place; share of the packs that has melted when it is packed
    CLOCK_DRIFT = "clock_drift"  # a logger, set right every midnight; seconds a day, positive: its clock is fast
    CLOCK_RESET = "clock_reset"  # a logger; the year in which its clock starts anew
    PROBE_OPEN = "probe_open"  # a logger; it sends null with this reason
    SENTINEL = "sentinel"  # a logger; it sends this temperature instead of none [degC]
    READINGS_LOST = "readings_lost"  # a logger; what it measures never leaves it
    CONFLICTING_REDOWNLOAD = "conflicting_redownload"  # a logger; sent again, every second one higher by this [K]
    LINK_LOST = "link_lost"  # a gateway; what it should send comes later, out of order, as CBOR
    DOUBLED = "doubled"  # a gateway; each message is sent twice


class Incident(NamedTuple):
    """One thing that goes wrong during `(from_ms, to_ms]`."""

    kind: Mishap
    subject: str
    from_ms: int
    to_ms: int
    amount: float | None = None


LOGGER_MISHAPS = (
    Mishap.CLOCK_RESET,
    Mishap.PROBE_OPEN,
    Mishap.SENTINEL,
    Mishap.READINGS_LOST,
    Mishap.CONFLICTING_REDOWNLOAD,
)
"""A logger has at most one of them on a day, from which it has recovered by midnight."""

RATES_PER_DAY = {
    Mishap.COMPRESSOR_FAILED: 0.004,
    Mishap.DOOR_AJAR: 0.006,
    Mishap.LINK_LOST: 0.02,
    Mishap.DOUBLED: 0.03,
}
LOGGER_MISHAPS_PER_DAY = 0.02
PACKED_WRONGLY = {Mishap.PACKS_FROZEN: 0.02, Mishap.PACKS_SPENT: 0.03}
"""Share of the shipments."""

_HOURS = {
    Mishap.COMPRESSOR_FAILED: (1.0, 14.0),
    Mishap.DOOR_AJAR: (0.5, 6.0),
    Mishap.LINK_LOST: (2.0, 20.0),
    Mishap.DOUBLED: (1.0, 6.0),
}
_HOUR_MS = 3_600_000
_MINUTE_MS = 60_000
_RESET_YEARS = (1970.0, 2000.0, 2012.0)
FREEZER_C = -20.0
SENTINEL_C = 3276.7
"""0x7FFF in tenths of a degree: the highest value of a 16-bit register, which stands for none."""

DRIFT_S_PER_DAY = 4.0
MOST_DRIFT_S_PER_DAY = 11.0
"""Loggers' clocks drift by 2 to 11 s a day (standard deviation and bound here)."""


def plan(fleet: Fleet, often: float = 1.0) -> tuple[Incident, ...]:
    """What goes wrong in a fleet, by its seed, in order of time. `often`: how often compared with ordinary; 0 never."""
    if often <= 0:
        return ()
    rng = np.random.default_rng([fleet.seed, 3])
    cabinets = [spot for spot in fleet.spots if isinstance(KINDS[spot.kind].body, Cabinet)]
    shippers = [spot for spot in fleet.spots if isinstance(KINDS[spot.kind].body, Shipper)]
    gateways = sorted({spot.gateway for spot in fleet.spots})
    found = [
        *_at_random(fleet, Mishap.COMPRESSOR_FAILED, [spot.id for spot in cabinets], often, rng),
        *(
            incident._replace(amount=round(float(rng.uniform(0.3, 0.7)), 3))
            for incident in _at_random(fleet, Mishap.DOOR_AJAR, [spot.id for spot in cabinets], often, rng)
        ),
        *_packed_wrongly(shippers, often, rng),
        *_of_loggers(fleet, often, rng),
        *_drifts(fleet, rng),
        *_at_random(fleet, Mishap.LINK_LOST, gateways, often, rng),
        *_at_random(fleet, Mishap.DOUBLED, gateways, often, rng),
    ]
    return tuple(sorted(found, key=lambda incident: (incident.from_ms, incident.subject, incident.kind)))


def _at_random(
    fleet: Fleet, kind: Mishap, subjects: list[str], often: float, rng: np.random.Generator
) -> Iterator[Incident]:
    number = rng.poisson(RATES_PER_DAY[kind] * often * len(subjects) * fleet.days)
    minutes = (fleet.end_ms - fleet.start_ms) // _MINUTE_MS
    for subject, begin, hours in zip(
        rng.integers(0, len(subjects), number).tolist(),
        rng.integers(0, minutes, number).tolist(),
        rng.uniform(*_HOURS[kind], number).tolist(),
        strict=True,
    ):
        from_ms = fleet.start_ms + begin * _MINUTE_MS
        to_ms = from_ms + round(hours * 60) * _MINUTE_MS
        yield Incident(kind, subjects[subject], from_ms, min(to_ms, fleet.end_ms))


def _packed_wrongly(shippers: Iterable[Spot], often: float, rng: np.random.Generator) -> Iterator[Incident]:
    frozen, spent = (PACKED_WRONGLY[kind] * often for kind in (Mishap.PACKS_FROZEN, Mishap.PACKS_SPENT))
    for spot in shippers:
        chance = rng.random()
        if chance < frozen:
            yield Incident(Mishap.PACKS_FROZEN, spot.id, spot.from_ms, spot.to_ms, FREEZER_C)
        elif chance < frozen + spent:
            share = round(float(rng.uniform(0.7, 0.95)), 3)
            yield Incident(Mishap.PACKS_SPENT, spot.id, spot.from_ms, spot.to_ms, share)


def _of_loggers(fleet: Fleet, often: float, rng: np.random.Generator) -> Iterator[Incident]:
    owners = [(spot, logger) for spot in fleet.spots for logger in spot.loggers]
    chances = len(owners) * fleet.days
    number = min(rng.poisson(LOGGER_MISHAPS_PER_DAY * often * chances), chances)
    for chosen in np.unique(rng.integers(0, chances, number)).tolist():
        day, owner = divmod(chosen, len(owners))
        spot, logger = owners[owner]
        midnight_ms = fleet.start_ms + day * DAY_MS
        begin, last = sorted(rng.integers(0, DAY_MS // _MINUTE_MS, 2).tolist())
        from_ms = max(spot.from_ms, midnight_ms + begin * _MINUTE_MS)
        to_ms = min(spot.to_ms, midnight_ms + last * _MINUTE_MS, from_ms + 8 * _HOUR_MS)
        kind = LOGGER_MISHAPS[rng.integers(len(LOGGER_MISHAPS))]
        year = _RESET_YEARS[rng.integers(len(_RESET_YEARS))]
        amounts = {Mishap.CLOCK_RESET: year, Mishap.SENTINEL: SENTINEL_C, Mishap.CONFLICTING_REDOWNLOAD: 0.2}
        if to_ms - from_ms >= KINDS[spot.kind].interval_ms:
            yield Incident(kind, logger, from_ms, to_ms, amounts.get(kind))


def _drifts(fleet: Fleet, rng: np.random.Generator) -> Iterator[Incident]:
    for spot in fleet.spots:
        for logger in spot.loggers:
            bound = MOST_DRIFT_S_PER_DAY
            drift = round(float(np.clip(rng.normal(0.0, DRIFT_S_PER_DAY), -bound, bound)), 2)
            yield Incident(Mishap.CLOCK_DRIFT, logger, spot.from_ms, spot.to_ms, drift)
