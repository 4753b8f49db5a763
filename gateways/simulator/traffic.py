"""START HERE. What a fleet measured, as columns, and what its gateways sent, as messages in order of arrival.

Places of one kind are advanced together in blocks, a day at a time, so nothing longer than a day is held. Each block
has a Generator of its own: what happens at a place does not depend on which blocks are asked for, or in which order.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from coldchain.readings import MilliCelsius, Milliseconds, ReadingBatch
from gateways.simulator import places, recorder
from gateways.simulator.delivery import Counter, Message, Tally, deliver
from gateways.simulator.fleet import DAY_MS, Fleet, Spot
from gateways.simulator.incidents import Incident, Mishap
from gateways.simulator.places import KINDS, STEP_S, STEPS, Trouble
from gateways.simulator.thermal import Cabinet, Celsius, Shipper, gel_j_kg

SPOTS_TOGETHER = 512
"""Large enough that numpy's cost per call does not count, small enough for the processor's cache."""

_STEP_MS = 1000 * STEP_S

BySubject = Mapping[str, Sequence[Incident]]


@dataclass(frozen=True, slots=True)
class Block:
    """Spots of one kind that are advanced together, during the days `first_day` to `last_day` of the fleet."""

    number: int
    spots: tuple[Spot, ...]
    first_day: int
    last_day: int

    @property
    def days(self) -> range:
        return range(self.first_day, self.last_day + 1)

    @property
    def owners(self) -> list[tuple[int, str]]:
        """Every logger with the position of the spot that it watches."""
        return [(position, logger) for position, spot in enumerate(self.spots) for logger in spot.loggers]


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What the loggers of a block measured in a day.

    `at_ms` int64[readings] [ms UTC], true time; `temperature_mc` int32[readings, loggers], one column for each of
    `loggers`: the spot it watches, and its id. Outside the time of its spot a logger was not there.
    """

    at_ms: Milliseconds
    temperature_mc: MilliCelsius
    loggers: tuple[tuple[Spot, str], ...]

    def batch(self, column: int) -> ReadingBatch:
        """What one logger measured while it was there; may be empty."""
        spot, logger = self.loggers[column]
        first, last = np.searchsorted(self.at_ms, [spot.from_ms, spot.to_ms], side="right")
        return ReadingBatch(logger, "1", self.at_ms[first:last], self.temperature_mc[first:last, column])


def blocks(fleet: Fleet) -> tuple[Block, ...]:
    """The fleet cut into blocks; boxes and patients that are there at about the same time are together."""
    found: list[Block] = []
    in_order = sorted(fleet.spots, key=lambda spot: (spot.kind, spot.from_ms, spot.id))
    for _, same in groupby(in_order, key=lambda spot: spot.kind):
        spots = list(same)
        for first in range(0, len(spots), SPOTS_TOGETHER):
            together = tuple(spots[first : first + SPOTS_TOGETHER])
            begin = (min(spot.from_ms for spot in together) - fleet.start_ms) // DAY_MS
            end = (max(spot.to_ms for spot in together) - fleet.start_ms - 1) // DAY_MS
            found.append(Block(len(found), together, max(0, begin), min(end, fleet.days - 1)))
    return tuple(found)


def true_days_c(fleet: Fleet, block: Block, incidents: BySubject) -> Iterator[Celsius]:
    """The true temperatures of a block's places, day by day: float64[STEPS, spots] [degC], at the end of each step."""
    rng = np.random.default_rng([fleet.seed, 4, block.number])
    kind = KINDS[block.spots[0].kind]
    n, days = len(block.spots), len(block.days)
    match kind.body:
        case Cabinet() as cabinet:
            troubles = (_trouble(fleet, block, day, incidents) for day in block.days)
            return places.store_days_c(kind, cabinet, n, troubles, days, rng)
        case Shipper() as shipper:
            begin_ms = fleet.start_ms + block.first_day * DAY_MS
            packed_s = np.array([(spot.from_ms - begin_ms) / 1000 for spot in block.spots])
            enthalpy = np.array([_packs_j_kg(shipper, incidents.get(spot.id, ())) for spot in block.spots])
            return places.journey_days_c(kind, shipper, packed_s, enthalpy, days, rng)
        case None:
            return places.ambient_days_c(kind.climate, n, days, rng)


