"""The tables of the ledger, and the migrations that bring an older file up to them.

Everything that is evidence is append-only, enforced by triggers: even a program error cannot rewrite it. `assessment`
is the one table that is overwritten, because `replay` computes it again at any time.
"""

from __future__ import annotations

import sqlite3

from coldchain.errors import EnvironmentFailed


def _append_only(*tables: str) -> tuple[str, ...]:
    return tuple(
        f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in tables
        for verb in ("update", "delete")
    )


FIRST = (
    """
    CREATE TABLE message (                       -- raw bytes as they arrived, rejected ones too
        id INTEGER PRIMARY KEY,
        received_ms INTEGER NOT NULL,
        source TEXT NOT NULL CHECK (source IN ('mqtt', 'file')),
        topic TEXT NOT NULL,                     -- the file's name for a file
        payload BLOB NOT NULL,
        sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
        status TEXT NOT NULL CHECK (status IN ('accepted', 'rejected')),
        reason TEXT NOT NULL,
        detail TEXT NOT NULL,
        chain_hash TEXT NOT NULL CHECK (length(chain_hash) = 64),  -- over the message before, this one, its readings
        CHECK ((status = 'rejected') = (reason <> ''))
    ) STRICT
    """,
    "CREATE INDEX message_rejected ON message (received_ms) WHERE status = 'rejected'",
    """
    CREATE TABLE reading_block (                 -- readings that were new when they arrived, as columns
        id INTEGER PRIMARY KEY,
        message_id INTEGER NOT NULL REFERENCES message (id),
        logger TEXT NOT NULL,
        channel TEXT NOT NULL,
        boot INTEGER,
        seq INTEGER,
        n INTEGER NOT NULL CHECK (n > 0),
        first_ms INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        at_ms BLOB NOT NULL,                     -- int64, little-endian
        temperature_mc BLOB NOT NULL,            -- int32, little-endian; -2^31 where there is no temperature
        received_ms INTEGER,                     -- NULL: from a file
        faults TEXT NOT NULL,                    -- JSON: reason by position
        CHECK (first_ms <= last_ms),
        CHECK (length(at_ms) = 8 * n),
        CHECK (length(temperature_mc) = 4 * n)
    ) STRICT
    """,
    "CREATE INDEX reading_block_channel ON reading_block (logger, channel, first_ms)",
    """
    CREATE TABLE assessment (                    -- the latest of each kit group
        group_id TEXT PRIMARY KEY,
        verdict TEXT NOT NULL CHECK (verdict IN ('within_label', 'within_allowance', 'indeterminate', 'outside')),
        body TEXT NOT NULL,                      -- JSON
        as_of_ms INTEGER,
        updated_ms INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE event (                         -- the latest revision of each quarantine event
        id TEXT PRIMARY KEY,
        kit TEXT NOT NULL,
        limit_id TEXT NOT NULL,
        reason TEXT NOT NULL CHECK (reason IN ('limit', 'data_missing', 'data_integrity')),
        breached_at_ms INTEGER NOT NULL,
        detected_at_ms INTEGER NOT NULL,
        profile TEXT NOT NULL,
        profile_version INTEGER,
        revision INTEGER NOT NULL CHECK (revision >= 1),
        supported INTEGER NOT NULL CHECK (supported IN (0, 1))
    ) STRICT
    """,
    "CREATE INDEX event_kit ON event (kit, limit_id)",
    """
    CREATE TABLE event_revision (                -- every revision, with the same columns
        event_id TEXT NOT NULL REFERENCES event (id),
        revision INTEGER NOT NULL CHECK (revision >= 1),
        reason TEXT NOT NULL,
        breached_at_ms INTEGER NOT NULL,
        detected_at_ms INTEGER NOT NULL,
        supported INTEGER NOT NULL CHECK (supported IN (0, 1)),
        written_ms INTEGER NOT NULL,
        PRIMARY KEY (event_id, revision)
    ) STRICT
    """,
    """
    CREATE TABLE warning (                       -- early warnings: a share of a budget reached
        id TEXT PRIMARY KEY,
        kit TEXT NOT NULL,
        limit_id TEXT NOT NULL,
        share INTEGER NOT NULL CHECK (share BETWEEN 1 AND 100),
        reached_ms INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE audit (                         -- who did what, when and why; each entry carries the hash of the last
        seq INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        who TEXT NOT NULL CHECK (who <> ''),
        role TEXT NOT NULL CHECK (role <> ''),
        action TEXT NOT NULL CHECK (action <> ''),
        subject TEXT NOT NULL,
        old TEXT,
        new TEXT,
        reason TEXT NOT NULL CHECK (reason <> ''),
        prev_hash TEXT NOT NULL CHECK (length(prev_hash) = 64),
        hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64)
    ) STRICT
    """,
    """
    CREATE TABLE outbox (                        -- what has to be told to whom
        id INTEGER PRIMARY KEY,
        idempotency_key TEXT NOT NULL UNIQUE,
        channel TEXT NOT NULL CHECK (channel IN ('mqtt', 'email')),
        recipient TEXT NOT NULL CHECK (recipient <> ''),
        subject TEXT NOT NULL,
        body TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        sent_ms INTEGER,
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt_ms INTEGER NOT NULL,
        last_error TEXT NOT NULL DEFAULT ''
    ) STRICT
    """,
    "CREATE INDEX outbox_unsent ON outbox (next_attempt_ms) WHERE sent_ms IS NULL",
    """
    CREATE TABLE outbox_cause (                  -- a card may tell of several events: each is told to each once
        outbox_id INTEGER NOT NULL REFERENCES outbox (id),
        cause_id TEXT NOT NULL,                  -- of an event, or of a warning (revision 1)
        revision INTEGER NOT NULL,
        channel TEXT NOT NULL,
        recipient TEXT NOT NULL,
        UNIQUE (cause_id, revision, channel, recipient)
    ) STRICT
    """,
    """
    CREATE TABLE registry_file (                 -- the current registry is the newest version of each name
        name TEXT NOT NULL CHECK (name <> ''),
        version INTEGER NOT NULL CHECK (version >= 1),
        loaded_ms INTEGER NOT NULL,
        who TEXT NOT NULL CHECK (who <> ''),
        sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
        content TEXT NOT NULL,
        PRIMARY KEY (name, version)
    ) STRICT
    """,
    *_append_only("message", "reading_block", "event_revision", "warning", "audit", "outbox_cause", "registry_file"),
    "CREATE TRIGGER event_no_delete BEFORE DELETE ON event "
    "BEGIN SELECT RAISE(ABORT, 'a quarantine event is never deleted'); END",
    "CREATE TRIGGER event_moves_on BEFORE UPDATE ON event "
    "WHEN NEW.id <> OLD.id OR NEW.kit <> OLD.kit OR NEW.limit_id <> OLD.limit_id OR NEW.revision <> OLD.revision + 1 "
    "BEGIN SELECT RAISE(ABORT, 'an event only gains its next revision'); END",
    "CREATE TRIGGER outbox_no_delete BEFORE DELETE ON outbox "
    "BEGIN SELECT RAISE(ABORT, 'the alarm log is never deleted'); END",
    "CREATE TRIGGER outbox_keeps_its_text BEFORE UPDATE OF id, idempotency_key, channel, recipient, subject, body, "
    "created_ms ON outbox BEGIN SELECT RAISE(ABORT, 'the alarm log is not editable'); END",
)

