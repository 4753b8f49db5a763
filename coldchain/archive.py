"""Archives: the readings of many channels in sorted Parquet files, read one channel at a time.

Columns: `logger`, `channel` (string; "1" where there is no such column), `at_ms` (int64, UTC), `temperature_mc` (int32,
null for a fault), `received_ms` (int64, null or no such column where the arrival says nothing about the clock). The
rows of a channel lie together in each row group, in any order of time. `write` makes them so, in time order, a few
bytes for each reading; other programs may, too.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coldchain.errors import BadInput, EnvironmentFailed
from coldchain.readings import FAULT_MC, ChannelKey, ReadingBatch

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ModuleNotFoundError as exc:
    raise EnvironmentFailed("archive", "Parquet needs pyarrow: pip install 'coldchain[archive]'") from exc

_NAME = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("logger", _NAME, nullable=False),
        pa.field("channel", _NAME, nullable=False),
        pa.field("at_ms", pa.int64(), nullable=False),
        pa.field("temperature_mc", pa.int32()),
        pa.field("received_ms", pa.int64()),
    ]
)
_ONLY_CHANNEL = "1"
_GROUP_ROWS = 65_536
"""A row group is full with so many rows; a channel is not spread over two for the sake of that, and a year of readings
every five minutes has a row group of its own."""
_LONGEST_NAME = 64
"""Programs shorten longer texts in the statistics of a row group."""


class _Span(NamedTuple):
    """Where readings of a channel are: rows of a row group."""

    group: int
    first: int
    rows: int


@dataclass(frozen=True, slots=True)
class ReadingArchive:
    """One Parquet file of readings. Safe to read from several threads."""

    path: Path
    _metadata: pq.FileMetaData
    _columns: tuple[str, ...]
    _spans: dict[ChannelKey, tuple[_Span, ...]]
    _last: threading.local

    @classmethod
    def open(cls, path: Path) -> ReadingArchive:
        """Look where each channel is. BadInput says what is wrong with the file; OSError is an EnvironmentFailed."""
        with _trouble_with(path), pq.ParquetFile(path) as file:
            present = _checked(path, file.schema_arrow)
            spans: dict[ChannelKey, list[_Span]] = defaultdict(list)
            for group in range(file.num_row_groups):
                for key, span in _channels_of(path, file, group):
                    spans[key].append(span)
            columns = tuple(name for name in ("at_ms", "temperature_mc", "received_ms") if name in present)
            found = {key: tuple(where) for key, where in spans.items()}
            return cls(path, file.metadata, columns, found, threading.local())

    @property
    def channels(self) -> Iterable[ChannelKey]:
        return self._spans.keys()

    def __len__(self) -> int:
        """How many readings there are."""
        return int(self._metadata.num_rows)

    def read(self, key: ChannelKey) -> list[ReadingBatch]:
        """The readings of a channel, none if it is not here; those that arrived together are one batch."""
        return [
            batch
            for span in self._spans.get(key, ())
            for batch in self._batches(key, self._row_group(span.group).slice(span.first, span.rows))
        ]

    def _row_group(self, group: int) -> pa.Table:
        """A row group, which the same thread probably wants again for its next channel."""
        last: tuple[int, pa.Table] | None = getattr(self._last, "table", None)
        if last is None or last[0] != group:
            with _trouble_with(self.path), pq.ParquetFile(self.path, metadata=self._metadata) as file:
                last = group, file.read_row_group(group, columns=list(self._columns), use_threads=False)
            self._last.table = last
        return last[1]

    def _batches(self, key: ChannelKey, table: pa.Table) -> Iterator[ReadingBatch]:
        at_ms = self._numbers(table, "at_ms", np.int64)
        temperature_mc = self._numbers(table, "temperature_mc", np.int32, FAULT_MC)
        received = table["received_ms"] if "received_ms" in self._columns else None
        if received is None or received.null_count == len(received):
            yield ReadingBatch(*key, at_ms, temperature_mc)
            return
        never = -1
        received_ms = self._numbers(table, "received_ms", np.int64, never)
        edges = np.flatnonzero(np.diff(received_ms)) + 1
        for first, after in zip([0, *edges.tolist()], [*edges.tolist(), len(at_ms)], strict=True):
            arrived_ms = int(received_ms[first])
            own = slice(first, after)
            yield ReadingBatch(*key, at_ms[own], temperature_mc[own], None if arrived_ms == never else arrived_ms)

    def _numbers(self, table: pa.Table, name: str, kind: type[np.generic], null: int | None = None) -> NDArray[Any]:
        column = table[name]
        if column.null_count:
            if null is None:
                raise BadInput("must not be null", file=str(self.path), key=name)
            column = column.fill_null(null)
        numbers: NDArray[Any] = column.to_numpy()
        exact = numbers.astype(kind, copy=False)
        if exact.dtype != numbers.dtype and not np.array_equal(exact, numbers):
            raise BadInput(f"does not fit into {np.dtype(kind)}", file=str(self.path), key=name)
        return exact


def write(path: Path, channels: Iterable[tuple[ChannelKey, Iterable[ReadingBatch]]]) -> int:
    """Write an archive of channels, each in time order; returns how many readings it holds.

    Equal readings are written as often as they are given. A disk that fails is an EnvironmentFailed.
    """
    written = 0
    with (
        _trouble_with(path),
        pq.ParquetWriter(
            path,
            SCHEMA,
            compression="zstd",
            use_dictionary=["logger", "channel", "received_ms"],
            column_encoding={"at_ms": "DELTA_BINARY_PACKED", "temperature_mc": "DELTA_BINARY_PACKED"},
        ) as writer,
    ):
        waiting: list[pa.Table] = []
        for key, batches in channels:
            waiting.append(_table(key, batches))
            written += len(waiting[-1])
            if sum(map(len, waiting)) >= _GROUP_ROWS:
                writer.write_table(_together(waiting), row_group_size=2**30)
                waiting = []
        if waiting:
            writer.write_table(_together(waiting), row_group_size=2**30)
    return written


def _together(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _table(key: ChannelKey, batches: Iterable[ReadingBatch]) -> pa.Table:
    own = list(batches)
    at_ms = np.concatenate([np.empty(0, np.int64), *(batch.at_ms for batch in own)])
    temperature_mc = np.concatenate([np.empty(0, np.int32), *(batch.temperature_mc for batch in own)])
    arrived = [-1 if batch.received_ms is None else batch.received_ms for batch in own]
    received_ms = np.repeat(np.array(arrived, np.int64), [len(batch) for batch in own])
    order = np.lexsort((temperature_mc, received_ms, at_ms)) if (np.diff(at_ms) <= 0).any() else slice(None)
    names = (pa.DictionaryArray.from_arrays(np.zeros(len(at_ms), np.int32), pa.array([name])) for name in key)
    numbers = (
        pa.array(at_ms[order]),
        pa.array(temperature_mc[order], mask=temperature_mc[order] == FAULT_MC),
        pa.array(received_ms[order], mask=received_ms[order] == -1),
    )
    return pa.Table.from_arrays([*names, *numbers], schema=SCHEMA)


def _checked(path: Path, schema: pa.Schema) -> set[str]:
    """The columns of a file, each of a type that can be used."""
    wanted = {
        "logger": "string",
        "channel": "string",
        "at_ms": "int64",
        "temperature_mc": "int32",
        "received_ms": "int64",
    }
    present = set(schema.names)
    for name in ("logger", "at_ms", "temperature_mc"):
        if name not in present:
            raise BadInput(f"is missing; there are {', '.join(schema.names)}", file=str(path), key=name)
    for name, right in wanted.items():
        if name not in present:
            continue
        kind = schema.field(name).type
        values = kind.value_type if pa.types.is_dictionary(kind) else kind
        is_right = pa.types.is_integer(kind) if right.startswith("int") else _is_text(values)
        if not is_right:
            raise BadInput(f"must be {right}", file=str(path), key=name, value=str(kind))
    return present


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _channels_of(path: Path, file: pq.ParquetFile, group: int) -> list[tuple[ChannelKey, _Span]]:
    """The channels of a row group and where they are in it."""
    rows = file.metadata.row_group(group).num_rows
    if not rows:
        return []
    names = [name for name in ("logger", "channel") if name in file.schema_arrow.names]
    single = [_single_name(file, group, name) for name in names]
    if all(name is not None for name in single):
        return [(_key([str(name) for name in single]), _Span(group, 0, rows))]
    table = file.read_row_group(group, columns=names)
    columns = [table[name].combine_chunks() for name in names]
    codes = [column if pa.types.is_dictionary(column.type) else column.dictionary_encode() for column in columns]
    if any(column.null_count for column in columns):
        raise BadInput(f"must not be null (row group {group})", file=str(path), key=" or ".join(names))
    numbers = np.array([code.indices.to_numpy() for code in codes])
    edges = [0, *(np.flatnonzero((np.diff(numbers) != 0).any(axis=0)) + 1).tolist(), rows]
    found = {}
    for first, after in pairwise(edges):
        key = _key([str(code.dictionary[int(number)]) for code, number in zip(codes, numbers[:, first], strict=True)])
        if key in found:
            problem = f"its channel {key.channel} is not in one piece (row group {group}): sort by logger and channel"
            raise BadInput(problem, file=str(path), key="logger", value=key.logger)
        found[key] = _Span(group, first, after - first)
    return list(found.items())


def _key(names: list[str]) -> ChannelKey:
    return ChannelKey(names[0], names[1] if len(names) > 1 else _ONLY_CHANNEL)


def _single_name(file: pq.ParquetFile, group: int, name: str) -> str | None:
    """The only value of a column in a row group, by its statistics; None if there are more or nothing is said."""
    row_group = file.metadata.row_group(group)
    chunks = (row_group.column(number) for number in range(row_group.num_columns))
    said = next(chunk.statistics for chunk in chunks if chunk.path_in_schema == name)
    if said is None or not said.has_min_max or said.null_count != 0 or said.min != said.max:
        return None
    return said.min if isinstance(said.min, str) and len(said.min.encode()) < _LONGEST_NAME else None


@contextmanager
def _trouble_with(path: Path) -> Iterator[None]:
    """What Arrow says of a file or a disk, as errors of the house."""
    try:
        yield
    except FileNotFoundError as exc:
        raise BadInput("cannot be read: No such file or directory", file=str(path)) from exc
    except pa.ArrowInvalid as exc:
        raise BadInput(f"is no Parquet file that can be read: {exc}", file=str(path)) from exc
    except OSError as exc:
        raise EnvironmentFailed("disk", f"{path}: {exc.strerror or exc}") from exc
