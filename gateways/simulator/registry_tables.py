"""Registry files: loggers, places, monitoring, kits and custody as one TOML file, or as CSV files for large fleets."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from coldchain.model import CustodySegment, Kit, Logger, Monitoring, Place

Cell = str | list[str] | datetime
Row = dict[str, Cell]

_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Tables:
    """What is registered. Each table can be long, so it may be an iterator that is read once.

    `custody`: each segment with all the kits that share it.
    """

    loggers: Iterable[Logger]
    places: Iterable[Place]
    monitoring: Iterable[Monitoring]
    kits: Iterable[Kit]
    custody: Iterable[tuple[list[str], CustodySegment]]


def as_toml(tables: Tables) -> str:
    """One registry file."""
    lines = ["# The registry of a simulated fleet; trials, kits and products are invented."]
    for table, _, rows in _tables(tables):
        for row in rows:
            lines.append(f"\n[[{table}]]")
            for key, value in row.items():
                # A quoted JSON text, and a list of them, is written the same in TOML.
                lines.append(f"{key} = {_instant(value) if isinstance(value, datetime) else json.dumps(value)}")
    return "\n".join([*lines, ""])


def write_csv(tables: Tables, folder: Path, on_rows: Callable[[int], None] = lambda _: None) -> list[Path]:
    """One CSV file for each table, named after it, row by row; `on_rows` is called with numbers of rows written."""
    written = []
    for table, columns, rows in _tables(tables):
        path = folder / (f"{table}.csv" if table in ("monitoring", "custody") else f"{table}s.csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            sheet = csv.writer(file, lineterminator="\n")
            sheet.writerow(columns)
            for number, row in enumerate(rows, start=1):
                sheet.writerow([_cell(row.get(column, "")) for column in columns])
                if number % 10_000 == 0:
                    on_rows(10_000)

        written.append(path)
    return written


def custody_rows(custody: Mapping[str, Iterable[CustodySegment]]) -> list[tuple[list[str], CustodySegment]]:
    """Custody by kit as segments with all the kits that share them, in the order in which they occur."""
    kits: dict[CustodySegment, list[str]] = {}
    for kit, segments in custody.items():
        for segment in segments:
            kits.setdefault(segment, []).append(kit)
    return [(together, segment) for segment, together in kits.items()]


def _tables(tables: Tables) -> Iterator[tuple[str, tuple[str, ...], Iterator[Row]]]:
    logger = "id", "logging_interval", "gap_after", "calibrated_from", "calibrated_until"
    yield "logger", logger, map(_logger, tables.loggers)
    yield "place", ("id", "kind"), ({"id": place.id, "kind": place.kind} for place in tables.places)
    yield "monitoring", ("place", "logger", "channel", "from", "to"), map(_monitoring, tables.monitoring)
    yield "kit", ("id", "batch", "trial", "profile", "blind_group"), map(_kit, tables.kits)
    yield "custody", ("kits", "place", "from", "to"), map(_custody, tables.custody)


def _logger(logger: Logger) -> Row:
    row: Row = {
        "id": logger.id,
        "logging_interval": f"{logger.logging_interval_ms // _MINUTE_MS}min",
        "gap_after": f"{logger.gap_after_ms // _MINUTE_MS}min",
    }
    if logger.calibrated_from_ms is not None:
        row["calibrated_from"] = _moment(logger.calibrated_from_ms)
    if logger.calibrated_until_ms is not None:
        row["calibrated_until"] = _moment(logger.calibrated_until_ms)
    return row


def _monitoring(entry: Monitoring) -> Row:
    return {"place": entry.place, "logger": entry.logger, "channel": entry.channel, **_span(entry.from_ms, entry.to_ms)}


def _kit(kit: Kit) -> Row:
    row: Row = {"id": kit.id, "batch": kit.batch, "trial": kit.trial, "profile": kit.profile}
    return row if kit.blind_group is None else row | {"blind_group": kit.blind_group}


def _custody(row: tuple[list[str], CustodySegment]) -> Row:
    kits, segment = row
    return {"kits": kits, "place": segment.place, **_span(segment.from_ms, segment.to_ms)}


def _span(from_ms: int, to_ms: int | None) -> dict[str, datetime]:
    return {"from": _moment(from_ms)} | ({} if to_ms is None else {"to": _moment(to_ms)})


def _cell(value: Cell) -> str:
    if isinstance(value, datetime):
        return _instant(value)
    return " ".join(value) if isinstance(value, list) else value


@cache
def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
