"""InfluxQL: how points are asked for where the server is 1.6 to 1.8 or 3.x (`/query`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from coldchain.errors import EnvironmentFailed
from coldchain.timeseries.influx_server import Refused, Server
from coldchain.timeseries.line_protocol import tag_value

Row = dict[str, Any]


class InfluxQL:
    """The questions of the store, in InfluxQL."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def prepare(self, buckets: Sequence[str]) -> None:
        """Make the databases that are not there; 3.x makes them when they are first written."""
        if self._server.generation[0] == 1:
            for bucket in buckets:
                try:
                    self._ask("", f"CREATE DATABASE {_name(bucket)}", method="POST")
                except Refused as refused:
                    if refused.status != 403:  # who may not make one may still write; if it is not there, that says so
                        raise

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
            f"SELECT {', '.join(map(_name, columns))} FROM {_name(measurement)} "  # noqa: S608 (every part is quoted)
            f"WHERE {_where(from_ns, to_ns, tags, fields)}"
        )
        rows = []
        for series in self._ask(bucket, query):
            if series.get("columns") != ["time", *columns]:
                raise EnvironmentFailed(self._server.part, "does not answer InfluxQL")
            rows += [dict(zip(series["columns"], values, strict=True)) for values in series.get("values", ())]
        return rows

    def tag_sets(self, bucket: str, measurement: str, field: str, tags: Sequence[str]) -> list[tuple[str, ...]]:
        """Every combination of tags under which a measurement has a field."""
        by = ", ".join(map(_name, tags))
        found = self._ask(bucket, f"SELECT last({_name(field)}) FROM {_name(measurement)} GROUP BY {by}")  # noqa: S608
        return [tuple(series["tags"][tag] for tag in tags) for series in found]

    def delete(self, bucket: str, measurement: str, tags: Mapping[str, str], from_ns: int, to_ns: int) -> None:
        """Drop the points in `(from_ns, to_ns]`."""
        if self._server.generation[0] > 1:
            raise EnvironmentFailed(self._server.part, "InfluxDB 3 deletes no points: take a new bucket and rebuild")
        self._ask(bucket, f"DELETE FROM {_name(measurement)} WHERE {_where(from_ns, to_ns, tags, {})}", method="POST")  # noqa: S608

    def clear(self, bucket: str, measurements: Sequence[str]) -> None:
        """Drop measurements whole."""
        if self._server.generation[0] > 1:
            raise EnvironmentFailed(self._server.part, "InfluxDB 3 deletes no points: take a new bucket and rebuild")
        for measurement in measurements:
            self._ask(bucket, f"DROP MEASUREMENT {_name(measurement)}", method="POST")

    def _ask(self, bucket: str, query: str, method: str = "GET") -> list[dict[str, Any]]:
        """The series of one statement. An answer of 200 can carry an error, and a part of a result can be missing.

        Asked for in chunks, one JSON document a line, of which all but the last say that there is more. In one piece,
        1.6 marks complete answers of more than 10 000 rows as partial, so a truncated one could not be told.
        """
        said = {"db": bucket, "epoch": "ns", "chunked": "true", "q": query}
        answer = self._server.call(method, "/query", said)
        try:
            results = [orjson.loads(line)["results"][0] for line in answer.body.splitlines()]
            last = results[-1]
        except (orjson.JSONDecodeError, LookupError, TypeError) as exc:
            raise EnvironmentFailed(self._server.part, "does not answer InfluxQL") from exc
        for result in results:
            if "error" in result:
                raise EnvironmentFailed(self._server.part, f"cannot answer {query[:80]!r}: {result['error']}")
        if last.get("partial") or any(series.get("partial") for series in last.get("series", [])):
            raise EnvironmentFailed(self._server.part, "answers only a part")
        return [series for result in results for series in result.get("series", [])]


def _where(from_ns: int, to_ns: int, tags: Mapping[str, str], fields: Mapping[str, str]) -> str:
    said = [f"time > {from_ns} AND time <= {to_ns}"]
    said += [f"{_name(tag)} = {_text(tag_value(value))}" for tag, value in tags.items()]
    said += [f"{_name(field)} = {_text(value)}" for field, value in fields.items()]
    return " AND ".join(said)


def _name(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"
