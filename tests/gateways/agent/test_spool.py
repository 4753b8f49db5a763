"""The spool: numbers that are never given twice, deletion of exact ranges, and what happens when it is full."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldchain.errors import BadInput, EnvironmentFailed
from coldchain.readings import FAULT_MC, ReadingBatch
from gateway_agent import ROOT
from gateways.agent.channels import Row, Span, new_boot
from gateways.agent.settings import MIB, Store
from gateways.agent.space import ALWAYS_ALLOWED_BYTES, RESERVE_BYTES, ROW_BYTES, space
from gateways.agent.spool import DiskFull, Spool

OpenSpool = Callable[..., Spool]
EVERYTHING = 2**63 - 1


def batch(readings: int, logger: str = "lg-1", start_ms: int = 0) -> ReadingBatch:
    at_ms = np.arange(start_ms, start_ms + readings, dtype=np.int64)
    return ReadingBatch(logger, "1", at_ms, np.full(readings, 5000, dtype=np.int32))


def put(spool: Spool, *batches: ReadingBatch) -> list[Span]:
    with spool.transaction():
        return spool.put(batches, None)


def kept(spool: Spool, channel: int = 1) -> list[int]:
    return [row.seq for row in spool.rows(Span(channel, 0, EVERYTHING), 1_000_000)]


def test_numbers_count_readings_of_a_channel_faults_included(open_spool: OpenSpool) -> None:
    spool = open_spool()
    faulty = ReadingBatch(
        "lg-1",
        "1",
        np.array([5, 6], dtype=np.int64),
        np.array([4000, FAULT_MC], dtype=np.int32),
        faults={1: "probe_open"},
    )
    assert put(spool, batch(3), batch(2, "lg-2"), faulty) == [Span(1, 1, 3), Span(2, 1, 2), Span(1, 4, 5)]
    assert spool.rows(Span(1, 4, 9), 10) == [Row(4, 5, 4000, None, None), Row(5, 6, FAULT_MC, "probe_open", None)]


def test_numbering_goes_on_after_everything_was_deleted_and_the_file_opened_again(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, batch(3))
    with spool.transaction():
        assert spool.delete([Span(1, 1, 3)]) == 3
    boot = spool.channels[1].boot
    again = open_spool()
    assert put(again, batch(1)) == [Span(1, 4, 4)]
    assert again.channels[1].boot == boot


def test_a_new_file_begins_another_life_even_where_the_clock_starts_at_the_same_wrong_time() -> None:
    first, second = new_boot(946_684_800_000, lambda _: 17), new_boot(946_684_800_000, lambda _: 18)
    assert first != second
    assert all(0 <= boot < 2**63 for boot in (first, second, new_boot(2**42 * 1000, lambda bits: 2**bits - 1)))


def test_a_transaction_that_fails_leaves_neither_readings_nor_numbers_nor_memory(open_spool: OpenSpool) -> None:
    spool = open_spool()

    def failing() -> None:
        with spool.transaction():
            spool.put([batch(3)], None)
            spool.remember("folder-1", {"sha256:00": ""})
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        failing()
    assert spool.counts.pending == 0
    assert spool.memory("folder-1") == {}
    assert put(spool, batch(1)) == [Span(1, 1, 1)]


ranges = st.lists(
    st.tuples(st.integers(0, 70), st.integers(0, 70)).map(lambda pair: (min(pair), max(pair))), max_size=6
)


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=2), spans=ranges)
@settings(max_examples=60)
def test_deletion_takes_exactly_the_numbers_of_its_ranges(sizes: list[int], spans: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "spool.db", keep_free_bytes=0)
        spool = Spool(store, "basel", "gw-1", lambda: 0, lambda _: 1, lambda: 1)
        try:
            put(spool, *(batch(size, f"lg-{i}") for i, size in enumerate(sizes)))
            with spool.transaction():
                deleted = spool.delete(Span(1, *span) for span in spans)
            naive = {seq for seq in range(1, sizes[0] + 1) if not any(a <= seq <= b for a, b in spans)}
            assert set(kept(spool)) == naive
            assert deleted == sizes[0] - len(naive)
            assert all(kept(spool, 2) == list(range(1, size + 1)) for size in sizes[1:])
            assert spool.counts.pending == len(naive) + sum(sizes[1:])
        finally:
            spool.close()


def test_a_full_spool_drops_what_came_first_and_keeps_on_record_what_that_was(open_spool: OpenSpool) -> None:
    limit = MIB
    spool = open_spool(max_bytes=limit)
    put(spool, batch(5000, "lg-1", start_ms=1_000_000))
    put(spool, batch(5000, "lg-2", start_ms=2_000_000))
    dropped = 0
    for part in range(40):
        dropped += spool.make_room(1000)
        put(spool, batch(1000, "lg-3", start_ms=part * 1000))
        assert space(spool._db).used_bytes <= limit
    assert dropped > 10_000
    # lg-1 and lg-2 came first: all of them are gone before anything of lg-3 that came after what is dropped of it.
    assert kept(spool, 1) == kept(spool, 2) == []
    third = kept(spool, 3)
    assert third == list(range(third[0], 40_001))
    records = spool._db.execute(
        "SELECT channel, first, last, first_ms, last_ms FROM dropped ORDER BY channel"
    ).fetchall()
    assert records[:2] == [(1, 1, 5000, 1_000_000, 1_004_999), (2, 1, 5000, 2_000_000, 2_004_999)]
    assert records[2][:3] == (3, 1, third[0] - 1)
    assert spool.counts.dropped == dropped == sum(last - first + 1 for _, first, last, _, _ in records)
    assert spool.counts.pending == len(third)


def test_what_came_first_is_dropped_first_whatever_its_channel(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, batch(3, "lg-1"))
    put(spool, batch(3, "lg-2"))
    put(spool, batch(3, "lg-1"))
    assert spool.drop_oldest(5) == 5
    assert (kept(spool, 1), kept(spool, 2)) == ([4, 5, 6], [3])


def test_a_short_disk_lets_the_spool_live_on_the_pages_it_has(open_spool: OpenSpool) -> None:
    spool = open_spool(keep_free_bytes=100, free_bytes=99)
    while (pages := space(spool._db)).used_bytes + pages.reusable_bytes < ALWAYS_ALLOWED_BYTES - 2000 * ROW_BYTES:
        assert spool.make_room(1000) == 0  # so little is always allowed
        put(spool, batch(1000))
    size = None
    for _ in range(30):
        spool.make_room(500)
        put(spool, batch(500))
        now = sum(space(spool._db))
        assert size is None or now <= size + MIB // 4
        size = size or now
    assert spool.counts.dropped >= 10_000


def test_control_with_enough_space_nothing_is_dropped(open_spool: OpenSpool) -> None:
    spool = open_spool(keep_free_bytes=100, free_bytes=100)
    for _ in range(30):
        assert spool.make_room(5000) == 0
        put(spool, batch(5000))
    assert sum(space(spool._db)) > ALWAYS_ALLOWED_BYTES


def test_a_reading_takes_less_than_what_is_reckoned_for_it(open_spool: OpenSpool) -> None:
    spool = open_spool()
    for part in range(20):
        with spool.transaction():
            for logger in range(10):
                one = batch(100, f"lg-{logger}", 1_790_000_000_000 + part * 100)
                one.temperature_mc[:] = FAULT_MC
                one.faults.update(dict.fromkeys(range(100), "probe_open_circuit"))
                spool.put([one], 1)
    assert space(spool._db).used_bytes / 20_000 < ROW_BYTES


def test_where_nothing_is_left_to_drop_the_readings_are_not_taken(open_spool: OpenSpool) -> None:
    spool = open_spool(max_bytes=4096)
    with pytest.raises(DiskFull):
        spool.make_room(1)


def test_a_full_disk_of_sqlite_itself_leaves_the_spool_as_it_was(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, batch(1000))
    pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
    spool._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        put(spool, batch(50_000))
    assert spool.counts.pending == 1000
    assert put(spool, batch(1)) == [Span(1, 1001, 1001)]
    assert spool.drop_oldest(500) == 500
    assert spool.counts == type(spool.counts)(501, 500, 0)


def test_a_full_disk_is_relieved_by_the_log_first_and_by_the_oldest_readings_then(open_spool: OpenSpool) -> None:
    spool = open_spool()
    spool._db.execute(f"PRAGMA max_page_count = {spool._db.execute('PRAGMA page_count').fetchone()[0]}")
    taken = dropped = refusals = 0
    while taken < 50_000:
        try:
            put(spool, batch(500, start_ms=taken))
            taken += 500
        except sqlite3.OperationalError:
            refusals += 1
            dropped += spool.relieve()
    assert spool.counts.dropped == dropped > 20_000
    assert kept(spool) == list(range(dropped + 1, taken + 1))
    assert refusals <= dropped / 1000 + 1, "each relief was enough for the next try"


def test_an_open_spool_has_room_in_reserve_also_in_its_log(open_spool: OpenSpool, tmp_path: Path) -> None:
    for _ in range(3):
        spool = open_spool()
        assert space(spool._db).reusable_bytes >= RESERVE_BYTES - 3 * 4096
        size = (tmp_path / "spool.db").stat().st_size
        assert size < RESERVE_BYTES + 40 * 4096
    assert (tmp_path / "spool.db-wal").exists()


def test_the_spool_of_another_gateway_is_refused(open_spool: OpenSpool) -> None:
    open_spool()
    with pytest.raises(BadInput, match=r"this spool belongs to basel/gw-1; give basel/gw-2 a file of its own"):
        open_spool(gateway="gw-2")


def test_a_spool_that_is_open_is_not_opened_twice(open_spool: OpenSpool, tmp_path: Path) -> None:
    open_spool()
    with pytest.raises(EnvironmentFailed, match="another agent is running"):
        Spool(Store(tmp_path / "spool.db"), "basel", "gw-1", lambda: 0, lambda _: 1, lambda: 1)


def test_every_commit_is_on_the_disk_when_it_returns(open_spool: OpenSpool) -> None:
    spool = open_spool()
    assert spool._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert spool._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_what_was_refused_gets_new_numbers_when_it_is_given_another_try(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, batch(5))
    with spool.transaction():
        assert spool.set_aside(Span(1, 2, 3), "bad_value", "00" * 32) == 2
    assert (kept(spool), spool.counts.refused) == ([1, 4, 5], 2)
    assert spool.requeue() == 2
    assert (kept(spool), spool.counts.refused) == ([1, 4, 5, 6, 7], 0)
    assert put(spool, batch(1)) == [Span(1, 8, 8)]


def test_memory_stays_flat_however_much_is_in_the_spool(tmp_path: Path) -> None:
    """The process that writes, counts and reads them grows by less than it would take to hold them."""
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from coldchain.readings import ReadingBatch
from gateways.agent.settings import Store
from gateways.agent.spool import Span, Spool
spool = Spool(Store(Path(sys.argv[1]), keep_free_bytes=0), "basel", "gw-1", lambda: 0, lambda _: 1, lambda: 1)
def put(part):
    at_ms = np.arange(part * 10_000, (part + 1) * 10_000, dtype=np.int64)
    with spool.transaction():
        spool.put([ReadingBatch("lg-1", "1", at_ms, np.full(10_000, 5000, dtype=np.int32))], None)
put(0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for part in range(1, 40):
    put(part)
for first in range(0, 400_000, 500):
    rows = spool.rows(Span(1, first, 2**62), 500)
assert spool.counts.pending == 400_000 and rows[-1].seq == 400_000 - 1, rows[-1]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "spool.db")], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16_384, f"{done.stdout} KiB more"
