"""The engine against the oracle: two implementations of the exposure semantics agree on generated histories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import histories
import oracle
from coldchain import pipeline
from coldchain.profiles import StabilityProfile, parse_profile
from coldchain.readings import FAULT_MC, Lost, ReadingBatch
from coldchain.registry import Registry, parse_registry
from coldchain.replay_document import document_of
from histories import Case
from oracle import Item

MKT_TOLERANCE_C = 1e-7


def inputs(case: Case) -> tuple[Registry, dict[str, StabilityProfile]]:
    """The case's registry and rules, read from the text a person would have written."""
    registry = parse_registry([("registry.toml", histories.to_toml(case.registry))])
    profiles: dict[str, StabilityProfile] = {}
    for table in sorted(case.profiles, key=lambda table: table["version"]):
        profiles[table["profile"]] = parse_profile(histories.to_toml(table), "rules.toml")
    return registry, dict(sorted(profiles.items()))


def batches(items: Iterable[Item]) -> list[ReadingBatch]:
    """The items as batches, one for each channel and instant of arrival."""
    columns: dict[tuple[str, str, int | None], list[Item]] = defaultdict(list)
    for item in items:
        columns[(item.logger, item.channel, item.received_ms)].append(item)
    return [
        ReadingBatch(
            logger,
            channel,
            np.array([item.at_ms for item in group], np.int64),
            np.array([FAULT_MC if i.temperature_mc is None else i.temperature_mc for i in group], np.int32),
            received_ms,
        )
        for (logger, channel, received_ms), group in columns.items()
    ]


def answer(state: pipeline.State) -> dict[str, Any]:
    return document_of(state, messages=0, rejected=0)


def comparable(found: dict[str, Any]) -> dict[str, Any]:
    """An answer without what the oracle does not know (messages, ids, hashes); values of MKT and means set aside."""
    plain: dict[str, Any] = orjson.loads(orjson.dumps(found))
    for key in ("messages", "rejected"):
        plain["inputs"].pop(key, None)
    for event in plain["events"]:
        event.pop("id", None)
        event.pop("profile_sha256", None)
    for kit in plain["kits"]:
        kit.pop("profile_sha256", None)
        kit["mkt_c"], kit["mean_c"] = kit["mkt_c"] is None, kit["mean_c"] is None
        for limit in kit["limits"]:
            if "peak_c" in limit:
                limit["peak_c"] = limit["peak_c"] is None
    return plain


def floats(found: dict[str, Any]) -> list[float]:
    kits = found["kits"]
    values = [kit[key] for kit in kits for key in ("mkt_c", "mean_c")]
    values += [limit.get("peak_c") for kit in kits for limit in kit["limits"]]
    return [value for value in values if value is not None]


def agree(case: Case) -> None:
    registry, profiles = inputs(case)
    ours = answer(pipeline.replay(batches(case.items), registry, profiles, case.as_of_ms))
    theirs = oracle.replay(case.registry, case.profiles, case.items, case.as_of_ms)
    assert comparable(ours) == comparable(theirs)
    assert floats(ours) == pytest.approx(floats(theirs), abs=MKT_TOLERANCE_C, rel=0)


@given(histories.cases())
def test_engine_and_oracle_agree_on_every_figure_of_a_generated_history(case: Case) -> None:
    agree(case)


@pytest.mark.long
@settings(max_examples=20_000)
@given(histories.cases())
def test_engine_and_oracle_agree_on_twenty_thousand_generated_histories(case: Case) -> None:
    agree(case)


@given(histories.cases(), st.randoms(use_true_random=False), st.integers(1, 9))
def test_streaming_in_any_order_with_duplicates_gives_the_bytes_of_one_replay(
    case: Case, random: Any, most: int
) -> None:
    registry, profiles = inputs(case)
    at_once = answer(pipeline.replay(batches(case.items), registry, profiles, case.as_of_ms))
    shuffled = case.items + random.sample(case.items, len(case.items) // 3)
    random.shuffle(shuffled)
    state, first = pipeline.start(registry, profiles, now_ms=0, as_of_ms=case.as_of_ms)
    pipeline.adopt(state, first)
    while shuffled:
        part, shuffled = shuffled[:most], shuffled[most:]
        pipeline.adopt(state, pipeline.step(state, batches(part), now_ms=0))
    streamed = answer(state)
    assert streamed["inputs"].pop("duplicates") == at_once["inputs"].pop("duplicates") + len(case.items) // 3
    assert orjson.dumps(streamed) == orjson.dumps(at_once)


@given(histories.cases(), st.randoms(use_true_random=False))
def test_lost_readings_are_judged_like_faults_where_the_last_of_them_was_due(case: Case, random: Any) -> None:
    registry, profiles = inputs(case)
    state = pipeline.replay(batches(case.items), registry, profiles, case.as_of_ms)
    lost, faults = {}, []
    for key, series in state.series.items():
        instants = np.unique(series.at_ms).tolist()
        gaps = [Lost(*pair) for pair in pairwise(instants) if random.random() < 0.3]
        interval_ms = registry.loggers[key.logger].logging_interval_ms if key.logger in registry.loggers else 1
        due = [gap.before_ms - interval_ms for gap in gaps if gap.before_ms - interval_ms > gap.after_ms]
        lost[key] = gaps
        faults.append(ReadingBatch(*key, np.array(due, np.int64), np.full(len(due), FAULT_MC, np.int32)))
    with_lost = pipeline.replay(batches(case.items), registry, profiles, case.as_of_ms, lost)
    with_faults = pipeline.replay(batches(case.items) + faults, registry, profiles, case.as_of_ms)
    assert with_lost.assessments == with_faults.assessments


@given(histories.cases(), st.integers(0, 100))
def test_a_restart_in_the_middle_of_the_readings_changes_nothing(case: Case, share: int) -> None:
    registry, profiles = inputs(case)
    everything = batches(case.items)
    cut = len(everything) * share // 100
    whole, found = pipeline.start(registry, profiles, everything, now_ms=0, as_of_ms=case.as_of_ms)
    pipeline.adopt(whole, found)

    before, found = pipeline.start(registry, profiles, everything[:cut], now_ms=0, as_of_ms=case.as_of_ms)
    pipeline.adopt(before, found)
    stored = [batch for batch in found.fresh if len(batch)]
    events = [event for kit in before.events.values() for event in kit.values()]
    after, found = pipeline.start(registry, profiles, stored, events, found.warnings, now_ms=1, as_of_ms=case.as_of_ms)
    assert found.events == ()
    assert found.warnings == ()
    pipeline.adopt(after, found)
    pipeline.adopt(after, pipeline.step(after, everything[cut:], now_ms=2))
    assert after.assessments == whole.assessments
