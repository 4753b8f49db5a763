"""Reviewed TOML with positions: which line of a file a key stands in, so that an error can name it.

`tomllib` checks the syntax but gives no positions; this module adds only the lookup.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import ValidationError

from coldchain.errors import BadInput

_HEADER = re.compile(r"^\s*(\[\[|\[)\s*([^\[\]]+?)\s*\]")
_SYNTAX_POSITION = re.compile(r"\s*\(at line (\d+), column \d+\)$")


def parse(text: str, file: str) -> dict[str, Any]:
    """The document as plain values, decimals exact; BadInput with file and line on a syntax error."""
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except InvalidOperation as exc:
        raise BadInput("holds a number beyond all bounds", file=file) from exc
    except tomllib.TOMLDecodeError as exc:
        position = _SYNTAX_POSITION.search(str(exc))
        line = int(position[1]) if position else text.count("\n") + 1
        problem = _SYNTAX_POSITION.sub("", str(exc))
        raise BadInput(f"not valid TOML: {problem}", file=file, line=line) from exc


def locate(text: str, path: Sequence[str | int]) -> int | None:
    """The 1-based line of the key at `path`, of its table's header if the key is absent, None if neither is found.

    `path` names tables, array positions and the key, as pydantic gives it: ("limit", 2, "above_c").
    """
    best: int | None = None
    best_depth = 0
    here: tuple[str | int, ...] = ()
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header:
            name = header[2].strip('"')
            if header[1] == "[[":
                seen[name] = seen.get(name, -1) + 1
                here = (*name.split("."), seen[name])
            else:
                here = tuple(name.split("."))
            found = here
        else:
            key = line.partition("=")[0].strip().strip('"')
            if not key or key.startswith("#"):
                continue
            found = (*here, key)
        if found == tuple(path[: len(found)]) and len(found) > best_depth:
            best, best_depth = number, len(found)
    return best


def refuse(exc: ValidationError, text: str, file: str, prefix: Sequence[str | int] = ()) -> BadInput:
    """The first thing pydantic found wrong, as one line that names file, line, key and value."""
    first = exc.errors()[0]
    path = [*prefix, *(part for part in first["loc"] if part != "__root__")]
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    value = first["input"]
    if isinstance(value, dict | list | tuple):
        value = None
    elif isinstance(value, Decimal):
        value = float(value)
    problem = first["msg"].removeprefix("Value error, ")
    problem = {"extra_forbidden": "unknown key", "missing": "is missing"}.get(first["type"], problem)
    return BadInput(problem, file=file, line=locate(text, path), key=key, value=value)
