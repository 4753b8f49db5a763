"""`coldchain report`: the stability impact report of some kits, from the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import coldchain
from coldchain import judgement
from coldchain.commands import terminal
from coldchain.commands.recall import recall
from coldchain.commands.rules import versions
from coldchain.errors import BadInput
from coldchain.ledger import queries
from coldchain.model import QuarantineEvent
from coldchain.pipeline import State
from coldchain.report.document import write_report
from coldchain.report.evidence import Report, ReportKit, build
from coldchain.settings import load_settings


def run(kits: Sequence[str], out: Path, settings_file: Path, *, chosen: Sequence[str] = (), as_of: str | None) -> None:
    """Write the report of `kits` in the format of the file's suffix: .pdf, .html or .json.

    `chosen`: `NAME=N` for every profile of which version N is to judge.
    """
    settings = load_settings(settings_file)
    as_of_ms = terminal.instant(as_of, "--as-of")
    now_ms = terminal.now_ms()
    with terminal.progress() as progress:
        task = progress.add_task("judging kits", total=None)
        with queries.reading(settings.ledger.path) as connection:
            state = recall(connection, settings, now_ms, as_of_ms, versions(chosen), kits)
            events = queries.events(connection)
        progress.update(task, description="writing the report of kits", completed=len(kits))
        write_report(collect(state, kits, events, now_ms), out)
    Console(stderr=True).print(f"report of {len(kits)} kits: {out}")


def collect(state: State, kits: Sequence[str], events: Sequence[QuarantineEvent], now_ms: int) -> Report:
    """The evidence about kits, as the state has it; `events` as the ledger has them."""
    registry = state.registry
    group_of = {kit: group for group in registry.groups.values() for kit in group.kits}
    events_of: dict[str, list[QuarantineEvent]] = defaultdict(list)
    for event in events:
        events_of[event.kit].append(event)
    rows = []
    for kit in kits:
        if kit not in group_of:
            raise BadInput("is not registered", key="kit", value=kit)
        group = group_of[kit]
        assessment = state.assessments[group.id]
        route, record = judgement.route_and_record(state, group, assessment, now_ms)
        rows.append(
            ReportKit(
                kit=registry.kits[kit],
                custody=route,
                assessment=assessment,
                profile=state.rules[group.id],
                history=record.history if record else None,
                events=tuple(events_of[kit]),
            )
        )
    return build(
        rows,
        loggers=registry.loggers,
        monitoring=registry.monitoring,
        series=state.series,
        prepared_at_ms=now_ms,
        software_version=coldchain.__version__,
    )
