"""`coldchain import`: show what a logger file says, ask, then put it into the ledger as if it had arrived live."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from coldchain import exposure, pipeline
from coldchain.alerts.compose import compose
from coldchain.commands import terminal
from coldchain.commands.recall import recall
from coldchain.errors import BadInput
from coldchain.instant import iso
from coldchain.ledger import queries
from coldchain.ledger.entries import Message
from coldchain.ledger.ledger import Ledger, LedgerChanged
from coldchain.readings import FAULT_MC, ReadingBatch
from coldchain.settings import Settings, load_settings
from gateways.files import LoggerFile, read_logger_file


def run(file: Path, logger: str, zone: str | None, settings_file: Path, *, yes: bool) -> None:
    """Preview, confirm, commit. The original bytes are kept and linked to every reading that is new."""
    settings = load_settings(settings_file)
    found = read_logger_file(file, logger=logger, zone=terminal.zone(zone))
    preview(found)
    if not yes and not typer.confirm("put this into the ledger?"):
        return
    with Ledger.open(settings.ledger.path) as ledger:
        while True:
            try:
                new, events = _commit(ledger, settings, file, found, logger)
                break
            except LedgerChanged:
                continue
    Console().print(f"{new} new readings, {events} quarantine events raised or revised")


def _commit(ledger: Ledger, settings: Settings, file: Path, found: LoggerFile, logger: str) -> tuple[int, int]:
    now_ms = terminal.now_ms()
    version = ledger.data_version()
    with queries.reading(settings.ledger.path) as connection:
        state = recall(connection, settings, now_ms)
    if logger not in state.registry.loggers:
        raise BadInput("is not registered", key="--logger", value=logger)
    step = pipeline.step(state, found.batches, now_ms)
    message = Message(now_ms, file.name, file.read_bytes(), found.batches, source="file")
    alerts = compose(
        step.events,
        step.warnings,
        state.registry,
        settings.alerts,
        known=state.events,
        by_email=bool(settings.smtp.host),
        now_ms=now_ms,
    )
    ledger.save((message,), step, alerts, now_ms, unless_changed_since=version)
    return sum(len(batch) for batch in step.fresh), len(step.events)


def preview(found: LoggerFile) -> None:
    """What was understood: count, span, extremes, intervals, the vendor's own figures beside ours."""
    console = Console()
    console.print(f"{found.family}, serial {found.serial or 'not stated'}, SHA-256 {found.sha256}")
    for batch in found.batches:
        _preview(console, batch, found)
    for note in found.notes:
        console.print(f"note: {note}")


def _preview(console: Console, batch: ReadingBatch, found: LoggerFile) -> None:
    valid = batch.temperature_mc != FAULT_MC
    console.print(f"channel {batch.channel}: {int(valid.sum())} readings, {int((~valid).sum())} faults")
    if not valid.any():
        return
    console.print(f"first {iso(int(batch.at_ms.min()))}, last {iso(int(batch.at_ms.max()))}")
    minutes, counts = np.unique(np.diff(np.unique(batch.at_ms)) / 60_000, return_counts=True)
    console.print("intervals: " + ", ".join(f"{n} x {m:g} min" for m, n in zip(minutes, counts, strict=True)))
    ours = batch.temperature_mc[valid] / 1000
    figures = {
        "min_c": float(ours.min()),
        "max_c": float(ours.max()),
        "mean_c": float(ours.mean()),
        "mkt_c": exposure.mean_kinetic_temperature(ours),
    }
    table = Table("degC", "ours", "vendor's", box=SIMPLE_HEAD)
    for name, value in figures.items():
        vendor = found.vendor.get(name)
        table.add_row(name.removesuffix("_c"), f"{value:.3f}", "not stated" if vendor is None else f"{vendor:g}")
    console.print(table)
