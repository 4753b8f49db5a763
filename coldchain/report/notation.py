"""How numbers and names are written for a person: exact, unambiguous, the same in every edition of a report."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from fractions import Fraction

_HOUR_MS = 3_600_000
_DAYS_FROM_MS = 100 * _HOUR_MS
_NUMBERED = re.compile(r"^(.*?)(\d{1,15})$", re.DOTALL)


def duration(ms: int) -> str:
    """Exact text of a length of time: `10 h 30 min`, `59.999 s`; days from 100 h on, so that budgets stay in hours."""
    if ms < 0:
        raise ValueError(f"a length of time is not negative: {ms} ms")
    rest, parts = ms, []
    for unit, size in (("d", 24 * _HOUR_MS), ("h", _HOUR_MS), ("min", 60_000)):
        if unit == "d" and ms < _DAYS_FROM_MS:
            continue
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    if rest or not parts:
        parts.append(f"{rest // 1000}{f'.{rest % 1000:03}'.rstrip('0').rstrip('.')} s")
    return " ".join(parts)


def temperature(c: float) -> str:
    """degC with one to three decimals: 8.04 is not written 8.0."""
    whole, _, decimals = f"{c + 0.0:.3f}".partition(".")
    text = f"{whole}.{decimals.rstrip('0') or '0'}"
    return "0.0" if text == "-0.0" else text


def share(part: int, whole: int) -> str:
    """A share in percent: 100 % only when nothing is missing, 0 % only when nothing is there."""
    if whole <= 0:
        return "not computable"
    percent = Fraction(100 * part, whole)
    hundredths = math.ceil(percent * 100) if part * 2 < whole else math.floor(percent * 100)
    return f"{hundredths // 100}{f'.{hundredths % 100:02}'.rstrip('0').rstrip('.')} %"


def kit_range(kits: Iterable[str], most: int = 4) -> str:
    """Ids in short: `K-0001 to K-0300 (300 kits)`; at most so many runs are named, the number of kits always is."""
    ids = sorted(set(kits))
    runs: list[list[str]] = []
    for kit in ids:
        if runs and _follows(runs[-1][-1], kit):
            runs[-1].append(kit)
        else:
            runs.append([kit])
    named = [run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs[:most]]
    hidden = sum(len(run) for run in runs[most:])
    if hidden:
        named.append(f"{hidden} more")
    return ", ".join(named) + (f" ({len(ids)} kits)" if len(ids) > 1 else "")


def _follows(one: str, other: str) -> bool:
    before, after = _NUMBERED.match(one), _NUMBERED.match(other)
    return (
        before is not None
        and after is not None
        and before[1] == after[1]
        and len(before[2]) == len(after[2])
        and int(after[2]) == int(before[2]) + 1
    )


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))
