"""What gateways make of the recordings of their loggers: uploads in time and order, or what an incident makes of them.

Each reading that was measured is counted once in a `Tally`, by what became of it, so that whoever reads the messages
can be held to account for every one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coldchain.readings import ABSOLUTE_ZERO_MC, FAULT_MC, HIGHEST_MC, ReadingBatch
from gateways.encoders import cbor_columns, json_columns
from gateways.simulator.fleet import DAY_MS, Spot
from gateways.simulator.incidents import LOGGER_MISHAPS, Incident, Mishap
from gateways.simulator.recorder import piece

UPLOAD_EVERY_MS = 4 * 3_600_000
_MOST_LATENCY_MS = 20_000
_REDOWNLOAD_AFTER_MS = 3_600_000
_SHUFFLED_MS = 600_000
"""After a lost link the backlog arrives within ten minutes, in any order."""


class Message(NamedTuple):
    """One MQTT message. Messages sort by arrival."""

    received_ms: int
    topic: str
    payload: bytes
    is_cbor: bool = False


@dataclass(slots=True)
class Tally:
    """What became of all readings, in the words of `coldchain replay`; `lost` ones never left their logger.

    `readings`, `faults`, `unverified_time`: distinct ones delivered, the last with an impossible device time.
    `duplicates`: delivered again unchanged. `conflicts`: instants with two temperatures.
    """

    measured: int = 0
    lost: int = 0
    messages: int = 0
    readings: int = 0
    faults: int = 0
    duplicates: int = 0
    conflicts: int = 0
    unverified_time: int = 0


@dataclass(slots=True)
class Counter:
    """How a logger numbers its readings: its restarts so far, and the next number."""

    boot: int = 1
    seq: int = 1


def deliver(
    spot: Spot,
    batch: ReadingBatch,
    mishaps: Sequence[Incident],
    gateway_mishaps: Sequence[Incident],
    counter: Counter,
    tally: Tally,
    rng: np.random.Generator,
) -> Iterator[Message]:
    """The messages in which a day's recording of one logger arrives, not sorted.

    Parameters
    ----------
    batch : what it measured at true instants, without gaps
    mishaps : its incidents of the day, see `Mishap`; at most one of `LOGGER_MISHAPS`
    gateway_mishaps : those of its gateway
    counter, tally : carried on from message to message
    """
    tally.measured += len(batch)
    true_ms = batch.at_ms
    mishap = next((one for one in mishaps if one.kind in LOGGER_MISHAPS), None)
    hit = np.zeros(len(batch), np.bool_)
    if mishap is not None:
        hit = (true_ms > mishap.from_ms) & (true_ms <= mishap.to_ms)
    sent = _as_stored(batch, hit, mishap, mishaps)
    topic = f"coldchain/v1/{spot.site}/{spot.gateway}/{batch.logger}/readings"
    restarts = mishap is not None and mishap.kind is Mishap.CLOCK_RESET
    for first, last in _cuts(true_ms, hit):
        is_hit = bool(hit[first])
        if is_hit and mishap is not None and mishap.kind is Mishap.READINGS_LOST:
            tally.lost += last - first
            counter.seq += last - first
            continue
        if restarts and is_hit and first == int(np.flatnonzero(hit)[0]):
            counter.boot, counter.seq = counter.boot + 1, 1
        part = replace(piece(sent, first, last), boot=counter.boot, seq=counter.seq)
        counter.seq += last - first
        received_ms = int(true_ms[last - 1]) + int(rng.integers(500, _MOST_LATENCY_MS))
        _count(part, is_unverified=restarts and is_hit, tally=tally)
        yield from _sent(part, topic, received_ms, gateway_mishaps, tally, rng)
    if mishap is not None and mishap.kind is Mishap.CONFLICTING_REDOWNLOAD and hit.any():
        yield _redownload(sent.select(hit), topic, mishap, tally)


def _as_stored(
    batch: ReadingBatch, hit: NDArray[np.bool_], mishap: Incident | None, mishaps: Iterable[Incident]
) -> ReadingBatch:
    """The recording as the logger's memory holds it: with its own clock, and what its probe gave."""
    at_ms, mc = batch.at_ms, batch.temperature_mc
    faults: dict[int, str] = {}
    for drift in mishaps:
        if drift.kind is Mishap.CLOCK_DRIFT:
            since_midnight_ms = (at_ms - 1) % DAY_MS
            at_ms = at_ms + np.rint(since_midnight_ms * ((drift.amount or 0.0) * 1000 / DAY_MS)).astype(np.int64)
    if mishap is not None and mishap.kind is Mishap.CLOCK_RESET:
        anew_ms = int(datetime(int(mishap.amount or 0), 1, 1, tzinfo=UTC).timestamp() * 1000)
        at_ms = np.where(hit, anew_ms + at_ms - mishap.from_ms, at_ms)
    elif mishap is not None and mishap.kind is Mishap.PROBE_OPEN:
        mc = np.where(hit, np.int32(FAULT_MC), mc)
        faults = dict.fromkeys(np.flatnonzero(hit).tolist(), "probe_open")
    elif mishap is not None and mishap.kind is Mishap.SENTINEL:
        mc = np.where(hit, np.int32(round((mishap.amount or 0.0) * 1000)), mc)
    return replace(batch, at_ms=at_ms, temperature_mc=mc, faults=faults)


