"""Custody, excursions and holds of kits as EPCIS 2.0 events (GS1, EPCIS and CBV standards release 2.0, JSON-LD).

Nothing here depends on a kit's treatment: no product, batch, profile, limit, budget or trial is looked at, and kits
to which the same happened at the same place share an event, whatever they hold. Excursions are those of the
assessment, which in a blind group is one for all kits.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5

from coldchain import exposure, history
from coldchain.history import History
from coldchain.instant import iso
from coldchain.model import CustodySegment, Excursion, Monitoring, QuarantineEvent
from coldchain.registry import Registry

CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
_NAMESPACE = UUID("0d4f6f6a-8b0e-5a53-9a55-5d1a3c9c6b52")

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Identifiers:
    """How ids become URIs: templates with one `{id}`, where the percent-encoded id goes."""

    kit: str
    place: str
    logger: str

    def kit_uri(self, kit_id: str) -> str:
        return self.kit.replace("{id}", quote(kit_id, safe=""))

    def place_uri(self, place_id: str) -> str:
        return self.place.replace("{id}", quote(place_id, safe=""))

    def logger_uri(self, logger_id: str) -> str:
        return self.logger.replace("{id}", quote(logger_id, safe=""))


@dataclass(frozen=True, slots=True, eq=False)
class KitFacts:
    """What happened to kits that went the same way. `history` is None where custody gives it none."""

    kits: Sequence[str]
    custody: Sequence[CustodySegment]
    excursions: Sequence[Excursion]
    history: History | None
    holds: Sequence[QuarantineEvent] = ()


def document(
    facts: Iterable[KitFacts],
    registry: Registry,
    identifiers: Identifiers,
    *,
    created_ms: int,
    from_ms: int | None = None,
    to_ms: int | None = None,
) -> dict[str, Any]:
    """An EPCISDocument; the same facts give the same document, in whatever order and groups they come.

    Parameters
    ----------
    created_ms : its creation date [ms UTC]
    from_ms, to_ms : only events with an event time in `(from_ms, to_ms]` [ms UTC]; None: no bound
    """
    kits_of: dict[str, set[str]] = defaultdict(set)
    happened: dict[str, tuple[int, Event]] = {}
    holds: list[tuple[int, Event]] = []
    for fact in facts:
        for at_ms, event in (*_custody(fact, registry, identifiers), *_sensor(fact, registry, identifiers)):
            what = _canonical(event)
            happened[what] = at_ms, event
            kits_of[what].update(fact.kits)
        holds += [(hold.detected_at_ms, _hold(hold, identifiers)) for hold in fact.holds]
    shared = [(at_ms, _of_kits(event, kits_of[what], identifiers)) for what, (at_ms, event) in happened.items()]
    inside = [
        (at_ms, event)
        for at_ms, event in (*shared, *holds)
        if (from_ms is None or at_ms > from_ms) and (to_ms is None or at_ms <= to_ms)
    ]
    return {
        "@context": [CONTEXT],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": iso(created_ms),
        "epcisBody": {"eventList": [event for _, event in sorted(inside, key=_order)]},
    }


def _order(row: tuple[int, Event]) -> tuple[int, str]:
    return row[0], str(row[1]["eventID"])


def _canonical(event: Mapping[str, Any]) -> str:
    return json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _of_kits(event: Event, kits: Iterable[str], identifiers: Identifiers) -> Event:
    """The event with its kits, and an id that only its content decides."""
    whole = event | {"epcList": [identifiers.kit_uri(kit) for kit in sorted(kits)]}
    return {"eventID": f"urn:uuid:{uuid5(_NAMESPACE, _canonical(whole))}"} | whole


def _object_event(at_ms: int, biz_step: str, more: Mapping[str, Any]) -> Event:
    return {
        "type": "ObjectEvent",
        "action": "OBSERVE",
        "bizStep": biz_step,
        "eventTime": iso(at_ms),
        "eventTimeZoneOffset": "+00:00",
        **more,
    }


def _custody(fact: KitFacts, registry: Registry, identifiers: Identifiers) -> Iterator[tuple[int, Event]]:
    """One event for each hand-over, and one where a kit leaves and is nowhere at once afterwards."""
    begins = {segment.from_ms for segment in fact.custody}
    for segment in fact.custody:
        left = [one.place for one in fact.custody if one.to_ms == segment.from_ms and one is not segment]
        yield segment.from_ms, _arrival(segment, left, registry, identifiers)
        if segment.to_ms is not None and segment.to_ms not in begins:
            place = {"id": identifiers.place_uri(segment.place)}
            yield segment.to_ms, _object_event(segment.to_ms, "departing", {"readPoint": place})


def _arrival(segment: CustodySegment, left: Sequence[str], registry: Registry, identifiers: Identifiers) -> Event:
    """The begin of custody at a place. A kit in a shipper is on the way: it has no business location."""
    here = {"id": identifiers.place_uri(segment.place)}
    more: Event
    match registry.places[segment.place].kind:
        case "shipper":
            step, more = "shipping", {"disposition": "in_transit", "readPoint": here}
        case "patient_home":
            step, more = "dispensing", {"disposition": "dispensed", "readPoint": here, "bizLocation": here}
        case _:
            step = "receiving" if left else "storing"
            more = {"disposition": "in_progress", "readPoint": here, "bizLocation": here}
    if left:
        sources = [{"type": "location", "source": identifiers.place_uri(place)} for place in sorted(set(left))]
        destination = {"type": "location", "destination": here["id"]}
        more |= {"sourceList": sources, "destinationList": [destination]}
    return _object_event(segment.from_ms, step, more)


def _sensor(fact: KitFacts, registry: Registry, identifiers: Identifiers) -> Iterator[tuple[int, Event]]:
    """For each excursion one event at every place it lasted at, at its end there: how cold or warm, how long."""
    if fact.history is None:
        return
    for run in fact.excursions:
        run_end_ms = fact.history.as_of_ms if run.end_ms is None else run.end_ms
        for segment in fact.custody:
            begin_ms = max(run.start_ms, segment.from_ms)
            end_ms = run_end_ms if segment.to_ms is None else min(run_end_ms, segment.to_ms)
            report = _report(fact.history, run.side, begin_ms, end_ms)
            if report is None:
                continue
            metadata = {"startTime": iso(begin_ms), "endTime": iso(end_ms)}
            watches = registry.monitoring_of.get(segment.place, ())
            loggers = {entry.logger for entry in watches if _overlaps(entry, begin_ms, end_ms)}
            if len(loggers) == 1:
                metadata["deviceID"] = identifiers.logger_uri(loggers.pop())
            more = {
                "readPoint": {"id": identifiers.place_uri(segment.place)},
                "sensorElementList": [{"sensorMetadata": metadata, "sensorReport": [report]}],
            }
            yield end_ms, _object_event(end_ms, "sensor_reporting", more)


def _report(whole: History, side: str, begin_ms: int, end_ms: int) -> Event | None:
    """Extremes and time-weighted mean [degC] of the envelope on the side of an excursion; None if nothing is known."""
    during = history.clip(whole, begin_ms, end_ms) if begin_ms < end_ms else None
    if during is None:
        return None
    mc = during.hot_mc if side == "above" else during.cold_mc
    found = exposure.totals(History(during.start_ms, during.end_ms, mc, mc))
    if found.min_mc is None or found.max_mc is None or found.mean_c is None:
        return None
    return {
        "type": "Temperature",
        "minValue": found.min_mc / 1000,
        "maxValue": found.max_mc / 1000,
        "meanValue": round(found.mean_c, 3),
        "uom": "CEL",
        "exception": "ALARM_CONDITION",
    }


def _overlaps(entry: Monitoring, from_ms: int, to_ms: int) -> bool:
    return entry.from_ms < to_ms and (entry.to_ms is None or entry.to_ms > from_ms)


def _hold(hold: QuarantineEvent, identifiers: Identifiers) -> Event:
    """A kit was put on hold. The id is that of the quarantine event, and no revision changes anything in it; where
    the kit was stands in the events of its custody."""
    more: Event = {"disposition": "non_sellable_other", "epcList": [identifiers.kit_uri(hold.kit)]}
    return {"eventID": f"urn:uuid:{hold.id}"} | _object_event(hold.detected_at_ms, "holding", more)
