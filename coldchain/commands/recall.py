"""The state that a ledger supports, for commands that look at it beside the service."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from coldchain import pipeline, rulebook
from coldchain.ledger import queries, senders
from coldchain.pipeline import State
from coldchain.registry import Registry, parse_registry
from coldchain.settings import Settings


def recall(
    connection: sqlite3.Connection,
    settings: Settings,
    now_ms: int,
    as_of_ms: int | None = None,
    chosen: Mapping[str, int] | None = None,
    kits: Iterable[str] | None = None,
) -> State:
    """What is in the ledger, judged as the service sees it now, or as of an instant by the rules then in force.

    `chosen`: versions of profiles that judge in the place of those. With `kits`, only what concerns those that are
    registered is read: a ledger of years holds far more than one report needs.
    """
    registry = registered(connection)
    if kits is None:
        batches = list(queries.batches(connection))
    else:
        registry = registry.narrowed(kit for kit in kits if kit in registry.kits)
        batches = [batch for key in sorted(registry.channels) for batch in queries.channel_batches(connection, key)]
    state, found = pipeline.start(
        registry,
        rulebook.load(settings.rules.dir, now_ms if as_of_ms is None else as_of_ms, chosen),
        batches,
        queries.events(connection),
        queries.warnings(connection),
        now_ms=now_ms,
        as_of_ms=as_of_ms,
        is_live=as_of_ms is None,
        lost=senders.lost_by_channel(connection),
    )
    pipeline.adopt(state, found)
    return state


def registered(connection: sqlite3.Connection) -> Registry:
    """The registry as it stands in the ledger."""
    return parse_registry([(file.name, file.content) for file in queries.registry_files(connection)])