def _cuts(true_ms: NDArray[np.int64], hit: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First and last position of each upload: every four hours, and where an incident begins or ends."""
    window = (true_ms - 1) // UPLOAD_EVERY_MS
    edges = np.flatnonzero((np.diff(window) != 0) | (hit[1:] != hit[:-1])) + 1
    yield from zip([0, *edges.tolist()], [*edges.tolist(), len(true_ms)], strict=True)


def _count(part: ReadingBatch, *, is_unverified: bool, tally: Tally) -> None:
    if is_unverified:
        tally.unverified_time += len(part)
        return
    faults = len(part) - int(_is_valid(part).sum())
    tally.faults += faults
    tally.readings += len(part) - faults


def _is_valid(part: ReadingBatch) -> NDArray[np.bool_]:
    return (part.temperature_mc >= ABSOLUTE_ZERO_MC) & (part.temperature_mc <= HIGHEST_MC)


def _sent(
    part: ReadingBatch,
    topic: str,
    received_ms: int,
    gateway_mishaps: Iterable[Incident],
    tally: Tally,
    rng: np.random.Generator,
) -> Iterator[Message]:
    """One upload as its gateway sends it."""
    is_doubled, is_late = False, False
    for mishap in gateway_mishaps:
        if mishap.from_ms < received_ms <= mishap.to_ms:
            is_doubled |= mishap.kind is Mishap.DOUBLED
            if mishap.kind is Mishap.LINK_LOST:
                is_late, received_ms = True, mishap.to_ms + int(rng.integers(1, _SHUFFLED_MS))
    payload = cbor_columns(part) if is_late else json_columns(part)
    tally.messages += 1
    yield Message(received_ms, topic, payload, is_late)
    if is_doubled:
        tally.messages += 1
        tally.duplicates += len(part)
        yield Message(received_ms + int(rng.integers(5_000, 60_000)), topic, payload, is_late)


def _redownload(part: ReadingBatch, topic: str, mishap: Incident, tally: Tally) -> Message:
    """The memory of a logger read again by a tool that disagrees on every second temperature."""
    again = part.temperature_mc.copy()
    again[::2] += np.int32(round((mishap.amount or 0.0) * 1000))
    changed = (len(part) + 1) // 2
    tally.messages += 1
    tally.readings += changed
    tally.conflicts += changed
    tally.duplicates += len(part) - changed
    received_ms = mishap.to_ms + _REDOWNLOAD_AFTER_MS
    return Message(received_ms, topic, json_columns(replace(part, temperature_mc=again, boot=None, seq=None)))
