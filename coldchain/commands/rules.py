"""`coldchain rules`: check, compare and choose the stability profiles of a folder; print the schema of their files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from coldchain import amendment, limit_words, profile_file, profile_mistakes, redundancy
from coldchain.commands import terminal
from coldchain.commands.terminal import print_json
from coldchain.errors import BadInput
from coldchain.instant import iso
from coldchain.profiles import (
    StabilityProfile,
    in_force,
    load_profile,
    load_profiles,
    parse_profile,
    profile_files,
    read_text,
)

TEMPLATES = "templates"
"""The folder of the starter library: below the folder of rules, so that no kit is judged by a template."""

TEMPLATE_MARK = "template: replace by the sponsor's data"


def check(folder: Path, *, as_json: bool = False) -> int:
    """Name every mistake and every finding of a folder and its templates; the exit code: 0, 1 findings, 2 mistakes."""
    files = profile_files(folder)
    templates = sorted((folder / TEMPLATES).glob("*.toml"))
    mistakes: list[BadInput] = []
    findings: list[str] = []
    valid: list[StabilityProfile] = []
    stands_in: dict[tuple[Path, str, int | None], Path] = {}
    for path in [*files, *templates]:
        try:
            text = read_text(path)
            wrong = profile_mistakes.mistakes(text, str(path))
        except BadInput as unreadable:
            wrong = [unreadable]
        mistakes += wrong
        if wrong:
            continue
        profile = parse_profile(text, str(path))
        other = stands_in.setdefault((path.parent, profile.name, profile.version), path)
        if other is not path:
            problem = f"stands in {other} too: a changed profile is a new version"
            key = f"version of {profile.name}"
            mistakes.append(BadInput(problem, file=str(path), line=1, key=key, value=profile.version))
        findings += [f"{path}: {finding}" for finding in _findings(profile, is_template=path in templates)]
        valid += [] if path in templates else [profile]
    findings += _never_in_force(valid)
    if as_json:
        wrong_keys = ("file", "line", "key", "value", "problem")
        told = [{key: _plain(getattr(error, key)) for key in wrong_keys} for error in mistakes]
        print_json({"mistakes": told, "findings": findings, "profiles": len(valid), "templates": len(templates)})
    else:
        for error in mistakes:
            sys.stderr.write(f"coldchain: {error}\n")
        for finding in findings:
            sys.stdout.write(f"{finding}\n")
        if not mistakes:
            _print_versions(valid)
            also = f"; {len(templates)} templates are valid" if templates else ""
            Console().print(f"{len(valid)} profiles are valid{also}")
    return 2 if mistakes else 1 if findings else 0


def diff(before: Path, after: Path, *, as_json: bool = False) -> None:
    """What changes from one file to another, or between the governing versions of two folders."""
    old, new = _profiles(before), _profiles(after)
    if before.is_file() and after.is_file():
        pairs = [(next(iter(old.values()), None), next(iter(new.values()), None))]
    else:
        pairs = [(old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys())]
    told = []
    for one, other in pairs:
        present = other or one
        name = present.name if present else ""
        if one and other:
            told += [(name, change) for change in amendment.changes(one, other)]
        else:
            was, is_now = ("no profile" if x is None else f"version {x.version}" for x in (one, other))
            told.append((name, amendment.Change(None, "profile", was, is_now)))
    if as_json:
        keys = ("limit", "subject", "before", "after", "effect")
        print_json([{"profile": name} | {key: getattr(change, key) for key in keys} for name, change in told])
        return
    for name, change in told:
        sys.stdout.write(f"{name}: {change}\n")
    if not told:
        sys.stdout.write("no difference\n")


def select(folder: Path, chosen: Iterable[str], out: Path) -> None:
    """Copy the profiles that judge kits when versions are chosen, byte for byte: the rules of an old verdict."""
    profiles = load_profiles(folder, versions(chosen))
    if out.exists() and any(out.iterdir()):
        raise BadInput("is not empty: give a new folder", key="--out", value=str(out))
    out.mkdir(parents=True, exist_ok=True)
    for path in profile_files(folder):
        profile = load_profile(path)
        if profiles[profile.name] == profile:
            (out / path.name).write_bytes(path.read_bytes())
            sys.stdout.write(f"{profile.name} version {profile.version}, SHA-256 {profile.sha256}\n")


def schema() -> None:
    """Print the JSON Schema of a profile file, as it stands in `rules/schema.json`."""
    sys.stdout.write(json.dumps(profile_file.json_schema(), indent=2) + "\n")


def versions(texts: Iterable[str]) -> dict[str, int]:
    """The versions that `NAME=N` options choose."""
    chosen = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        if not name or not number.isdecimal():
            raise BadInput("write NAME=N, such as mab-017=2", key="--profile-version", value=text)
        chosen[name] = int(number)
    return chosen


def _profiles(path: Path) -> Mapping[str, StabilityProfile]:
    if path.is_dir():
        return load_profiles(path)
    profile = load_profile(path)
    return {profile.name: profile}


def _findings(profile: StabilityProfile, *, is_template: bool) -> list[str]:
    found = [redundancy.sentence(*pair) for pair in redundancy.never_binding(profile)]
    if not is_template and TEMPLATE_MARK in profile.title.casefold():
        found.append("title still says template: replace every value by the sponsor's data, then the title")
    return found


def _never_in_force(profiles: Iterable[StabilityProfile]) -> list[str]:
    """The versions that a later one replaces before they are in force."""
    every = sorted(profiles, key=lambda profile: (profile.name, profile.version or 0))
    return [
        f"{old.name} version {old.version} is never in force: version {new.version} is from {iso(new.in_force_from_ms)}"
        for old, new in pairwise(every)
        if old.name == new.name and new.in_force_from_ms < old.in_force_from_ms
    ]


def _print_versions(profiles: Iterable[StabilityProfile]) -> None:
    every, now_ms = list(profiles), terminal.now_ms()
    newest = {p.name: in_force({q.version or 0: q for q in every if q.name == p.name}, now_ms).version for p in every}
    table = Table("profile", "version", "label", "limits", "document", "author / approver", "", box=SIMPLE_HEAD)
    for profile in sorted(every, key=lambda p: (p.name, p.version or 0)):
        table.add_row(
            profile.name,
            str(profile.version),
            limit_words.label(profile),
            str(len(profile.limits)),
            f"{profile.document} version {profile.document_version}",
            f"{profile.author} / {profile.approver}",
            _standing(profile, newest[profile.name] or 0, now_ms),
        )
    Console().print(table)


def _standing(profile: StabilityProfile, newest: int, now_ms: int) -> str:
    """Whether a version judges: unless a trial is set otherwise, the newest one that is in force does."""
    if profile.in_force_from_ms > now_ms:
        return f"from {iso(profile.in_force_from_ms)}"
    return "in force" if profile.version == newest else "superseded"


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, str | int | float) else str(value)
