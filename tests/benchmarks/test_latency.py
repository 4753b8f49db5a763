"""Latencies are of the right messages and events, and of a ledger that is not as it was sent there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from benchmarks import latency
from benchmarks.latency import LIMIT, PER_S, Looks, Sent
from coldchain import pipeline
from coldchain.ledger.entries import Message
from coldchain.ledger.ledger import Ledger
from coldchain.pipeline import Step
from coldchain.profiles import parse_profile
from coldchain.registry import parse_registry
from gateways.decoders import decode
from ledger_values import event

BEGIN_MS = 1_772_359_200_000
SENT = latency.messages(BEGIN_MS, 3 * PER_S)
BREACHED = [one for one in SENT if one.kit is not None]
SENT_S = np.arange(len(SENT), dtype=np.float64)


def stored(folder: Path, sent: Sequence[Sent], breached_at: int = 0, limit: str = LIMIT) -> Path:
    """A ledger with messages and an event for each of them that raises one."""
    path = folder / "coldchain.db"
    messages = []
    for one in sent:
        topic = f"coldchain/v1/basel/gw-0/{orjson.loads(one.payload)['logger']}/readings"
        messages.append(Message(BEGIN_MS, topic, one.payload, decode(topic, one.payload, BEGIN_MS + 10**6)))
    events = [
        event(one.kit, limit, breached_at_ms=one.breached_at_ms + breached_at) for one in sent if one.kit is not None
    ]
    with Ledger.open(path) as ledger:
        fresh = tuple(message.batches[0] for message in messages)
        ledger.save(messages, Step(fresh=fresh, events=tuple(events)), (), BEGIN_MS)
    return path


def seen(after_s: float, event_after_s: float) -> Looks:
    """Every message is seen so long after it was sent, and so is every event."""
    found = [(0.0, 0, 0)]
    numbers = [number for number, one in enumerate(SENT) if one.kit is not None]
    instants = [(number + after_s, "message") for number in range(len(SENT))]
    instants += [(number + event_after_s, "event") for number in numbers]
    for at_s, what in sorted(instants):
        _, message, raised = found[-1]
        found.append((at_s, message + (what == "message"), raised + (what == "event")))
    return Looks(*(np.array(column) for column in zip(*found, strict=True)))


def test_a_latency_is_from_when_a_message_was_sent_to_when_it_was_first_seen(tmp_path: Path) -> None:
    durable_ms, visible_ms = latency.latencies(stored(tmp_path, SENT), SENT, SENT_S, seen(0.25, 0.75), 2 * PER_S)
    assert len(durable_ms) == PER_S
    assert 0 < len(visible_ms) < len(BREACHED)
    np.testing.assert_allclose(durable_ms, 250.0, atol=1e-6)
    np.testing.assert_allclose(visible_ms, 750.0, atol=1e-6)


@pytest.mark.parametrize(
    ("sent", "breached_at", "limit", "problem"),
    [
        (SENT[1:], 0, LIMIT, "not every message"),
        ([*SENT, SENT[0]], 0, LIMIT, "not every message"),
        ([*SENT[:-1], SENT[-1]._replace(kit="K-1")], 0, LIMIT, "the events are not"),
        (SENT, 1, LIMIT, "the events are not"),
        (SENT, 0, "below-2", "the events are not"),
    ],
)
def test_nothing_is_said_of_a_ledger_that_is_not_as_it_must_be(
    tmp_path: Path, sent: Sequence[Sent], breached_at: int, limit: str, problem: str
) -> None:
    path = stored(tmp_path, sent, breached_at, limit)
    with pytest.raises(AssertionError, match=problem):
        latency.latencies(path, SENT, SENT_S, seen(0.25, 0.75), 2 * PER_S)


def test_the_readings_raise_the_events_that_they_are_made_to_raise(tmp_path: Path) -> None:
    path, _ = latency._prepared(tmp_path, 1883, BEGIN_MS)
    with Ledger.open(path) as ledger:
        registry = parse_registry([(file.name, file.content) for file in ledger.current_registry_files()])
    rules = {"mab": parse_profile((tmp_path / "rules" / "mab.toml").read_text(encoding="utf-8"), "mab.toml")}
    batches = [
        decode(
            f"coldchain/v1/basel/gw-0/{orjson.loads(one.payload)['logger']}/readings", one.payload, BEGIN_MS + 10**6
        )[0]
        for one in SENT
    ]
    events = [found for kit in pipeline.replay(batches, registry, rules).events.values() for found in kit.values()]
    assert {(found.kit, found.limit, found.breached_at_ms) for found in events} == {
        (one.kit, LIMIT, one.breached_at_ms) for one in BREACHED
    }
    assert all(replace(found, revision=1) == found for found in events)
