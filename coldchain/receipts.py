"""Receipts: what a gateway may delete, because it is in the ledger, and what it should send again.

A broker's acknowledgement promises nothing; a gateway keeps its readings until a receipt names them. `Receipts` knows
the counters; what it has to tell is published by the service, after the commit.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import orjson

from coldchain import sequence
from coldchain.ledger.entries import LostReading, Message
from coldchain.sequence import Counter, Gap, Run, Runs

MOST_REFUSED = 100
MOST_RESENDS = 100
MOST_TOPICS = 20_000
"""Topics of which it is remembered whose they are."""

_TOPIC = re.compile(r"coldchain/v1/(?P<gateway>[a-z0-9-]+/[a-z0-9-]+)/(?P<logger>[a-z0-9-]+)/readings")


class Taken(NamedTuple):
    """What the messages of one commit say of counters. `touched`: of each, the runs that they hold."""

    runs: Mapping[Counter, Runs]
    touched: Mapping[Counter, Sequence[Run]]
    refused: Mapping[str, Sequence[Message]]


@dataclass(slots=True)
class _Missing:
    """A gap that somebody has been asked to fill, or will be. `ask_ms`: when next, `pause_ms`: how long after that."""

    since_ms: int
    ask_ms: int
    pause_ms: int


@dataclass(slots=True)
class Receipts:
    """The counters of all gateways, as the ledger has them, and the gaps in them.

    `read`: the runs of a counter in the ledger; of those with gaps all are known from the start, of the others only
    what is in use. `ask_after_ms`: a gap may only be out of order, so it is given this long before the first request;
    each further one waits twice as long. `lost_after_ms`: then what is missing counts as lost. `gateways`: those heard
    since the start. `is_holding`: whether they are asked to keep their backlog back.
    """

    ask_after_ms: int
    lost_after_ms: int
    read: Callable[[Counter], Runs]
    is_holding: bool = False
    runs: dict[Counter, Runs] = field(default_factory=dict)
    gateways: set[str] = field(default_factory=set)
    known_lost: set[tuple[Counter, int, int]] = field(default_factory=set)
    _missing: dict[tuple[Counter, Gap], _Missing] = field(default_factory=dict)
    _touched: dict[str, dict[Counter, list[Run]]] = field(default_factory=dict)
    _refused: defaultdict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))

    def know(self, runs: Mapping[Counter, Runs], lost: Iterable[LostReading], now_ms: int) -> None:
        """Take in what stands in the ledger."""
        self.known_lost.update((each.counter, each.gap.first, each.gap.last) for each in lost)
        self._adopt(runs, now_ms)

    def take(self, messages: Iterable[Message]) -> Taken:
        """What messages add to the counters; nothing is changed until `adopt`."""
        touched: dict[Counter, list[Run]] = defaultdict(list)
        refused: dict[str, list[Message]] = defaultdict(list)
        for message in messages:
            gateway = gateway_of(message.topic)
            if gateway is None:
                continue
            if message.reason:
                refused[gateway].append(message)
            for batch in message.batches:
                run = sequence.run_of(batch)
                if run is not None and batch.boot is not None:
                    touched[Counter(gateway, batch.logger, batch.channel, batch.boot)].append(run)
        for counter in touched:
            if counter not in self.runs:
                self.runs[counter] = self.read(counter)
        runs = {counter: sequence.add(self.runs[counter], more) for counter, more in touched.items()}
        return Taken(runs, touched, refused)

    def hold(self, is_holding: bool, now_ms: int) -> list[tuple[str, bytes]]:
        """Ask every gateway that has been heard to keep its backlog back, or no longer to; nothing if it is as it was.

        A gateway that only has a backlog would not hear of it otherwise.
        """
        if is_holding == self.is_holding:
            return []
        self.is_holding = is_holding
        return [_document(gateway, now_ms, is_holding) for gateway in sorted(self.gateways)]

    def adopt(self, taken: Taken, now_ms: int) -> None:
        """Make it the state, now that it is on disk."""
        self._adopt(taken.runs, now_ms)
        for counter, touched in taken.touched.items():
            self._touched.setdefault(counter.gateway, {}).setdefault(counter, []).extend(touched)
            self.gateways.add(counter.gateway)
        for gateway, messages in taken.refused.items():
            self._refused[gateway] += messages
            self.gateways.add(gateway)

    @property
    def due(self) -> int:
        """How many gateways have not been told of something."""
        return len(self._touched.keys() | self._refused.keys())

    def documents(self, now_ms: int, most: int | None = None) -> list[tuple[str, bytes]]:
        """The receipts for all that has been stored since the last ones, each with its topic; of the `most` gateways
        that have waited longest."""
        found = []
        for gateway in list(dict.fromkeys([*self._touched, *self._refused]))[:most]:
            touched, refused = self._touched.pop(gateway, {}), self._refused.pop(gateway, None)
            stored = [_stored(counter, self.runs[counter], runs) for counter, runs in touched.items()]
            found.append(
                _document(
                    gateway, now_ms, self.is_holding, stored=stored, refused=_refused(refused) if refused else None
                )
            )
        return found

    def _adopt(self, runs: Mapping[Counter, Runs], now_ms: int) -> None:
        for counter, found in runs.items():
            missing = set(sequence.gaps(found))
            for gap in set(sequence.gaps(self.runs.get(counter, ()))) - missing:
                self._missing.pop((counter, gap), None)
            for gap in missing:
                if (counter, gap.first, gap.last) not in self.known_lost:
                    new = _Missing(now_ms, now_ms + self.ask_after_ms, self.ask_after_ms)
                    self._missing.setdefault((counter, gap), new)
            self.runs[counter] = found

    def requests(self, now_ms: int) -> list[tuple[str, bytes]]:
        """What is to be asked for now, each with its topic. Nothing while gateways are asked to hold back."""
        due: dict[str, list[dict[str, object]]] = defaultdict(list)
        if self.is_holding:
            return []
        for (counter, gap), state in sorted(self._missing.items()):
            if now_ms < state.ask_ms or len(due[counter.gateway]) >= MOST_RESENDS:
                continue
            state.pause_ms *= 2
            state.ask_ms = now_ms + state.pause_ms
            due[counter.gateway].append({**_named(counter), "from": gap.first, "to": gap.last})
        return [
            _document(gateway, now_ms, self.is_holding, resend=resend)
            for gateway, resend in sorted(due.items())
            if resend
        ]

    def lost(self, now_ms: int) -> tuple[LostReading, ...]:
        """The gaps that nobody has filled in time. A clock that is set back begins the time anew."""
        late = []
        for (counter, gap), state in sorted(self._missing.items()):
            state.since_ms = min(state.since_ms, now_ms)
            if now_ms - state.since_ms >= self.lost_after_ms:
                late.append(LostReading(counter, gap))
        return tuple(late)

    def give_up(self, lost: Iterable[LostReading]) -> None:
        """Ask no more for these: it is written down that they are lost."""
        for each in lost:
            self.known_lost.add((each.counter, each.gap.first, each.gap.last))
            self._missing.pop((each.counter, each.gap), None)

    @property
    def missing(self) -> int:
        """How many readings are asked for."""
        return sum(gap.last - gap.first + 1 for _, gap in self._missing)


@lru_cache(MOST_TOPICS)
def gateway_of(topic: str) -> str | None:
    """The gateway of a native topic, such as `basel/gw-1`; None for a foreign one, which knows no receipts."""
    found = _TOPIC.fullmatch(topic)
    return found and found["gateway"]


def _named(counter: Counter) -> dict[str, object]:
    return {"logger": counter.logger, "channel": counter.channel, "boot": counter.boot}


def _stored(counter: Counter, runs: Runs, touched: Iterable[Run]) -> dict[str, object]:
    """All from the lowest number on without a gap, and further up what these messages belong to."""
    lowest = runs[0]
    above = {sequence.covering(runs, run) for run in touched} - {lowest}
    ranges = sorted([run.first, run.last] for run in above)
    return {**_named(counter), "first": lowest.first, "seq": lowest.last, "above": ranges}


def _refused(messages: Iterable[Message]) -> list[dict[str, object]]:
    """The newest of the messages that hold no readings: to publish them again would not help."""
    return [
        {
            "logger": message.topic.split("/")[-2],
            "sha256": hashlib.sha256(message.payload).hexdigest(),
            "reason": message.reason,
        }
        for message in list(messages)[-MOST_REFUSED:]
    ]


def _document(
    gateway: str,
    now_ms: int,
    is_holding: bool,
    *,
    stored: list[dict[str, object]] | None = None,
    resend: list[dict[str, object]] | None = None,
    refused: list[dict[str, object]] | None = None,
) -> tuple[str, bytes]:
    content = {
        "v": 1,
        "at": now_ms,
        "stored": stored or [],
        "resend": resend or [],
        "refused": refused or [],
        "hold": is_holding,
    }
    return f"coldchain/v1/{gateway}/receipt", orjson.dumps(content)
