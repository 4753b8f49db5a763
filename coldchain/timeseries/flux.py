"""Flux: how points are asked for where the server is 2.x (`/api/v2/query`, `/api/v2/delete`).

By documentation only: no 2.x server can be installed where the tests run. The tests check the requests and read answers
in the documented annotated CSV (InfluxDB 2.7 documentation, "Query with the InfluxDB API", "Annotated CSV").
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from coldchain.errors import EnvironmentFailed
from coldchain.instant import instant_ms
from coldchain.timeseries.influx_server import Server
from coldchain.timeseries.line_protocol import NS_PER_MS, tag_value

Row = dict[str, Any]
EARLIEST_NS, LATEST_NS = -(2**63) + 2, 2**63 - 2


class Flux:
    """The questions of the store, in Flux."""

    def __init__(self, server: Server, org: str) -> None:
        self._server, self._org = server, org

    def prepare(self, buckets: Sequence[str]) -> None:
        """Nothing: whoever gives out tokens makes the buckets."""

    def select(
        self,
        bucket: str,
        measurement: str,
        columns: Sequence[str],
        from_ns: int,
        to_ns: int,
        *,
        tags: Mapping[str, str],
        fields: Mapping[str, str],
    ) -> list[Row]:
        """The points in `(from_ns, to_ns]` as rows of `time` [ns] and columns, None where a point has none."""
        query = (
            f"{_from(bucket, from_ns, to_ns)}"
            f" |> filter(fn: (r) => r._measurement == {_text(measurement)}{_equal(tags, encoded=True)})"
            ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
            + (f" |> filter(fn: (r) => true{_equal(fields, encoded=False)})" if fields else "")
            + ' |> group() |> sort(columns: ["_time"])'
        )
        return [
            {"time": _ns(row["_time"]), **{column: row.get(column) for column in columns}} for row in self._ask(query)
        ]

    def tag_sets(self, bucket: str, measurement: str, field: str, tags: Sequence[str]) -> list[tuple[str, ...]]:
        """Every combination of tags under which a measurement has a field."""
        keep = ", ".join(_text(tag) for tag in tags)
        query = (
            f"{_from(bucket, EARLIEST_NS, LATEST_NS)}"
            f" |> filter(fn: (r) => r._measurement == {_text(measurement)} and r._field == {_text(field)})"
            f" |> last() |> keep(columns: [{keep}]) |> group()"
        )
        return sorted({tuple(str(row[tag]) for tag in tags) for row in self._ask(query)})

    def delete(self, bucket: str, measurement: str, tags: Mapping[str, str], from_ns: int, to_ns: int) -> None:
        """Drop the points in `(from_ns, to_ns]`."""
        predicate = f"_measurement={_text(measurement)}"
        predicate += "".join(f" AND {tag}={_text(tag_value(value))}" for tag, value in tags.items())
        body = {"start": _instant(from_ns + 1), "stop": _instant(to_ns + 1), "predicate": predicate}
        query = {"org": self._org, "bucket": bucket}
        self._server.call("POST", "/api/v2/delete", query, orjson.dumps(body), "text/plain")

    def clear(self, bucket: str, measurements: Sequence[str]) -> None:
        """Drop measurements whole."""
        for measurement in measurements:
            self.delete(bucket, measurement, {}, EARLIEST_NS, LATEST_NS)

    def _ask(self, query: str) -> Iterator[Row]:
        answer = self._server.call("POST", "/api/v2/query", {"org": self._org}, query.encode())
        try:
            yield from rows(answer.body.decode())
        except (UnicodeDecodeError, LookupError, ValueError) as exc:
            raise EnvironmentFailed(self._server.part, f"answers Flux with something else: {exc}") from exc


def rows(text: str) -> Iterator[Row]:
    """The rows of annotated CSV. Raises EnvironmentFailed for the error table that a failed query ends in."""
    types: list[str] = []
    names: list[str] = []
    for cells in csv.reader(io.StringIO(text)):
        if not any(cells):
            names = []
        elif cells[0] == "#datatype":
            types, names = cells, []
        elif cells[0].startswith("#"):
            continue
        elif not types:
            raise ValueError(f"no annotated CSV: {cells[0][:80]!r}")
        elif not names:
            names = cells
        else:
            row = {name: _value(kind, cell) for name, kind, cell in zip(names, types, cells, strict=True)}
            if "error" in names:
                raise EnvironmentFailed("time-series store", f"stopped a Flux query: {row['error']}")
            yield row


def _value(kind: str, cell: str) -> Any:
    if kind == "string":
        return cell or None
    if not cell:
        return None
    if kind in ("long", "unsignedLong"):
        return int(cell)
    if kind == "boolean":
        return cell == "true"
    return float(cell) if kind == "double" else cell


def _from(bucket: str, from_ns: int, to_ns: int) -> str:
    return f"from(bucket: {_text(bucket)}) |> range(start: {_instant(from_ns + 1)}, stop: {_instant(to_ns + 1)})"


def _equal(values: Mapping[str, str], *, encoded: bool) -> str:
    return "".join(
        f" and r[{_text(name)}] == {_text(tag_value(value) if encoded else value)}" for name, value in values.items()
    )


def _text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'


def _instant(at_ns: int) -> str:
    whole_s, ns = divmod(at_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(whole_s, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09}Z"


def _ns(text: str) -> int:
    """Nanoseconds of RFC 3339 text, which has up to nine digits."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return instant_ms(f"{seconds}Z") * NS_PER_MS + int(fraction.ljust(9, "0") or 0)
