"""The state that a ledger supports, for commands that look at it beside the service."""

from __future__ import annotations

import sqlite3

from coldchain import pipeline
from coldchain.ledger import queries
from coldchain.pipeline import State
from coldchain.profiles import load_profiles
from coldchain.registry import parse_registry
from coldchain.settings import Settings


def recall(connection: sqlite3.Connection, settings: Settings, now_ms: int, as_of_ms: int | None = None) -> State:
    """Everything in the ledger, judged by the present rules: as the service sees it now, or as of an instant."""
    files = queries.registry_files(connection)
    state, found = pipeline.start(
        parse_registry([(file.name, file.content) for file in files]),
        load_profiles(settings.rules.dir),
        list(queries.batches(connection)),
        queries.events(connection),
        queries.warnings(connection),
        now_ms=now_ms,
        as_of_ms=as_of_ms,
        is_live=as_of_ms is None,
    )
    pipeline.adopt(state, found)
    return state