CHECKPOINTS = (
    """
    CREATE TABLE checkpoint (                    -- what the file beside the ledger must be to be believed
        id INTEGER PRIMARY KEY,
        written_ms INTEGER NOT NULL,
        position INTEGER NOT NULL,               -- the last reading block that it has counted
        sha256 TEXT NOT NULL CHECK (length(sha256) = 64)
    ) STRICT
    """,
    *_append_only("checkpoint"),
)

_SHA256_OR_NULL = "TEXT CHECK (profile_sha256 IS NULL OR length(profile_sha256) = 64)"

RULES_OF_EVENTS = (
    # NULL: written before this migration, when the file behind an event was not kept
    f"ALTER TABLE event ADD COLUMN profile_sha256 {_SHA256_OR_NULL}",
    f"ALTER TABLE event_revision ADD COLUMN profile_sha256 {_SHA256_OR_NULL}",
    f"ALTER TABLE warning ADD COLUMN profile_sha256 {_SHA256_OR_NULL}",
    *(
        f"CREATE TRIGGER {table}_names_its_rules BEFORE INSERT ON {table} WHEN NEW.profile_sha256 IS NULL "
        "BEGIN SELECT RAISE(ABORT, 'the hash of the rules that judged is missing'); END"
        for table in ("event_revision", "warning")
    ),
    # group ids now depend on the versions that a trial chooses; the service judges every group anew when it starts
    "DELETE FROM assessment",
)

