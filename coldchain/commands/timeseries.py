"""Commands for the time-series store: how far it is, whether it is what the ledger says, all of it anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coldchain.commands.terminal import now_ms, print_json, progress
from coldchain.instant import iso
from coldchain.ledger import queries
from coldchain.settings import Settings, load_settings
from coldchain.timeseries import local_file, retention
from coldchain.timeseries.opening import Opened, file_of, opened, parked
from coldchain.timeseries.reconciliation import Reconciliation
from coldchain.timeseries.reconciliation import reconcile as compare

SHOWN = 20


def status(settings_file: Path, *, as_json: bool) -> None:
    """Which store it is, how far the ledger is in it, and what it refused."""
    settings = load_settings(settings_file)
    with opened(settings) as found:
        cursor, ends = found.store.cursor(), queries.ends(found.ledger)
        with found.projector.one_view():
            found.projector.check_ledger(cursor)
        document = {
            "store": settings.timeseries.url or str(file_of(settings)),
            "blocks_projected": cursor.block,
            "blocks_waiting": ends.block - cursor.block,
            "audit_entries_waiting": ends.audit - cursor.audit,
            "oldest_waiting_ms": queries.received_after(found.ledger, cursor.block),
            "refused_points": parked(found.local),
        }
    if as_json:
        print_json(document)
        return
    console = Console(soft_wrap=True)
    console.print(f"store: {escape(str(document['store']))}")
    oldest_ms = document["oldest_waiting_ms"]
    since = f", the oldest received {iso(oldest_ms)}" if isinstance(oldest_ms, int) else ""
    console.print(f"{cursor.block} blocks of readings projected, {document['blocks_waiting']} waiting{since}")
    console.print(
        f"{document['audit_entries_waiting']} audit entries waiting, {document['refused_points']} refused points"
    )


def reconcile(settings_file: Path, *, check: bool, as_json: bool) -> bool:
    """Bring the store up to date, compare all of it with the ledger and mend what differs; whether it is the same now.

    `check`: compare only, and say whether anything differs.
    """
    settings = load_settings(settings_file)
    with opened(settings) as found, local_file.projecting(file_of(settings), waiting=True), progress() as bar:
        task = bar.add_task("blocks projected", total=None)
        if not check:
            _catch_up(found, lambda done: bar.update(task, completed=done))
        task = bar.add_task("channels compared", total=None)
        result = compare(
            found.projector,
            found.store,
            _kept(found, settings),
            mends=not check,
            on_channel=lambda _: bar.update(task, advance=1),
        )
        if not check and not result.remaining:
            with local_file.trouble_with_file():
                found.local.execute("DELETE FROM parked")  # what was refused once is in now
    if as_json:
        print_json(asdict(result) | {"differences": [each._asdict() for each in result.differences]})
    else:
        _show(result, mended=not check)
    return not result.remaining


def rebuild(settings_file: Path) -> None:
    """Drop everything in the store and project the whole ledger again; the service may run meanwhile."""
    settings = load_settings(settings_file)
    with opened(settings) as found, local_file.projecting(file_of(settings), waiting=True), progress() as bar:
        task = bar.add_task("blocks projected", total=None)
        found.store.clear()
        local_file.forget_ledger(found.local)
        _catch_up(found, lambda done: bar.update(task, completed=done))
        retention.prune(found.store, found.ledger, _kept(found, settings))
        cursor = found.store.cursor()
    Console(soft_wrap=True).print(f"{cursor.block} blocks of readings and {cursor.audit} audit entries projected")


def prune(settings_file: Path) -> None:
    """Drop readings that are past their retention and no evidence; the service does so every night."""
    settings = load_settings(settings_file)
    with opened(settings) as found, local_file.projecting(file_of(settings), waiting=True):
        days = retention.prune(found.store, found.ledger, _kept(found, settings))
    Console().print(f"{days} days of single channels are past their retention; their hours stay")


def _catch_up(found: Opened, told: Callable[[int], None]) -> None:
    while found.projector.run_pass():
        told(found.store.cursor().block)


def _kept(found: Opened, settings: Settings) -> retention.Kept:
    with found.projector.one_view():
        return retention.kept(found.ledger, found.projector.registry, now_ms(), settings.timeseries.raw_days)


def _show(result: Reconciliation, *, mended: bool) -> None:
    console = Console(soft_wrap=True)
    if result.differences:
        table = Table("what", "where", "day", "ledger", "store", box=SIMPLE_HEAD)
        for each in result.differences[:SHOWN]:
            day = "" if each.day_ms is None else iso(each.day_ms)[:10]
            sides = (f"{count} ({checksum:08x})" for count, checksum in (each.ledger, each.store))
            table.add_row(each.what, escape(each.where), day, *sides)
        console.print(table)
        if len(result.differences) > SHOWN:
            console.print(f"and {len(result.differences) - SHOWN} more")
    console.print(
        f"{result.channels} channels, {result.readings} readings compared: {len(result.differences)} differences"
        + (f", {result.remaining} left" if mended else "")
    )
