"""`coldchain replay`: read everything, judge everything, print one table or one JSON document."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from coldchain import pipeline
from coldchain.errors import BadInput
from coldchain.inputs import Inputs, read, single_readings
from coldchain.instant import instant_ms, iso
from coldchain.profiles import StabilityProfile, load_profiles
from coldchain.registry import Registry, load_registry
from coldchain.replay_document import document

VERDICT_STYLE = {"within_label": "green", "within_allowance": "yellow", "indeterminate": "magenta", "outside": "red"}


def run(
    inputs: Iterable[Path],
    registry: Iterable[Path],
    rules: Path,
    *,
    logger: str | None,
    zone: str | None,
    as_of: str | None,
    stream: bool,
    as_json: bool,
) -> None:
    """Replay inputs; the output does not depend on `stream`, nor on the order of lines and files."""
    as_of_ms = _instant(as_of) if as_of else None
    time_zone = _zone(zone) if zone else None
    profiles = load_profiles(rules)
    known = load_registry(*registry)
    pipeline.rules(known, profiles)
    if logger is not None and logger not in known.loggers:
        raise BadInput("is not registered", key="--logger", value=logger)
    with _progress() as progress:
        task = progress.add_task("reading", total=None)
        found = read(inputs, logger=logger, zone=time_zone, on_message=lambda: progress.advance(task))
        progress.update(task, description="judging")
        state = _judge(found, known, profiles, as_of_ms, stream=stream)
    answer = document(state, messages=found.messages, rejected=found.rejected)
    if as_json:
        sys.stdout.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _print(answer)


def _judge(
    found: Inputs, registry: Registry, profiles: dict[str, StabilityProfile], as_of_ms: int | None, *, stream: bool
) -> pipeline.State:
    if not stream:
        return pipeline.replay(found.batches, registry, profiles, as_of_ms)
    state, first = pipeline.start(registry, profiles, now_ms=0, as_of_ms=as_of_ms)
    pipeline.adopt(state, first)
    for batch in found.batches:
        for piece in single_readings(batch):
            pipeline.adopt(state, pipeline.step(state, [piece], now_ms=0))
    return state


def _instant(text: str) -> int:
    try:
        return instant_ms(text)
    except ValueError as exc:
        raise BadInput(str(exc), key="--as-of", value=text) from exc


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise BadInput("no such time zone: write an IANA name such as Europe/Zurich", key="--zone", value=name) from exc


def _progress() -> Progress:
    columns = SpinnerColumn(), TextColumn("{task.description} {task.completed} messages"), TimeElapsedColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _print(answer: dict[str, Any]) -> None:
    console = Console()
    table = Table("kit", "verdict", "as of", "min degC", "max degC", "MKT degC", "unknown", "events")
    events: dict[str, list[str]] = {}
    for event in answer["events"]:
        events.setdefault(event["kit"], []).append(event["limit"])
    for kit in answer["kits"]:
        numbers = ("n/c" if kit[key] is None else f"{kit[key]:.3f}" for key in ("min_c", "max_c", "mkt_c"))
        table.add_row(
            kit["kit"],
            f"[{VERDICT_STYLE[kit['verdict']]}]{kit['verdict']}",
            "n/c" if kit["as_of_ms"] is None else iso(kit["as_of_ms"]),
            *numbers,
            f"{kit['unknown_ms'] / 60_000:.1f} min",
            ", ".join(events.get(kit["kit"], [])),
        )
    console.print(table)
    console.print(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in answer["inputs"].items()))
    console.print("n/c: not computable")
