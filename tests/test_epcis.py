"""The EPCIS export is of the standard's form, says what happened, and does not tell which treatment is in a kit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft7Validator

from coldchain import epcis, pipeline
from coldchain.commands.export import facts
from coldchain.epcis import Identifiers
from coldchain.model import CustodySegment, Kit, QuarantineEvent
from coldchain.pipeline import State
from coldchain.profiles import load_profiles
from coldchain.readings import ReadingBatch
from coldchain.registry import Registry, load_registry
from command_line import RULES
from gateways.decoders import decode
from gateways.simulator import fleet as fleets
from gateways.simulator import registry_tables, traffic
from gateways.simulator.delivery import Tally
from gateways.simulator.incidents import Incident, Mishap

SAMPLES = Path(__file__).parents[2] / "shared" / "samples" / "epcis"
SCHEMA = sorted(SAMPLES.glob("EPCIS-JSON-Schema.json"))
URIS = Identifiers("urn:x-coldchain:obj:{id}", "urn:x-coldchain:loc:{id}", "urn:x-coldchain:dev:{id}")

START_MS = 1_772_409_600_000
HOUR_MS = 3_600_000
END_MS = START_MS + 96 * HOUR_MS
FRIDGE = "site-0001-fridge"
FAILED_MS = START_MS + 80 * HOUR_MS
"""The fridge at the site fails for ten hours: far more than the comparator may bear."""


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> State:
    """Sixty kits in four days; the site's fridge fails, and two readings of its logger contradict each other."""
    fleet = fleets.fleet(60, 4, 1, START_MS)
    logger = next(spot.loggers[0] for spot in fleet.spots if spot.id == FRIDGE)
    conflict = Incident(Mishap.CONFLICTING_REDOWNLOAD, logger, START_MS + 73 * HOUR_MS, START_MS + 74 * HOUR_MS, 0.2)
    incidents = [Incident(Mishap.COMPRESSOR_FAILED, FRIDGE, FAILED_MS, FAILED_MS + 10 * HOUR_MS), conflict]
    tables = registry_tables.Tables(
        fleets.loggers(fleet), fleets.places(fleet), fleets.monitoring(fleet), fleets.kits(fleet), fleets.custody(fleet)
    )
    registry = load_registry(*registry_tables.write_csv(tables, tmp_path_factory.mktemp("registry")))
    batches = [
        batch
        for message in traffic.messages(fleet, incidents, Tally())
        for batch in decode(message.topic, message.payload, message.received_ms)
    ]
    return pipeline.replay(batches, registry, load_profiles(RULES), END_MS)


def holds(state: State) -> list[QuarantineEvent]:
    return [replace(event, detected_at_ms=END_MS) for events in state.events.values() for event in events.values()]


def exported(state: State, kits: Sequence[str] = (), **bounds: int) -> dict[str, Any]:
    found = facts(state, kits, holds(state), END_MS)
    return epcis.document(found, state.registry, URIS, created_ms=END_MS, **bounds)


def events(document: dict[str, Any], step: str | None = None) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = document["epcisBody"]["eventList"]
    return [event for event in listed if step in (None, event["bizStep"])]


@pytest.mark.parametrize("schema", SCHEMA, ids=lambda path: path.name)
def test_an_export_is_valid_by_the_schema_of_gs1_and_a_spoilt_one_is_not(schema: Path, known: State) -> None:
    validator = Draft7Validator(json.loads(schema.read_text()), format_checker=Draft7Validator.FORMAT_CHECKER)
    document = json.loads(json.dumps(exported(known)))
    assert [error.message for error in validator.iter_errors(document)] == []
    element = events(document, "sensor_reporting")[0]["sensorElementList"][0]
    report = element["sensorReport"][0]
    for part, key, wrong in (
        (document, "creationDate", "today"),
        (element["sensorMetadata"], "startTime", "2026-03-02T00:00:00"),
        (report, "exception", "HOT"),
        (report, "limit_c", 8.0),
    ):
        before = dict(part)
        part[key] = wrong
        assert list(validator.iter_errors(document)), key
        part.clear()
        part.update(before)


