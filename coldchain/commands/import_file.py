"""`coldchain import`: show what a logger file says, ask, then put it into the ledger as if it had arrived live."""

from __future__ import annotations

from pathlib import Path

import typer
from rich.console import Console

from coldchain import pipeline
from coldchain.alerts.compose import compose
from coldchain.commands import import_preview, new_mapping, terminal
from coldchain.commands.recall import recall
from coldchain.commands.reconciliation import reconcile
from coldchain.errors import BadInput
from coldchain.history import EMPTY
from coldchain.ledger import queries
from coldchain.ledger.entries import Message
from coldchain.ledger.ledger import Ledger, LedgerChanged
from coldchain.pipeline import State
from coldchain.settings import Settings, load_settings
from gateways.files import ORDERS, Declared, LoggerFile, Mapping, Order, dump, load, read_logger_content


def run(
    file: Path,
    logger: str | None,
    zone: str | None,
    settings_file: Path | None,
    *,
    yes: bool,
    map_file: Path | None = None,
    make_map: Path | None = None,
    date_order: str | None = None,
    repeats_in_order: bool = False,
) -> None:
    """Preview, confirm, commit. The original bytes are kept and linked to every reading that is new.

    With `make_map` a mapping is made first, by asking, and saved there; without `logger` that is all.
    """
    try:
        content = file.read_bytes()
    except OSError as exc:
        raise BadInput(f"cannot be read: {exc.strerror}", file=str(file)) from exc
    declared = Declared(terminal.zone(zone), _order(date_order), repeats_in_order)
    mapping = load(map_file) if map_file else None
    if make_map is not None:
        if map_file is not None:
            raise BadInput("a mapping is either made (--make-map) or used (--map), not both", key="--make-map")
        mapping = new_mapping.make(Console(), content, str(file), make_map, declared)
        if logger is None and settings_file is None:
            return
    if logger is None or settings_file is None:
        raise BadInput("is missing", key="--settings" if settings_file is None else "--logger")
    settings = load_settings(settings_file)
    found = read_logger_content(content, file=str(file), logger=logger, declared=declared, mapping=mapping)
    _show(Console(), settings, found, logger)
    if not yes and not typer.confirm("put this into the ledger?"):
        return
    # The file can only be read again as it was read now if what was declared about it is kept beside it.
    detail = f"zone {found.zone}, order {declared.order or 'as the file shows'}, {_how(mapping, found)}"
    with Ledger.open(settings.ledger.path) as ledger:
        while True:
            try:
                message = Message(terminal.now_ms(), file.name, content, found.batches, detail=detail, source="file")
                new, events = _commit(ledger, settings, message, logger)
                break
            except LedgerChanged:
                continue
    Console().print(f"{new} new readings, {events} quarantine events raised or revised")


def _order(text: str | None) -> Order | None:
    for order in ORDERS:
        if order == text:
            return order
    if text is None:
        return None
    raise BadInput(f"must be one of {', '.join(ORDERS)}", key="--date-order", value=text)


def _how(mapping: Mapping | None, found: LoggerFile) -> str:
    return f"family {found.family}" if mapping is None else f"mapping:\n{dump(mapping)}"


def _show(console: Console, settings: Settings, found: LoggerFile, logger: str) -> None:
    with queries.reading(settings.ledger.path) as connection:
        state = _state(recall(connection, settings, terminal.now_ms()), logger)
    import_preview.understood(console, found)
    for batch in found.batches:
        numbers = reconcile(batch, state.series.get(batch.key, EMPTY), state.registry.loggers[logger])
        import_preview.beside_the_ledger(console, batch.channel, numbers)


def _state(state: State, logger: str) -> State:
    if logger not in state.registry.loggers:
        raise BadInput("is not registered", key="--logger", value=logger)
    return state


def _commit(ledger: Ledger, settings: Settings, message: Message, logger: str) -> tuple[int, int]:
    version = ledger.data_version()
    with queries.reading(settings.ledger.path) as connection:
        state = _state(recall(connection, settings, message.received_ms), logger)
    step = pipeline.step(state, message.batches, message.received_ms)
    alerts = compose(
        step.events,
        step.warnings,
        state.registry,
        settings.alerts,
        known=state.events,
        by_email=bool(settings.smtp.host),
        now_ms=message.received_ms,
    )
    ledger.save((message,), step, alerts, message.received_ms, unless_changed_since=version)
    return sum(len(batch) for batch in step.fresh), len(step.events)
