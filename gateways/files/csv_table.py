"""Any logger's text export, read by a mapping: which readings does the table hold?

The header row is the first in which every column of the mapping is found. Below it each row is a time and one
temperature per channel. A row without any temperature that carries a mark instead ("Logged") is an event, not a
fault; an empty cell in any other row is a fault. The first column may be the row's number.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import NamedTuple, cast
from zoneinfo import ZoneInfo

import numpy as np

from coldchain.errors import BadInput
from coldchain.readings import FAULT_MC, ReadingBatch
from gateways.files import cells, clock, text_table
from gateways.files.cells import DecimalMark
from gateways.files.clock import Clock, Order, Stamp
from gateways.files.logger_file import LoggerFile
from gateways.files.mapping import ChannelColumn, Mapping
from gateways.files.text_table import Row
from gateways.units import Unit

HEADER_WITHIN = 200
"""Rows in which the header is looked for."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What the person at the keyboard declares about one file, beside its mapping."""

    zone: ZoneInfo | None = None
    order: Order | None = None
    repeats_in_order: bool = False


class _Channel(NamedTuple):
    name: str
    position: int
    column: ChannelColumn
    unit: Unit | None
    unit_position: int | None


class Table(NamedTuple):
    """The table found in a file: where times and channels stand, the rows above and below the header, and the text
    that may state the zone of the times."""

    header: Row
    time: tuple[int, ...]
    channels: tuple[_Channel, ...]
    serial: int | None
    above: tuple[Row, ...]
    body: tuple[Row, ...]
    zone_text: str

    def stamp(self, row: Row) -> Stamp:
        return Stamp(row.line, " ".join(_cell(row, position) for position in self.time).strip())


def find(text: str, mapping: Mapping, file: str) -> Table | None:
    """The table that fits the mapping; None if no row of the file is its header."""
    for delimiter in (mapping.delimiter,) if mapping.delimiter else text_table.delimiters(text):
        try:
            found = text_table.rows(text, delimiter, file)
        except BadInput:
            if mapping.delimiter:
                raise
            continue
        for number, row in enumerate(found[:HEADER_WITHIN]):
            table = table_below(row, found[:number], found[number + 1 :], mapping)
            if table is not None:
                return table
    return None


def read(content: bytes, *, file: str, logger: str, mapping: Mapping, declared: Declared) -> LoggerFile:
    """The readings of an export; BadInput names file, line, key and value of what is wrong or ambiguous."""
    text = text_table.decode(content, file)
    table = find(text.content, mapping, file)
    if table is None:
        wanted = [*mapping.time.columns, *(column.column for column in mapping.channel), *mapping.recognise]
        raise BadInput(f"no row is a header with the columns {', '.join(wanted)}", file=file, key=mapping.mapping)
    return read_table(table, text, content, file=file, logger=logger, mapping=mapping, declared=declared)


def read_table(
    table: Table, text: text_table.Text, content: bytes, *, file: str, logger: str, mapping: Mapping, declared: Declared
) -> LoggerFile:
    """The readings of a table that `find` has found in the text."""
    rows, events = _reading_rows(table, file)
    mark = DecimalMark(mapping.decimal)
    columns = [_temperatures(rows, channel, mark, file) for channel in table.channels]
    zone, zone_note = _zone(table, mapping, declared)
    repeats = declared.repeats_in_order or mapping.time.repeated_hour == "in_order"
    ticking = Clock(declared.order or mapping.time.order, zone, repeats)
    at_ms, order_note = clock.instants([table.stamp(row) for row in rows], ticking, file)
    at = np.array(at_ms, dtype=np.int64)
    batches = tuple(
        ReadingBatch(logger, channel.name, at, np.array(mc, dtype=np.int32), faults=faults)
        for channel, (mc, faults) in zip(table.channels, columns, strict=True)
    )
    event_note = f"{events} rows are events without a temperature." if events else ""
    empty_note = "" if rows else "The file holds no readings."
    return LoggerFile(
        family=mapping.mapping,
        batches=batches if rows else (),
        serial=_serial(table, mapping, file),
        sha256=hashlib.sha256(content).hexdigest(),
        notes=tuple(filter(None, (text.note, zone_note, order_note, event_note, empty_note))),
        zone=zone,
    )