def test_every_event_has_the_parts_that_the_standard_demands(known: State) -> None:
    document = exported(known)
    assert list(document) == ["@context", "type", "schemaVersion", "creationDate", "epcisBody"]
    assert (document["type"], document["schemaVersion"]) == ("EPCISDocument", "2.0")
    assert document["@context"] == ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"]
    listed = events(document)
    assert len({event["eventID"] for event in listed}) == len(listed)
    for event in listed:
        UUID(event["eventID"].removeprefix("urn:uuid:"))
        assert (event["type"], event["action"], event["eventTimeZoneOffset"]) == ("ObjectEvent", "OBSERVE", "+00:00")
        assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
        assert event["epcList"] == sorted(set(event["epcList"]))
        assert all(uri.startswith("urn:x-coldchain:obj:K-") for uri in event["epcList"])
    times = [datetime.fromisoformat(event["eventTime"]) for event in listed]
    assert times == sorted(times)


def test_the_custody_of_every_kit_is_told_from_the_depot_to_the_patient(known: State) -> None:
    fates = Counter(
        tuple(
            event["bizStep"]
            for event in events(exported(known))
            if uri in event["epcList"] and "sensor" not in event["bizStep"] and event["bizStep"] != "holding"
        )
        for uri in map(URIS.kit_uri, known.registry.kits)
    )
    assert fates == {
        ("storing", "shipping", "receiving", "dispensing"): 7,
        ("storing", "shipping", "receiving"): 29,
        ("storing",): 24,
    }
    shipped = events(exported(known), "shipping")[0]
    assert shipped["disposition"] == "in_transit"
    assert shipped["sourceList"] == [{"type": "location", "source": "urn:x-coldchain:loc:depot-01-cold-room"}]
    assert "bizLocation" not in shipped


def test_a_kit_that_leaves_and_arrives_later_is_nowhere_in_between(known: State) -> None:
    (kit,) = list(known.registry.kits)[:1]
    route = (CustodySegment(FRIDGE, START_MS, START_MS + HOUR_MS), CustodySegment(FRIDGE, START_MS + 2 * HOUR_MS))
    fact = epcis.KitFacts([kit], route, (), None)
    document = epcis.document([fact], known.registry, URIS, created_ms=END_MS)
    assert [(event["bizStep"], event["eventTime"][11:16]) for event in events(document)] == [
        ("storing", "00:00"),
        ("departing", "01:00"),
        ("storing", "02:00"),
    ]
    assert all("sourceList" not in event for event in events(document))


def test_an_excursion_says_where_when_how_warm_and_by_which_logger(known: State) -> None:
    reports = [
        event
        for event in events(exported(known), "sensor_reporting")
        if event["readPoint"]["id"] == URIS.place_uri(FRIDGE) and len(event["epcList"]) > 20
    ]
    (event,) = reports
    (element,) = event["sensorElementList"]
    (report,) = element["sensorReport"]
    assert (report["type"], report["uom"], report["exception"]) == ("Temperature", "CEL", "ALARM_CONDITION")
    assert 8.0 < report["minValue"] < report["meanValue"] < report["maxValue"] < 21.0
    start, end = (
        datetime.fromisoformat(element["sensorMetadata"][key]).timestamp() for key in ("startTime", "endTime")
    )
    assert FAILED_MS < start * 1000 < FAILED_MS + 4 * HOUR_MS
    assert end * 1000 > FAILED_MS + 10 * HOUR_MS
    assert event["eventTime"] == element["sensorMetadata"]["endTime"]
    (watch,) = known.registry.monitoring_of[FRIDGE]
    assert element["sensorMetadata"]["deviceID"] == URIS.logger_uri(watch.logger)
    group = next(g for g in known.registry.groups.values() if g.fate.route[-1].place == FRIDGE)
    run = known.assessments[group.id].excursions[-1]
    assert report["maxValue"] == run.extreme_mc / 1000


