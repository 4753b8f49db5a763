"""What is sent is what was measured, but for the incidents of the plan, and each of them leaves its mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from coldchain import pipeline
from coldchain.profiles import load_profiles
from coldchain.readings import FAULT_MC, ReadingBatch
from coldchain.registry import Registry, parse_registry
from coldchain.replay_document import document_of
from command_line import RULES
from gateways.decoders import decode
from gateways.simulator import fleet as fleets
from gateways.simulator import registry_tables, traffic
from gateways.simulator.delivery import Message, Tally
from gateways.simulator.fleet import Fleet
from gateways.simulator.incidents import (
    LOGGER_MISHAPS,
    MOST_DRIFT_S_PER_DAY,
    PACKED_WRONGLY,
    RATES_PER_DAY,
    Incident,
    Mishap,
    plan,
)

START_MS = 1_772_409_600_000
HOUR_MS = 3_600_000
FRIDGE = "site-0001-fridge"


def small(seed: int = 1, kits: int = 60, days: int = 2) -> Fleet:
    return fleets.fleet(kits, days, seed, START_MS)


def logger_of(fleet: Fleet, place: str) -> str:
    return next(spot.loggers[0] for spot in fleet.spots if spot.id == place)


def sent(fleet: Fleet, incidents: Sequence[Incident]) -> tuple[list[Message], Tally]:
    tally = Tally()
    return list(traffic.messages(fleet, incidents, tally)), tally


def received(messages: Sequence[Message], logger: str | None = None) -> list[ReadingBatch]:
    found = [batch for m in messages for batch in decode(m.topic, m.payload, m.received_ms)]
    return [batch for batch in found if logger in (None, batch.logger)]


def measured(fleet: Fleet, incidents: Sequence[Incident], logger: str) -> tuple[list[int], list[int]]:
    """True instants and temperatures of one logger's memory."""
    at_ms: list[int] = []
    mc: list[int] = []
    for block in traffic.blocks(fleet):
        for recording in traffic.recordings(fleet, block, traffic.by_subject(incidents)):
            for column, (_, name) in enumerate(recording.loggers):
                if name == logger:
                    batch = recording.batch(column)
                    at_ms += batch.at_ms.tolist()
                    mc += batch.temperature_mc.tolist()
    return at_ms, mc


def registry(fleet: Fleet) -> Registry:
    tables = registry_tables.Tables(
        fleets.loggers(fleet), fleets.places(fleet), fleets.monitoring(fleet), fleets.kits(fleet), fleets.custody(fleet)
    )
    return parse_registry([("registry.toml", registry_tables.as_toml(tables))])


def judged(fleet: Fleet, messages: Sequence[Message]) -> pipeline.State:
    return pipeline.replay(received(messages), registry(fleet), load_profiles(RULES))


def columns(batches: Sequence[ReadingBatch]) -> tuple[list[int], list[int]]:
    return (
        np.concatenate([batch.at_ms for batch in batches]).tolist(),
        np.concatenate([batch.temperature_mc for batch in batches]).tolist(),
    )


def test_without_incidents_every_reading_arrives_once_in_order_and_every_kit_is_in_range() -> None:
    fleet = small()
    messages, tally = sent(fleet, ())
    assert messages == sorted(messages)
    assert tally == Tally(measured=tally.measured, messages=len(messages), readings=tally.measured)
    for logger in (logger_of(fleet, FRIDGE), logger_of(fleet, "shipper-00001")):
        assert columns(received(messages, logger)) == measured(fleet, (), logger)
    state = judged(fleet, messages)
    minutes = [
        run.out_of_range_ms / 60_000 for assessment in state.assessments.values() for run in assessment.excursions
    ]
    assert sum(minutes) <= 30  # a door that stood open for long
    assert {assessment.unknown_ms for assessment in state.assessments.values()} == {0}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_replay_accounts_for_every_reading_as_the_truth_does(seed: int) -> None:
    fleet = small(seed, kits=400, days=3)
    messages, tally = sent(fleet, plan(fleet, often=40))
    found = document_of(judged(fleet, messages), messages=len(messages), rejected=0)["inputs"]
    expected = ("messages", "readings", "faults", "duplicates", "conflicts", "unverified_time")
    assert {key: found[key] for key in expected} == {key: getattr(tally, key) for key in expected}
    assert all(getattr(tally, key) for key in (*expected, "lost"))
    assert tally.measured == tally.lost + tally.readings + tally.faults + tally.unverified_time - tally.conflicts


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    first, again, other = (small(seed) for seed in (5, 5, 6))
    assert sent(first, plan(first, 5)) == sent(again, plan(again, 5))
    assert sent(first, ())[0] != sent(other, ())[0]


def test_another_seed_gives_other_probes_also_where_it_is_as_warm() -> None:
    """In a box before it is packed it is 5 degC for every seed: what is shown differs by the probe alone."""
    shown = []
    for seed in (5, 6):
        fleet = small(seed)
        block = next(block for block in traffic.blocks(fleet) if block.spots[0].kind == "shipper")
        shown.append(next(iter(traffic.recordings(fleet, block, {}))).temperature_mc[0].tolist())
    assert all(4_500 < mc < 5_500 for mcs in shown for mc in mcs)
    assert shown[0] != shown[1]


