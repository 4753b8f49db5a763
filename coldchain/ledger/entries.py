"""What is written into the ledger, and what comes out of its outbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from coldchain.readings import ReadingBatch
from coldchain.sequence import Counter, Gap

LONGEST_NAME = 200
"""Characters of a logger or channel name; more is not an identity but an attack or a broken device."""

END_OF_TIME_MS = 253_402_300_800_000
"""The year 10000: nothing behind it can be written as an instant."""

_INSTANTS, _TEMPERATURES, _UNSIGNED = np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.uint64)


class Message(NamedTuple):
    """One message or file as it arrived, with the readings a decoder took from it or the reason it took none."""

    received_ms: int
    topic: str
    payload: bytes
    batches: tuple[ReadingBatch, ...] = ()
    reason: str = ""
    detail: str = ""
    source: str = "mqtt"

    @property
    def status(self) -> str:
        return "rejected" if self.reason else "accepted"


class Waiting(NamedTuple):
    """A message as it arrived, that is kept but not read yet. `id`: None before it is written."""

    id: int | None
    sender: str
    received_ms: int
    topic: str
    payload: bytes


class LostReading(NamedTuple):
    """Readings that were taken and have been asked for in vain: their time is unknown unless they come after all."""

    counter: Counter
    gap: Gap


@dataclass(frozen=True, slots=True)
class Alert:
    """A text that one recipient has to get because of `causes`: (event or warning id, revision)."""

    key: str
    channel: str
    recipient: str
    subject: str
    body: str
    causes: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An alert as the outbox holds it. `key` is the same however often it is delivered."""

    id: int
    key: str
    channel: str
    recipient: str
    subject: str
    body: str
    created_ms: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one attempt to deliver an outbox row; an empty error is success."""

    outbox_id: int
    at_ms: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class RegistryFile:
    """One version of one registry file."""

    name: str
    version: int
    loaded_ms: int
    who: str
    sha256: str
    content: str


def unstorable(batch: ReadingBatch) -> str | None:
    """Why a batch must not get behind the decoder, None if it may: whatever passes can be stored and judged."""
    at_ms, temperature_mc = batch.at_ms, batch.temperature_mc
    for name in (batch.logger, batch.channel):
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            return f"{name[:LONGEST_NAME]!r} is not a name of a logger or channel"
    if at_ms.dtype != _INSTANTS or temperature_mc.dtype != _TEMPERATURES:
        return "columns are not int64 milliseconds and int32 milli-degC"
    if at_ms.ndim != 1 or at_ms.shape != temperature_mc.shape:
        return f"{at_ms.shape} instants for {temperature_mc.shape} temperatures"
    # without a sign what is before 1970 is far in the future: one look for both ends
    if len(at_ms) and int(np.maximum.reduce(at_ms.view(_UNSIGNED))) >= END_OF_TIME_MS:
        return "an instant before 1970 or after 9999"
    for number in (batch.boot, batch.seq):
        if number is not None and not 0 <= number < 2**63:
            return f"{number} is not a counter of 63 bits"
    return None
