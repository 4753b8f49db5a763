"""The embedded store: days as compact columns, hours and events as rows, in the SQLite file beside the ledger."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from coldchain import history
from coldchain.history import Series
from coldchain.ledger.records import insert_many
from coldchain.readings import FAULT_MC, ChannelKey
from coldchain.timeseries import day_column, local_file
from coldchain.timeseries.ledger_view import no_rest
from coldchain.timeseries.local_file import transaction, trouble_with_file
from coldchain.timeseries.points import (
    DAY_MS,
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

ROWS_AT_ONCE = 200
"""So many rows are written before it rests: the rows of one pass may be thousands."""

_EMBEDDED = ("day", "logger_hour", "place_hour", "place_basis", "act", "evidence", "cursor")


class EmbeddedStore:
    """The Store in the local file. `connection`: of `local_file.opened` to append, of `reading` to ask. `rest` is
    called before each day of a channel, and each portion of rows, that is written."""

    def __init__(self, connection: sqlite3.Connection, rest: Callable[[], None] = no_rest) -> None:
        self._connection, self._rest = connection, rest

    def cursor(self) -> Cursor:
        rows = self._rows("SELECT block, audit, verdict, mark FROM cursor")
        return Cursor(*rows[0]) if rows else Cursor()

    def append(self, addition: Addition) -> None:
        with trouble_with_file(), transaction(self._connection):
            for readings in addition.readings:
                for part in _by_day(readings):
                    self._merge_day(part)
            self._write(
                "logger_hour",
                ((*key, *hour) for key, hours in addition.logger_hours.items() for hour in hours),
            )
            self._write_place_hours(addition.place_hours.items())
            self._write("act", addition.acts)
            self._write("evidence", ((*e.hold, e.limit, e.profile, e.profile_version) for e in addition.evidence))
            self._write("cursor", [(1, *addition.cursor)])

    def place_bases(self) -> dict[str, str]:
        return dict(self._rows("SELECT place, basis FROM place_basis"))

    def replace_place(self, place: str, hours: tuple[PlaceHour, ...], basis: str) -> None:
        with trouble_with_file(), transaction(self._connection):
            self._connection.execute("DELETE FROM place_hour WHERE place = ?", (place,))
            self._write_place_hours([(place, hours)])
            self._write("place_basis", [(place, basis)])

    def forget_readings(self, key: ChannelKey, from_ms: int, to_ms: int, *, is_verified: bool = True) -> None:
        with trouble_with_file(), transaction(self._connection):
            kept = [self.readings(key, *ends, is_verified=is_verified) for ends in _rest(from_ms, to_ms)]
            self._connection.execute(
                "DELETE FROM day WHERE logger = ? AND channel = ? AND verified = ? AND day BETWEEN ? AND ?",
                (*key, is_verified, _day(from_ms + 1), _day(to_ms)),
            )
            for readings in kept:
                for part in _by_day(readings):
                    self._merge_day(part)

    def clear(self) -> None:
        with trouble_with_file(), transaction(self._connection):
            for table in _EMBEDDED:
                self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 (a constant)

    def channels(self) -> tuple[ChannelKey, ...]:
        rows = self._rows("SELECT logger, channel FROM logger_hour UNION SELECT logger, channel FROM day ORDER BY 1, 2")
        return tuple(ChannelKey(*row) for row in rows)

    def readings(self, key: ChannelKey, from_ms: int, to_ms: int, *, is_verified: bool = True) -> Readings:
        rows = self._rows(
            "SELECT day, columns, faults FROM day WHERE logger = ? AND channel = ? AND verified = ? "
            "AND day BETWEEN ? AND ? ORDER BY day",
            (*key, is_verified, _day(from_ms + 1), _day(to_ms)),
        )
        days = [_unpacked(key, is_verified, *row) for row in rows]
        return within(joined(key, days, is_verified), from_ms, to_ms)

    def logger_hours(self, key: ChannelKey, from_ms: int, to_ms: int) -> tuple[LoggerHour, ...]:
        rows = self._rows(
            "SELECT at_ms, n, faults, min_mc, max_mc, sum_mc FROM logger_hour "
            "WHERE logger = ? AND channel = ? AND at_ms > ? AND at_ms <= ? ORDER BY at_ms",
            (*key, from_ms, to_ms),
        )
        return tuple(LoggerHour(*row) for row in rows)

    def place_hours(self, place: str, from_ms: int, to_ms: int) -> tuple[PlaceHour, ...]:
        rows = self._rows(
            "SELECT at_ms, known_ms, min_mc, max_mc, hot_mc_ms, mkt_c FROM place_hour "
            "WHERE place = ? AND at_ms > ? AND at_ms <= ? ORDER BY at_ms",
            (place, from_ms, to_ms),
        )
        return tuple(PlaceHour(*row) for row in rows)

    def holds(self, from_ms: int, to_ms: int, kit: str | None = None) -> tuple[Hold, ...]:
        return tuple(evidence.hold for evidence in self.evidence(from_ms, to_ms, kit))

    def evidence(self, from_ms: int, to_ms: int, kit: str | None = None) -> tuple[Evidence, ...]:
        rows = self._rows(
            "SELECT seq, at_ms, event, kit, place, reason, breached_at_ms, detected_at_ms, revision, supported, "
            "limit_id, profile, profile_version FROM evidence "
            "WHERE at_ms > ? AND at_ms <= ? AND (? IS NULL OR kit = ?) ORDER BY at_ms, seq",
            (from_ms, to_ms, kit, kit),
        )
        return tuple(Evidence(Hold(*(*row[:9], bool(row[9]))), *row[10:]) for row in rows)

    def acts(self, from_ms: int, to_ms: int) -> tuple[Act, ...]:
        rows = self._rows(
            "SELECT seq, at_ms, who, role, action, subject, old, new, reason FROM act "
            "WHERE at_ms > ? AND at_ms <= ? ORDER BY at_ms, seq",
            (from_ms, to_ms),
        )
        return tuple(Act(*row) for row in rows)

    def verdicts(self, from_ms: int, to_ms: int) -> tuple[GroupVerdict, ...]:
        return tuple(verdict._replace(kits=()) for verdict in self._journal(from_ms, to_ms))

    def kit_verdicts(self, from_ms: int, to_ms: int, kit: str | None = None) -> tuple[KitVerdict, ...]:
        told = (each for verdict in self._journal(from_ms, to_ms) for each in by_kit(verdict))
        return tuple(each for each in told if kit is None or each.kit == kit)

    def _journal(self, from_ms: int, to_ms: int) -> list[GroupVerdict]:
        with trouble_with_file():
            return local_file.verdicts_between(self._connection, from_ms, to_ms, self.cursor().verdict)

    def _merge_day(self, part: Readings) -> None:
        self._rest()
        day = _day(int(part.at_ms[0]))
        place = (*part.key, part.is_verified, day)
        row = self._connection.execute(
            "SELECT day, columns, faults FROM day WHERE logger = ? AND channel = ? AND verified = ? AND day = ?", place
        ).fetchone()
        reasons = reasons_by_instant(part)
        series = Series(part.at_ms, part.temperature_mc)
        if row is not None:
            before = _unpacked(part.key, part.is_verified, *row)
            reasons = reasons_by_instant(before) | reasons
            series = history.merge(Series(before.at_ms, before.temperature_mc), part.at_ms, part.temperature_mc)[0]
        columns = day_column.pack(day * DAY_MS, series.at_ms, series.temperature_mc)
        self._connection.execute(
            "INSERT INTO day (logger, channel, verified, day, n, columns, faults) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (logger, channel, verified, day) DO UPDATE SET n = excluded.n, columns = excluded.columns, "
            "faults = excluded.faults",
            (*place, len(series), columns, json.dumps(reasons) if reasons else ""),
        )

    def _write_place_hours(self, hours: Iterable[tuple[str, tuple[PlaceHour, ...]]]) -> None:
        self._write("place_hour", ((place, *hour) for place, found in hours for hour in found))

    def _write(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        rows = list(rows)
        for first in range(0, len(rows), ROWS_AT_ONCE):
            self._rest()
            insert_many(self._connection, f"INSERT OR REPLACE INTO {table}", rows[first : first + ROWS_AT_ONCE])

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with trouble_with_file():
            return self._connection.execute(query, values).fetchall()


def by_kit(verdict: GroupVerdict) -> Iterator[KitVerdict]:
    """What a blinded reader may see of a verdict, kit by kit."""
    for number, kit in enumerate(verdict.kits):
        yield KitVerdict(
            verdict.first_kit + number, verdict.at_ms, kit, verdict.verdict, verdict.known_ms, verdict.unknown_ms
        )


def joined(key: ChannelKey, parts: list[Readings], is_verified: bool) -> Readings:
    """Readings that follow one another, as one."""
    faults: dict[int, str] = {}
    offset = 0
    for part in parts:
        faults.update({offset + position: reason for position, reason in part.faults.items()})
        offset += len(part)
    at = np.concatenate([np.empty(0, np.int64), *(part.at_ms for part in parts)])
    mc = np.concatenate([np.empty(0, np.int32), *(part.temperature_mc for part in parts)])
    return Readings(key, at, mc, faults, is_verified=is_verified)


def within(readings: Readings, from_ms: int, to_ms: int) -> Readings:
    """The part of sorted readings inside `(from_ms, to_ms]`."""
    first, last = np.searchsorted(readings.at_ms, [from_ms, to_ms], side="right").tolist()
    faults = {n - first: reason for n, reason in readings.faults.items() if first <= n < last}
    columns = readings.at_ms[first:last], readings.temperature_mc[first:last]
    return Readings(readings.key, *columns, faults, is_verified=readings.is_verified)


def reasons_by_instant(readings: Readings) -> dict[str, str]:
    """The reasons of faults by their instant: an instant has at most one fault."""
    return {str(int(readings.at_ms[position])): reason for position, reason in readings.faults.items()}


def _by_day(readings: Readings) -> Iterator[Readings]:
    days = _day(readings.at_ms)
    for day in np.unique(days).tolist():
        yield within(readings, day * DAY_MS - 1, (day + 1) * DAY_MS - 1)


def _unpacked(key: ChannelKey, is_verified: bool, day: int, columns: bytes, faults: str) -> Readings:
    at, mc = day_column.unpack(day * DAY_MS, columns)
    reasons = json.loads(faults) if faults else {}
    positions = np.flatnonzero(mc == FAULT_MC) if reasons else ()
    named = {int(n): reasons[str(int(at[n]))] for n in positions if str(int(at[n])) in reasons}
    return Readings(key, at, mc, named, is_verified=is_verified)


def _day(at_ms: Any) -> Any:
    return at_ms // DAY_MS


def _rest(from_ms: int, to_ms: int) -> list[tuple[int, int]]:
    """What lies on the days of a range outside of it."""
    return [(_day(from_ms + 1) * DAY_MS - 1, from_ms), (to_ms, (_day(to_ms) + 1) * DAY_MS - 1)]
