"""Berlinger's text files: Q-tag CLm doc and Fridge-tag 2 / 2 L.

An indented `Key: value` header (several pairs a line where commas part them), day summaries below `Hist:`, and, in
models that log, tab-separated readings below `Data:`. Times are the device's clock, to the minute, without a mark
of daylight saving. The signature lines at the end are kept with the original bytes; they are not verified here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from coldchain.errors import BadInput
from coldchain.readings import FAULT_MC, ReadingBatch
from gateways.files.logger_file import DaySummary, LoggerFile, utc_ms
from gateways.units import Unit, milli_celsius

FAMILY = "berlinger"
FAMILY_TITLE = "Berlinger Q-tag and Fridge-tag text files, which begin with 'Device: Q-tag'"

_DEVICE = re.compile(rb"(\xef\xbb\xbf)?Device: *(Q-tag|Fridge-tag)\b", re.IGNORECASE)
_NEXT_PAIR = re.compile(r", *(?=[A-Za-z][A-Za-z ]*:)")
_NUMBER = re.compile(r"[+-]?\d{1,4}(\.\d{1,3})?", re.ASCII)
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d)", re.ASCII)
_DATA_HEADERS = (("yyyy-MM-dd hh:mm", "T", "Out of limits"), ("yyyy-MM-dd hh:mm", "T"))
_SECTION = re.compile(r"[A-Za-z][A-Za-z ]*:")
_UNITS: dict[str, Unit] = {"C": "c", "F": "f"}
_VENDOR = {"min_c": "Res/Min T", "max_c": "Res/Max T", "mean_c": "Res/Avrg T", "mkt_c": "Res/MKT"}


class _Stated(NamedTuple):
    line: int
    value: str


class _Text(NamedTuple):
    """A file taken apart: header values by path (`Conf/Serial`), and the cells of each line below `Data:`."""

    file: str
    header: Mapping[str, _Stated]
    table: tuple[tuple[int, tuple[str, ...]], ...]

    def wrong(self, key: str, problem: str) -> BadInput:
        stated = self.header[key]
        return BadInput(problem, file=self.file, line=stated.line, key=key, value=stated.value)


def recognises(content: bytes) -> bool:
    """Whether the file begins as Berlinger's do."""
    return _DEVICE.match(content) is not None


def read(content: bytes, *, file: str, logger: str, zone: ZoneInfo | None) -> LoggerFile:
    """The readings of a Q-tag or Fridge-tag file; BadInput names file, line, key and value of what is wrong."""
    # Free text of the user may be in any encoding; everything read from here on is ASCII or refused.
    text = _take_apart(content.decode("utf-8-sig", errors="replace"), file)
    unit = _unit(text)
    days = tuple(_days(text, unit))
    batch, zone_note = _readings(text, logger, zone, unit)
    serial = text.header.get("Conf/Serial")
    notes = [note for note in (zone_note, _days_note(days, batch), _signature_note(text)) if note]
    return LoggerFile(
        family=FAMILY,
        batches=() if batch is None else (batch,),
        serial=serial.value if serial else None,
        sha256=hashlib.sha256(content).hexdigest(),
        vendor=_vendor(text, unit),
        notes=tuple(notes),
        days=days,
        zone=None if batch is None else zone or _stated_zone(text)[0],
    )


def _take_apart(text: str, file: str) -> _Text:
    header: dict[str, _Stated] = {}
    table: list[tuple[int, tuple[str, ...]]] = []
    path: list[str] = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        in_data = path[:1] == ["Data"]
        if line.startswith("\t"):
            if in_data:
                table.append((number, tuple(cell.strip() for cell in line[1:].split("\t"))))
            continue
        if in_data and line.strip() and not _SECTION.match(line):
            raise BadInput("not a row: it does not begin with a tab", file=file, line=number, key="Data", value=line)
        depth = len(line) - len(line.lstrip(" "))
        # A user's own words may look like a second pair.
        pairs = [line.strip()] if line.lstrip().startswith("User String") else _NEXT_PAIR.split(line.strip())
        for pair in pairs:
            key, colon, value = pair.partition(":")
            if not colon:
                continue
            path = [*path[:depth], key.strip()]
            header.setdefault("/".join(path), _Stated(number, value.strip()))
    return _Text(file, header, tuple(table))


def _unit(text: _Text) -> Unit:
    stated = text.header.get("Conf/Temp unit")
    if stated is None:
        return "c"
    if stated.value not in _UNITS:
        raise text.wrong("Conf/Temp unit", "unknown unit of temperature; C and F are known")
    return _UNITS[stated.value]


