"""Every change behind the ledger's back is found; the untouched ledger is clean."""

import json
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.ledger.audit import GENESIS, Heads, link
from coldchain.ledger.entries import LostReading
from coldchain.ledger.ledger import Ledger
from coldchain.pipeline import Step
from coldchain.sequence import Counter, Gap
from ledger_values import NOW_MS, batch, event, full_step, message, rejected


def fill(ledger: Ledger) -> None:
    messages, step, alerts = full_step()
    ledger.save(messages, step, alerts, NOW_MS)
    ledger.save((message(batch(10**9)),), Step(fresh=(batch(10**9),)), (), NOW_MS)
    ledger.save((rejected(),), Step(events=(event("K-0002"), event(revision=2, breached_at_ms=7))), (), NOW_MS)
    lost = LostReading(Counter("basel/gw-1", "lg-1", "1", 3), Gap(10, 11, 1000, 4000))
    ledger.save((), Step(), (), NOW_MS, lost=(lost, lost))
    ledger.register("a.toml", "one", "ann", NOW_MS)
    ledger.register("a.toml", "two", "ann", NOW_MS)


def tamper(path: Path, *statements: str) -> None:
    """What somebody with the file and a SQLite shell can do: drop the triggers first."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.create_function("hashed", 1, lambda value: sha256(value).hexdigest())
        for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)


@given(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.text() | st.sampled_from(["\x7f", "\ud800", "é", "a\\"]))
)
def test_a_link_is_over_compact_ascii_json(values: list[object]) -> None:
    text = json.dumps(values, separators=(",", ":")).encode("ascii")
    assert link(values) == sha256(text).hexdigest()


def test_an_empty_ledger_is_clean(ledger: Ledger) -> None:
    assert ledger.audit_verify().heads == Heads(0, GENESIS, 0, GENESIS)
    assert ledger.audit_verify(Heads()).problems == ()


def test_a_ledger_that_nobody_touched_is_clean_and_reaches_every_earlier_head(ledger: Ledger) -> None:
    fill(ledger)
    findings = ledger.audit_verify()
    assert findings.problems == ()
    ledger.save((rejected(),), Step(events=(event("K-0003"),)), (), NOW_MS)
    assert ledger.audit_verify(findings.heads).problems == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE message SET payload = x'00' WHERE id = 1",
        "UPDATE message SET payload = x'00', sha256 = hashed(x'00') WHERE id = 1",
        "UPDATE message SET received_ms = received_ms + 1 WHERE id = 5",
        "UPDATE message SET status = 'accepted', reason = '' WHERE id = 2",
        "UPDATE message SET topic = 'x' WHERE id = 3",
        "DELETE FROM message WHERE id = 3",
        "UPDATE message SET id = 99 WHERE id = 5",
        "UPDATE reading_block SET temperature_mc = zeroblob(12) WHERE id = 1",
        "UPDATE reading_block SET at_ms = zeroblob(24) WHERE id = 3",
        "UPDATE reading_block SET at_ms = zeroblob(24) WHERE id = 1",
        "UPDATE reading_block SET last_ms = last_ms + 2 WHERE id = 1",
        "UPDATE reading_block SET first_ms = first_ms - 2 WHERE id = 3",
        "UPDATE reading_block SET logger = 'lg-9' WHERE id = 2",
        "UPDATE reading_block SET faults = '{}' WHERE id = 1",
        "UPDATE reading_block SET message_id = 2 WHERE id = 1",
        "DELETE FROM reading_block WHERE id = 2",
        "INSERT INTO reading_block SELECT 77, 99, logger, channel, boot, seq, n, first_ms, last_ms, at_ms, "
        "temperature_mc, received_ms, faults FROM reading_block WHERE id = 1",
        "UPDATE audit SET who = 'nobody' WHERE seq = 2",
        "UPDATE audit SET new = NULL WHERE seq = 1",
        "UPDATE audit SET at_ms = at_ms - 1 WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 1",
        "DELETE FROM audit WHERE seq = 6",
        "UPDATE event SET breached_at_ms = 8 WHERE kit = 'K-0001'",
        "UPDATE event SET supported = 0 WHERE kit = 'K-0002'",
        "UPDATE event SET kit = 'K-0009' WHERE kit = 'K-0002'",
        "UPDATE event_revision SET detected_at_ms = 0 WHERE revision = 1",
        "UPDATE event_revision SET profile_sha256 = NULL WHERE revision = 1",
        "UPDATE event_revision SET profile_sha256 = hashed(x'00') WHERE revision = 1",
        "UPDATE event SET profile_sha256 = hashed(x'00') WHERE kit = 'K-0002'",
        "DELETE FROM event_revision WHERE event_id = 'K-0001-above-8' AND revision = 1",
        "DELETE FROM event WHERE kit = 'K-0002'",
        "UPDATE registry_file SET content = 'evil' WHERE version = 1",
        "UPDATE registry_file SET content = 'one', sha256 = hashed(x'6f6e65') WHERE version = 2",
        "DELETE FROM registry_file WHERE version = 2",
        "UPDATE lost_reading SET before_ms = before_ms + 1",
        "UPDATE lost_reading SET gateway = 'basel/gw-2'",
        "DELETE FROM lost_reading",
        "INSERT INTO lost_reading SELECT 9, noted_ms, gateway, logger, channel, boot, first + 9, last + 9, after_ms, "
        "before_ms FROM lost_reading",
    ],
)
def test_every_change_behind_its_back_is_found(ledger: Ledger, path: Path, statement: str) -> None:
    fill(ledger)
    tamper(path, "PRAGMA foreign_keys = OFF", statement)
    assert ledger.audit_verify().problems


def test_a_cut_off_tail_is_found_by_the_anchor_alone(ledger: Ledger, path: Path) -> None:
    fill(ledger)
    heads = ledger.audit_verify().heads
    tamper(path, "DELETE FROM message WHERE id = 5")
    assert ledger.audit_verify().problems == ()
    assert ledger.audit_verify(heads).problems == ("message 5: the anchored message is not in the chain",)


def test_a_cut_off_audit_tail_with_its_record_is_found_by_the_anchor_alone(ledger: Ledger, path: Path) -> None:
    fill(ledger)
    heads = ledger.audit_verify().heads
    tamper(path, "DELETE FROM registry_file WHERE version = 2", "DELETE FROM audit WHERE seq = 6")
    assert ledger.audit_verify().problems == ()
    assert ledger.audit_verify(heads).problems == ("audit entry 6: the anchored entry is not in the chain",)
