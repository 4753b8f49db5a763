"""Which temperature a cell of an export states: number, decimal mark, unit, sentinel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import NamedTuple, cast

from coldchain.errors import BadInput
from gateways.files.mapping import ChannelColumn
from gateways.units import Unit, milli_celsius

_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>\d{1,7})(?:(?P<mark>[.,])(?P<part>\d{0,9}))?"
    r"(?:\s*(?:°|º|\ufffd|deg\.? ?)?\s*(?P<unit>[CFKcfk]))?",
    re.ASCII,
)
_DEGREE = re.compile(
    r"(?:°|º|\ufffd|Â|\bdeg\.?)\s*([CFK])(?![A-Za-z])|([\u2103\u2109])|\b(celsius|fahrenheit|kelvin)\b", re.I
)
_LOOSE = re.compile(r"(?<![A-Za-z0-9])([CF])(?![A-Za-z0-9])")
_SYMBOLS = {"\u2103": "c", "\u2109": "f"}


class Temperature(NamedTuple):
    """Milli-degC, or None and the reason of the fault."""

    mc: int | None
    reason: str = ""


@dataclass(slots=True)
class DecimalMark:
    """The one mark of the file: as the mapping says, or as the first number that has one shows."""

    mark: str | None
    line: int | None = field(default=None)

    def accept(self, mark: str, file: str, line: int, cell: str) -> None:
        if self.mark is None:
            self.mark, self.line = mark, line
        elif mark != self.mark:
            since = f"line {self.line} has" if self.line else "the mapping says"
            problem = f"mixed decimal marks: {since} {self.mark!r}; a thousands separator is not accepted either"
            raise BadInput(problem, file=file, line=line, key="temperature", value=cell)


def stated_unit(header: str) -> Unit | None:
    """The unit that a column's header states; None if it states none, or two."""
    for pattern in (_DEGREE, _LOOSE):
        found = {next(filter(None, match.groups())) for match in pattern.finditer(header)}
        units = {_SYMBOLS.get(text, text[0].lower()) for text in found}
        if units:
            return cast("Unit", units.pop()) if len(units) == 1 else None
    return None


def is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def is_sentinel(cell: str, sentinels: Sequence[str]) -> bool:
    """Whether the cell is one of them: as a number, whatever its digits (`-270` is `-270.0`), or as a word."""
    if any(cell.casefold() == sentinel.casefold() for sentinel in sentinels):
        return True
    found = _NUMBER.fullmatch(cell)
    if found is None:
        return False
    number = Decimal(_plain(found))
    return any(number == other for other in map(_decimal, sentinels) if other is not None)


def temperature(
    cell: str, column: ChannelColumn, unit: Unit | None, mark: DecimalMark, *, is_first: bool, file: str, line: int
) -> Temperature:
    """What one cell says; BadInput for text with digits that is no temperature. A cell without digits is a fault."""
    cell = cell.replace("\u2212", "-")
    if not cell:
        return Temperature(None, "empty")
    if is_sentinel(cell, column.sentinels) or (is_first and is_sentinel(cell, column.first_sentinels)):
        return Temperature(None, cell[:64])
    if not any(character.isdigit() for character in cell):
        return Temperature(None, cell[:64])
    found = _NUMBER.fullmatch(cell)
    if found is None:
        problem = "not a temperature such as 12.7 or 12,7"
        raise BadInput(problem, file=file, line=line, key=column.column, value=cell[:80])
    if found["mark"]:
        mark.accept(found["mark"], file, line, cell)
    own = cast("Unit", found["unit"].lower()) if found["unit"] else None
    if own and unit and own != unit:
        problem = f"the cell's unit is {own}, but column or mapping say {unit}"
        raise BadInput(problem, file=file, line=line, key=column.column, value=cell)
    if own is None and unit is None:
        problem = 'the unit is stated nowhere; give it in the mapping: unit = "c", "f" or "k" under [[channel]]'
        raise BadInput(problem, file=file, line=line, key=column.column, value=cell)
    mc = milli_celsius(Decimal(_plain(found)), cast("Unit", own or unit))
    return Temperature(mc, "implausible" if mc is None else "")


def _plain(found: re.Match[str]) -> str:
    return f"{found['sign']}{found['whole']}.{found['part'] or '0'}"


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text.replace(",", "."))
    except InvalidOperation:
        return None