def _readings(text: _Text, logger: str, zone: ZoneInfo | None, unit: Unit) -> tuple[ReadingBatch | None, str]:
    """The readings, if there are any, and how their clock was taken."""
    if not text.table:
        return None, ""
    (header_line, header), *rows = text.table
    if header not in _DATA_HEADERS:
        expected = ", ".join(_DATA_HEADERS[0])
        raise BadInput(f"columns {expected} expected", file=text.file, line=header_line, key="Data", value=header)
    if not rows:
        return None, ""
    clock, note = (zone, "") if zone is not None else _stated_zone(text)
    at_ms: list[int] = []
    mc: list[int] = []
    faults: dict[int, str] = {}
    for position, (line, cells) in enumerate(rows):
        if len(cells) not in (2, 3):
            raise BadInput("a row is time, temperature and flag", file=text.file, line=line, key="Data", value=cells)
        local = _local_time(cells[0], clock, text.file, line)
        at_ms.append(utc_ms(local, file=text.file, line=line, value=cells[0]))
        value, reason = _temperature(cells[1], unit, text.file, line)
        mc.append(FAULT_MC if value is None else value)
        if value is None:
            faults[position] = reason
    batch = ReadingBatch(
        logger, "1", np.array(at_ms, dtype=np.int64), np.array(mc, dtype=np.int32), received_ms=None, faults=faults
    )
    return batch, note


def _stated_zone(text: _Text) -> tuple[tzinfo, str]:
    """The fixed offset in the file's header, in hours with decimals (5.50 is UTC+05:30)."""
    stated = text.header.get("Conf/Zone")
    if stated is None:
        raise BadInput(
            "the file declares no time zone and none was given; name that of the device's clock, e.g. Europe/Zurich",
            file=text.file,
            key="zone",
        )
    hours = Decimal(stated.value) if _NUMBER.fullmatch(stated.value) else None
    if hours is None or hours % Decimal("0.25") or abs(hours) > 14:
        raise text.wrong("Conf/Zone", "not an offset from UTC in hours; name the zone of the device's clock")
    offset = timezone(timedelta(hours=float(hours)))
    return offset, f"Times are taken as {offset}, the zone in the file's own header; no other zone was declared."


def _local_time(cell: str, clock: tzinfo, file: str, line: int) -> datetime:
    parts = _TIME.fullmatch(cell)
    if parts is None:
        raise BadInput("not a time such as 2023-04-17 15:23", file=file, line=line, key="time", value=cell)
    try:
        year, month, day, hour, minute = map(int, parts.groups())
        if not 1970 <= year <= 2200:
            raise ValueError("year must be in 1970..2200")
        return datetime(year, month, day, hour, minute, tzinfo=clock)
    except ValueError as exc:
        raise BadInput(f"no such time: {exc}", file=file, line=line, key="time", value=cell) from exc


def _temperature(cell: str, unit: Unit, file: str, line: int) -> tuple[int | None, str]:
    """Milli-degC, or None and the reason of the fault. A cell without any digit (`--.-`, empty) is a fault."""
    if _NUMBER.fullmatch(cell):
        mc = milli_celsius(Decimal(cell), unit)
        return mc, "implausible"
    if any(character.isdigit() for character in cell):
        raise BadInput("not a temperature such as 12.7", file=file, line=line, key="temperature", value=cell)
    return None, cell[:64] if cell else "empty"


def _vendor(text: _Text, unit: Unit) -> dict[str, float]:
    figures = {}
    for name, path in _VENDOR.items():
        mc = _stated_mc(text, path, unit)
        if mc is not None:
            figures[name] = mc / 1000
    energy = text.header.get("Conf/MKT Energy")
    if energy is not None and _NUMBER.fullmatch(energy.value):
        figures["activation_energy_kj_mol"] = float(energy.value)
    return figures


def _days(text: _Text, unit: Unit) -> Iterator[DaySummary]:
    for path, stated in text.header.items():
        if re.fullmatch(r"Hist/\d+/Date", path):
            entry = path.removesuffix("Date")
            try:
                day = date.fromisoformat(stated.value)
            except ValueError as exc:
                raise text.wrong(path, "not a date such as 2023-02-14") from exc
            yield DaySummary(day, *(_stated_mc(text, entry + key, unit) for key in ("Min T", "Max T", "Avrg T")))


def _stated_mc(text: _Text, path: str, unit: Unit) -> int | None:
    stated = text.header.get(path)
    if stated is None or not _NUMBER.fullmatch(stated.value):
        return None
    return milli_celsius(Decimal(stated.value), unit)


def _days_note(days: tuple[DaySummary, ...], batch: ReadingBatch | None) -> str:
    if batch is None and not days:
        return "The file holds no readings and no day summaries."
    if batch is not None and not days:
        return ""
    lowest = min((day.min_mc for day in days if day.min_mc is not None), default=None)
    highest = max((day.max_mc for day in days if day.max_mc is not None), default=None)
    span = f"{min(day.day for day in days)} to {max(day.day for day in days)}"
    range_c = "" if lowest is None or highest is None else f", {lowest / 1000} to {highest / 1000} degC"
    holds = f"{len(days)} day summaries ({span}{range_c})"
    if batch is None:
        return f"The file holds no readings, only {holds}; a summary is evidence, not a temperature history."
    return f"Beside the readings the file holds {holds}; they cover time for which it has no readings."


def _signature_note(text: _Text) -> str:
    return "" if "Sig" in text.header else "The file has no signature line (Sig): it may have been cut or edited."
