"""`coldchain registry`: put registry files into the ledger, show what is registered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coldchain import pipeline, rulebook
from coldchain.commands.terminal import now_ms, print_json, who
from coldchain.instant import iso
from coldchain.ledger import queries
from coldchain.ledger.ledger import Ledger
from coldchain.model import VersionRule
from coldchain.registry import parse_registry
from coldchain.registry_file import read
from coldchain.settings import load_settings

_RULE = {
    VersionRule.NEWEST: "in force now",
    VersionRule.IN_FORCE: "in force when a kit's custody began",
}


def load(files: Sequence[Path], settings_file: Path) -> None:
    """Make files part of the registry, each replacing the one of the same name; all or none, checked together first."""
    settings = load_settings(settings_file)
    profiles = rulebook.load(settings.rules.dir, now_ms())
    new = {path.name: read(path).text for path in files}
    with Ledger.open(settings.ledger.path) as ledger:
        current = {file.name: file.content for file in ledger.current_registry_files()}
        registry = parse_registry(sorted((current | new).items()))
        pipeline.rules(registry, profiles)
        for name, content in new.items():
            version = ledger.register(name, content, who(), now_ms())
            Console().print(f"{name}: version {version}")
    Console().print(
        f"{len(registry.loggers)} loggers, {len(registry.places)} places, {len(registry.kits)} kits "
        f"in {len(registry.groups)} groups; a running service takes this over within a second"
    )


def show(settings_file: Path, *, as_json: bool) -> None:
    """The registry as the ledger holds it: its files and every place with its loggers and kits."""
    settings = load_settings(settings_file)
    with queries.reading(settings.ledger.path) as connection:
        files = queries.registry_files(connection)
    registry = parse_registry([(file.name, file.content) for file in files])
    loggers = {
        place: sorted({entry.logger for entry in registry.monitoring_of.get(place, ())}) for place in registry.places
    }
    kits = {
        place: sum(len(registry.groups[group].kits) for group in registry.groups_at.get(place, ()))
        for place in registry.places
    }
    if as_json:
        shown = [
            {
                "name": file.name,
                "version": file.version,
                "loaded_ms": file.loaded_ms,
                "sha256": file.sha256,
                "who": file.who,
            }
            for file in files
        ]
        places = [
            {
                "place": place.id,
                "kind": place.kind,
                "stage": place.stage,
                "loggers": loggers[place.id],
                "kits": kits[place.id],
            }
            for place in registry.places.values()
        ]
        trials = [
            {"trial": trial.id, "versions": str(trial.versions.rule), "profile_version": dict(trial.versions.pinned)}
            for trial in registry.trials.values()
        ]
        print_json({"files": shown, "places": places, "trials": trials})
        return
    console = Console()
    for file in files:
        console.print(f"{escape(file.name)} version {file.version}, loaded {iso(file.loaded_ms)} by {file.who}")
    for trial in registry.trials.values():
        pinned = "".join(f", {name} version {number}" for name, number in trial.versions.pinned)
        console.print(f"trial {escape(trial.id)}: judged by the version {_RULE[trial.versions.rule]}{escape(pinned)}")
    table = Table("place", "kind", "stage", "loggers", "kits (any time)", box=SIMPLE_HEAD)
    for place in registry.places.values():
        watched_by, count = " ".join(loggers[place.id]), str(kits[place.id])
        table.add_row(escape(place.id), escape(place.kind), place.stage or "", escape(watched_by), count)
    console.print(table)
