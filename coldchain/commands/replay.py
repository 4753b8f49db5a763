"""`coldchain replay`: read everything, judge everything, print one table or one JSON document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coldchain import mass_replay, pipeline, rulebook
from coldchain.commands import terminal
from coldchain.commands.rules import versions
from coldchain.commands.terminal import instant, print_json, verdict_text
from coldchain.errors import BadInput
from coldchain.inputs import Inputs, read, single_readings
from coldchain.instant import iso
from coldchain.registry import Registry, load_registry
from coldchain.replay_document import document, document_of
from coldchain.rulebook import Rulebook


def run(
    inputs: Iterable[Path],
    registry: Iterable[Path],
    rules: Path,
    *,
    logger: str | None,
    zone: str | None,
    mappings: Path | None,
    chosen: Sequence[str],
    as_of: str | None,
    stream: bool,
    as_json: bool,
) -> None:
    """Replay inputs; the output does not depend on `stream`, nor on the order of lines and files.

    The rules are those in force at `as_of`, without it now; `chosen`: `NAME=N` for every profile of which version N is
    to judge.
    """
    as_of_ms = instant(as_of, "--as-of")
    time_zone = terminal.zone(zone)
    profiles = rulebook.load(rules, terminal.now_ms() if as_of_ms is None else as_of_ms, versions(chosen))
    known = load_registry(*registry)
    pipeline.rules(known, profiles)
    if logger is not None and logger not in known.loggers:
        raise BadInput("is not registered", key="--logger", value=logger)
    with terminal.progress() as progress:
        task = progress.add_task("reading messages", total=None)
        found = read(
            inputs,
            logger=logger,
            zone=time_zone,
            mappings=mappings,
            registry=known,
            on_message=lambda: progress.advance(task),
        )
        if stream:
            progress.update(task, description="judging")
            answer = _streamed(found, known, profiles, as_of_ms)
        else:
            channels = found.by_channel()
            progress.update(task, description="channels read", completed=0)
            judged = mass_replay.replay(
                channels.read, list(channels), known, profiles, as_of_ms, on_channel=lambda: progress.advance(task)
            )
            counts = {"messages": found.messages, "rejected": found.rejected}
            answer = document(known, judged.assessments, judged.channels.values(), **counts)
    if as_json:
        print_json(answer)
    else:
        _print(answer)


def _streamed(found: Inputs, registry: Registry, profiles: Rulebook, as_of_ms: int | None) -> dict[str, Any]:
    state, first = pipeline.start(registry, profiles, now_ms=0, as_of_ms=as_of_ms)
    pipeline.adopt(state, first)
    archived = (batch for archive in found.archives for key in archive.channels for batch in archive.read(key))
    for batch in chain(found.batches, archived):
        for piece in single_readings(batch):
            pipeline.adopt(state, pipeline.step(state, [piece], now_ms=0))
    return document_of(state, messages=found.messages, rejected=found.rejected)


def _print(answer: dict[str, Any]) -> None:
    events: dict[str, list[str]] = {}
    for event in answer["events"]:
        events.setdefault(event["kit"], []).append(event["limit"])
    table = Table("kit", "verdict", "as of", "min", "max", "MKT", "unknown", "events", box=SIMPLE_HEAD)
    for kit in answer["kits"]:
        numbers = ("n/c" if kit[key] is None else f"{kit[key]:.3f}" for key in ("min_c", "max_c", "mkt_c"))
        table.add_row(
            escape(kit["kit"]),
            verdict_text(kit["verdict"], kit["known_ms"]),
            "n/c" if kit["as_of_ms"] is None else iso(kit["as_of_ms"]),
            *numbers,
            f"{kit['unknown_ms'] / 3_600_000:.1f} h",
            escape("\n".join(events.get(kit["kit"], []))),
        )
    console = Console()
    console.print(table)
    console.print(
        "inputs: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in answer["inputs"].items())
    )
    console.print("temperatures in degC; n/c: not computable")
