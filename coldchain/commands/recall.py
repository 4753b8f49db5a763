"""The state that a ledger supports, for commands that look at it beside the service."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from coldchain import pipeline, rulebook
from coldchain.ledger import queries
from coldchain.pipeline import State
from coldchain.registry import parse_registry
from coldchain.settings import Settings


def recall(
    connection: sqlite3.Connection,
    settings: Settings,
    now_ms: int,
    as_of_ms: int | None = None,
    chosen: Mapping[str, int] | None = None,
) -> State:
    """Everything in the ledger, judged as the service sees it now, or as of an instant by the rules then in force.

    `chosen`: versions of profiles that judge in the place of those.
    """
    files = queries.registry_files(connection)
    state, found = pipeline.start(
        parse_registry([(file.name, file.content) for file in files]),
        rulebook.load(settings.rules.dir, now_ms if as_of_ms is None else as_of_ms, chosen),
        list(queries.batches(connection)),
        queries.events(connection),
        queries.warnings(connection),
        now_ms=now_ms,
        as_of_ms=as_of_ms,
        is_live=as_of_ms is None,
    )
    pipeline.adopt(state, found)
    return state
