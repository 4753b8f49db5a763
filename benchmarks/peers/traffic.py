"""The messages of the job, from a seed: site fridges of the simulator, and what goes wrong between logger and service.

Every scenario has the same temperatures. In `late`, `doubled` and `missing`, trouble befalls `TROUBLED` of the loggers
and leaves the others in peace, as in real life; so a tool that cannot cope is still right on some kits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import orjson

from benchmarks.peers.job import DAY_MS, HOUR_MS, INTERVAL_MS, MINUTE_MS, START_MS, Message
from benchmarks.replay_core import refrigerators
from coldchain.readings import FAULT_MC, MilliCelsius, Milliseconds, ReadingBatch
from gateways.encoders import json_columns

TROUBLED = 0.6
PER_DAY = DAY_MS // INTERVAL_MS

Recordings = Mapping[str, tuple[Milliseconds, MilliCelsius]]
"""Instants [ms] and temperatures [milli-degC] of each logger, as they leave it."""


class Scenario(NamedTuple):
    """Readings as they were sent, and the messages in order of arrival."""

    name: str
    recordings: Recordings
    messages: list[Message]
    end_ms: int

    @property
    def readings(self) -> int:
        """How many readings the messages hold, repetitions counted each time."""
        return sum(len(orjson.loads(message.payload)["mc"]) for message in self.messages)


def scenarios(loggers: int, days: int, seed: int = 23) -> list[Scenario]:
    """Clean, late, doubled and missing data of so many loggers over so many days."""
    return [make(loggers, days, seed) for make in (clean, late, doubled, missing)]


def clean(loggers: int, days: int, seed: int = 23) -> Scenario:
    """Every hour each logger sends its twelve readings, some seconds later."""
    return _scenario("clean", _recordings(loggers, days, seed), days, seed, lambda sent, *_: sent)


def late(loggers: int, days: int, seed: int = 23) -> Scenario:
    """A link is lost for 2 to 30 hours; its backlog arrives within ten minutes after, in any order."""

    def held_back(sent: list[Message], rng: np.random.Generator, days: int) -> Iterator[Message]:
        length_ms = int(rng.integers(2 * HOUR_MS, 30 * HOUR_MS))
        begin_ms = START_MS + int(rng.integers(days * DAY_MS - HOUR_MS))
        end_ms = begin_ms + length_ms
        for message in sent:
            if begin_ms < message.received_ms <= end_ms:
                yield message._replace(received_ms=end_ms + int(rng.integers(10 * MINUTE_MS)))
            else:
                yield message

    return _scenario("late", _recordings(loggers, days, seed), days, seed, held_back)


def doubled(loggers: int, days: int, seed: int = 23) -> Scenario:
    """Acknowledgements are lost for some hours: what was sent is sent again; some upload everything at the end."""

    def repeated(sent: list[Message], rng: np.random.Generator, days: int) -> Iterator[Message]:
        begin_ms = START_MS + int(rng.integers(days * DAY_MS - 6 * HOUR_MS))
        end_ms = begin_ms + int(rng.integers(2 * HOUR_MS, 12 * HOUR_MS))
        uploads_all = rng.random() < 0.2
        for message in sent:
            yield message
            if begin_ms < message.received_ms <= end_ms:
                yield message._replace(received_ms=message.received_ms + int(rng.integers(5_000, MINUTE_MS)))
            if uploads_all:
                yield message._replace(received_ms=START_MS + days * DAY_MS + 10 * MINUTE_MS)

    return _scenario("doubled", _recordings(loggers, days, seed), days, seed, repeated)


def missing(loggers: int, days: int, seed: int = 23) -> Scenario:
    """Single readings are lost, a stretch of 20 min to 12 h, sometimes the beginning or the end; a probe has faults."""
    whole = _recordings(loggers, days, seed)
    holed = {logger: _with_holes(at_ms, mc, *_luck(seed, number)) for number, (logger, (at_ms, mc)) in _each(whole)}
    return _scenario("missing", holed, days, seed, lambda sent, *_: sent)


def _each(recordings: Recordings) -> enumerate[tuple[str, tuple[Milliseconds, MilliCelsius]]]:
    return enumerate(recordings.items())


def _luck(seed: int, number: int) -> tuple[np.random.Generator, bool]:
    """The dice of one logger, and whether trouble befalls it."""
    rng = np.random.default_rng([seed, number])
    return rng, bool(rng.random() < TROUBLED)


@lru_cache(maxsize=1)
def _recordings(loggers: int, days: int, seed: int) -> Recordings:
    columns = refrigerators(loggers, days * PER_DAY, seed, lost=0.0)
    at_ms = START_MS + np.arange(1, days * PER_DAY + 1) * INTERVAL_MS
    return {f"lg-{n}": (at_ms, columns.temperature_mc[columns.logger == n]) for n in range(loggers)}


def _with_holes(
    at_ms: Milliseconds, mc: MilliCelsius, rng: np.random.Generator, is_troubled: bool
) -> tuple[Milliseconds, MilliCelsius]:
    if not is_troubled:
        return at_ms, mc
    kept = rng.random(len(at_ms)) >= 0.01
    begin = int(rng.integers(len(at_ms)))
    kept[begin : begin + int(rng.integers(4, 144))] = False
    end = rng.random()
    if end < 0.3:
        kept[-int(rng.integers(3, 72)) :] = False
    elif end < 0.6:
        kept[: int(rng.integers(3, 72))] = False
    faulty = int(rng.integers(len(mc)))
    mc = mc.copy()
    mc[faulty : faulty + int(rng.integers(1, 6))] = FAULT_MC
    return at_ms[kept], mc[kept]


def _scenario(
    name: str,
    recordings: Recordings,
    days: int,
    seed: int,
    deliver: Callable[[list[Message], np.random.Generator, int], Iterator[Message] | list[Message]],
) -> Scenario:
    messages: list[Message] = []
    for number, (logger, (at_ms, mc)) in _each(recordings):
        rng, is_troubled = _luck(seed, number)
        sent = list(_sent(logger, at_ms, mc, rng))
        messages += deliver(sent, rng, days) if is_troubled else sent
    return Scenario(name, recordings, sorted(messages), START_MS + days * DAY_MS)


def _sent(logger: str, at_ms: Milliseconds, mc: MilliCelsius, rng: np.random.Generator) -> Iterator[Message]:
    """One message an hour; it ends early where readings are missing, so that the others are evenly spaced."""
    hour = (at_ms - 1) // HOUR_MS
    cuts = np.flatnonzero((np.diff(hour) != 0) | (np.diff(at_ms) != INTERVAL_MS)) + 1
    latency_ms = int(rng.integers(500, 20_000))
    for first, last in zip([0, *cuts.tolist()], [*cuts.tolist(), len(at_ms)], strict=True):
        seq = int(at_ms[first] - START_MS) // INTERVAL_MS
        part = ReadingBatch(logger, "1", at_ms[first:last], mc[first:last], boot=1, seq=seq)
        begin_ms = int(hour[first]) * HOUR_MS
        # the parts of one hour follow each other in their order
        received_ms = begin_ms + HOUR_MS + latency_ms + (int(at_ms[last - 1]) - begin_ms) // 1000
        yield Message(received_ms, f"coldchain/v1/basel/gw-1/{logger}/readings", json_columns(part))