def test_an_excursion_during_a_hand_over_is_told_at_both_places(known: State) -> None:
    group = next(g for g in known.registry.groups.values() if g.fate.route[-1].place == FRIDGE)
    fact = next(f for f in facts(known, [group.kits[0]], (), END_MS))
    run = fact.excursions[-1]
    assert run.end_ms is not None
    middle_ms = (run.start_ms + run.end_ms) // 2
    route = (CustodySegment(FRIDGE, START_MS, middle_ms), CustodySegment("depot-01-cold-room", middle_ms))
    split = epcis.KitFacts(fact.kits, route, [run], fact.history)
    first, second = events(epcis.document([split], known.registry, URIS, created_ms=END_MS), "sensor_reporting")
    assert first["readPoint"]["id"] == URIS.place_uri(FRIDGE)
    assert second["readPoint"]["id"] == URIS.place_uri("depot-01-cold-room")
    metadata = [event["sensorElementList"][0]["sensorMetadata"] for event in (first, second)]
    assert metadata[0]["endTime"] == metadata[1]["startTime"]
    assert "deviceID" not in metadata[1]  # two loggers watch the cold room: none of them alone says it


def test_a_hold_has_the_id_of_its_quarantine_event_and_a_revision_changes_nothing_in_it(known: State) -> None:
    told = {event["eventID"] for event in events(exported(known), "holding")}
    assert told == {f"urn:uuid:{hold.id}" for hold in holds(known)}
    assert told
    revised = [
        replace(hold, revision=2, breached_at_ms=hold.breached_at_ms + 1, supported=False) for hold in holds(known)
    ]
    document = epcis.document(facts(known, (), revised, END_MS), known.registry, URIS, created_ms=END_MS)
    assert document == exported(known)


def test_the_same_facts_in_another_order_and_in_other_groups_are_the_same_document(known: State) -> None:
    whole = list(facts(known, (), holds(known), END_MS))
    alone = [
        replace(fact, kits=[kit], holds=[hold for hold in fact.holds if hold.kit == kit])
        for fact in reversed(whole)
        for kit in reversed(list(fact.kits))
    ]
    document = epcis.document(alone, known.registry, URIS, created_ms=END_MS)
    assert json.dumps(document) == json.dumps(exported(known))


def test_kits_and_times_can_be_chosen(known: State) -> None:
    some = exported(known, ["K-0001", "K-0002"])
    assert {uri for event in events(some) for uri in event["epcList"]} == set(map(URIS.kit_uri, ("K-0001", "K-0002")))
    late = exported(known, from_ms=FAILED_MS)
    assert {event["bizStep"] for event in events(late)} == {"sensor_reporting", "holding"}
    early = exported(known, to_ms=FAILED_MS)
    assert len(events(early)) + len(events(late)) == len(events(exported(known)))


def swapped(kit: Kit) -> Kit:
    """The other arm of the blinded trial: another product, another batch."""
    other = {"mab-017": ("comparator-02", "C07"), "comparator-02": ("mab-017", "B22")}
    if kit.blind_group is None:
        return kit
    profile, batch = other[kit.profile]
    return replace(kit, profile=profile, batch=batch)


def judged_anew(state: State, registry: Registry) -> State:
    batches = [ReadingBatch(*key, series.at_ms, series.temperature_mc) for key, series in state.series.items()]
    return pipeline.replay(batches, registry, load_profiles(RULES), END_MS)


def test_swapping_the_arms_leaves_every_byte_as_it_is(known: State) -> None:
    registry = known.registry
    other = replace(registry, kits={kit_id: swapped(kit) for kit_id, kit in registry.kits.items()})
    assert other.kits != registry.kits
    assert json.dumps(exported(judged_anew(known, other))) == json.dumps(exported(known))
    unblinded = replace(other, kits={kit_id: replace(kit, blind_group=None) for kit_id, kit in other.kits.items()})
    assert json.dumps(exported(judged_anew(known, unblinded))) != json.dumps(exported(known))


def test_no_word_of_product_batch_trial_limit_or_budget_is_in_it(known: State) -> None:
    text = json.dumps(exported(known))
    words = {word for kit in known.registry.kits.values() for word in (kit.profile, kit.batch, kit.trial)}
    words |= {limit.id for profile in known.rules.values() for limit in profile.limits}
    assert [word for word in words | {"limit", "budget", "batch", "profile"} if word in text] == []


def test_ids_with_odd_characters_become_one_segment_of_a_uri() -> None:
    assert Identifiers("https://id.example.org/8004/{id}", "", "").kit_uri("K 1?&é") == (
        "https://id.example.org/8004/K%201%3F%26%C3%A9"
    )
