"""The spool: every reading from the moment it is taken until the service has it on its disk. One SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from coldchain.errors import BadInput, EnvironmentFailed
from coldchain.readings import ReadingBatch
from gateways.agent import losses, spool_schema
from gateways.agent.channels import Channel, Counts, Row, Span, new_boot
from gateways.agent.settings import Store
from gateways.agent.space import ROW_BYTES, must_drop, reserve, space

DROP_AT_ONCE = 1000
_READING = "INSERT INTO reading (channel, seq, at_ms, mc, fault, clock) VALUES (?, ?, ?, ?, ?, ?)"


class DiskFull(Exception):
    """There is no room for new readings, and nothing old that could make some."""


class Spool:
    """Opened by one process at a time; its methods are called by one thread.

    Raises EnvironmentFailed if another process has it, sqlite3.DatabaseError if the file is damaged, BadInput if it
    belongs to another gateway: numbers that two gateways give out would be taken for each other's.
    """

    def __init__(
        self,
        store: Store,
        site: str,
        gateway: str,
        clock_ms: Callable[[], int],
        random_bits: Callable[[int], int],
        free_bytes: Callable[[], int],
    ) -> None:
        self._store, self._clock_ms, self._random_bits, self._free_bytes = store, clock_ms, random_bits, free_bytes
        self._lock = spool_schema.lock(store.path)
        self._offsets: dict[int, int | None] = {}
        try:
            self._db = spool_schema.connect(store.path)
            try:
                self._check(site, gateway)
                self.channels: dict[int, Channel] = {}
                self._load()
                with suppress(sqlite3.OperationalError):  # the disk is full already: there is nothing to reserve
                    reserve(self._db)
            except BaseException:
                self._db.close()
                raise
        except BaseException:
            os.close(self._lock)
            raise

    def _check(self, site: str, gateway: str) -> None:
        if not self._db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'spool'").fetchone():
            spool_schema.create(self._db, site, gateway)
        ok = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if ok != ("ok",):
            raise sqlite3.DatabaseError(f"the file is damaged: {ok[0]}")
        version, *owner = self._db.execute("SELECT version, site, gateway FROM spool").fetchone()
        if version != spool_schema.VERSION:
            raise EnvironmentFailed("spool", f"{self._store.path} was written by another version of the agent")
        if owner != [site, gateway]:
            problem = f"this spool belongs to {owner[0]}/{owner[1]}; give {site}/{gateway} a file of its own"
            raise BadInput(problem, file=str(self._store.path))

    def _load(self) -> None:
        self._load_channels()
        self.counts = Counts(
            self._db.execute("SELECT count(*) FROM reading").fetchone()[0],
            self._db.execute("SELECT coalesce(sum(last - first + 1), 0) FROM dropped").fetchone()[0],
            self._db.execute("SELECT count(*) FROM refused").fetchone()[0],
        )

    def _load_channels(self) -> None:
        rows = self._db.execute("SELECT id, logger, channel, boot, next_seq FROM channel")
        self.channels = {row[0]: Channel(*row) for row in rows}
        self._ids = {(one.logger, one.channel): one.id for one in self.channels.values()}

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it on the disk, or nothing."""
        counts = replace(self.counts)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self.counts = counts
            self._offsets.clear()
            self._load_channels()
            raise

    def find(self, logger: str, channel: str) -> Channel | None:
        """The channel of these names, None if no reading of it was ever kept."""
        known = self._ids.get((logger, channel))
        return None if known is None else self.channels[known]

    def put(self, batches: Sequence[ReadingBatch], clock: int | None) -> list[Span]:
        """Number readings and keep them; call it inside a transaction, after `make_room`.

        `clock`: the state of the gateway's clock that stamped them, None for a logger's own clock.
        """
        spans = []
        for batch in batches:
            if not len(batch):
                continue
            channel = self.find(batch.logger, batch.channel) or self._new_channel(batch.logger, batch.channel)
            first = channel.next_seq
            columns = zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True)
            rows = (
                (channel.id, first + i, at_ms, mc, batch.faults.get(i), clock) for i, (at_ms, mc) in enumerate(columns)
            )
            self._db.executemany(_READING, rows)
            channel.next_seq = first + len(batch)
            self._db.execute("UPDATE channel SET next_seq = ? WHERE id = ?", (channel.next_seq, channel.id))
            self.counts.pending += len(batch)
            spans.append(Span(channel.id, first, channel.next_seq - 1))
        return spans

    def _new_channel(self, logger: str, name: str) -> Channel:
        boot = new_boot(self._clock_ms(), self._random_bits)
        row = self._db.execute(
            "INSERT INTO channel (logger, channel, boot, next_seq) VALUES (?, ?, ?, 1) RETURNING id",
            (logger, name, boot),
        ).fetchone()
        channel = Channel(row[0], logger, name, boot, 1)
        self.channels[channel.id] = channel
        self._ids[logger, name] = channel.id
        return channel

    def new_life(self, channel: Channel) -> None:
        """Go on numbering under another `boot`: for a file that turned out to be an old copy of itself."""
        boot = new_boot(self._clock_ms(), self._random_bits)
        self._db.execute("UPDATE channel SET boot = ? WHERE id = ?", (boot, channel.id))
        channel.boot = boot

    def rows(self, span: Span, limit: int) -> list[Row]:
        """What is kept of a span, in the order of its numbers, at most `limit`."""
        found = self._db.execute(
            "SELECT seq, at_ms, mc, fault, clock FROM reading WHERE channel = ? AND seq BETWEEN ? AND ? "
            "ORDER BY seq LIMIT ?",
            (*span, limit),
        )
        return [Row(*row) for row in found]

    def delete(self, spans: Iterable[Span]) -> int:
        """Forget readings that the service has; how many there were. Call it inside a transaction."""
        deleted = 0
        for span in spans:
            deleted += self._db.execute("DELETE FROM reading WHERE channel = ? AND seq BETWEEN ? AND ?", span).rowcount
        self.counts.pending -= deleted
        return deleted

    def set_aside(self, span: Span, reason: str, sha256: str) -> int:
        """Keep readings apart that the service has refused; they are published no more. Call it in a transaction."""
        boot = self.channels[span.channel].boot
        moved = losses.set_aside(self._db, span, boot, reason, sha256, self._clock_ms())
        self.delete([span])
        self.counts.refused += moved
        return moved

    def make_room(self, readings: int) -> int:
        """Drop the oldest readings until so many new ones have room; how many were dropped, on record in `dropped`.

        Raises DiskFull where dropping everything is not enough.
        """
        dropped = 0
        while must_drop(self._db, self._store, readings * ROW_BYTES, self._free_bytes):
            if not (now := self.drop_oldest()):
                raise DiskFull("there is no room, even without the old ones")
            dropped += now
        return dropped

    def drop_oldest(self, at_most: int = DROP_AT_ONCE) -> int:
        """Drop the readings that came first, in a transaction of its own."""
        with self.transaction():
            boots = {channel.id: channel.boot for channel in self.channels.values()}
            dropped = losses.drop_oldest(self._db, boots, self._clock_ms(), at_most)
            self.counts.pending -= dropped
            self.counts.dropped += dropped
        return dropped

    def requeue(self) -> int:
        """Give back to be published what the service had refused; how many. For when its reason is mended.

        Their numbers are new: the service has given up on the old ones.
        """
        with self.transaction():
            rows = losses.take_back(self._db)
            for channel_id, *values in rows:
                channel = self.channels[channel_id]
                self._db.execute(_READING, (channel_id, channel.next_seq, *values))
                channel.next_seq += 1
                self._db.execute("UPDATE channel SET next_seq = ? WHERE id = ?", (channel.next_seq, channel_id))
            self.counts.pending += len(rows)
            self.counts.refused = 0
        return len(rows)

    def last_losses_ms(self) -> tuple[int | None, int | None]:
        """When readings were last dropped, and last refused [ms]; None if never."""
        return losses.last_ms(self._db)

    def relieve(self) -> int:
        """Do what a full disk still allows, so that the next try has room; how many readings were dropped for it.

        Raises sqlite3.OperationalError if it allows nothing.
        """
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")  # what is in the file can be overwritten in the log
        return self.drop_oldest() if space(self._db).reusable_bytes < DROP_AT_ONCE * ROW_BYTES else 0

    def memory(self, source: str) -> dict[str, str]:
        """What a source has remembered."""
        return dict(self._db.execute("SELECT name, value FROM memory WHERE source = ?", (source,)))

    def remember(self, source: str, memory: Mapping[str, str]) -> None:
        """Keep what a source has to know after a restart; call it in the transaction that keeps its readings."""
        self._db.executemany(
            "INSERT INTO memory VALUES (?, ?, ?) ON CONFLICT (source, name) DO UPDATE SET value = excluded.value",
            [(source, name, value) for name, value in memory.items()],
        )

    def note(self, name: str, value: str) -> None:
        """Keep a word for the `status` command."""
        self._db.execute(
            "INSERT INTO note VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
        )

    def new_clock(self, since_ms: int) -> int:
        """A state of the gateway's clock whose offset is not known yet."""
        row = self._db.execute("INSERT INTO clock (since_ms) VALUES (?) RETURNING id", (since_ms,)).fetchone()
        return int(row[0])

    def set_offset(self, clock: int, offset_ms: int) -> None:
        """What is to be added to times stamped by this state of the clock [ms]."""
        self._db.execute("UPDATE clock SET offset_ms = ? WHERE id = ?", (offset_ms, clock))
        self._offsets[clock] = offset_ms

    def offset(self, clock: int) -> int | None:
        """The offset of a state of the clock [ms], None if it is not known."""
        if clock not in self._offsets:
            row = self._db.execute("SELECT offset_ms FROM clock WHERE id = ?", (clock,)).fetchone()
            self._offsets[clock] = None if row is None else row[0]
        return self._offsets[clock]
