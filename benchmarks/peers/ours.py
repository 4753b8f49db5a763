"""coldchain: the rules file is the job, the registry says which kit a logger guards; no code.

With every check of the service: decoders that refuse what is wrong, identity, clocks, conflicts, verdicts and events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.peers.job import START_MS, Exposure, Exposures, Job, Message
from coldchain import pipeline
from coldchain.instant import iso
from coldchain.profiles import load_profile
from coldchain.readings import ReadingBatch
from coldchain.registry import Registry, parse_registry
from coldchain.state import State
from gateways.decoders import decoder

RULES = Path(__file__).with_name("rule.toml")


def replay(loggers: Iterable[str]) -> Job:
    """The way of `coldchain replay`: everything is read, and judged once."""
    names = tuple(loggers)

    def job(messages: Sequence[Message], end_ms: int) -> Exposures:
        profile = load_profile(RULES)
        return _exposures(pipeline.replay(_decoded(messages), _registry(names, end_ms), {profile.name: profile}))

    return job


def message_by_message(loggers: Iterable[str]) -> Job:
    """The way of the service, at its dearest: after each message its kit is judged."""
    names = tuple(loggers)

    def job(messages: Sequence[Message], end_ms: int) -> Exposures:
        profile = load_profile(RULES)
        state, first = pipeline.start(_registry(names, end_ms), {profile.name: profile}, now_ms=START_MS, is_live=True)
        pipeline.adopt(state, first)
        for message in messages:
            pipeline.adopt(state, pipeline.step(state, _decoded([message]), message.received_ms))
        # a logger that has been silent since is judged by the clock, not by a message
        pipeline.adopt(state, pipeline.silence(state, end_ms))
        return _exposures(state)

    return job


def _decoded(messages: Sequence[Message]) -> list[ReadingBatch]:
    read = decoder().read
    return [batch for one in messages for batch in read(one.topic, one.payload, one.received_ms).batches]


def _registry(loggers: Sequence[str], end_ms: int) -> Registry:
    """A place and a kit for each logger."""
    start, end = iso(START_MS), iso(end_ms)
    tables = {
        "logger.csv": ["id,logging_interval", *(f"{logger},5min" for logger in loggers)],
        "place.csv": ["id,kind", *(f"room-{logger},storage" for logger in loggers)],
        "monitoring.csv": ["place,logger,from", *(f"room-{logger},{logger},{start}" for logger in loggers)],
        "kit.csv": ["id,batch,trial,profile", *(f"K-{logger},B-1,T-1,two-to-eight" for logger in loggers)],
        "custody.csv": ["kits,place,from,to", *(f"K-{logger},room-{logger},{start},{end}" for logger in loggers)],
    }
    return parse_registry([(name, "\n".join(rows)) for name, rows in tables.items()])


def _exposures(state: State) -> Exposures:
    found = {}
    for group_id, one in state.assessments.items():
        above = next(limit.used for limit in one.limits if limit.limit_id == "above-8")
        for kit in state.registry.groups[group_id].kits:
            found[kit.removeprefix("K-")] = Exposure(above, one.known_ms, one.mkt_c)
    return found
