"""A month as loggers report it, in a ledger: late, doubled, contradicting, faulty, by clocks that are wrong."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from coldchain import pipeline
from coldchain.ledger.entries import Message
from coldchain.ledger.ledger import Ledger
from coldchain.profiles import load_profiles
from coldchain.readings import FAULT_MC, ReadingBatch
from coldchain.registry import parse_registry
from coldchain.settings import Settings
from coldchain.timeseries.opening import Opened
from service_values import START_MS, settings_in

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
DAYS = 30
MONTH_END_MS = START_MS + DAYS * DAY_MS

ODD = 'lg3,of="the"=100%\\ö\''
"""A logger whose name every query language would like to read as something else."""

UNREGISTERED = "lg 9 \\"

SHIPPER = "shipper,7=blue\\"

REGISTRY = f"""
[[logger]]
id = "lg-1"
logging_interval = "10min"
[[logger]]
id = "lg-2"
logging_interval = "5min"
calibrated_until = 2026-03-20T00:00:00Z
registered_at = 2026-03-06T12:34:00Z
[[logger]]
id = {json.dumps(ODD)}
logging_interval = "30min"
[[place]]
id = "basel-cold-2"
kind = "storage"
[[place]]
id = {json.dumps(SHIPPER)}
kind = "shipper"
[[monitoring]]
place = "basel-cold-2"
logger = "lg-1"
from = 2026-03-01T00:00:00Z
[[monitoring]]
place = "basel-cold-2"
logger = "lg-2"
from = 2026-03-05T00:00:00Z
[[monitoring]]
place = {json.dumps(SHIPPER)}
logger = {json.dumps(ODD)}
from = 2026-03-01T00:00:00Z
to = 2026-03-25T00:00:00Z
[[kit]]
id = "K-0001"
batch = "B22"
trial = "TRIAL-7"
profile = "mab-017"
[[kit]]
id = "K-0002"
batch = "B22"
trial = "TRIAL-7"
profile = "mab-017"
[[kit]]
id = "K-0003"
batch = "B23"
trial = "TRIAL-7"
profile = "mab-017"
[[custody]]
kits = ["K-0001", "K-0002"]
place = "basel-cold-2"
from = 2026-03-01T10:00:00Z
to = 2026-03-30T00:00:00Z
[[custody]]
kits = ["K-0003"]
place = {json.dumps(SHIPPER)}
from = 2026-03-02T00:00:00Z
to = 2026-03-20T00:00:00Z
"""


class Arrival(NamedTuple):
    """One message: when it came and what was in it."""

    received_ms: int
    batch: ReadingBatch


def month(seed: int = 1, days: int = DAYS) -> list[Arrival]:
    """What arrives over some days from three loggers, one message each six hours or so, not in order."""
    chance = random.Random(seed)  # noqa: S311 (no secret)
    arrivals = [
        arrival
        for logger, every in (("lg-1", 10), ("lg-2", 5), (ODD, 30), (UNREGISTERED, 60))
        for arrival in _days(chance, logger, every * MINUTE_MS, days)
    ]
    arrivals += [arrival._replace(received_ms=arrival.received_ms + DAY_MS) for arrival in chance.sample(arrivals, 5)]
    return sorted(arrivals, key=lambda arrival: arrival.received_ms)


def _days(chance: random.Random, logger: str, every_ms: int, days: int) -> Iterable[Arrival]:
    for start_ms in range(START_MS, START_MS + days * DAY_MS, 6 * HOUR_MS):
        if chance.random() < 0.03:
            continue  # a gap
        at = np.arange(start_ms + every_ms, start_ms + 6 * HOUR_MS + 1, every_ms, dtype=np.int64)
        if logger in ("lg-2", ODD):
            at -= 137_500  # so that the first reading of a message stands for time of the hour before
        mc = np.array([chance.choice((4900, 5000, 5100, 7950)) for _ in at], np.int32)
        faults = {}
        if chance.random() < 0.1:
            mc[:4] = chance.choice((9000, 26_000, 1000))
        if chance.random() < 0.1:
            mc[5] = FAULT_MC
            faults = {5: chance.choice(("probe_open", "battery"))}
        if chance.random() < 0.05:
            mc[-1] = 2_000_000  # no temperature at all
        received_ms = start_ms + 6 * HOUR_MS + (chance.randrange(10) == 0) * chance.randrange(5) * DAY_MS
        yield Arrival(received_ms, ReadingBatch(logger, "1", at, mc, received_ms, 1, 1, faults))
        if chance.random() < 0.05:  # a second opinion on three instants, one of them the same
            other = mc[:3] + np.array([0, 300, -200], np.int32)
            yield Arrival(received_ms + 1, ReadingBatch(logger, "1", at[:3], other, received_ms + 1))
        if chance.random() < 0.05:  # a reset clock
            early = at[:3] - start_ms + 946_684_800_000
            yield Arrival(received_ms + 2, ReadingBatch(logger, "1", early, mc[:3], received_ms + 2))


def fill(settings: Settings, arrivals: Sequence[Arrival], registry: str = REGISTRY, together: int = 5) -> None:
    """Take arrivals into the ledger as the service would, `together` messages in each commit."""
    with Ledger.open(settings.ledger.path) as ledger:
        ledger.register("registry.toml", registry, "ann", START_MS)
        rules = load_profiles(settings.rules.dir)
        now_ms = arrivals[0].received_ms if arrivals else START_MS
        state, found = pipeline.start(
            parse_registry([("registry.toml", registry)]),
            rules,
            list(ledger.load_batches()),
            ledger.load_events(),
            ledger.load_warnings(),
            now_ms=now_ms,
            is_live=True,
        )
        pipeline.adopt(state, found)
        for first in range(0, len(arrivals), together):
            taken = arrivals[first : first + together]
            now_ms = taken[-1].received_ms
            step = pipeline.step(state, [arrival.batch for arrival in taken], now_ms)
            messages = [Message(each.received_ms, f"gw/{each.batch.logger}", b"x", (each.batch,)) for each in taken]
            ledger.save(messages, step, (), now_ms)
            pipeline.adopt(state, step)


def settings_for(folder: Path, more: str = "") -> Settings:
    """Settings with a ledger in a folder; `more` is TOML of further sections."""
    folder.mkdir(exist_ok=True)
    return settings_in(folder, more=more)


def project(found: Opened) -> None:
    """Bring a store up to date."""
    while found.projector.run_pass():
        pass
