"""`coldchain rules impact`: which past kits would change verdict under new rules, from the ledger or message logs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from coldchain import impact as replayed
from coldchain import rulebook
from coldchain.commands import terminal
from coldchain.commands.rules import versions
from coldchain.errors import BadInput
from coldchain.impact import Change, Impact
from coldchain.inputs import read
from coldchain.ledger import queries, senders
from coldchain.model import Assessment
from coldchain.profiles import load_profile, load_profiles
from coldchain.registry import load_registry, parse_registry
from coldchain.report.notation import kit_range
from coldchain.rulebook import Rulebook
from coldchain.settings import load_settings

PRESENT_RULES = Path("rules")
"""Where the present rules are looked for if neither settings nor `--rules` say."""


def run(
    new: Path,
    inputs: Sequence[Path],
    *,
    settings_file: Path | None,
    registry: Sequence[Path],
    rules: Path | None,
    chosen: Sequence[str],
    as_of: str | None,
    as_json: bool,
) -> None:
    """Compare the present rules with those of a file or folder, on the ledger or on the given message logs.

    `chosen`: `NAME=N` for every profile whose present version is to be that one, whatever the trials are set to.
    """
    as_of_ms = terminal.instant(as_of, "--as-of")
    is_ledger = settings_file is not None
    if is_ledger == bool(inputs) or is_ledger == bool(registry) or (is_ledger and rules):
        raise BadInput("give --settings for the ledger, or message logs with --registry and --rules", key="impact")
    with terminal.progress() as progress:
        progress.add_task("judging kit groups", total=None)
        if settings_file is not None:
            found = _on_ledger(settings_file, new, chosen, as_of_ms)
        else:
            at_ms = terminal.now_ms() if as_of_ms is None else as_of_ms
            old = rulebook.load(rules or PRESENT_RULES, at_ms, versions(chosen))
            known = load_registry(*registry)
            batches = read(inputs, logger=None, zone=None, registry=known).batches
            found = replayed.impact(batches, known, old, _proposed(old, new), as_of_ms=as_of_ms)
    if as_json:
        print_document(found)
    else:
        _print(found)


def _on_ledger(settings_file: Path, new: Path, chosen: Sequence[str], as_of_ms: int | None) -> Impact:
    settings = load_settings(settings_file)
    now_ms = terminal.now_ms()
    old = rulebook.load(settings.rules.dir, now_ms if as_of_ms is None else as_of_ms, versions(chosen))
    proposed = _proposed(old, new)
    with queries.reading(settings.ledger.path) as connection:
        files = [(file.name, file.content) for file in queries.registry_files(connection)]
        batches, lost = list(queries.batches(connection)), senders.lost_by_channel(connection)
    known = parse_registry(files)
    is_live = as_of_ms is None
    return replayed.impact(batches, known, old, proposed, now_ms=now_ms, as_of_ms=as_of_ms, is_live=is_live, lost=lost)


def _proposed(old: Rulebook, new: Path) -> Rulebook:
    """The present profiles with those of a file or folder in their places, as if in force already."""
    return rulebook.proposed(old, load_profiles(new).values() if new.is_dir() else [load_profile(new)])


def print_document(found: Impact) -> None:
    """The impact as one JSON document on stdout."""
    changes = [
        {
            "kits": list(change.kits),
            "before": _assessment(change.before),
            "after": _assessment(change.after),
            "broken": list(change.broken),
            "mended": list(change.mended),
        }
        for change in found.changes
    ]
    changed = sum(len(change.kits) for change in found.changes if change.changes_verdict)
    counts = {"kits_judged": found.kits, "kits_changing_verdict": changed, "kits_kept_by_trial": found.kept}
    terminal.print_json(counts | {"changes": changes})


def _assessment(assessment: Assessment) -> dict[str, Any]:
    return {
        "verdict": str(assessment.verdict),
        "profile": assessment.profile,
        "profile_version": assessment.profile_version,
        "profile_sha256": assessment.profile_sha256,
    }


def _print(found: Impact) -> None:
    changed = sum(len(change.kits) for change in found.changes if change.changes_verdict)
    if found.changes:
        table = Table("kits", "present", "proposed", "by", box=SIMPLE_HEAD)
        for change in found.changes:
            verdicts = (
                terminal.verdict_text(str(side.verdict), side.known_ms) for side in (change.before, change.after)
            )
            table.add_row(kit_range(change.kits), *verdicts, "\n".join(_by(change)))
        Console().print(table)
    Console().print(f"{found.kits} kits are judged by changed rules, {changed} change verdict")
    if found.kept:
        Console().print(f"{found.kept} more kits keep the version that their trial is set to")


def _by(change: Change) -> list[str]:
    return [f"{limit}: broken" for limit in change.broken] + [f"{limit}: no longer broken" for limit in change.mended]
