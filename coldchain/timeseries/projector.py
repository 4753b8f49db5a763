"""From the ledger to the store: one pass takes the next stretch of the ledger, and moves the cursor when it is in.

A pass that fails changes nothing but the time it takes: the next one begins at the same cursor, and points that were
written already are written once more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from coldchain.errors import EnvironmentFailed
from coldchain.ledger import queries
from coldchain.ledger.queries import Ends
from coldchain.readings import ReadingBatch
from coldchain.registry import Registry, parse_registry
from coldchain.timeseries import local_file
from coldchain.timeseries.derive import (
    changed_place_hours,
    evidence_of,
    new_readings,
    place_basis,
    place_hours,
)
from coldchain.timeseries.ledger_view import LedgerView, no_rest
from coldchain.timeseries.points import Act, Addition, Cursor, GroupVerdict, PlaceHour
from coldchain.timeseries.store import Store
from coldchain.timeseries.verdicts import latest, note_verdicts

READINGS_PER_PASS = 200_000
BLOCKS_AT_ONCE = 200
"""So many are read before it rests."""

ACTS_PER_PASS = 5_000
VERDICTS_PER_PASS = 50
"""Each may stand for ten thousand kits."""

BEGINNING_MS, END_MS = 0, 253_402_300_800_000
"""Every instant that the ledger takes: 1970 to 9999."""


class OtherLedger(EnvironmentFailed):
    """The store holds the projection of another ledger, or of this one before it was restored."""

    def __init__(self) -> None:
        super().__init__("time-series store", "holds another ledger: run `coldchain timeseries rebuild`")


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is in the ledger and not yet in the store: reading blocks, audit entries, since when [ms], None: none."""

    blocks: int
    acts: int
    oldest_ms: int | None


