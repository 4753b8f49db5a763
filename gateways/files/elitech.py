"""ElitechLog's .xls export (BIFF): which readings does it hold, and what does the vendor's summary say?

Label and value stand side by side above a table that begins with `No. | Time | Temperature`. Times are text, in the
zone that the header states; figures of the summary are text with the decimal mark of the writer's computer.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import replace

import xlrd  # type: ignore[import-untyped]  # the package ships no types

from coldchain.errors import BadInput
from gateways.files import cells, csv_table
from gateways.files.cells import DecimalMark
from gateways.files.csv_table import Declared
from gateways.files.logger_file import LoggerFile
from gateways.files.mapping import ChannelColumn, Mapping, TimeColumns
from gateways.files.text_table import Row, Text

FAMILY_TITLE = "ElitechLog .xls"

_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAPPING = Mapping(
    mapping="elitech",
    time=TimeColumns(("Time",)),
    channel=(ChannelColumn("Temperature*"),),
    recognise=("No.",),
)
_VENDOR = {
    "min_c": "Minimum",
    "max_c": "Maximum",
    "mean_c": "Average",
    "mkt_c": "Mean Kinetic Temperature (MKT)",
}
# What xlrd raises for a damaged file, beside its own error, depends on where the damage is.
_DAMAGED = (
    xlrd.XLRDError,
    xlrd.compdoc.CompDocError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
)


def recognises(content: bytes) -> bool:
    """Whether the file is a workbook of the old binary kind."""
    return content.startswith(_MAGIC)


def read(content: bytes, *, file: str, logger: str, declared: Declared) -> LoggerFile:
    """The readings and the vendor's summary of an ElitechLog workbook; BadInput says what is wrong, and where."""
    rows = _rows(content, file)
    for number, row in enumerate(rows[: csv_table.HEADER_WITHIN]):
        table = csv_table.table_below(row, rows[:number], rows[number + 1 :], _MAPPING)
        if table is not None:
            break
    else:
        raise BadInput("a workbook, but not of ElitechLog: no header row No., Time, Temperature", file=file)
    stated = _stated(table.above)
    table = table._replace(zone_text=stated["Time Zone"].cells[0] if "Time Zone" in stated else "")
    found = csv_table.read_table(
        table, Text("", ""), content, file=file, logger=logger, mapping=_MAPPING, declared=declared
    )
    serial = stated.get("Serial Number")
    notes = (*found.notes, *_count_notes(stated, found))
    return replace(found, serial=serial.cells[0] if serial else None, vendor=_vendor(stated, file), notes=notes)


def _rows(content: bytes, file: str) -> tuple[Row, ...]:
    """The rows of the first sheet as text; `line` is the sheet's own row number."""
    try:
        book = xlrd.open_workbook(file_contents=content, logfile=io.StringIO(), on_demand=True, ragged_rows=True)
        sheet = book.sheet_by_index(0)
        found = [
            Row(number + 1, tuple(_text(cell, book.datemode) for cell in sheet.row(number)))
            for number in range(sheet.nrows)
        ]
    except _DAMAGED as exc:
        raise BadInput(f"a damaged or unreadable workbook: {exc or type(exc).__name__}", file=file) from exc
    return tuple(row for row in found if any(row.cells))


def _text(cell: xlrd.sheet.Cell, datemode: int) -> str:
    if cell.ctype == xlrd.XL_CELL_DATE:
        return str(xlrd.xldate_as_datetime(cell.value, datemode).isoformat(sep=" ", timespec="seconds"))
    if cell.ctype == xlrd.XL_CELL_NUMBER:
        return repr(cell.value)
    # Error cells hold a code that looks like a number: no data.
    return str(cell.value).strip() if cell.ctype == xlrd.XL_CELL_TEXT else ""


def _stated(above: tuple[Row, ...]) -> dict[str, Row]:
    """The value beside each label above the table, as a row of one cell; the first of equal labels holds."""
    found: dict[str, Row] = {}
    for row in above:
        for label, value in zip(row.cells, row.cells[1:], strict=False):
            if label and value:
                found.setdefault(label, Row(row.line, (value,)))
    return found


def _vendor(stated: dict[str, Row], file: str) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, label in _VENDOR.items():
        row = stated.get(label)
        if row is None or not cells.is_number(row.cells[0]):
            continue
        unit = cells.stated_unit(row.cells[0])
        column = ChannelColumn(label)
        found = cells.temperature(
            row.cells[0], column, unit, DecimalMark(None), is_first=False, file=file, line=row.line
        )
        if found.mc is not None:
            figures[name] = found.mc / 1000
    return figures


def _count_notes(stated: dict[str, Row], found: LoggerFile) -> tuple[str, ...]:
    row = stated.get("Current Readings")
    if row is None or not re.fullmatch(r"\d{1,9}", row.cells[0], re.ASCII):
        return ()
    rows = len(found.batches[0]) if found.batches else 0
    if int(row.cells[0]) == rows:
        return ()
    return (f"The header counts {row.cells[0]} readings, the table has {rows} rows: it may have been cut.",)
