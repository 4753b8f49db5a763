"""What does a text export look like that nobody has seen? Suggestions for a person to confirm, never for a ledger."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from coldchain.errors import BadInput
from gateways.files import cells, clock, text_table
from gateways.files.text_table import Row

_DATE_ALONE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}", re.ASCII)
_TIME_ALONE = re.compile(r"\d{1,2}:\d\d(:\d\d)?( ?[AaPp]\.?[Mm]\.?)?", re.ASCII)
_ABOUT_TEMPERATURE = re.compile(r"temp|therm|probe|sensor|[°º]|celsius|fahrenheit", re.I)
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
