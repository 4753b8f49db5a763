"""`coldchain simulate`: the registry and the message log of an invented trial, and what really happened in it."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import orjson
from rich.console import Console

from coldchain.commands import folders, terminal
from coldchain.errors import BadInput
from coldchain.instant import iso
from gateways.simulator import fleet as fleets
from gateways.simulator import registry_tables, traffic
from gateways.simulator.delivery import Message, Tally
from gateways.simulator.fleet import DAY_MS, Fleet
from gateways.simulator.incidents import Incident, plan

MARKER = ".coldchain-simulation"

SETTINGS = """\
# coldchain registry load *.csv --settings settings.toml; then run or replay
[ledger]
path = "coldchain.db"
[rules]
dir = {rules}
"""


def run(out: Path, *, kits: int, days: int, seed: int, incidents: float, start: str, rules: Path | None) -> None:
    """Write `loggers.csv` ... `custody.csv`, `settings.toml`, `messages.ndjson` and `truth.ndjson` into `out`."""
    start_ms = terminal.instant(start, "--start")
    if start_ms is None or start_ms % DAY_MS:
        raise BadInput("a simulation starts at a midnight UTC", key="--start", value=start)
    if not 0 <= incidents <= 100 or math.isnan(incidents):
        raise BadInput("a factor from 0 (never) to 100", key="--incidents", value=incidents)
    folder = (rules or folders.RULES).absolute()
    if not folder.is_dir():
        raise BadInput("is not a folder", key="--rules", value=str(folder))
    fleet = fleets.fleet(kits, days, seed, start_ms)
    folders.fresh(out, MARKER, "simulation")
    tally = Tally()
    with terminal.progress() as progress:
        task = progress.add_task("registering: rows", total=None)
        tables = registry_tables.Tables(
            fleets.loggers(fleet),
            fleets.places(fleet),
            fleets.monitoring(fleet),
            fleets.kits(fleet),
            fleets.custody(fleet),
        )
        registry = registry_tables.write_csv(tables, out, lambda rows: progress.advance(task, rows))
        (out / "settings.toml").write_bytes(SETTINGS.format(rules=orjson.dumps(folder.as_posix()).decode()).encode())
        happened = plan(fleet, incidents)
        progress.reset(task, description="simulating: messages", total=None)
        with (out / "messages.ndjson").open("wb") as log:
            for message in traffic.messages(fleet, happened, tally):
                log.write(line(message))
                progress.advance(task)
        (out / "truth.ndjson").write_bytes(b"".join(truth(fleet, happened, tally)))
    _print(fleet, tally, registry, out, folder)


def line(message: Message) -> bytes:
    """One line of a message log (INTERFACES.md)."""
    head = f'{{"received_at":"{iso(message.received_ms)}","topic":"{message.topic}",'.encode()
    if message.is_cbor:
        return head + b'"payload_base64":"' + base64.b64encode(message.payload) + b'"}\n'
    return head + b'"payload":' + message.payload + b"}\n"


def truth(fleet: Fleet, happened: Iterable[Incident], tally: Tally) -> Iterable[bytes]:
    """One line for each incident, in order of time, and one that accounts for every reading."""
    for incident in happened:
        found = {"kind": str(incident.kind), "subject": incident.subject}
        span = {"from": iso(incident.from_ms), "to": iso(incident.to_ms), "amount": incident.amount}
        yield orjson.dumps(found | span) + b"\n"
    whole = {"kind": "totals", "seed": fleet.seed, "from": iso(fleet.start_ms), "to": iso(fleet.end_ms)}
    yield orjson.dumps(whole | asdict(tally)) + b"\n"


def _print(fleet: Fleet, tally: Tally, registry: Iterable[Path], out: Path, rules: Path) -> None:
    console = Console(soft_wrap=True)
    loggers = sum(len(spot.loggers) for spot in fleet.spots)
    console.print(
        f"{fleet.kit_count} kits at {len(fleet.spots)} places, {loggers} loggers, {fleet.days} days: "
        f"{tally.measured} readings measured, {tally.messages} messages; what went wrong: {out / 'truth.ndjson'}"
    )
    files = " ".join(f"--registry {path}" for path in registry)
    console.print(f"judge them    .venv/bin/coldchain replay {out / 'messages.ndjson'} {files} --rules {rules}")