def test_what_happens_at_one_place_changes_nothing_elsewhere() -> None:
    fleet = small()
    failed = [Incident(Mishap.COMPRESSOR_FAILED, FRIDGE, START_MS + HOUR_MS, START_MS + 9 * HOUR_MS)]
    for place in ("depot-01-cold-room", "shipper-00001"):
        logger = logger_of(fleet, place)
        assert measured(fleet, failed, logger) == measured(fleet, (), logger)
    assert measured(fleet, failed, logger_of(fleet, FRIDGE)) != measured(fleet, (), logger_of(fleet, FRIDGE))


def test_a_fridge_that_failed_for_three_hours_is_found_in_the_kits_that_were_there() -> None:
    fleet = small(days=4)
    from_ms = START_MS + 3 * 24 * HOUR_MS + 12 * HOUR_MS
    failed = [Incident(Mishap.COMPRESSOR_FAILED, FRIDGE, from_ms, from_ms + 3 * HOUR_MS)]
    state = judged(fleet, sent(fleet, failed)[0])
    for group in state.registry.groups.values():
        last = group.fate.route[-1]
        runs = state.assessments[group.id].excursions
        found = [
            run for run in runs if run.side == "above" and run.out_of_range_ms > HOUR_MS and run.start_ms > from_ms
        ]
        assert len(found) == (last.place == FRIDGE), group
        for run in found:
            assert from_ms < run.start_ms < from_ms + 3 * HOUR_MS
            assert run.end_ms is not None


def test_packs_from_the_freezer_freeze_the_load_and_spent_ones_let_it_go() -> None:
    fleet = small(days=4)
    spot = next(spot for spot in fleet.spots if spot.id == "shipper-00001")
    frozen = Incident(Mishap.PACKS_FROZEN, spot.id, spot.from_ms, spot.to_ms, -20.0)
    spent = Incident(Mishap.PACKS_SPENT, spot.id, spot.from_ms, spot.to_ms, 0.99)
    logger = spot.loggers[0]
    ordinary, too_cold, too_warm = (measured(fleet, plan_, logger)[1] for plan_ in ((), (frozen,), (spent,)))
    assert min(too_cold) < 0 < 4_000 < min(ordinary)
    assert max(too_warm) > max(ordinary)


def befallen(kind: Mishap, amount: float | None = None) -> tuple[Fleet, Incident, list[ReadingBatch], Tally]:
    """The site's logger with one incident from 10:00 to 12:00 of the second day, and what arrives of it that day."""
    fleet = small()
    logger = logger_of(fleet, FRIDGE)
    from_ms = START_MS + 34 * HOUR_MS
    incident = Incident(kind, logger, from_ms, from_ms + 2 * HOUR_MS, amount)
    messages, tally = sent(fleet, [incident])
    return fleet, incident, received(messages, logger), tally


def test_an_open_probe_sends_faults_with_their_reason() -> None:
    _, incident, batches, tally = befallen(Mishap.PROBE_OPEN)
    faults = [(int(batch.at_ms[i]), reason) for batch in batches for i, reason in batch.faults.items()]
    assert len(faults) == 24 == tally.faults
    assert {reason for _, reason in faults} == {"probe_open"}
    assert all(incident.from_ms < at_ms <= incident.to_ms for at_ms, _ in faults)


def test_a_sentinel_is_read_as_a_fault() -> None:
    _, _, batches, tally = befallen(Mishap.SENTINEL, 3276.7)
    at_ms, mc = columns(batches)
    assert mc.count(FAULT_MC) == 24 == tally.faults
    assert len(at_ms) == 2 * 288


def test_lost_readings_leave_a_gap_in_time_and_in_the_numbers() -> None:
    _, _, batches, tally = befallen(Mishap.READINGS_LOST)
    at_ms, _ = columns(batches)
    assert max(np.diff(at_ms)) == 2 * HOUR_MS + 300_000
    assert tally.lost == 24
    numbers = [batch.seq + i for batch in batches if batch.seq is not None for i in range(len(batch))]
    assert sorted(set(range(1, 2 * 288 + 1)) - set(numbers)) == list(range(288 + 121, 288 + 145))


@pytest.mark.parametrize("year", [1970, 2000, 2012])
def test_a_reset_clock_starts_anew_in_its_year_and_counts_a_restart(year: int) -> None:
    _, _, batches, tally = befallen(Mishap.CLOCK_RESET, year)
    reset = [batch for batch in batches if batch.boot == 2 and batch.at_ms[0] < 1_356_998_400_000]
    assert sum(map(len, reset)) == 24 == tally.unverified_time
    begin = int(np.datetime64(f"{year}-01-01T00:00:00", "ms").astype(int))
    assert int(reset[0].at_ms[0]) == begin + 300_000
    assert reset[0].seq == 1
    assert [batch.boot for batch in batches] == sorted(batch.boot or 0 for batch in batches)


