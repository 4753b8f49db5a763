"""When the outcome of a kit group changed: noted from the ledger's assessments, which keep only the latest.

An outcome is the verdict, the limits breached and the early warnings that hold; the figures beside it may move with
every reading and make no new entry.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from coldchain.ledger import queries
from coldchain.registry import Registry
from coldchain.timeseries import local_file
from coldchain.timeseries.ledger_view import no_rest

LOOK_BACK_MS = 60_000
"""Assessments are looked at again this long after: a clock that is set right may step back a little."""

Assessments = Sequence[tuple[str, int, str]]
"""Group, when it was assessed [ms UTC], and the assessment as JSON."""


def latest(local: sqlite3.Connection, ledger: sqlite3.Connection) -> Assessments:
    """The assessments that may not have been noted yet."""
    return queries.assessments_since(ledger, local_file.progress(local, "assessed_ms") - LOOK_BACK_MS)


def note_verdicts(
    local: sqlite3.Connection, found: Assessments, registry: Registry, rest: Callable[[], None] = no_rest
) -> int:
    """Add what changed to the journal; how many entries that makes. Groups that the registry no longer has are left.

    `rest` is called before each of them.
    """
    since_ms = local_file.progress(local, "assessed_ms")
    added = 0
    with local_file.transaction(local):
        first_kit = _next_kit(local)
        for group_id, updated_ms, body in found:
            since_ms = max(since_ms, updated_ms)
            group = registry.groups.get(group_id)
            if group is None:
                continue
            rest()
            assessment = json.loads(body)
            kits = list(group.kits)
            outcome = json.dumps([_outcome(assessment), kits])
            last = local.execute(
                "SELECT outcome FROM verdict WHERE group_id = ? ORDER BY seq DESC LIMIT 1", (group_id,)
            ).fetchone()
            if last is not None and last[0] == outcome:
                continue
            local.execute(
                "INSERT INTO verdict (at_ms, group_id, first_kit, kits, outcome, body) VALUES (?, ?, ?, ?, ?, ?)",
                (updated_ms, group_id, first_kit, json.dumps(kits), outcome, json.dumps(_body(assessment))),
            )
            first_kit += len(kits)
            added += 1
        local_file.remember(local, "assessed_ms", since_ms)
    return added


def _next_kit(local: sqlite3.Connection) -> int:
    row = local.execute("SELECT first_kit, kits FROM verdict ORDER BY seq DESC LIMIT 1").fetchone()
    return row[0] + len(json.loads(row[1])) if row else 0


def _outcome(assessment: dict[str, Any]) -> list[Any]:
    limits = [
        [limit["limit_id"], limit["breached_at_ms"] is not None, limit["warned_share"]]
        for limit in assessment["limits"]
    ]
    return [assessment["profile"], assessment["profile_version"], assessment["verdict"], limits]


def _body(assessment: dict[str, Any]) -> dict[str, Any]:
    same = ("verdict", "profile", "profile_version", "as_of_ms", "known_ms", "unknown_ms")
    figures = ("min_mc", "max_mc", "mean_c", "mkt_c")
    return {
        **{key: assessment[key] for key in (*same, *figures)},
        "out_of_range_ms": sum(excursion["out_of_range_ms"] for excursion in assessment["excursions"]),
        "excursions": len(assessment["excursions"]),
        "breached": ",".join(f["limit_id"] for f in assessment["limits"] if f["breached_at_ms"] is not None),
    }
