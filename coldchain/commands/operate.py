"""Commands for whoever operates the service: status, events, audit, backup, restore."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coldchain.commands.terminal import VERDICT_STYLE, now_ms, print_json, who
from coldchain.disk import Room, room_at, used_percent
from coldchain.instant import iso
from coldchain.ledger import backup as ledger_backup
from coldchain.ledger import queries
from coldchain.ledger.ledger import Ledger
from coldchain.settings import load_settings

_ROOM = {
    Room.ENOUGH: "",
    Room.HOLDING: ": [red]gateways are asked to keep their backlog[/]",
    Room.STOPPED: ": [red]nothing is stored until there is room[/]",
}


def status(settings_file: Path, *, as_json: bool) -> None:
    """What the ledger holds, how many kit groups stand where, and what has not been told yet."""
    settings = load_settings(settings_file)
    with queries.reading(settings.ledger.path) as connection:
        found = queries.status(connection)
    percent = used_percent(settings.ledger.path)
    room = room_at(percent, settings.ledger.alarm_percent, settings.ledger.stop_percent)
    if as_json:
        print_json(asdict(found) | {"disk_percent": round(percent, 1), "disk": room})
        return
    console = Console()
    last = "never" if found.last_received_ms is None else iso(found.last_received_ms)
    console.print(
        f"{found.messages} messages ({found.rejected} rejected), {found.readings} readings, last received {last}"
    )
    if found.waiting:
        console.print(f"{found.waiting} more messages are stored and not read yet: their gateways send too many")
    if found.lost_gaps:
        console.print(f"{found.lost_gaps} times readings never came although their gateway was asked for them")
    verdicts = ", ".join(f"{count} [{VERDICT_STYLE[verdict]}]{verdict}[/]" for verdict, count in found.verdicts.items())
    console.print(f"kit groups: {verdicts or 'none'}")
    console.print(f"{found.events} quarantine events, {found.warnings} early warnings")
    waiting = "" if found.oldest_undelivered_ms is None else f", the oldest since {iso(found.oldest_undelivered_ms)}"
    console.print(f"{found.undelivered} alerts not delivered{waiting} {found.last_delivery_error}".rstrip())
    console.print(f"disk of the ledger {percent:.1f} % full{_ROOM[room]}")


def events(settings_file: Path, *, as_json: bool) -> None:
    """Every quarantine event, by kit, then limit."""
    settings = load_settings(settings_file)
    with queries.reading(settings.ledger.path) as connection:
        found = sorted(queries.events(connection), key=lambda event: (event.kit, event.limit))
    if as_json:
        of_the_breach = ("id", "kit", "limit", "reason", "breached_at_ms", "detected_at_ms", "revision", "supported")
        keys = (*of_the_breach, "profile", "profile_version", "profile_sha256")
        print_json([{key: getattr(event, key) for key in keys} for event in found])
        return
    table = Table("kit", "limit", "reason", "breached at", "detected at", "revision", "supported", box=SIMPLE_HEAD)
    for event in found:
        instants = iso(event.breached_at_ms), iso(event.detected_at_ms)
        supported = "yes" if event.supported else "no"
        table.add_row(escape(event.kit), escape(event.limit), event.reason, *instants, str(event.revision), supported)
    Console().print(table)


def audit_verify(settings_file: Path, *, as_json: bool) -> bool:
    """Whether the ledger is as it was written; prints every problem and the heads of the chains."""
    settings = load_settings(settings_file)
    with Ledger.open(settings.ledger.path) as ledger:
        findings = ledger.audit_verify()
    if as_json:
        print_json(asdict(findings))
    else:
        console = Console()
        for problem in findings.problems:
            console.print(f"[red]{problem}")
        heads = findings.heads
        console.print(f"{heads.audit_seq} audit entries and {heads.message_id} messages checked")
        console.print("heads of the chains, to write down outside:")
        console.print(f"  audit   {heads.audit_hash}\n  message {heads.message_hash}")
    return not findings.problems


def backup(settings_file: Path, to: Path) -> None:
    """A verified copy of the ledger, taken while it is in use."""
    settings = load_settings(settings_file)
    with Ledger.open(settings.ledger.path) as ledger:
        ledger.backup(to)
    Console().print(f"ledger copied to {to} and verified")


def restore(settings_file: Path, source: Path, reason: str) -> None:
    """Put a verified backup in the ledger's place; the ledger that was there is kept beside it."""
    settings = load_settings(settings_file)
    kept = ledger_backup.restore(settings.ledger.path, source, who(), now_ms(), reason=reason)
    Console().print(f"{source} restored" + (f"; the ledger before it is kept as {kept}" if kept else ""))