SEQUENCES = (
    """
    CREATE TABLE counter (                       -- which numbers of a gateway's counter are stored
        gateway TEXT NOT NULL,
        logger TEXT NOT NULL,
        channel TEXT NOT NULL,
        boot INTEGER NOT NULL,
        runs TEXT NOT NULL,                      -- JSON: [[first, last, first_ms, last_ms], ...]
        has_gaps INTEGER NOT NULL CHECK (has_gaps IN (0, 1)),
        PRIMARY KEY (gateway, logger, channel, boot)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX counter_with_gaps ON counter (gateway) WHERE has_gaps",
    """
    CREATE TABLE lost_reading (                  -- numbers that were asked for in vain; they may still come
        id INTEGER PRIMARY KEY,
        noted_ms INTEGER NOT NULL,
        gateway TEXT NOT NULL,
        logger TEXT NOT NULL,
        channel TEXT NOT NULL,
        boot INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL CHECK (last >= first),
        after_ms INTEGER NOT NULL,               -- the reading before them
        before_ms INTEGER NOT NULL,              -- the reading after them
        UNIQUE (gateway, logger, channel, boot, first, last)
    ) STRICT
    """,
    *_append_only("lost_reading"),
    """
    CREATE TABLE waiting (                       -- messages beyond their gateway's limit, taken when there is time
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        sender TEXT NOT NULL,
        received_ms INTEGER NOT NULL,
        topic TEXT NOT NULL,
        payload BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX waiting_of ON waiting (sender)",
    "CREATE TRIGGER waiting_no_update BEFORE UPDATE ON waiting "
    "BEGIN SELECT RAISE(ABORT, 'a message is kept as it arrived'); END",
)

EVEN_TIMES = (
    # The columns stay as they are, so no row has to be written again, however many there are: SQLite's documentation of
    # ALTER TABLE gives this way for a CHECK.
    "PRAGMA writable_schema = ON",
    """
    UPDATE sqlite_schema SET sql = replace(
        replace(sql, 'CHECK (length(at_ms) = 8 * n)', 'CHECK (length(at_ms) IN (0, 8 * n))'),
        'at_ms BLOB NOT NULL,                     -- int64, little-endian',
        'at_ms BLOB NOT NULL,                     -- int64, little-endian; empty: equal steps from first_ms to last_ms'
    ) WHERE type = 'table' AND name = 'reading_block'
    """,
    "PRAGMA writable_schema = RESET",
    # a change of the schema that SQLite knows of lets every open connection read it again
    "DROP TRIGGER reading_block_no_update",
    "DROP TRIGGER reading_block_no_delete",
    *_append_only("reading_block"),
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (FIRST, RULES_OF_EVENTS, CHECKPOINTS, SEQUENCES, EVEN_TIMES)

SHOWN_AS_MIGRATED = {
    2: (
        "CREATE TEMP VIEW event AS SELECT *, NULL AS profile_sha256 FROM main.event",
        "CREATE TEMP VIEW event_revision AS SELECT *, NULL AS profile_sha256 FROM main.event_revision",
        "CREATE TEMP VIEW warning AS SELECT *, NULL AS profile_sha256 FROM main.warning",
    ),
    4: (
        "CREATE TEMP VIEW lost_reading AS SELECT NULL AS id, NULL AS gateway, NULL AS logger, NULL AS channel, "
        "NULL AS boot, NULL AS first, NULL AS last, NULL AS after_ms, NULL AS before_ms WHERE 0",
        "CREATE TEMP VIEW waiting AS SELECT NULL AS id, NULL AS sender WHERE 0",
    ),
}
"""What lets a reader see a ledger as if that migration had been applied. Only a writer may migrate, and a backup of an
older release has to be verified before it is put back."""


def version(connection: sqlite3.Connection) -> int:
    """How many migrations the file has had; 0 for a new file."""
    has_table = connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migration'").fetchone()
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM migration").fetchone()[0]) if has_table else 0


def show_as_migrated(connection: sqlite3.Connection) -> None:
    """Lay the present tables over those of an older release, for this connection alone; nothing is written."""
    done = version(connection)
    for number, statements in SHOWN_AS_MIGRATED.items():
        for statement in statements if 0 < done < number else ():
            connection.execute(statement)


def migrate(connection: sqlite3.Connection, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
    """Apply what is missing, each migration in one transaction together with its own record.

    The caller holds the write lock. Raises EnvironmentFailed for a file that a newer release has written.
    """
    done = version(connection)
    if done > len(migrations):
        raise EnvironmentFailed("ledger", f"was written by a newer release (its schema is {done}): update coldchain")
    for number in range(done + 1, len(migrations) + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if number == 1:
                connection.execute(
                    "CREATE TABLE migration (id INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL) STRICT"
                )
            for statement in migrations[number - 1]:
                connection.execute(statement)
            connection.execute("INSERT INTO migration (id, applied_ms) VALUES (?, unixepoch() * 1000)", (number,))
        except BaseException:
            connection.rollback()
            raise
        connection.execute("COMMIT")