def test_a_fast_clock_gains_what_it_is_said_to_and_is_set_right_at_midnight() -> None:
    fleet = small()
    logger = logger_of(fleet, FRIDGE)
    drift = Incident(Mishap.CLOCK_DRIFT, logger, fleet.start_ms, fleet.end_ms, 8.64)
    stated, _ = columns(received(sent(fleet, [drift])[0], logger))
    true, _ = measured(fleet, (), logger)
    gained_ms = (np.array(stated) - np.array(true)).reshape(2, 288)
    np.testing.assert_allclose(gained_ms[0], 30.0 * np.arange(1, 289), atol=1)
    np.testing.assert_array_equal(gained_ms[0], gained_ms[1])


def test_a_conflicting_download_contradicts_every_second_reading_and_repeats_the_others() -> None:
    fleet, incident, batches, tally = befallen(Mishap.CONFLICTING_REDOWNLOAD, 0.2)
    assert (tally.conflicts, tally.duplicates) == (12, 12)
    at_ms, mc = columns([batch for batch in batches if batch.seq is None])
    memory = dict(zip(*measured(fleet, (), incident.subject), strict=True))
    assert [value - memory[at] for at, value in zip(at_ms, mc, strict=True)] == [200, 0] * 12


def test_a_lost_link_delays_everything_of_its_gateway_and_mixes_it_up_and_loses_nothing() -> None:
    fleet = small()
    lost = Incident(Mishap.LINK_LOST, "gw-site-0001", START_MS + HOUR_MS, START_MS + 30 * HOUR_MS)
    messages, tally = sent(fleet, [lost])
    ordinary, as_usual = sent(fleet, ())
    assert replace(tally) == as_usual
    late = [message for message in messages if message.is_cbor]
    assert len(late) == 7
    assert {message.payload[0] >> 5 for message in late} == {5}  # a CBOR map
    assert {message.payload[:1] for message in messages if not message.is_cbor} == {b"{"}
    assert all(message.received_ms > lost.to_ms for message in late)
    assert messages == sorted(messages)
    logger = logger_of(fleet, FRIDGE)
    first = [int(batch.at_ms[0]) for batch in received(late)]
    assert first != sorted(first)
    at_ms, mc = columns(sorted(received(messages, logger), key=lambda batch: int(batch.at_ms[0])))
    assert (at_ms, mc) == measured(fleet, (), logger)
    assert len(messages) == len(ordinary)


def test_a_doubling_gateway_sends_each_message_twice() -> None:
    fleet = small()
    doubled = Incident(Mishap.DOUBLED, "gw-site-0001", fleet.start_ms, fleet.end_ms)
    messages, tally = sent(fleet, [doubled])
    payloads = [message.payload for message in messages if "/gw-site-0001/" in message.topic]
    assert len(payloads) == 2 * len(set(payloads)) - 1  # the last arrives after the incident
    assert tally.duplicates == 48 * (len(payloads) - len(set(payloads)))


def test_incidents_happen_as_often_as_stated_and_each_is_possible() -> None:
    fleet = fleets.fleet(20_000, 10, 9, START_MS)
    found = plan(fleet)
    by_kind = {kind: [one for one in found if one.kind is kind] for kind in Mishap}
    cabinets = sum(spot.kind in ("cold-room", "fridge", "freezer", "home-fridge") for spot in fleet.spots)
    gateways = len({spot.gateway for spot in fleet.spots})
    for kind, rate in RATES_PER_DAY.items():
        subjects = gateways if kind in (Mishap.LINK_LOST, Mishap.DOUBLED) else cabinets
        expected = rate * subjects * fleet.days
        assert abs(len(by_kind[kind]) - expected) < 5 * expected**0.5
    shipments = sum(spot.kind == "shipper" for spot in fleet.spots)
    for kind, share in PACKED_WRONGLY.items():
        assert abs(len(by_kind[kind]) - share * shipments) < 5 * (share * shipments) ** 0.5
    assert all(by_kind[kind] for kind in LOGGER_MISHAPS)
    loggers = {logger: spot for spot in fleet.spots for logger in spot.loggers}
    days = [(one.subject, (one.from_ms - START_MS) // fleets.DAY_MS) for one in found if one.kind in LOGGER_MISHAPS]
    assert len(set(days)) == len(days)
    for one in found:
        assert fleet.start_ms <= one.from_ms < one.to_ms <= fleet.end_ms
        if one.kind in LOGGER_MISHAPS:
            assert loggers[one.subject].from_ms <= one.from_ms < one.to_ms <= loggers[one.subject].to_ms
    drifts = [one.amount or 0.0 for one in by_kind[Mishap.CLOCK_DRIFT]]
    assert len(drifts) == len(loggers)
    assert max(map(abs, drifts)) <= MOST_DRIFT_S_PER_DAY
    assert 3.0 < np.std(drifts) < 4.5
    assert plan(fleet, often=0) == ()
