"""What does a text export look like that nobody has seen? Suggestions for a person to confirm, never for a ledger."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timezone
from typing import NamedTuple

from coldchain.errors import BadInput
from gateways.files import cells, clock, text_table
from gateways.files.clock import Order
from gateways.files.text_table import Row
from gateways.units import Unit

_DATE_ALONE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}", re.ASCII)
_TIME_ALONE = re.compile(r"\d{1,2}:\d\d(:\d\d)?( ?[AaPp]\.?[Mm]\.?)?", re.ASCII)
# In the languages that loggers' programs write: "temp" serves most of them.
_ABOUT_TEMPERATURE = re.compile(
    r"temp|therm|probe|sensor|sonde|fühler|[°º℃℉]|celsius|fahrenheit"
    "|teplot|lämpö|hőmérs|s\u0131cakl|hitastig|темпер|θερμ|温度|온도|อุณหภูมิ",
    re.I,
)
_LOOKED_AT = 200


class Sniffed(NamedTuple):
    """What was noticed. `header` is a position in `rows`; `time` and `temperatures` are positions of columns."""

    delimiter: str
    rows: tuple[Row, ...]
    header: int
    time: tuple[int, ...]
    temperatures: tuple[int, ...]


def sniff(text: str, file: str) -> Sniffed:
    """Delimiter, header row and the columns of time and temperature that a table seems to have.

    Raises
    ------
    BadInput : no delimiter gives rows of several cells
    """
    best: tuple[int, str, tuple[Row, ...]] = (0, "", ())
    for delimiter in text_table.delimiters(text):
        try:
            rows = text_table.rows(text, delimiter, file)
        except BadInput:
            continue
        widths = Counter(len(row.cells) for row in rows[:_LOOKED_AT])
        table = sum(count for width, count in widths.items() if width > 1)
        timed = sum(bool(_time_columns([row], len(row.cells))) for row in rows[:_LOOKED_AT] if len(row.cells) > 1)
        if table + timed > best[0]:
            best = (table + timed, delimiter, rows)
    _, delimiter, rows = best
    if not rows:
        raise BadInput("no table: neither comma, semicolon, tab nor | part its lines into cells", file=file)
    return columns(delimiter, rows)


def columns(delimiter: str, rows: tuple[Row, ...]) -> Sniffed:
    """The header and the columns that rows seem to have."""
    timed = [i for i, row in enumerate(rows[:_LOOKED_AT]) if _time_columns([row], len(row.cells))]
    header = max((timed[0] if timed else 1) - 1, 0)
    body = rows[header + 1 : header + 1 + _LOOKED_AT]
    width = len(rows[header].cells)
    time = _time_columns(body, width)
    numeric = [i for i in range(width) if i not in time and _mostly(body, i, cells.is_number)]
    named = [i for i in numeric if _ABOUT_TEMPERATURE.search(rows[header].cells[i])]
    return Sniffed(delimiter, rows, header, time, tuple(named or [i for i in numeric if i > 0][:1]))


class Noticed(NamedTuple):
    """What the rows show beside their columns. `orders`: in which their dates can be read, one if they prove it.

    `decimal_marks` has two where the file mixes them, which an import refuses; `events` counts rows of the first ones
    that hold a mark in the place of a temperature.
    """

    decimal_marks: tuple[str, ...]
    orders: tuple[Order, ...]
    zone: timezone | None
    units: tuple[Unit, ...]
    events: int


def notice(seen: Sniffed) -> Noticed:
    """Decimal mark, order of the date, zone, units and event rows, as far as header and first rows show them."""
    header, body = seen.rows[seen.header].cells, seen.rows[seen.header + 1 : seen.header + 1 + _LOOKED_AT]
    numbers = [
        row.cells[i] for row in body for i in seen.temperatures if i < len(row.cells) and cells.is_number(row.cells[i])
    ]
    times = [" ".join(row.cells[i] for i in seen.time if i < len(row.cells)) for row in body]
    without = [row for row in body if not any(i < len(row.cells) and row.cells[i] for i in seen.temperatures)]
    others = {i for i in range(1, len(header)) if i not in seen.time and i not in seen.temperatures}
    return Noticed(
        decimal_marks=tuple(sorted({mark for number in numbers for mark in ".," if mark in number})),
        orders=clock.orders(times),
        zone=clock.stated_zone(" ".join(header[i] for i in seen.time)),
        units=tuple(sorted({unit for i in seen.temperatures if (unit := cells.stated_unit(header[i]))})),
        events=sum(any(i < len(row.cells) and row.cells[i] for i in others) for row in without),
    )


def pattern(header: str) -> str:
    """A header as a mapping names it, without what changes from one logger or file to the next: numbers and zones."""
    return re.sub(r"((?:GMT|UTC)\s*)[+-]\d\d?:?\d\d|\d{4,}|[*|]", lambda found: f"{found[1] or ''}*", header)


def _time_columns(body: Sequence[Row], width: int) -> tuple[int, ...]:
    """One column of date and time, or a date's and a time's; empty if there is neither."""
    for i in range(width):
        if _mostly(body, i, clock.is_time):
            return (i,)
    for i in range(width - 1):
        if _mostly(body, i, _DATE_ALONE.fullmatch) and _mostly(body, i + 1, _TIME_ALONE.fullmatch):
            return (i, i + 1)
    return ()


def _mostly(body: Sequence[Row], position: int, holds: Callable[[str], object]) -> bool:
    fitting = sum(bool(position < len(row.cells) and holds(row.cells[position])) for row in body)
    return fitting > 0 and fitting * 2 > len(body)
