"""A table of a TOML file that hands out its values checked, so that every mistake of its writer is one clear line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from coldchain.errors import BadInput

_T = TypeVar("_T")


class Table:
    """Hands out its values checked; `end` refuses what nobody asked for."""

    def __init__(self, values: dict[str, Any], file: str, where: str) -> None:
        self._values, self._file, self._where = dict(values), file, where
        self._asked: list[str] = []

    def refuse(self, key: str, problem: str, value: object = None) -> BadInput:
        """The error that names file, key and value."""
        shown = float(value) if isinstance(value, Decimal) else None if isinstance(value, dict | list) else value
        return BadInput(problem, file=self._file, key=self._where + key, value=shown)

    def take(self, key: str, kind: Callable[[Any], _T], default: _T | None = None) -> _T:
        """The value of a key as `kind` reads it, which raises ValueError saying what would be right."""
        self._asked.append(key)
        if key not in self._values:
            if default is None:
                raise self.refuse(key, "is missing")
            return default
        value = self._values.pop(key)
        try:
            return kind(value)
        except ValueError as exc:
            raise self.refuse(key, str(exc), value) from exc

    def maybe(self, key: str, kind: Callable[[Any], _T]) -> _T | None:
        """The value of a key that may be absent."""
        if key not in self._values:
            self._asked.append(key)
            return None
        return self.take(key, kind)

    def tables(self, key: str) -> list[Table]:
        """The tables of a list, none if it is absent."""
        self._asked.append(key)
        found = self._values.pop(key, [])
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self.refuse(key, f"must be a list of tables: [[{key}]]", found)
        return [Table(one, self._file, f"{self._where}{key}[{number}].") for number, one in enumerate(found, start=1)]

    def table(self, key: str) -> Table:
        """The table of a key."""
        self._asked.append(key)
        found = self._values.pop(key, None)
        if not isinstance(found, dict):
            raise self.refuse(key, "is missing" if found is None else f"must be a table: [{key}]", found)
        return Table(found, self._file, f"{self._where}{key}.")

    def has(self, key: str) -> bool:
        """Whether a key is there."""
        self._asked.append(key)
        return key in self._values

    def raw(self, key: str) -> Any:
        """The value of a key as it stands, unchecked, None if it is absent: for `under`."""
        self._asked.append(key)
        return self._values.pop(key, None)

    def under(self, values: dict[str, Any]) -> Table:
        """Another table whose mistakes are named as if it stood here."""
        return Table(values, self._file, self._where)

    def end(self) -> None:
        """Refuse the first key that was not asked for."""
        for key, value in self._values.items():
            raise self.refuse(key, f"unknown key; known: {', '.join(self._asked)}", value)


def text(value: object) -> str:
    """The value as a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text")
    return value


def several(kind: Callable[[Any], _T]) -> Callable[[Any], tuple[_T, ...]]:
    """Reads one value or a list of them."""

    def read(value: object) -> tuple[_T, ...]:
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ValueError("must not be empty")
        return tuple(map(kind, values))

    return read


def positive(value: object) -> int:
    """The value as a whole number from 1."""
    if type(value) is not int or value < 1:
        raise ValueError("must be a whole number from 1")
    return value


def one_of(values: Sequence[Any]) -> Callable[[Any], Any]:
    """Reads one of these words."""

    def read(value: object) -> Any:
        if value not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return value

    return read


def matching(pattern: re.Pattern[str], words: str) -> Callable[[Any], str]:
    """Reads a text of this pattern; `words` say what that is."""

    def read(value: object) -> str:
        if not pattern.fullmatch(text(value)):
            raise ValueError(f"must be {words}")
        return str(value)

    return read
