"""`coldchain rules`: validate the stability profiles of a folder and show what they say."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from coldchain.profiles import load_profiles


def check(folder: Path) -> None:
    """Load every profile; the first thing wrong is BadInput with file, line, key and value."""
    profiles = load_profiles(folder)
    table = Table("profile", "version", "label degC", "limits", "document", "author / approver", box=SIMPLE_HEAD)
    for profile in profiles.values():
        label = " to ".join(
            "" if mc is None else f"{mc / 1000:g}" for mc in (profile.label_low_mc, profile.label_high_mc)
        )
        table.add_row(
            profile.name,
            str(profile.version),
            label,
            str(len(profile.limits)),
            f"{profile.document} version {profile.document_version}",
            f"{profile.author} / {profile.approver}",
        )
    Console().print(table)
    Console().print(f"{len(profiles)} profiles are valid")
