"""The native payload read slowly and obviously, in plain Python: what `decode` is compared with."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

END_MS = 7_289_654_400_000

Triples = list[tuple[int, int | None, str | None]]


class Refused(Exception):
    pass


def naive(payload: bytes) -> tuple[Triples, tuple[object, ...]] | None:
    """The same by the standard library's JSON parser and the words of the wire format."""
    try:
        return naive_document(naive_json(payload))
    except Refused:
        return None


def need(condition: bool) -> None:
    if not condition:
        raise Refused


def naive_json(payload: bytes) -> dict[str, Any]:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len({key for key, _ in found}) == len(found))
        return dict(found)

    def number(text: str) -> Decimal:
        need(math.isfinite(float(text)))
        return Decimal(text)

    def integer(text: str) -> int | Decimal:
        exact = number(text)
        return int(exact) if -(2**63) <= exact < 2**64 else exact

    def constant(_text: str) -> None:
        raise Refused

    need(len(payload) <= 2**20)
    try:
        document = json.loads(
            payload.decode("utf-8"),
            object_pairs_hook=pairs,
            parse_float=number,
            parse_int=integer,
            parse_constant=constant,
        )
        json.dumps(document, ensure_ascii=False, default=str).encode("utf-8")
    except (ValueError, RecursionError) as exc:
        raise Refused from exc
    need(isinstance(document, dict) and depth(document) <= 16)
    return dict(document)


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def word(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 64 and value.isprintable() and "/" not in value


def naive_document(document: dict[str, Any]) -> tuple[Triples, tuple[object, ...]]:
    need(whole(document.get("v", 1)) and document.get("v", 1) == 1)
    need(document.get("logger") == "lg-1001")
    channel = "1" if document.get("channel") is None else document["channel"]
    need(word(channel))
    for key in ("boot", "seq"):
        value = document.get(key)
        need(value is None or (whole(value) and 0 <= value < 2**63))
    need(("mc" in document) != ("readings" in document))
    rows = naive_columns(document) if "mc" in document else [naive_row(row) for row in naive_list(document["readings"])]
    need(all(0 <= at_ms < END_MS for at_ms, _, _ in rows))
    return rows, ("lg-1001", channel, document.get("boot"), document.get("seq"))


def naive_list(value: object) -> list[Any]:
    need(isinstance(value, list))
    assert isinstance(value, list)
    need(1 <= len(value) <= 5000)
    return value


def naive_columns(document: dict[str, Any]) -> Triples:
    column = naive_list(document["mc"])
    t0, every, dt = document.get("t0", ""), document.get("every"), document.get("dt")
    need(whole(t0) and 0 <= t0 < END_MS and (every is None or dt is None))
    if dt is not None:
        need(isinstance(dt, list) and len(dt) == len(column) and all(map(whole, dt)))
        times = [t0 + offset for offset in dt]
    else:
        need(len(column) == 1 if every is None else whole(every) and every > 0)
        times = [t0 + position * (every or 0) for position in range(len(column))]
    reasons = {} if document.get("fault") is None else document["fault"]
    need(isinstance(reasons, dict) and all(map(word, reasons.values())))
    rows: Triples = []
    for position, (at_ms, mc) in enumerate(zip(times, column, strict=True)):
        need(mc is None or (whole(mc) and -(2**31) <= mc < 2**31))
        if mc is None or mc == -(2**31):
            rows.append((at_ms, None, reasons.pop(str(position), "null")))
        elif not -273_150 <= mc <= 1_000_000:
            rows.append((at_ms, None, reasons.pop(str(position), "implausible")))
        else:
            rows.append((at_ms, mc, None))
    need(not reasons)
    return rows


def naive_row(row: Any) -> tuple[int, int | None, str | None]:
    need(isinstance(row, dict) and sum(unit in row for unit in "cfk") == 1)
    (unit,) = (unit for unit in "cfk" if unit in row)
    value, reason = row[unit], row.get("fault")
    need(reason is None or (value is None and word(reason)))
    at_ms = naive_instant(row.get("at"))
    if value is None:
        return at_ms, None, reason or "null"
    need(isinstance(value, (int, Decimal)) and not isinstance(value, bool))
    # A double is all that a sender's number promises: what it is exactly is its shortest text.
    exact = Fraction(value if whole(value) else Decimal(str(float(value))))
    milli = {"c": exact * 1000, "f": (exact - 32) * 5000 / 9, "k": (exact - Fraction(27315, 100)) * 1000}[unit]
    floor = milli.numerator // milli.denominator
    rest = milli - floor
    mc = floor + (1 if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor % 2) else 0)
    return (at_ms, mc, None) if -273_150 <= mc <= 1_000_000 else (at_ms, None, "implausible")


def naive_instant(at: object) -> int:
    if whole(at):
        assert isinstance(at, int)
        return at
    need(isinstance(at, str))
    form = (
        r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(Z|[+-][0-9:]+)"
    )
    parts = re.fullmatch(form, str(at))
    need(parts is not None)
    assert parts is not None
    year, month, day, hour, minute, second = (int(part or 0) for part in parts.groups()[:6])
    offset = timedelta(0)
    if parts[8] != "Z":
        zone = re.fullmatch(r"([+-])([0-9]{2}):?([0-9]{2})", parts[8])
        need(zone is not None and int(zone[2]) < 24 and int(zone[3]) < 60)
        assert zone is not None
        offset = timedelta(hours=int(zone[2]), minutes=int(zone[3])) * (1 if zone[1] == "+" else -1)
    try:
        local = datetime(year, month, day, hour, minute, second, tzinfo=timezone(offset))
    except ValueError as exc:
        raise Refused from exc
    since = local - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * 86_400_000 + since.seconds * 1000 + int((parts[7] or "0").ljust(3, "0")[:3])
