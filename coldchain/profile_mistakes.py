"""Everything that is wrong with the file of a stability profile: each mistake by file, line, key and value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from coldchain import toml_source
from coldchain.duration import duration_ms
from coldchain.errors import BadInput
from coldchain.profile_file import MEASURES, ApprovalTable, LimitTable, ProfileTable, SourceTable, StagesTable

BOUNDS = ("above_c", "below_c", "outside_c")
OF_TEMPERATURE = ("accumulated", "single_event", "events")
"""The measures that need a bound; the others refuse one."""

_TABLES: dict[tuple[str, ...], type[BaseModel]] = {
    (): ProfileTable,
    ("source",): SourceTable,
    ("approval",): ApprovalTable,
    ("limit",): LimitTable,
    ("limit", "stages"): StagesTable,
}

RESERVED_LIMIT_ID = "data-integrity"
"""The limit that events about contradicting readings name."""


@dataclass(frozen=True, slots=True)
class _Mistake:
    path: tuple[str | int, ...]
    problem: str
    value: object = None


def read(text: str, file: str) -> ProfileTable:
    """The tables of one file; BadInput for the first mistake in it."""
    table, mistakes = _examine(text, file)
    if table is None or mistakes:
        raise mistakes[0]
    return table


def mistakes(text: str, file: str) -> list[BadInput]:
    """Everything that is wrong with one file, by line."""
    try:
        return _examine(text, file)[1]
    except BadInput as not_toml:
        return [not_toml]


def _examine(text: str, file: str) -> tuple[ProfileTable | None, list[BadInput]]:
    document = toml_source.parse(text, file)
    table, found = None, []
    try:
        table = ProfileTable.model_validate(document)
    except ValidationError as exc:
        found = [_Mistake(error["loc"], _problem(error["type"], error), error["input"]) for error in exc.errors()]
    # a list whose entries are all wrong is also called too short: the entries say what is wrong
    inside = {mistake.path[:1] for mistake in found if len(mistake.path) > 1}
    found = [mistake for mistake in found if mistake.path not in inside]
    unsound = {mistake.path[:2] for mistake in found}
    # a misspelt key also leaves its limit without a measure: one mistake, told once
    found += [mistake for mistake in _contradictions(document) if mistake.path[:2] not in unsound]
    refused = [_refusal(mistake, text, file) for mistake in found]
    return table, sorted(refused, key=lambda error: error.line or 0)


def _refusal(mistake: _Mistake, text: str, file: str) -> BadInput:
    kind = PydanticCustomError("mistake", mistake.problem)
    details = InitErrorDetails(type=kind, loc=mistake.path, input=mistake.value)
    error = toml_source.refuse(ValidationError.from_exception_data("profile", [details]), text, file)
    return BadInput(error.problem, file=file, line=error.line or 1, key=error.key, value=error.value)


def _problem(kind: str, error: Any) -> str:
    """What pydantic found, in words that say what would be right."""
    if kind in ("missing", "extra_forbidden"):
        *table, key = error["loc"]
        owner = tuple(part for part in table if isinstance(part, str))
        fields = _TABLES[owner].model_fields if owner in _TABLES else {}
        if kind == "missing":
            return f"is missing: {fields[key].description if key in fields else 'write both ends, [low, high]'}"
        keys = list(fields)
        near = get_close_matches(str(key), keys, n=1)
        return f"unknown key: did you mean {near[0]}?" if near else f"unknown key: there are {', '.join(keys)}"
    if kind == "string_pattern_mismatch":
        return "not a name: write letters, digits, '.', '_' and '-', beginning with a letter or digit"
    return str(error["msg"])


def _contradictions(document: dict[str, Any]) -> Iterator[_Mistake]:
    """Keys that are right one by one and wrong together. Looks at the raw document, which may be wrong elsewhere."""
    low, high = (_number(document.get(key)) for key in ("label_low_c", "label_high_c"))
    if not document.keys() & {"label_low_c", "label_high_c"}:
        yield _Mistake(("label_high_c",), "is missing: a label range needs label_low_c, label_high_c or both")
    elif low is not None and high is not None and low >= high:
        yield _Mistake(("label_high_c",), f"the label range is inside out: write more than label_low_c = {low}", high)
    approval = document.get("approval")
    if isinstance(approval, dict):
        author, approver = (str(approval.get(key)).strip() for key in ("author", "approver"))
        if author.casefold() == approver.casefold() and "approver" in approval:
            problem = "author and approver are the same person: a second pair of eyes must approve"
            yield _Mistake(("approval", "approver"), problem, approval["approver"])
    rows = document.get("limit")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return
    ids: list[object] = [RESERVED_LIMIT_ID]
    for number, row in enumerate(rows):
        for key, problem in _row_contradictions(row, is_frozen=high is not None and high <= 0):
            yield _Mistake(("limit", number, key) if key else ("limit", number), problem, row.get(key))
        yield from _stage_contradictions(row, number)
        if row.get("id") in ids:
            yield _Mistake(
                ("limit", number, "id"), f"is taken: ids are unique, {RESERVED_LIMIT_ID} is reserved", row["id"]
            )
        ids.append(row.get("id", ids))
    if not any({"unknown_accumulated", "unknown_single"} & row.keys() for row in rows):
        problem = "no limit on unknown time: add a limit with unknown_accumulated or unknown_single"
        yield _Mistake(("limit", len(rows) - 1), problem)


def _row_contradictions(row: dict[str, Any], *, is_frozen: bool) -> Iterator[tuple[str, str]]:
    """(key, problem) of one limit; an empty key stands for the whole table."""
    measures = [key for key in row if key in MEASURES]
    bounds = [key for key in row if key in BOUNDS]
    if not measures:
        yield "mkt_max_c" if "mkt_max_c" in row else "", f"one measure per limit: give one of {', '.join(MEASURES)}"
        return
    if len(measures) > 1:
        yield measures[1], f"one measure per limit: {measures[0]} is given already, write another [[limit]] for this"
        return
    (measure,) = measures
    if measure in OF_TEMPERATURE and not bounds:
        yield measure, f"of which temperature? give one of {', '.join(BOUNDS)}"
    elif measure in OF_TEMPERATURE and len(bounds) > 1:
        yield bounds[1], f"one bound per limit: {bounds[0]} is given already; outside_c takes both sides"
    elif measure not in OF_TEMPERATURE and bounds:
        yield bounds[0], f"{measure} has no bound: leave this out"
    if isinstance(row.get("outside_c"), list):
        sides = [_number(side) for side in row["outside_c"]]
        if len(sides) == 2 and sides[0] is not None and sides[1] is not None and sides[0] > sides[1]:
            yield "outside_c", f"is inside out: write [low, high], here [{sides[1]}, {sides[0]}]"
    if measure == "mkt_window":
        if "mkt_max_c" not in row:
            yield "mkt_window", "a window needs its mkt_max_c, the highest mean kinetic temperature [degC]"
        if is_frozen:
            yield "mkt_window", "no MKT for a frozen product: count thaw events (above_c with events) instead"
        return
    for key in ("mkt_max_c", "min_coverage"):
        if key in row:
            yield key, "belongs to an mkt_window: leave this out"


def _stage_contradictions(row: dict[str, Any], number: int) -> Iterator[_Mistake]:
    """What is wrong with the stages' shares of one limit."""
    stages = row.get("stages")
    if not isinstance(stages, dict):
        return
    path = "limit", number, "stages"
    if "accumulated" not in row:
        yield _Mistake(path, "shares of a budget belong to accumulated: leave this out")
    elif not stages:
        yield _Mistake(path, f"is empty: give a share for one of {', '.join(StagesTable.model_fields)}")
    else:
        whole_ms = _duration(row["accumulated"])
        for stage, share in stages.items():
            share_ms = _duration(share)
            if whole_ms is not None and share_ms is not None and share_ms > whole_ms:
                problem = f"more than the whole budget: write at most accumulated = {row['accumulated']}"
                yield _Mistake((*path, stage), problem, share)


def _duration(value: object) -> int | None:
    try:
        return duration_ms(value)
    except ValueError:
        return None


def _number(value: object) -> int | Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return value if Decimal(value).is_finite() else None
