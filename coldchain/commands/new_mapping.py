"""`coldchain import --make-map`: a mapping for a logger nobody has seen, by asking a person who sees its rows."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.prompt import Prompt
from rich.table import Table

from coldchain.commands import import_preview
from coldchain.errors import BadInput
from gateways.files import ChannelColumn, Declared, Mapping, TimeColumns, dump, parse, read_logger_content
from gateways.files.cells import stated_unit
from gateways.files.clock import ORDERS, stated_zone
from gateways.files.sniff import Sniffed, columns, notice, pattern, sniff
from gateways.files.text_table import DELIMITERS, Row, decode, rows

_DELIMITER_NAMES = dict(zip(("comma", "semicolon", "tab", "pipe"), DELIMITERS, strict=True))
_ROWS_SHOWN = 6
_ASK_AGAIN = 3


def make(console: Console, content: bytes, file: str, save_as: Path, declared: Declared) -> Mapping:
    """Ask for a mapping, read the file with it, show what comes out, and save it if the person agrees.

    Raises
    ------
    BadInput : no table, the answers do not fit the file, no answers any more, or the place to save is taken
    """
    if save_as.exists():
        raise BadInput("exists already; name a new file", key="--make-map", value=str(save_as))
    try:
        text = decode(content, file)
        if text.note:
            console.print(text.note, markup=False, soft_wrap=True)
        mapping = _ask(console, text.content, file, save_as)
        console.print("")
        # The file is read as an import will read it; only where no zone is known yet does UTC stand in for it.
        zone = declared.zone or (None if mapping.time.zone else ZoneInfo("UTC"))
        trial = replace(declared, zone=zone)
        found = read_logger_content(content, file=file, logger="preview", declared=trial, mapping=mapping)
        import_preview.understood(console, found)
        if _choice(console, f"save this mapping as {save_as}?", ["y", "n"], "y") == "n":
            raise BadInput("not saved, as answered", key="--make-map", value=str(save_as))
    except EOFError as exc:
        raise BadInput("the input ended before every question was answered", key="--make-map") from exc
    try:
        save_as.write_text(dump(mapping), encoding="utf-8")
    except OSError as exc:
        raise BadInput(f"cannot be written: {exc.strerror}", key="--make-map", value=str(save_as)) from exc
    console.print(f"saved; use it with --map {save_as}", markup=False, soft_wrap=True)
    return mapping


def _ask(console: Console, text: str, file: str, save_as: Path) -> Mapping:
    seen = _table(console, text, file)
    header = seen.rows[seen.header].cells
    _show(console, seen, header)
    _noticed(console, seen)
    time = _columns(console, "columns of the time (one, or the date's and the time's)", seen.time, len(header), 2)
    temperature = _columns(console, "columns of temperatures", seen.temperatures, len(header), len(header))
    serial = _columns(console, "column of the serial number (0: none)", (), len(header), 1, optional=True)
    unit = _unit(console, [header[i] for i in temperature])
    order = _choice(console, "order of the date (file: the file has to prove it)", [*ORDERS, "file"], "file")
    zone = _zone(console, " ".join(header[i] for i in time))
    sentinels = _text(console, "values that mean a fault, parted by spaces (-: none)", "-")
    name = _text(console, "name of the mapping", save_as.stem)
    several = len(temperature) > 1
    channels = tuple(
        ChannelColumn(
            column=pattern(header[i]),
            channel=str(number) if several else None,
            unit=unit,  # type: ignore[arg-type]  # one of the choices
            sentinels=() if sentinels == "-" else tuple(sentinels.split()),
        )
        for number, i in enumerate(temperature, start=1)
    )
    mapping = Mapping(
        mapping=name,
        time=TimeColumns(
            tuple(pattern(header[i]) for i in time),
            order=None if order == "file" else order,  # type: ignore[arg-type]  # one of the choices
            zone=zone,
        ),
        channel=channels,
        delimiter=seen.delimiter,
        serial_column=pattern(header[serial[0]]) if serial else None,
    )
    return parse(dump(mapping), str(save_as))


def _table(console: Console, text: str, file: str) -> Sniffed:
    """The rows, with the delimiter and the header that the person confirms."""
    guess = sniff(text, file)
    names = {delimiter: name for name, delimiter in _DELIMITER_NAMES.items()}
    delimiter = _DELIMITER_NAMES[_choice(console, "cells are parted by", [*_DELIMITER_NAMES], names[guess.delimiter])]
    found = guess if delimiter == guess.delimiter else columns(delimiter, rows(text, delimiter, file))
    for row in found.rows[: found.header + 3]:
        console.print(f"{row.line:>5}  {' | '.join(row.cells)}"[:200], markup=False, highlight=False, soft_wrap=True)
    by_line = {str(row.line): i for i, row in enumerate(found.rows)}
    line = _text(console, "line of the header", str(found.rows[found.header].line))
    if line not in by_line:
        raise BadInput("no such line", file=file, key="header", value=line)
    if by_line[line] == found.header:
        return found
    again = columns(delimiter, found.rows[by_line[line] :])
    return again if again.header == 0 else again._replace(header=0)


def _show(console: Console, seen: Sniffed, header: tuple[str, ...]) -> None:
    body: tuple[Row, ...] = seen.rows[seen.header + 1 : seen.header + 1 + _ROWS_SHOWN]
    table = Table("column", "header", "first rows", box=SIMPLE_HEAD)
    for i, cell in enumerate(header):
        examples = ", ".join(row.cells[i] for row in body if i < len(row.cells) and row.cells[i])
        mark = " (time?)" if i in seen.time else " (temperature?)" if i in seen.temperatures else ""
        table.add_row(str(i + 1), escape(cell) + mark, escape(examples))
    console.print(table)


def _noticed(console: Console, seen: Sniffed) -> None:
    """What the first rows show of decimal mark, date, unit, zone and events; what they do not is asked."""
    found = notice(seen)
    marks = {(): "none seen", (".",): "point", (",",): "comma"}.get(found.decimal_marks, "mixed, which is refused")
    dates = "clear" if len(found.orders) == 1 else f"open: {' or '.join(found.orders) or 'no dates seen'}"
    units = ", ".join(found.units) or "not stated"
    line = f"noticed: decimal mark {marks}; order of the date {dates}; unit {units}; zone {found.zone or 'not stated'}"
    events = f"; {found.events} rows are events without a temperature" if found.events else ""
    console.print(line + events, markup=False, highlight=False, soft_wrap=True)


def _columns(
    console: Console, question: str, guess: tuple[int, ...], width: int, most: int, *, optional: bool = False
) -> tuple[int, ...]:
    default = " ".join(str(i + 1) for i in guess) or ("0" if optional else None)
    for _ in range(_ASK_AGAIN):
        answer = _text(console, question, default).replace(",", " ").split()
        if optional and answer == ["0"]:
            return ()
        numbers = [int(each) for each in answer if each.isdecimal()]
        fits = len(numbers) == len(answer) and 0 < len(numbers) <= most and len(set(numbers)) == len(numbers)
        if fits and all(1 <= number <= width for number in numbers):
            return tuple(number - 1 for number in numbers)
        console.print(f"numbers of at most {most} of the columns 1 to {width}")
    raise BadInput("no usable answer", key=question)


def _unit(console: Console, headers: list[str]) -> str | None:
    stated = {stated_unit(header) for header in headers}
    if None not in stated:
        units = "/".join(sorted(str(unit) for unit in stated))
        console.print(f"unit: the header states {units}")
        return None
    return _choice(console, "unit of the temperatures", ["c", "f", "k"], None)


def _zone(console: Console, header: str) -> str | None:
    stated = stated_zone(header)
    if stated is not None:
        console.print(f"zone: the header states {stated}")
        return None
    answer = _text(console, "time zone of the clock, such as Europe/Zurich (-: to be given with each import)", "-")
    return None if answer == "-" else answer


def _choice(console: Console, question: str, choices: list[str], default: str | None) -> str:
    for _ in range(_ASK_AGAIN):
        answer = _text(console, f"{question} ({'/'.join(choices)})", default)
        if answer in choices:
            return answer
        console.print(f"one of {', '.join(choices)}")
    raise BadInput("no usable answer", key=question)


def _text(console: Console, question: str, default: str | None) -> str:
    answer = Prompt.ask(escape(question), console=console, default=default or "", show_default=bool(default))
    if not sys.stdin.isatty():
        console.print("")  # nobody typed the end of the line
    return answer.strip() or (default or "")