class Projector:
    """Projects one ledger into one store. `local`: the file beside the ledger, open to write.

    `registry` is the current one and `backlog` what was left to do, both as of the last pass.
    """

    def __init__(
        self,
        ledger: sqlite3.Connection,
        local: sqlite3.Connection,
        store: Store,
        rest: Callable[[], None] = no_rest,
    ) -> None:
        self.ledger, self._local, self._store, self._rest = ledger, local, store, rest
        self.registry = Registry()
        self.backlog = Backlog(0, 0, None)
        self._versions: tuple[tuple[str, int], ...] | None = None
        self._placed: tuple[tuple[str, int], ...] | None = None

    @contextmanager
    def one_view(self) -> Iterator[None]:
        """One view of the ledger for everything that is read inside."""
        self.ledger.execute("BEGIN")
        try:
            self._load_registry()
            yield
        finally:
            self.ledger.rollback()

    def run_pass(self) -> bool:
        """Project the next stretch; whether there may be more. Raises EnvironmentFailed, and then nothing moved on.

        A view of the ledger is held only for what changes in it: while one is, the ledger cannot fold its write-ahead
        log back. What stands up to a block never changes: hours are computed, and the store is asked and written,
        without.
        """
        cursor = self._store.cursor()
        with self.one_view():
            self.check_ledger(cursor)
        seen = self._versions
        bases = None if seen == self._placed else self._store.place_bases()
        with self.one_view():
            assessed = latest(self._local, self.ledger)
            acts = self.acts(cursor.audit, cursor.audit + ACTS_PER_PASS)
            ends = queries.ends(self.ledger)
        note_verdicts(self._local, assessed, self.registry, self._rest)
        verdicts = self.verdicts(cursor.verdict, cursor.verdict + VERDICTS_PER_PASS)
        blocks = self._blocks(cursor.block, ends.block)
        block = blocks[-1][0] if blocks else cursor.block
        moved = Cursor(
            block,
            acts[-1].seq if acts else cursor.audit,
            verdicts[-1].seq if verdicts else cursor.verdict,
            queries.chain_hash_of_block(self.ledger, block),
        )
        if self._versions != seen:  # the registry has changed just now: the next pass sees to the places
            bases = None
        view = self.view(block)
        places = [] if bases is None else self._changed_places(view, bases)
        addition = self._addition(view, cursor, moved, blocks, acts, verdicts)
        for place, hours, basis in places:
            self._store.replace_place(place, hours, basis)
        if bases is not None:
            self._placed = seen
        if moved != cursor:
            self._store.append(addition)
        self.backlog = self._left(moved, ends)
        return self.backlog.blocks > 0 or len(acts) == ACTS_PER_PASS or len(verdicts) == VERDICTS_PER_PASS

    def _blocks(self, after: int, up_to: int) -> list[tuple[int, ReadingBatch]]:
        """The blocks of one pass: at least one if there is any."""
        found: list[tuple[int, ReadingBatch]] = []
        readings = 0
        while after < up_to and readings < READINGS_PER_PASS:
            self._rest()
            for block in queries.blocks_after(self.ledger, after, up_to, BLOCKS_AT_ONCE):
                if readings >= READINGS_PER_PASS:
                    break
                found.append(block)
                readings += len(block[1])
            after = found[-1][0]
        return found

    def _addition(
        self,
        view: LedgerView,
        cursor: Cursor,
        moved: Cursor,
        blocks: Sequence[tuple[int, ReadingBatch]],
        acts: Sequence[Act],
        verdicts: Sequence[GroupVerdict],
    ) -> Addition:
        readings, logger_hours, touched = new_readings(view, blocks, cursor.block)
        evidence = (evidence_of(act, self.registry) for act in acts)
        return Addition(
            moved,
            readings,
            logger_hours,
            changed_place_hours(view, self.registry, touched),
            tuple(acts),
            tuple(found for found in evidence if found is not None),
            tuple(verdicts),
        )

    def view(self, up_to_block: int) -> LedgerView:
        """The ledger up to a block."""
        longer = local_file.long_blocks(self._local, self.ledger, up_to_block)
        return LedgerView(self.ledger, up_to_block, longer, self._rest)

    def acts(self, after: int, up_to: int) -> list[Act]:
        """The audit entries after one, up to another."""
        return [Act(*row) for row in queries.audit_between(self.ledger, after, up_to)]

    def verdicts(self, after: int, up_to: int) -> list[GroupVerdict]:
        """The journalled verdicts after one, up to another."""
        return local_file.verdicts(self._local, after, up_to)

    def check_ledger(self, cursor: Cursor) -> None:
        """Raises OtherLedger unless the cursor was set by a projection of this very ledger."""
        is_same = queries.chain_hash_of_block(self.ledger, cursor.block) == cursor.mark
        if not is_same or queries.ends(self.ledger).audit < cursor.audit:
            raise OtherLedger

    def renew_place(self, view: LedgerView, place: str) -> None:
        """Compute all hours of a place again."""
        self._store.replace_place(place, *self._whole_place(view, place))

    def _whole_place(self, view: LedgerView, place: str) -> tuple[tuple[PlaceHour, ...], str]:
        hours = place_hours(view, self.registry, place, BEGINNING_MS, END_MS)
        return tuple(hours), place_basis(self.registry, place)

    def _changed_places(
        self, view: LedgerView, bases: Mapping[str, str]
    ) -> list[tuple[str, tuple[PlaceHour, ...], str]]:
        """The places whose monitoring, or what their loggers are worth, has changed, with all of their hours."""
        return [
            (place, *self._whole_place(view, place))
            for place in sorted(self.registry.places.keys() | bases.keys())
            if bases.get(place) != place_basis(self.registry, place)
        ]

    def _left(self, cursor: Cursor, ends: Ends) -> Backlog:
        blocks = ends.block - cursor.block
        oldest_ms = queries.received_after(self.ledger, cursor.block) if blocks else None
        return Backlog(blocks, ends.audit - cursor.audit, oldest_ms)

    def _load_registry(self) -> None:
        files = queries.registry_files(self.ledger)
        versions = tuple((file.name, file.version) for file in files)
        if versions != self._versions:
            self.registry = parse_registry([(file.name, file.content) for file in files])
            self._versions = versions
