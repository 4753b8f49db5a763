"""Archives: what is written is what is read, channel by channel; what cannot be read is said in one line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain import archive
from coldchain.archive import ReadingArchive
from coldchain.errors import BadInput, EnvironmentFailed
from coldchain.readings import FAULT_MC, ChannelKey, ReadingBatch

Reading = tuple[int, int, int | None]
"""Instant, temperature, arrival."""


def batch(key: ChannelKey, readings: list[tuple[int, int]], received_ms: int | None = None) -> ReadingBatch:
    at, mc = [at for at, _ in readings], [mc for _, mc in readings]
    return ReadingBatch(*key, np.array(at, np.int64), np.array(mc, np.int32), received_ms)


def readings_of(batches: Iterable[ReadingBatch]) -> list[Reading]:
    found = [
        (at, mc, one.received_ms)
        for one in batches
        for at, mc in zip(one.at_ms.tolist(), one.temperature_mc.tolist(), strict=True)
    ]
    return sorted(found, key=str)


keys = st.builds(ChannelKey, st.sampled_from(["lg-1", "lg-2", "ö 3"]), st.sampled_from(["1", "air"]))
temperatures = st.sampled_from([FAULT_MC, -20_000, 0, 5000, 2**31 - 1])
batches = st.tuples(
    st.lists(st.tuples(st.integers(-(2**60), 2**60), temperatures), max_size=12),
    st.one_of(st.none(), st.integers(0, 2**60)),
)


@given(st.dictionaries(keys, st.lists(batches, max_size=4), max_size=5))
def test_what_is_written_is_what_is_read(
    channels: dict[ChannelKey, list[tuple[list[tuple[int, int]], int | None]]],
) -> None:
    given = {key: [batch(key, *one) for one in several] for key, several in channels.items()}
    with TemporaryDirectory() as folder:
        count = archive.write(Path(folder) / "a.parquet", given.items())
        found = ReadingArchive.open(Path(folder) / "a.parquet")
        assert len(found) == count == sum(len(one) for several in given.values() for one in several)
        assert set(found.channels) == {key for key, several in given.items() if any(map(len, several))}
        for key, several in given.items():
            assert readings_of(found.read(key)) == readings_of(several)
            assert all((np.diff(one.at_ms) >= 0).all() for one in found.read(key))
        assert found.read(ChannelKey("nobody", "1")) == []


def test_a_channel_larger_than_a_row_group_and_many_small_ones_are_found_by_two_threads(tmp_path: Path) -> None:
    sizes = {ChannelKey(f"lg-{number}", "1"): size for number, size in enumerate([300_000, *[700] * 400, 140_000])}
    given = {key: [batch(key, [(at, 5000 + at % 7) for at in range(size)])] for key, size in sizes.items()}
    archive.write(tmp_path / "a.parquet", given.items())
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 6
    found = ReadingArchive.open(tmp_path / "a.parquet")
    with ThreadPoolExecutor(2) as pool:
        for key, read in zip(sizes, pool.map(found.read, sizes), strict=True):
            assert sum(map(len, read)) == sizes[key]
            assert np.array_equal(np.concatenate([one.temperature_mc for one in read]), given[key][0].temperature_mc)


def table(**columns: Any) -> pa.Table:
    right = {"logger": ["a", "a", "b"], "at_ms": [1, 2, 3], "temperature_mc": [5000, None, 6000]}
    return pa.table({name: column for name, column in (right | columns).items() if column is not None})


def test_the_file_of_another_program_needs_three_columns_only(tmp_path: Path) -> None:
    at = pa.array([1, 2, 3], pa.int32())
    pq.write_table(table(at_ms=at, note=["x", "y", "z"]), tmp_path / "a.parquet")
    found = ReadingArchive.open(tmp_path / "a.parquet")
    assert readings_of(found.read(ChannelKey("a", "1"))) == [(1, 5000, None), (2, FAULT_MC, None)]
    assert readings_of(found.read(ChannelKey("b", "1"))) == [(3, 6000, None)]


def test_channels_may_come_in_several_row_groups(tmp_path: Path) -> None:
    with pq.ParquetWriter(tmp_path / "a.parquet", table().schema) as writer:
        writer.write_table(table())
        writer.write_table(table(at_ms=[4, 5, 6]))
    found = ReadingArchive.open(tmp_path / "a.parquet")
    assert [at for at, _, _ in readings_of(found.read(ChannelKey("a", "1")))] == [1, 2, 4, 5]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"temperature_mc": None}, "temperature_mc: is missing; there are logger, at_ms"),
        ({"temperature_mc": [5.0, 5.1, 5.2]}, "temperature_mc = 'double': must be int32"),
        ({"logger": [1, 2, 3]}, "logger = 'int64': must be string"),
        ({"logger": ["a", "b", "a"]}, "logger = 'a': its channel 1 is not in one piece (row group 0): sort by"),
        ({"logger": ["a", None, "b"]}, "logger: must not be null (row group 0)"),
        ({"at_ms": [1, None, 3]}, "at_ms: must not be null"),
        ({"temperature_mc": [2**31, 5, 5]}, "temperature_mc: does not fit into int32"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table(**columns), path)
    with pytest.raises(BadInput) as caught:
        _ = [found.read(key) for found in [ReadingArchive.open(path)] for key in found.channels]
    assert str(caught.value).startswith(f"{path}: {said}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_none_or_cut_off_or_missing_is_one_line(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    for content in (b"", b"logger,at_ms\n", whole[:-20]):
        (tmp_path / "a.parquet").write_bytes(content)
        with pytest.raises(BadInput, match=r"a\.parquet: is no Parquet file that can be read: [^\n]*$"):
            ReadingArchive.open(tmp_path / "a.parquet")
    with pytest.raises(BadInput, match=r"b\.parquet: cannot be read: No such file"):
        ReadingArchive.open(tmp_path / "b.parquet")


def test_damage_inside_a_file_is_noticed(tmp_path: Path) -> None:
    key = ChannelKey("a", "1")
    archive.write(tmp_path / "a.parquet", [(key, [batch(key, [(at * 977 % 5003, at % 991) for at in range(5000)])])])
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    for place in range(100, len(content) // 2, 50):
        content[place] ^= 0xFF
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises((BadInput, EnvironmentFailed), match=r"a\.parquet"):
        ReadingArchive.open(tmp_path / "a.parquet").read(key)


def test_a_disk_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises((BadInput, EnvironmentFailed), match=r"there/a\.parquet"):
        archive.write(tmp_path / "not" / "there" / "a.parquet", [])


def test_without_arrow_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "coldchain.archive")
    with pytest.raises(EnvironmentFailed, match=r"pip install 'coldchain\[archive\]'"):
        importlib.import_module("coldchain.archive")
