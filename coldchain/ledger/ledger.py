"""The one writer of the ledger: whatever one step found is in it as a whole or not at all.

Every write of any process holds an flock on `<path>.lock` for its transaction, because SQLite before 3.51.3 can
corrupt a write-ahead log that two writers reset at once. Whatever SQLite or the disk refuses is EnvironmentFailed, and
then nothing may be acknowledged.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from coldchain.errors import ColdchainError, EnvironmentFailed
from coldchain.ledger import audit, backup, locks, queries, records, schema, senders, verification
from coldchain.ledger.entries import Alert, Delivery, LostReading, Message, OutboxRow, RegistryFile, Waiting
from coldchain.ledger.queries import trouble_with
from coldchain.model import EarlyWarning, QuarantineEvent
from coldchain.readings import ChannelKey, Lost, ReadingBatch
from coldchain.sequence import Counter, Runs

if TYPE_CHECKING:  # a command that only writes a registry file need not wait for the kernels to compile
    from coldchain.state import Remembered, Step

OLDEST_SQLITE = (3, 38, 0)
"""STRICT tables, and unixepoch() in the record of a migration."""

NO_COUNTERS: Mapping[Counter, Runs] = {}


class LedgerChanged(ColdchainError):
    """Another process wrote since the state was loaded: load again and repeat the step."""

    exit_code = 3


class Ledger:
    """An open ledger. Use it from one thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int) -> None:
        self._path, self._connection, self._lock = path, connection, lock

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open the ledger for writing; a new or older file is brought up to the present tables."""
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise EnvironmentFailed("ledger", f"SQLite {sqlite3.sqlite_version} is too old: 3.38 or newer is needed")
        with ExitStack() as stack:
            with trouble_with(path):
                stack.enter_context(locks.in_use(path))
                lock = locks.open_lock(path, "lock")
                stack.callback(os.close, lock)
                connection = sqlite3.connect(path, isolation_level=None, timeout=30)
                # The last one to close folds the write-ahead log back, which is writing too.
                stack.callback(_close, path, connection, lock)
                with locks.writing(lock):
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.execute("PRAGMA synchronous = FULL")
                    connection.execute("PRAGMA foreign_keys = ON")
                    schema.migrate(connection)
            yield cls(path, connection, lock)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with trouble_with(self._path), locks.writing(self._lock):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rollback()
                raise

    def save(
        self,
        messages: Sequence[Message],
        step: Step,
        alerts: Sequence[Alert],
        now_ms: int,
        *,
        counters: Mapping[Counter, Runs] = NO_COUNTERS,
        lost: Sequence[LostReading] = (),
        waiting: Sequence[Waiting] = (),
        waited: Sequence[Waiting] = (),
        unless_changed_since: int | None = None,
    ) -> int:
        """Write all that one step found, in one transaction that is on disk when this returns; the position after it.

        `step.fresh` is aligned with the batches of the messages, one after the other; an empty batch held nothing new.
        `counters`: what is stored of gateways' numbers after it; `lost`: what they were asked for in vain.
        `waiting`: messages to be read later; `waited`: those among `messages` that have waited till now.
        `unless_changed_since` is the `data_version()` before the state was loaded that the step was computed from;
        LedgerChanged if another process has written since.
        """
        with self._transaction() as connection:
            if unless_changed_since is not None and self.data_version() != unless_changed_since:
                raise LedgerChanged("another process wrote to the ledger")
            records.write_messages(connection, messages, step.fresh)
            senders.write_counters(connection, counters)
            senders.write_lost_readings(connection, lost, now_ms)
            senders.write_waiting(connection, waiting, waited)
            records.write_assessments(connection, step.outcomes, now_ms)
            records.write_events(connection, step.events, now_ms)
            records.write_warnings(connection, step.warnings, now_ms)
            records.write_alerts(connection, alerts, now_ms)
            return queries.position(connection)

    def keep_assessments(self, groups: Iterable[str]) -> None:
        """Forget the assessments of kit groups that are no more: a kit that moves on belongs to another group."""
        with self._transaction() as connection:
            connection.execute(
                "DELETE FROM assessment WHERE group_id NOT IN (SELECT value FROM json_each(?))",
                (json.dumps(list(groups)),),
            )

    def data_version(self) -> int:
        """A number that changes whenever another connection has written, and only then."""
        with trouble_with(self._path):
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def load_batches(self, after: int = 0) -> Iterator[ReadingBatch]:
        """Every reading, in the order in which it became known; only those `after` a position."""
        with trouble_with(self._path):
            yield from queries.batches(self._connection, after)

    def channel_batches(self, key: ChannelKey) -> Iterator[ReadingBatch]:
        """Every reading of one channel, in the order in which it became known."""
        with trouble_with(self._path):
            yield from queries.channel_batches(self._connection, key)

    def position(self) -> int:
        """Up to where the readings are stored."""
        with trouble_with(self._path):
            return queries.position(self._connection)

    def write_checkpoint(self, remembered: Remembered, key: str, position: int, now_ms: int) -> None:
        """Keep what a state remembers of the readings up to a position, for the next start under the same `key`."""
        from coldchain.ledger import checkpoint

        with trouble_with(self._path):
            sha256 = checkpoint.write(checkpoint.path_of(self._path), remembered, key)
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO checkpoint (written_ms, position, sha256) VALUES (?, ?, ?)", (now_ms, position, sha256)
            )

    def read_checkpoint(self, key: str) -> tuple[int, Remembered | None]:
        """The last checkpoint and its position; (0, None) if there is none that fits and is as it was written."""
        from coldchain.ledger import checkpoint

        with trouble_with(self._path):
            written = queries.checkpoint(self._connection)
            remembered = checkpoint.read(checkpoint.path_of(self._path), written[1], key) if written else None
        return (0, None) if written is None or remembered is None else (written[0], remembered)

    def runs_of(self, counter: Counter) -> Runs:
        """The numbers of a gateway's counter that are stored."""
        with trouble_with(self._path):
            return senders.runs_of(self._connection, counter)

    def counters_with_gaps(self) -> dict[Counter, Runs]:
        """The counters of which numbers are missing."""
        with trouble_with(self._path):
            return senders.counters_with_gaps(self._connection)

    def lost_readings(self) -> tuple[LostReading, ...]:
        """What gateways were asked for in vain."""
        with trouble_with(self._path):
            return senders.lost_readings(self._connection)

    def lost_by_channel(self) -> dict[ChannelKey, set[Lost]]:
        """The same as the core takes it."""
        with trouble_with(self._path):
            return senders.lost_by_channel(self._connection)

    def waiting(self, most: int) -> tuple[Waiting, ...]:
        """The messages that have waited longest, of every sender the same share."""
        with trouble_with(self._path):
            return senders.waiting(self._connection, most)

    def count_waiting(self) -> int:
        """How many messages wait to be read."""
        with trouble_with(self._path):
            return senders.count_waiting(self._connection)

    def message_topics(self, prefix: str) -> Iterator[tuple[int, str]]:
        """Id and topic of every MQTT message below a prefix that ends in "/", in the order of arrival."""
        with trouble_with(self._path):
            yield from queries.message_topics(self._connection, prefix)

    def raw_message(self, number: int) -> tuple[int, str, bytes]:
        """When a message arrived, its topic and its bytes."""
        with trouble_with(self._path):
            return queries.raw_message(self._connection, number)

    def load_events(self) -> tuple[QuarantineEvent, ...]:
        """The latest revision of every quarantine event."""
        with trouble_with(self._path):
            return queries.events(self._connection)

    def load_warnings(self) -> tuple[EarlyWarning, ...]:
        """Every early warning."""
        with trouble_with(self._path):
            return queries.warnings(self._connection)

    def current_registry_files(self) -> tuple[RegistryFile, ...]:
        """The newest version of every registry file, by name."""
        with trouble_with(self._path):
            return queries.registry_files(self._connection)

    def register(self, name: str, content: str, who: str, now_ms: int, *, reason: str = "registry load") -> int:
        """Make a file part of the current registry; its version. Text equal to the current version changes nothing."""
        sha256 = hashlib.sha256(content.encode()).hexdigest()
        with self._transaction() as connection:
            version, current = connection.execute(
                "SELECT max(version), sha256 FROM registry_file WHERE name = ?", (name,)
            ).fetchone()
            if current == sha256:
                return int(version)
            version = (version or 0) + 1
            connection.execute(
                "INSERT INTO registry_file (name, version, loaded_ms, who, sha256, content) VALUES (?, ?, ?, ?, ?, ?)",
                (name, version, now_ms, who, sha256, content),
            )
            audit.append(
                connection,
                at_ms=now_ms,
                who=who,
                role="operator",
                action="registry.loaded",
                subject=f"registry {name}",
                old=current,
                new=sha256,
                reason=reason,
            )
            return int(version)

    def due_alerts(self, now_ms: int) -> tuple[OutboxRow, ...]:
        """The alerts whose next attempt is due, oldest first."""
        with trouble_with(self._path):
            return queries.due_alerts(self._connection, now_ms)

    def record_deliveries(self, deliveries: Iterable[Delivery]) -> None:
        """Write down what became of attempts to deliver; a failed one is due again after 2, 4, 8 ... 300 seconds."""
        with self._transaction() as connection:
            for delivery in deliveries:
                connection.execute(
                    "UPDATE outbox SET attempts = attempts + 1, last_error = :error, "
                    "sent_ms = CASE WHEN :error = '' THEN :at_ms ELSE sent_ms END, "
                    "next_attempt_ms = :at_ms + min(2000 << min(attempts, 16), :longest) WHERE id = :id",
                    {
                        "error": delivery.error,
                        "at_ms": delivery.at_ms,
                        "longest": queries.LONGEST_RETRY_MS,
                        "id": delivery.outbox_id,
                    },
                )

    def audit_verify(self, anchor: audit.Heads | None = None) -> verification.AuditFindings:
        """Whether everything is as it was written, and the heads of the chains to write down outside."""
        with trouble_with(self._path):
            return verification.verify(self._connection, anchor)

    def backup(self, to: Path) -> None:
        """Copy the ledger, while it is in use, to a file that did not exist before; the copy is verified."""
        backup.back_up(self._path, self._connection, to)


def _close(path: Path, connection: sqlite3.Connection, lock: int) -> None:
    with trouble_with(path), locks.writing(lock):
        connection.close()
