"""Keeps the service's state in step with the ledger: from a checkpoint or all readings, amended, within its memory.

Whatever is kept in memory or in a checkpoint can be lost at any time: the ledger says it all again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import coldchain
from coldchain import pipeline, retention, rulebook
from coldchain.history import NOTHING
from coldchain.ledger.ledger import Ledger
from coldchain.pipeline import State, Step
from coldchain.registry import Registry, parse_registry
from coldchain.rulebook import Rulebook
from coldchain.state import know, remember

PLACES_AT_ONCE = 50
"""So many places put their past away in one go: some milliseconds each, between two commits."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A state and what it stands on.

    `position`: the last reading block it has seen. `version`: of the ledger when it was read. `key`: of the registry,
    the rules and the release. `rules_change_ms`: when other versions of the rules come into force, None if never.
    """

    state: State
    position: int
    version: int
    key: str
    rules_change_ms: int | None


def catch_up(ledger: Ledger, rules: Path, kept: Kept | None, now_ms: int) -> Iterator[tuple[Kept, Step]]:
    """What brings a state up to the ledger, each with what it finds, to be stored and adopted before going on.

    Without a state: one from the checkpoint, if it fits, and the readings after it, else from all readings.
    """
    version = ledger.data_version()
    files = ledger.current_registry_files()
    book = rulebook.load(rules, now_ms)
    key = _key({file.name: file.sha256 for file in files}, book)
    if kept is None:
        registry = parse_registry([(file.name, file.content) for file in files])
        yield _started(ledger, registry, book, key, version, now_ms)
        return
    kept = replace(kept, version=version, rules_change_ms=book.next_change_ms)
    know(kept.state, ledger.load_events(), ledger.load_warnings())  # another process may have raised some
    if key != kept.key:
        registry = parse_registry([(file.name, file.content) for file in files])
        state, found = pipeline.amend(kept.state, registry, book, now_ms)
        kept = replace(kept, state=state, key=key)
        yield kept, found
    position = ledger.position()
    batches = list(ledger.load_batches(kept.position)) if position > kept.position else []
    found = pipeline.step(kept.state, batches, now_ms, are_stored=True)
    yield replace(kept, position=position), replace(found, fresh=())  # it is all in the ledger


def _started(
    ledger: Ledger,
    registry: Registry,
    book: Rulebook,
    key: str,
    version: int,
    now_ms: int,
) -> tuple[Kept, Step]:
    position = ledger.position()
    after, remembered = ledger.read_checkpoint(key)
    state, found = pipeline.start(
        registry,
        book,
        list(ledger.load_batches(after)),
        ledger.load_events(),
        ledger.load_warnings(),
        now_ms=now_ms,
        is_live=True,
        archive=ledger.channel_batches,
        remembered=remembered,
        lost=ledger.lost_by_channel(),
    )
    return Kept(state, position, version, key, book.next_change_ms), replace(found, fresh=())


def put_away(kept: Kept, now_ms: int, keep_ms: int, most: int = PLACES_AT_ONCE) -> int:
    """Let the places that hold more than twice what is to be kept put the older part away; how many there are left."""
    oldest_ms = now_ms - 2 * keep_ms
    records = kept.state.records
    due = [place for place in kept.state.registry.places if records.get(place, NOTHING).since_ms < oldest_ms]
    if due:
        pipeline.adopt(kept.state, retention.put_away(kept.state, now_ms - keep_ms, now_ms, due[:most]))
    return max(0, len(due) - most)


def write_checkpoint(ledger: Ledger, kept: Kept, now_ms: int) -> None:
    """Keep the state for the next start."""
    ledger.write_checkpoint(remember(kept.state), kept.key, kept.position, now_ms)


def _key(files: Mapping[str, str], book: Rulebook) -> str:
    """What the answers of a state depend on beside the readings."""
    parts = [coldchain.__version__, *(f"{name} {sha256}" for name, sha256 in sorted(files.items()))]
    versions = (profile for numbers in book.versions.values() for profile in numbers.values())
    parts += [f"{p.name} {p.version} {p.sha256} {book.newest[p.name].version}" for p in versions]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