def recordings(fleet: Fleet, block: Block, incidents: BySubject) -> Iterator[Recording]:
    """What a block's loggers measured, day by day."""
    kind = KINDS[block.spots[0].kind]
    rng = np.random.default_rng([fleet.seed, 5, block.number])
    owners = block.owners
    place = np.array([position for position, _ in owners], np.intp)
    gear = recorder.probes(len(owners), kind.probe_s, kind.resolution_mc, rng)
    loggers = tuple((block.spots[position], logger) for position, logger in owners)
    true_c = true_days_c(fleet, block, incidents)
    measured = recorder.recorded_days_mc(true_c, place, gear, STEP_S, kind.interval_ms, rng)

    def one_day(day: int, temperature_mc: MilliCelsius) -> Recording:
        midnight_ms = fleet.start_ms + day * DAY_MS
        at_ms = midnight_ms + np.arange(1, len(temperature_mc) + 1, dtype=np.int64) * kind.interval_ms
        return Recording(at_ms, temperature_mc, loggers)

    return map(one_day, block.days, measured)


def messages(fleet: Fleet, incidents: Collection[Incident], tally: Tally) -> Iterator[Message]:
    """Everything the gateways send, in order of arrival; `tally` counts what became of each reading."""
    known = by_subject(incidents)
    running = [(block, recordings(fleet, block, known)) for block in blocks(fleet)]
    counters: dict[str, Counter] = defaultdict(Counter)
    waiting: list[Message] = []
    for day in range(fleet.days):
        for block, recorded in running:
            if day in block.days:
                rng = np.random.default_rng([fleet.seed, 6, block.number, day])
                for message in _delivered(next(recorded), known, counters, tally, rng):
                    heapq.heappush(waiting, message)
        # Whatever is measured later arrives later: what has arrived by midnight is complete.
        midnight_ms = fleet.start_ms + (day + 1) * DAY_MS
        while waiting and waiting[0].received_ms <= midnight_ms:
            yield heapq.heappop(waiting)
    while waiting:
        yield heapq.heappop(waiting)


def by_subject(incidents: Iterable[Incident]) -> dict[str, list[Incident]]:
    """Incidents by the place, logger or gateway that they befall."""
    found: dict[str, list[Incident]] = defaultdict(list)
    for incident in incidents:
        found[incident.subject].append(incident)
    return dict(found)


def _delivered(
    recording: Recording, known: BySubject, counters: dict[str, Counter], tally: Tally, rng: np.random.Generator
) -> Iterator[Message]:
    first_ms, last_ms = int(recording.at_ms[0]), int(recording.at_ms[-1])
    for column, (spot, logger) in enumerate(recording.loggers):
        batch = recording.batch(column)
        if not len(batch):
            continue
        mishaps = [one for one in known.get(logger, ()) if one.from_ms < last_ms and one.to_ms >= first_ms]
        yield from deliver(spot, batch, mishaps, known.get(spot.gateway, ()), counters[logger], tally, rng)


def _trouble(fleet: Fleet, block: Block, day: int, incidents: BySubject) -> Trouble:
    trouble = places.no_trouble(len(block.spots))
    midnight_ms = fleet.start_ms + day * DAY_MS
    for position, spot in enumerate(block.spots):
        for incident in incidents.get(spot.id, ()):
            during = _steps(incident, midnight_ms)
            if incident.kind is Mishap.COMPRESSOR_FAILED:
                trouble.has_power[during, position] = False
            elif incident.kind is Mishap.DOOR_AJAR:
                trouble.ajar[during, position] = incident.amount
    return trouble


def _steps(incident: Incident, midnight_ms: int) -> slice:
    """The steps of a day during which an incident lasts."""
    first, last = ((at_ms - midnight_ms) // _STEP_MS for at_ms in (incident.from_ms, incident.to_ms))
    return slice(min(max(first, 0), STEPS), min(max(last, 0), STEPS))


def _packs_j_kg(shipper: Shipper, incidents: Iterable[Incident]) -> float:
    for incident in incidents:
        if incident.kind is Mishap.PACKS_FROZEN:
            return gel_j_kg(shipper, incident.amount or 0.0)
        if incident.kind is Mishap.PACKS_SPENT:
            return (incident.amount or 0.0) * shipper.fusion_j_kg
    return 0.0
