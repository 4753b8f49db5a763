"""The store in InfluxDB: two buckets, so that a blinded reader's token opens only what he may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np

from coldchain.errors import EnvironmentFailed
from coldchain.readings import FAULT_MC, ChannelKey
from coldchain.timeseries import line_protocol as lines
from coldchain.timeseries.embedded import by_kit
from coldchain.timeseries.flux import Flux
from coldchain.timeseries.influx_server import Server
from coldchain.timeseries.influxql import InfluxQL
from coldchain.timeseries.line_protocol import NS_PER_MS
from coldchain.timeseries.points import (
    Act,
    Addition,
    Cursor,
    Evidence,
    GroupVerdict,
    Hold,
    KitVerdict,
    LoggerHour,
    PlaceHour,
    Readings,
)

ALL_TIME_MS = 2**43
"""The year 2248, short of the end of 64 bits of nanoseconds."""

_NAMES = ("place", "action", "role")
"""The tags of events and acts that hold names; they come back as they were."""


class Dialect(Protocol):
    """How a server wants to be asked: InfluxQL or Flux. Rows are points: `time` [ns] and the columns asked for."""

    def prepare(self, buckets: Sequence[str]) -> None:
        """See to it that the buckets can be written."""

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
    ) -> list[dict[str, Any]]:
        """The points in `(from_ns, to_ns]`."""

    def tag_sets(self, bucket: str, measurement: str, field: str, tags: Sequence[str]) -> list[tuple[str, ...]]:
        """Every combination of tags under which a measurement has a field."""

    def delete(self, bucket: str, measurement: str, tags: Mapping[str, str], from_ns: int, to_ns: int) -> None:
        """Drop the points in `(from_ns, to_ns]`."""

    def clear(self, bucket: str, measurements: Sequence[str]) -> None:
        """Drop measurements whole."""


def dialect_of(server: Server, org: str) -> Dialect:
    """The language a server answers: Flux from 2.x, InfluxQL from every other."""
    return Flux(server, org) if server.generation[0] == 2 else InfluxQL(server)


def unblinded_bucket(bucket: str) -> str:
    """Where what only unblinded readers may see is kept."""
    return f"{bucket}-unblinded"


class InfluxStore:
    """The Store in an InfluxDB server."""

    def __init__(self, server: Server, org: str, bucket: str) -> None:
        self._server, self._bucket, self._unblinded = server, bucket, unblinded_bucket(bucket)
        self._dialect = dialect_of(server, org)
        self._is_prepared = False

    def cursor(self) -> Cursor:
        self._prepare()
        rows = self._select(self._bucket, lines.CURSOR, Cursor._fields, -1, 0)
        return Cursor(*(rows[0][name] for name in Cursor._fields)) if rows else Cursor()

    def append(self, addition: Addition) -> None:
        self._prepare()
        blinded = chain(
            *map(lines.reading_lines, addition.readings),
            *(lines.logger_hour_lines(key, hours) for key, hours in addition.logger_hours.items()),
            *(lines.place_hour_lines(place, hours) for place, hours in addition.place_hours.items()),
            (lines.hold_line(evidence.hold) for evidence in addition.evidence),
            (lines.kit_line(kit) for verdict in addition.verdicts for kit in by_kit(verdict)),
        )
        unblinded = chain(
            map(lines.act_line, addition.acts),
            map(lines.evidence_line, addition.evidence),
            map(lines.group_line, addition.verdicts),
        )
        self._server.write(self._bucket, blinded)
        self._server.write(self._unblinded, unblinded)
        self._server.write(self._bucket, [lines.cursor_line(addition.cursor)])
        if self.cursor() != addition.cursor:  # VictoriaMetrics, say, takes points and answers every question with none
            raise EnvironmentFailed(self._server.part, "does not give back what it took: it is no InfluxDB to query")

    def place_bases(self) -> dict[str, str]:
        self._prepare()
        rows = self._select(self._bucket, lines.PLACE_BASIS, ("basis", "place"), -1, 0)
        return {lines.name_of(row["place"]): row["basis"] for row in rows}

    def replace_place(self, place: str, hours: tuple[PlaceHour, ...], basis: str) -> None:
        self._dialect.delete(self._bucket, lines.PLACE_HOUR, {"place": place}, -1, ALL_TIME_MS * NS_PER_MS)
        self._server.write(self._bucket, lines.place_hour_lines(place, hours))
        self._server.write(self._bucket, [lines.basis_line(place, basis)])

    def forget_readings(self, key: ChannelKey, from_ms: int, to_ms: int, *, is_verified: bool = True) -> None:
        measurement = lines.READING if is_verified else lines.UNVERIFIED
        self._dialect.delete(self._bucket, measurement, lines.channel_tags(key), *_ns(from_ms, to_ms))

    def clear(self) -> None:
        self._prepare()
        self._dialect.clear(self._bucket, lines.BLINDED)
        self._dialect.clear(self._unblinded, lines.UNBLINDED)

    def channels(self) -> tuple[ChannelKey, ...]:
        found = {
            ChannelKey(*map(lines.name_of, tags))
            for measurement, field in ((lines.LOGGER_HOUR, "n"), (lines.UNVERIFIED, "mc"), (lines.UNVERIFIED, "fault"))
            for tags in self._dialect.tag_sets(self._bucket, measurement, field, ("logger", "channel"))
        }
        return tuple(sorted(found))

    def readings(self, key: ChannelKey, from_ms: int, to_ms: int, *, is_verified: bool = True) -> Readings:
        measurement = lines.READING if is_verified else lines.UNVERIFIED
        tags = lines.channel_tags(key)
        rows = self._select(self._bucket, measurement, ("mc", "fault"), *_ns(from_ms, to_ms), tags=tags)
        at = np.array([row["time"] // NS_PER_MS for row in rows], np.int64)
        mc = np.array([FAULT_MC if row["mc"] is None else row["mc"] for row in rows], np.int32)
        order = np.lexsort((mc, at))
        faults = {new: rows[old]["fault"] for new, old in enumerate(order.tolist()) if rows[old]["fault"]}
        return Readings(key, at[order], mc[order], faults, is_verified=is_verified)

    def logger_hours(self, key: ChannelKey, from_ms: int, to_ms: int) -> tuple[LoggerHour, ...]:
        tags = lines.channel_tags(key)
        rows = self._select(self._bucket, lines.LOGGER_HOUR, LoggerHour._fields[1:], *_ns(from_ms, to_ms), tags=tags)
        return tuple(LoggerHour(**_values(row, LoggerHour)) for row in rows)

    def place_hours(self, place: str, from_ms: int, to_ms: int) -> tuple[PlaceHour, ...]:
        tags = {"place": place}
        rows = self._select(self._bucket, lines.PLACE_HOUR, PlaceHour._fields[1:], *_ns(from_ms, to_ms), tags=tags)
        # an hour that was known and is so no longer, by a fault that came late, keeps its old fields beside the 0
        return tuple(
            PlaceHour(**_values(row, PlaceHour)) if row["known_ms"] else PlaceHour(row["time"] // NS_PER_MS, 0)
            for row in rows
        )

    def holds(self, from_ms: int, to_ms: int, kit: str | None = None) -> tuple[Hold, ...]:
        return tuple(
            Hold(**_values(row, Hold)) for row in self._events(self._bucket, lines.HOLD, (), from_ms, to_ms, kit)
        )

    def evidence(self, from_ms: int, to_ms: int, kit: str | None = None) -> tuple[Evidence, ...]:
        more = ("limit", "profile", "profile_version")
        rows = self._events(self._unblinded, lines.EVENT, more, from_ms, to_ms, kit)
        return tuple(Evidence(Hold(**_values(row, Hold)), *(row[name] for name in more)) for row in rows)

    def _events(
        self, bucket: str, measurement: str, more: tuple[str, ...], from_ms: int, to_ms: int, kit: str | None
    ) -> list[dict[str, Any]]:
        columns = (*(name for name in Hold._fields if name != "at_ms"), *more)
        fields = {} if kit is None else {"kit": kit}
        return self._select(bucket, measurement, columns, *_written_ns(from_ms, to_ms), fields=fields)

    def acts(self, from_ms: int, to_ms: int) -> tuple[Act, ...]:
        columns = tuple(name for name in Act._fields if name != "at_ms")
        rows = self._select(self._unblinded, lines.ACT, columns, *_written_ns(from_ms, to_ms))
        return tuple(Act(**_values(row, Act)) for row in rows)

    def verdicts(self, from_ms: int, to_ms: int) -> tuple[GroupVerdict, ...]:
        columns = tuple(name for name in GroupVerdict._fields if name not in ("at_ms", "kits"))
        rows = self._select(self._unblinded, lines.KIT_GROUP, columns, *_written_ns(from_ms, to_ms))
        return tuple(GroupVerdict(**_values(row | {"kits": ()}, GroupVerdict)) for row in rows)

    def kit_verdicts(self, from_ms: int, to_ms: int, kit: str | None = None) -> tuple[KitVerdict, ...]:
        columns = tuple(name for name in KitVerdict._fields if name != "at_ms")
        fields = {} if kit is None else {"kit": kit}
        rows = self._select(self._bucket, lines.KIT, columns, *_written_ns(from_ms, to_ms), fields=fields)
        return tuple(KitVerdict(**_values(row, KitVerdict)) for row in rows)

    def _prepare(self) -> None:
        if not self._is_prepared:
            self._dialect.prepare((self._bucket, self._unblinded))
            self._is_prepared = True

    def _select(
        self,
        bucket: str,
        measurement: str,
        columns: Sequence[str],
        from_ns: int,
        to_ns: int,
        *,
        tags: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        return self._dialect.select(bucket, measurement, columns, from_ns, to_ns, tags=tags or {}, fields=fields or {})


def _values(row: Mapping[str, Any], point: Any) -> dict[str, Any]:
    """The row as the arguments of a point: its instant from the time, tags decoded, numbers of the right kind."""
    values = {name: row[name] for name in point._fields if name in row}
    values |= {name: lines.name_of(values[name]) for name in _NAMES if values.get(name) is not None}
    values |= {name: float(values[name]) for name in ("mean_c", "mkt_c") if values.get(name) is not None}
    return {**values, "at_ms": row["time"] // NS_PER_MS}


def _ns(from_ms: int, to_ms: int) -> tuple[int, int]:
    return from_ms * NS_PER_MS, to_ms * NS_PER_MS


def _written_ns(from_ms: int, to_ms: int) -> tuple[int, int]:
    """The range of points that are told apart by nanoseconds: all of the last millisecond."""
    return (from_ms + 1) * NS_PER_MS - 1, (to_ms + 1) * NS_PER_MS - 1
