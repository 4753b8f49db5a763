"""Which rows of cells a text export holds: encoding and delimiter, nothing of their meaning."""

from __future__ import annotations

import codecs
import csv
import io
import re
from typing import NamedTuple

from coldchain.errors import BadInput

DELIMITERS = (",", ";", "\t", "|")

_LONGEST_CELL = 10_000
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_SEPARATOR_LINE = re.compile(r'"?sep=([,;|\t])"?\r?\n')
_BINARY = {
    b"PK\x03\x04": "a workbook (.xlsx) or archive: export it as CSV",
    b"%PDF": "a PDF: export the readings as CSV; a report is not a temperature history",
}


class Row(NamedTuple):
    """One record of the file; `line` is where it begins."""

    line: int
    cells: tuple[str, ...]


class Text(NamedTuple):
    """A file as text. `note` says what was done to read it, empty if there was nothing to decide."""

    content: str
    note: str


def decode(content: bytes, file: str) -> Text:
    """The text of a file in UTF-8, UTF-16 (with or without a mark) or Windows-1252; BadInput for anything else."""
    for magic, problem in _BINARY.items():
        if content.startswith(magic):
            raise BadInput(f"not a text file but {problem}", file=file)
    try:
        text, note = _decoded(content)
    except UnicodeDecodeError as exc:
        raise BadInput(f"not text: {exc.reason} at byte {exc.start} ({exc.encoding})", file=file) from exc
    control = _CONTROL.search(text)
    if control:
        line = text.count("\n", 0, control.start()) + 1
        raise BadInput("not a text file: a control character", file=file, line=line, value=control[0])
    return Text(text, note)


def _decoded(content: bytes) -> tuple[str, str]:
    if content.startswith(codecs.BOM_UTF8):
        return content.decode("utf-8-sig"), ""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16"), ""
    start = content[:64]
    # Exports begin with ASCII, so every other byte of UTF-16 without a mark is zero.
    if len(start) >= 4 and not any(start[1:8:2]):
        return content.decode(
            "utf-16-le"
        ), "The file is taken as UTF-16 (little-endian); it has no mark of its encoding."
    if len(start) >= 4 and not any(start[0:8:2]):
        return content.decode("utf-16-be"), "The file is taken as UTF-16 (big-endian); it has no mark of its encoding."
    try:
        return content.decode("utf-8"), ""
    except UnicodeDecodeError:
        return content.decode("cp1252"), "The file is not UTF-8; it is taken as Windows-1252."


def rows(text: str, delimiter: str, file: str) -> tuple[Row, ...]:
    """The records of the text, blank ones left out; every cell is text, stripped. BadInput on broken quoting."""
    separator = _SEPARATOR_LINE.match(text)
    found: list[Row] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for cells in reader:
            if begins > 1 or separator is None:
                stripped = tuple(cell.strip() for cell in cells)
                if any(stripped):
                    found.append(Row(begins, stripped))
                if any(len(cell) > _LONGEST_CELL for cell in stripped):
                    raise BadInput(f"a cell of more than {_LONGEST_CELL} characters", file=file, line=begins)
            begins = reader.line_num + 1
    except csv.Error as exc:
        raise BadInput(f"broken quoting or line: {exc}", file=file, line=begins) from exc
    return tuple(found)


def delimiters(text: str) -> tuple[str, ...]:
    """The delimiters to try, most plausible first; one only where the file names it (`sep=;`)."""
    separator = _SEPARATOR_LINE.match(text)
    if separator:
        return (separator[1],)
    head = text[:20_000]
    return tuple(sorted(DELIMITERS, key=lambda delimiter: -head.count(delimiter)))
