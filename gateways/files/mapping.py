"""What a person said once about the exports of a kind of logger: which column is what. Kept as a TOML file.

Columns are named by their header; `*` stands for any text and `|` parts alternatives, without regard to case.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping as Table
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from coldchain.errors import BadInput
from gateways.files.clock import ORDERS, Order
from gateways.files.text_table import DELIMITERS
from gateways.units import Unit

_BUILT_IN = Path(__file__).parent / "mappings"
_CHOICES: dict[str, tuple[str, ...]] = {
    "delimiter": DELIMITERS,
    "decimal": (".", ","),
    "order": ORDERS,
    "repeated_hour": ("in_order",),
    "unit": ("c", "f", "k"),
}


@dataclass(frozen=True, slots=True)
class TimeColumns:
    """Where the time is: one column, or a date's and a time's. What is None the file has to show or state itself."""

    columns: tuple[str, ...]
    order: Order | None = None
    zone: str | None = None
    repeated_hour: Literal["in_order"] | None = None


@dataclass(frozen=True, slots=True)
class ChannelColumn:
    """Where a probe's temperatures are. Without `channel` every column that fits is a channel, counted from 1.

    `unit`: None if the header, the `unit_column` or the cells state it. `sentinels`: numbers or words that mean a
    fault; `first_sentinels`: those that do so only in the first row, such as a sensor's value at power-on.
    """

    column: str
    channel: str | None = None
    unit: Unit | None = None
    unit_column: str | None = None
    sentinels: tuple[str, ...] = ()
    first_sentinels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mapping:
    """How to read one kind of export.

    `recognise`: headers that must be there besides, so that it is taken for no other kind. `serial`: a regular
    expression with one group, searched in everything down to the header; or `serial_column`.
    """

    mapping: str
    time: TimeColumns
    channel: tuple[ChannelColumn, ...]
    title: str = ""
    recognise: tuple[str, ...] = ()
    delimiter: str | None = None
    decimal: str | None = None
    serial: str | None = None
    serial_column: str | None = None


def load(path: Path) -> Mapping:
    """A saved mapping; BadInput names file, line, key and value of what is wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"the mapping cannot be read: {exc}", file=str(path)) from exc
    return parse(text, str(path))


@cache
def built_in() -> tuple[Mapping, ...]:
    """The mappings that come with the package."""
    return tuple(load(path) for path in sorted(_BUILT_IN.glob("*.toml")))


def parse(text: str, file: str) -> Mapping:
    """The mapping that a TOML text holds."""
    try:
        written = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise BadInput(f"not valid TOML: {exc}", file=file) from exc
    source = _Source(text, file)
    top = source.values(written, Mapping, "")
    time = TimeColumns(**source.values(source.table(written, "time"), TimeColumns, "time"))
    channels = written["channel"]
    if not isinstance(channels, list) or not channels or not all(isinstance(each, dict) for each in channels):
        raise source.wrong("channel", "must be one or more [[channel]] tables")
    columns = tuple(ChannelColumn(**source.values(each, ChannelColumn, "channel")) for each in channels)
    named = [column.channel for column in columns if column.channel is not None]
    if len(set(named)) != len(named) or (len(columns) > 1 and len(named) != len(columns)):
        raise source.wrong("channel", "several [[channel]] tables need a channel each, all different", named)
    if len(time.columns) not in (1, 2):
        raise source.wrong("columns", "one column of date and time, or two: the date's, then the time's", time.columns)
    source.check_texts(top.get("serial"), time.zone)
    return Mapping(**{**top, "time": time, "channel": columns})


@dataclass(frozen=True, slots=True)
class _Source:
    text: str
    file: str

    def wrong(self, key: str, problem: str, value: object = None) -> BadInput:
        lines = self.text.splitlines()
        pattern = re.compile(rf'\s*(\[+\s*)?"?{re.escape(key)}"?\s*[=\]]')
        line = next((number for number, line in enumerate(lines, start=1) if pattern.match(line)), None)
        return BadInput(problem, file=self.file, line=line, key=key, value=value)

    def table(self, written: Table[str, Any], key: str) -> Table[str, Any]:
        if not isinstance(written[key], dict):
            raise self.wrong(key, f"must be a table [{key}]")
        return written[key]  # type: ignore[no-any-return]  # TOML is checked here, value by value

    def values(self, written: Table[str, Any], shape: type, where: str) -> dict[str, Any]:
        """The keys of one table, each known, of the right type and among its choices."""
        known = {each.name: each.default is MISSING for each in fields(shape)}
        for key in written:
            if key not in known:
                place = f"[{where}]" if where else "a mapping"
                raise self.wrong(key, f"unknown key; {place} has {', '.join(sorted(known))}")
        for key, is_required in known.items():
            if is_required and key not in written:
                raise self.wrong(where or key, f"{key} is missing")
        tables = () if where else ("time", "channel")
        return {key: self.value(key, value) for key, value in written.items() if key not in tables}

    def value(self, key: str, value: object) -> object:
        if key in ("columns", "recognise", "sentinels", "first_sentinels"):
            if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
                raise self.wrong(key, 'must be a list of texts, such as ["-270"]', value)
            return tuple(value)
        if not isinstance(value, str) or (not value and key != "title"):
            raise self.wrong(key, "must be a text", value)
        if key in _CHOICES and value not in _CHOICES[key]:
            raise self.wrong(key, f"must be one of {', '.join(map(repr, _CHOICES[key]))}", value)
        return value

    def check_texts(self, serial: str | None, zone: str | None) -> None:
        if serial is not None:
            try:
                groups = re.compile(serial).groups
            except re.error as exc:
                raise self.wrong("serial", f"not a regular expression: {exc}", serial) from exc
            if groups != 1:
                raise self.wrong("serial", "must have one group, around the serial number", serial)
        if zone is not None:
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError) as exc:
                raise self.wrong("zone", "no such time zone: an IANA name such as Europe/Zurich", zone) from exc


def dump(mapping: Mapping) -> str:
    """The TOML text of a mapping; `parse` of it gives the mapping back."""
    lines = _lines(mapping, ("time", "channel"))
    lines += ["", "[time]", *_lines(mapping.time)]
    for channel in mapping.channel:
        lines += ["", "[[channel]]", *_lines(channel)]
    return "\n".join(lines) + "\n"


def _lines(table: object, left_out: tuple[str, ...] = ()) -> list[str]:
    names = [each.name for each in fields(table) if each.name not in left_out]  # type: ignore[arg-type]  # dataclasses only
    values = {name: getattr(table, name) for name in names}
    return [f"{name} = {_toml(value)}" for name, value in values.items() if value]


def _toml(value: str | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'
