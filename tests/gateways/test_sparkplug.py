"""An edge node and its host: births, aliases, sequence, stored values, report by exception, parked data, rebirths."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldchain.errors import RejectedPayload
from coldchain.ledger.entries import unstorable
from gateways.decoders import Decoded, NodeKey, decoder, node_key
from gateways.decoders.sparkplug import ASK_EVERY_MS, MAX_PARKED
from gateways.decoders.sparkplug_node import Node
from gateways.decoders.sparkplug_report import HOLD_EVERY_MS
from sparkplug_values import BOOLEAN, DOUBLE, INT16, INT64, UINT64, metric, parsed, payload

T0 = 1_760_000_000_000
LATENCY_MS = 40
MINUTE_MS = 60_000
NODE, DEVICE = "basel:gw-1", "basel:gw-1:fridge-3"


class Reading(NamedTuple):
    logger: str
    channel: str
    at_ms: int
    what: int | str
    """Milli-degC, or why there is none."""


class Host:
    """A host that hears one message after the other, as the service does."""

    def __init__(self) -> None:
        self.nodes: dict[NodeKey, Node] = {}
        self.asked: list[str] = []

    def hear(self, kind: str, data: bytes, at_ms: int, device: str = "") -> Decoded:
        topic = "/".join(filter(None, ("spBv1.0", "basel", kind, "gw-1", device)))
        found = decoder().read(topic, data, at_ms + LATENCY_MS, self.nodes)
        self.nodes.update(found.nodes)
        self.asked += [request.topic for request in found.requests]
        return found

    def readings(self, kind: str, data: bytes, at_ms: int, device: str = "") -> list[Reading]:
        return rows(self.hear(kind, data, at_ms, device))


def rows(found: Decoded) -> list[Reading]:
    return sorted(
        Reading(batch.logger, batch.channel, at, batch.faults.get(i, mc))
        for batch in found.batches
        for i, (at, mc) in enumerate(zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True))
    )


def birth(at_ms: int, *metrics: dict[str, Any], bd_seq: int = 4, seq: int = 0) -> bytes:
    control = [metric("bdSeq", bd_seq, datatype=UINT64), metric("Node Control/Rebirth", 0, datatype=11)]
    return payload(at_ms, seq, *control, *metrics)


def air(value: float | None, **more: Any) -> dict[str, Any]:
    return metric("Air", value, unit="°C", alias=1, **more)


def data(at_ms: int, seq: int, value: float | None, alias: int = 1, **more: Any) -> bytes:
    return payload(at_ms, seq, metric("", value, alias=alias, **more))


@pytest.fixture
def host() -> Host:
    """A host that knows a node with one probe, born at T0 with 5.0 degC."""
    found = Host()
    found.hear("NBIRTH", birth(T0, air(5.0)), T0)
    return found


def test_a_birth_is_a_reading_of_every_metric_whose_unit_is_one_of_temperature() -> None:
    metrics = [air(5.0), metric("Humidity", 40.0, unit="%RH", alias=2), metric("Nobody knows", 7.0, alias=3)]
    assert Host().readings("NBIRTH", birth(T0, *metrics), T0) == [Reading(NODE, "Air", T0, 5000)]


def test_data_by_alias_are_read_by_the_birth_that_named_it(host: Host) -> None:
    at = T0 + 1
    assert host.readings("NDATA", data(at, 1, 5.5), at) == [Reading(NODE, "Air", at, 5500)]


def test_a_device_has_its_own_birth_and_its_own_readings(host: Host) -> None:
    at = T0 + 1
    born = payload(at, 1, metric("Probe/1", 41.0, unit="F", alias=7))
    assert host.readings("DBIRTH", born, at, "fridge-3") == [Reading(DEVICE, "Probe/1", at, 5000)]
    assert host.readings("DDATA", data(at + 1, 2, 32.0, alias=7), at + 1, "fridge-3") == [
        Reading(DEVICE, "Probe/1", at + 1, 0)
    ]
    assert not host.asked


def test_a_signed_integer_travels_as_twos_complement() -> None:
    host = Host()
    host.hear("NBIRTH", birth(T0, air(-18, datatype=INT16)), T0)
    assert host.readings("NDATA", payload(T0 + 1, 1, {"alias": 1, "int_value": 0xFFFF_FFEC}), T0 + 1)[0].what == -20_000


def test_a_null_and_a_value_that_is_no_number_are_faults(host: Host) -> None:
    assert host.readings("NDATA", data(T0 + 1, 1, None), T0 + 1)[0].what == "null"
    assert host.readings("NDATA", data(T0 + 2, 2, float("nan")), T0 + 2)[0].what == "not_a_number"
    assert host.readings("NDATA", data(T0 + 3, 3, 85.0), T0 + 3)[0].what == "power_on"


def test_a_change_ends_what_was_held_just_before_it(host: Host) -> None:
    at = T0 + 3 * 60 * MINUTE_MS
    assert host.readings("NDATA", data(at, 1, 6.0), at) == [
        Reading(NODE, "Air", at - 1, 5000),
        Reading(NODE, "Air", at, 6000),
    ]


def test_what_a_live_node_does_not_mention_is_unchanged_and_said_so_at_most_once_a_minute() -> None:
    host = Host()
    host.hear("NBIRTH", birth(T0, air(5.0), metric("Door", 0, alias=2)), T0)
    at, later = T0 + HOLD_EVERY_MS, T0 + HOLD_EVERY_MS + 5000
    assert host.readings("NDATA", data(at, 1, 1, alias=2), at) == [Reading(NODE, "Air", at, 5000)]
    assert host.readings("NDATA", data(later, 2, 0, alias=2), later) == []


def test_silence_that_was_broken_by_a_lost_message_is_unknown_and_never_held(host: Host) -> None:
    at = T0 + 30 * MINUTE_MS
    found = host.hear("NDATA", payload(at, 2, air(6.0)), at)
    assert rows(found) == [Reading(NODE, "Air", at - 1, "sequence_gap"), Reading(NODE, "Air", at, 6000)]
    assert found.flags == ("sequence_gap: seq 2 where 1 follows",)
    assert host.asked == ["spBv1.0/basel/NCMD/gw-1"]


def test_after_a_lost_message_an_alias_waits_for_the_births_that_tell_what_it_means_now(host: Host) -> None:
    at = T0 + 30 * MINUTE_MS
    found = host.hear("NDATA", data(at, 2, 40.0), at)
    assert (found.batches, found.refused and found.refused[0]) == ((), "parked")
    # the message that was lost was a birth: alias 1 is the humidity now
    again = birth(at + 900, metric("Humidity", 40.0, unit="%RH", alias=1), metric("Air", 5.2, unit="C", alias=2))
    assert host.readings("NBIRTH", again, at + 900) == [
        Reading(NODE, "Air", at + 899, "sequence_gap"),
        Reading(NODE, "Air", at + 900, 5200),
    ]


def test_the_sequence_wraps_after_255(host: Host) -> None:
    for seq in range(1, 600):
        at = T0 + seq
        assert host.readings("NDATA", data(at, seq % 256, 5.0 + seq % 7), at)[-1].at_ms == at
    assert not host.asked


def test_a_message_that_comes_again_is_the_same_reading_and_no_gap(host: Host) -> None:
    first = data(T0 + 1000, 1, 6.0)
    once = host.readings("NDATA", first, T0 + 1000)
    again = host.hear("NDATA", first, T0 + 2000)
    assert set(rows(again)) <= set(once)
    assert again.flags == ()
    assert host.readings("NDATA", data(T0 + 3000, 2, 6.5), T0 + 3000)[-1].what == 6500


def test_a_birth_that_comes_again_changes_nothing(host: Host) -> None:
    host.hear("NDATA", data(T0 + 1000, 1, 6.0), T0 + 1000)
    before = dict(host.nodes)
    assert host.readings("NBIRTH", birth(T0, air(5.0)), T0 + 2000) == [Reading(NODE, "Air", T0, 5000)]
    assert host.nodes == before


def test_data_before_any_birth_wait_ask_for_a_rebirth_and_are_read_by_it() -> None:
    host = Host()
    for minute in range(3):
        at = T0 + minute * MINUTE_MS
        found = host.hear("NDATA", data(at, 7 + minute, 5.0 + minute), at)
        assert found.refused == ("parked", "no NBIRTH of this node is known")
    assert host.asked == ["spBv1.0/basel/NCMD/gw-1"] * 3
    at = T0 + 3 * MINUTE_MS
    found = host.hear("NBIRTH", birth(at, air(8.0)), at)
    held = [Reading(NODE, "Air", T0 + minute * MINUTE_MS - 1, 4000 + 1000 * minute) for minute in (1, 2)]
    said = [Reading(NODE, "Air", T0 + minute * MINUTE_MS, 5000 + 1000 * minute) for minute in range(4)]
    assert rows(found) == sorted([*held, *said, Reading(NODE, "Air", at - 1, "sequence_gap")])
    assert {batch.received_ms for batch in found.batches} == {
        T0 + minute * MINUTE_MS + LATENCY_MS for minute in range(4)
    }
    assert found.flags == ("reads 3 messages that waited for this birth",)


def test_a_node_is_asked_again_only_after_a_while() -> None:
    host = Host()
    for second in range(0, 2 * ASK_EVERY_MS, 1000):
        host.hear("NDATA", data(T0 + second, 7, 5.0), T0 + second)
    assert len(host.asked) == 2


def test_data_of_a_device_wait_for_the_birth_of_that_device(host: Host) -> None:
    found = host.hear("DDATA", data(T0 + 1, 1, 4.0, alias=7), T0 + 1, "fridge-3")
    assert found.refused == ("parked", "no DBIRTH of this device is known")
    born = payload(T0 + 2, 2, metric("Probe", 4.5, unit="C", alias=7))
    assert host.readings("DBIRTH", born, T0 + 2, "fridge-3") == [
        Reading(DEVICE, "Probe", T0 + 1, 4000),
        Reading(DEVICE, "Probe", T0 + 2, 4500),
    ]


def test_a_device_that_is_born_before_its_node_is_not_forgotten() -> None:
    host = Host()
    born = payload(T0 + 1, 1, metric("Probe", 4.5, unit="C", alias=7))
    assert host.hear("DBIRTH", born, T0 + 1, "fridge-3").refused is not None
    assert Reading(DEVICE, "Probe", T0 + 1, 4500) in host.readings("NBIRTH", birth(T0, air(5.0)), T0 + 2)


def test_only_so_many_messages_wait_and_the_newest_are_kept() -> None:
    host = Host()
    for i in range(MAX_PARKED + 5):
        host.hear("NDATA", data(T0 + i, i % 256, 5.0), T0 + i)
    at = T0 + MAX_PARKED + 5
    found = host.readings("NBIRTH", birth(at, air(5.0)), at)
    assert sorted({one.at_ms for one in found[:-1]}) == list(range(T0 + 5, at))


def test_from_the_death_of_a_node_on_nothing_is_known_until_it_is_born_again(host: Host) -> None:
    died_ms, born_ms = T0 + 20 * MINUTE_MS, T0 + 60 * MINUTE_MS
    assert host.readings("NDEATH", payload(None, None, metric("bdSeq", 4, datatype=UINT64)), died_ms) == [
        Reading(NODE, "Air", died_ms + LATENCY_MS, "node_offline")
    ]
    assert host.readings("NBIRTH", birth(born_ms, air(9.0), bd_seq=5), born_ms) == [
        Reading(NODE, "Air", born_ms - 1, "node_offline"),
        Reading(NODE, "Air", born_ms, 9000),
    ]


def test_the_death_of_an_earlier_session_is_none(host: Host) -> None:
    found = host.hear("NDEATH", payload(None, None, metric("bdSeq", 3, datatype=UINT64)), T0 + 1000)
    assert (rows(found), found.flags) == ([], ("NDEATH of another session: bdSeq 3",))
    assert host.readings("NDATA", data(T0 + 2000, 1, 6.0), T0 + 2000)[-1].what == 6000


@pytest.mark.parametrize("is_death_heard", [True, False])
def test_what_waited_is_not_read_by_the_births_of_another_session(is_death_heard: bool) -> None:
    host = Host()
    host.hear("NBIRTH", birth(T0, air(5.0)), T0)
    host.hear("NDATA", data(T0 + 1000, 3, 77.0), T0 + 1000)  # after a gap: waits
    if is_death_heard:
        host.hear("NDEATH", payload(None, None, metric("bdSeq", 4, datatype=UINT64)), T0 + 2000)
    found = host.readings("NBIRTH", birth(T0 + 9000, air(6.0), bd_seq=5), T0 + 9000)
    assert 77_000 not in {one.what for one in found}


def test_a_dead_device_is_unknown_and_its_data_wait(host: Host) -> None:
    host.hear("DBIRTH", payload(T0 + 1, 1, metric("Probe", 4.5, unit="C", alias=7)), T0 + 1, "fridge-3")
    died_ms = T0 + MINUTE_MS // 2
    assert host.readings("DDEATH", payload(died_ms, 2), died_ms, "fridge-3") == [
        Reading(DEVICE, "Probe", died_ms, "node_offline")
    ]
    assert host.hear("DDATA", data(died_ms + 1, 3, 5.0, alias=7), died_ms + 1, "fridge-3").refused is not None
    assert host.readings("NDATA", data(died_ms + 2, 4, 5.5), died_ms + 2)[-1].what == 5500


def test_stored_values_are_readings_at_their_own_times_and_hold_nothing(host: Host) -> None:
    host.hear("NDATA", data(T0 + 60 * MINUTE_MS, 1, 6.0), T0 + 60 * MINUTE_MS)
    at = T0 + 61 * MINUTE_MS
    stored = [metric("", 5.0 + i, alias=1, timestamp=T0 + i * 10 * MINUTE_MS, is_historical=True) for i in (1, 2, 3)]
    found = host.readings("NDATA", payload(at, 2, *stored), at)
    assert [one for one in found if one.at_ms < at] == [
        Reading(NODE, "Air", T0 + i * 10 * MINUTE_MS, 5000 + 1000 * i) for i in (1, 2, 3)
    ]
    assert [one.what for one in found if one.at_ms == at] == [6000]


def test_a_stored_value_that_is_newer_than_what_was_held_ends_it_and_is_not_held_itself(host: Host) -> None:
    stored_ms, at, later = T0 + 30 * MINUTE_MS, T0 + 61 * MINUTE_MS, T0 + 62 * MINUTE_MS
    stored = metric("", 8.0, alias=1, timestamp=stored_ms, is_historical=True)
    assert host.readings("NDATA", payload(at, 1, stored), at) == [Reading(NODE, "Air", stored_ms, 8000)]
    assert host.readings("NDATA", data(later, 2, 6.0), later) == [
        Reading(NODE, "Air", later - 1, "sequence_gap"),
        Reading(NODE, "Air", later, 6000),
    ]


def test_a_birth_states_what_holds_now_with_the_time_of_its_last_change(host: Host) -> None:
    at = T0 + 10 * MINUTE_MS
    assert host.readings("NBIRTH", birth(at, air(5.0, timestamp=T0)), at) == [
        Reading(NODE, "Air", T0, 5000),
        Reading(NODE, "Air", at - 1, "sequence_gap"),
        Reading(NODE, "Air", at, 5000),
    ]


def test_a_change_of_unit_holds_nothing_over(host: Host) -> None:
    at = T0 + MINUTE_MS
    assert host.readings("NDATA", payload(at, 1, metric("", 41.0, unit="F", alias=1)), at) == [
        Reading(NODE, "Air", at, 5000)
    ]


def test_a_node_that_restates_its_unit_keeps_what_it_holds(host: Host) -> None:
    at = T0 + MINUTE_MS
    assert host.readings("NDATA", payload(at, 1, metric("", 6.0, unit="C", alias=1)), at)[0].what == 5000


@pytest.mark.parametrize("missing", [(None, 1), (T0 + 1, None)])
def test_data_without_time_or_sequence_are_refused(host: Host, missing: tuple[int | None, int | None]) -> None:
    with pytest.raises(RejectedPayload, match="missing_field"):
        host.hear("NDATA", payload(*missing, metric("", 5.0, alias=1)), T0 + 1)


@pytest.mark.parametrize("topic", ["spBv1.0/STATE/scada", "spBv1.0/basel/NCMD/gw-1", "spBv1.0/basel/NDATA"])
def test_what_is_said_to_nodes_or_by_hosts_is_no_reading(topic: str) -> None:
    with pytest.raises(RejectedPayload, match="not_a_reading"):
        decoder().read(topic, birth(T0, air(5.0)), T0)


def test_a_node_name_that_cannot_be_an_id_refuses_its_readings_but_not_what_is_learnt() -> None:
    topic = f"spBv1.0/{'x' * 70}/NBIRTH/gw-1"
    found = decoder().read(topic, birth(T0, air(5.0)), T0)
    assert found.refused is not None
    assert found.refused[0] == "bad_value"
    assert node_key(topic) in found.nodes


def test_the_state_before_a_message_is_untouched_by_it(host: Host) -> None:
    before = host.nodes["basel", "gw-1"]
    held, aliases = dict(before.held), dict(before.aliases)
    host.hear("NDATA", data(T0 + MINUTE_MS, 1, 6.0), T0 + MINUTE_MS)
    host.hear("NBIRTH", birth(T0 + 2 * MINUTE_MS, metric("Other", 1.0, alias=1)), T0 + 2 * MINUTE_MS)
    assert (before.held, before.aliases, before.expected) == (held, aliases, 1)


kinds = st.sampled_from(["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"])
messages = st.tuples(
    kinds,
    st.one_of(st.none(), st.integers(T0, T0 + 10 * MINUTE_MS), st.integers(0, 2**64 - 1)),
    st.one_of(st.none(), st.integers(0, 3), st.integers(0, 255)),
    st.lists(
        st.builds(
            lambda name, value, unit, alias, datatype: metric(
                name, value, unit=unit, alias=alias, datatype=datatype if isinstance(value, int) else DOUBLE
            ),
            st.sampled_from(["", "Air", "bdSeq", "x" * 70]),
            st.one_of(st.none(), st.floats(), st.just(5.0), st.integers(-50, 50)),
            st.sampled_from(["", "C", "F", "K", "%RH"]),
            st.integers(0, 2),
            st.sampled_from([INT16, INT64, BOOLEAN]),
        ),
        max_size=3,
    ),
)


@settings(max_examples=300)
@given(st.lists(messages, max_size=12))
def test_whatever_a_node_says_is_read_refused_or_parked_but_never_anything_else(
    said: list[tuple[str, int | None, int | None, list[dict[str, Any]]]],
) -> None:
    host = Host()
    for i, (kind, sent_ms, seq, metrics) in enumerate(said):
        try:
            found = host.hear(kind, payload(sent_ms, seq, *metrics), T0 + i, "d" if kind[0] == "D" else "")
        except RejectedPayload:
            continue
        assert all(unstorable(batch) is None for batch in found.batches)


class Sent(NamedTuple):
    kind: str
    data: bytes
    at_ms: int


def a_nodes_life(seed: int) -> tuple[list[Sent], dict[int, int]]:
    """Messages of a node that reports by exception, and what its probe measured: milli-degC from each instant on."""
    rng = random.Random(seed)  # noqa: S311 - a repeatable life, no secret
    value, at, seq = 5.0, T0, 0
    said, truth = [Sent("NBIRTH", birth(T0, air(5.0)), T0)], {T0: 5000}
    for _ in range(200):
        at += rng.choice([1000, 20_000, 3 * MINUTE_MS])
        seq = (seq + 1) % 256
        if rng.random() < 0.5:
            value = round(value + rng.uniform(-1, 1), 2)
        truth[at] = round(value * 1000)
        said.append(Sent("NDATA", data(at, seq, value), at))
    return said, truth


@pytest.mark.parametrize("seed", range(5))
def test_whichever_messages_are_lost_no_time_ever_has_a_temperature_that_it_did_not_have(seed: int) -> None:
    said, truth = a_nodes_life(seed)
    rng = random.Random(seed)  # noqa: S311
    host = Host()
    found: list[Reading] = []
    for i, one in enumerate(said):
        if i and rng.random() < 0.1:
            continue
        found += host.readings(one.kind, one.data, one.at_ms)
        if host.asked:  # the node answers at once
            host.asked.clear()
            value = truth[one.at_ms] / 1000
            later = one.at_ms + 100
            found += host.readings("NBIRTH", birth(later, air(value)), later)
            renumbered = parsed(one.data).seq
            said[i + 1 :] = [Sent(each.kind, renumber(each.data, renumbered + 1), each.at_ms) for each in said[i + 1 :]]
    found.sort(key=lambda reading: reading.at_ms)
    for before, reading in pairwise(found):
        if isinstance(reading.what, int) and reading.at_ms - before.at_ms > 1:
            # a reading covers the time since the one before it (SEMANTICS 2.2): so it was, all that time
            assert measured(truth, before.at_ms, reading.at_ms) == {reading.what}
    assert {reading.what for reading in found if reading.at_ms in truth} <= set(truth.values())
    assert sum(reading.what == "sequence_gap" for reading in found) > 0
    assert sum(isinstance(reading.what, int) for reading in found) > 150


def measured(truth: dict[int, int], since_ms: int, until_ms: int) -> set[int]:
    """Every temperature that there was from one instant to just before another [milli-degC]."""
    at_start = truth[max(at for at in truth if at <= since_ms)]
    return {at_start} | {mc for at, mc in truth.items() if since_ms < at < until_ms}


def renumber(message: bytes, back: int) -> bytes:
    found = parsed(message)
    found.seq = (found.seq - back + 1) % 256
    return bytes(found.SerializeToString())