def table_below(row: Row, above: tuple[Row, ...], body: tuple[Row, ...], mapping: Mapping) -> Table | None:
    """The table whose header is that row; None if the row has not all columns of the mapping."""
    time = [_places(row, pattern) for pattern in mapping.time.columns]
    if any(len(places) != 1 for places in time) or any(not _places(row, pattern) for pattern in mapping.recognise):
        return None
    positions = tuple(places[0] for places in time)
    taken = set(positions)
    channels: list[_Channel] = []
    for column in mapping.channel:
        places = [place for place in _places(row, column.column) if place not in taken]
        unit_place = _places(row, column.unit_column) if column.unit_column else []
        if not places or (column.channel and len(places) > 1) or (column.unit_column and len(unit_place) != 1):
            return None
        for number, place in enumerate(places, start=1):
            unit = column.unit or (None if column.unit_column else cells.stated_unit(row.cells[place]))
            name = column.channel or str(number)
            channels.append(_Channel(name, place, column, unit, unit_place[0] if unit_place else None))
        taken.update(places)
    serial = _places(row, mapping.serial_column) if mapping.serial_column else []
    zone_text = " ".join(row.cells[position] for position in positions)
    return Table(row, positions, tuple(channels), serial[0] if serial else None, above, body, zone_text)


def _places(row: Row, pattern: str) -> list[int]:
    alternatives = "|".join(".*".join(map(re.escape, part.split("*"))) for part in pattern.split("|"))
    return [i for i, cell in enumerate(row.cells) if cell and re.fullmatch(alternatives, cell, re.I | re.S)]


def _cell(row: Row, position: int) -> str:
    return row.cells[position] if position < len(row.cells) else ""


def _reading_rows(table: Table, file: str) -> tuple[list[Row], int]:
    """The rows that state temperatures (or should), and how many are events."""
    rows: list[Row] = []
    events = 0
    width = len(table.header.cells)
    own = {*table.time, *(channel.position for channel in table.channels)}
    others = [i for i in range(width) if i not in own and i > 0]
    for row in table.body:
        if any(row.cells[width:]):
            problem = (
                f"{len(row.cells)} cells under a header of {width}: a decimal comma in a file parted by commas, or a "
                "broken row; export again with another delimiter"
            )
            raise BadInput(problem, file=file, line=row.line, value=" ".join(row.cells)[:80])
        marks = [_cell(row, i) for i in others if _cell(row, i)]
        without = not any(_cell(row, channel.position) for channel in table.channels)
        if without and marks and not any(map(cells.is_number, marks)):
            events += 1
        else:
            rows.append(row)
    return rows, events


def _temperatures(
    rows: Sequence[Row], channel: _Channel, mark: DecimalMark, file: str
) -> tuple[list[int], dict[int, str]]:
    column: list[int] = []
    faults: dict[int, str] = {}
    for number, row in enumerate(rows):
        unit = channel.unit or _row_unit(row, channel, file)
        found = cells.temperature(
            _cell(row, channel.position), channel.column, unit, mark, is_first=number == 0, file=file, line=row.line
        )
        column.append(FAULT_MC if found.mc is None else found.mc)
        if found.mc is None:
            faults[number] = found.reason
    return column, faults


def _row_unit(row: Row, channel: _Channel, file: str) -> Unit | None:
    if channel.unit_position is None:
        return None
    stated = _cell(row, channel.unit_position)
    unit = stated.strip("°º\ufffd ").lower()
    if unit not in ("c", "f", "k", "celsius", "fahrenheit", "kelvin", ""):
        problem = "unknown unit of temperature; C, F and K are known"
        raise BadInput(problem, file=file, line=row.line, key=channel.column.unit_column, value=stated)
    return cast("Unit", unit[0]) if unit else None


def _zone(table: Table, mapping: Mapping, declared: Declared) -> tuple[tzinfo | None, str]:
    """The zone of the times: the file's own, else the declared one, else the mapping's; and which it was."""
    stated = clock.stated_zone(table.zone_text)
    if stated is not None:
        unused = f"; {declared.zone.key}, as given, is not used" if declared.zone is not None else ""
        return stated, f"Times are taken as {stated}, the zone in the file's own header{unused}."
    if declared.zone is not None or mapping.time.zone is None:
        return declared.zone, ""
    return ZoneInfo(mapping.time.zone), f"Times are taken as {mapping.time.zone}, the zone in the mapping."


def _serial(table: Table, mapping: Mapping, file: str) -> str | None:
    """The serial number as text, never as a number; BadInput if the rows state several."""
    if table.serial is not None:
        stated: dict[str, int] = {}
        for row in table.body:
            if _cell(row, table.serial):
                stated.setdefault(_cell(row, table.serial), row.line)
        if len(stated) > 1:
            other, line = list(stated.items())[1]
            problem = f"readings of more than one logger; the first is {next(iter(stated))!r}: split the file"
            raise BadInput(problem, file=file, line=line, key=mapping.serial_column, value=other)
        return next(iter(stated), None)
    if mapping.serial is not None:
        for row in (*table.above, table.header):
            found = re.search(mapping.serial, " ".join(row.cells))
            if found:
                return found[1]
    return None
