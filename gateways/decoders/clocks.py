"""Times in foreign payloads: at which instant, and by whose clock, was a reading taken?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from coldchain.errors import RejectedPayload
from gateways.decoders import paths
from gateways.decoders.paths import Found, Path
from gateways.decoders.values import LATEST_MS

Clock = Literal["device", "gateway", "server", "received"]
Format = Literal["ms", "s", "iso"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"(?P<local>\d{4}-\d\d-\d\d[T ](?!24)\d\d:\d\d(:\d\d(\.\d{1,9})?)?|\d{8}T(?!24)\d{6}(\.\d{1,9})?)"
    r"(?P<zone>Z|[+-]\d\d:?[0-5]\d)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class TimeRule:
    """Where a time stands and how it is written. Clock "received" takes the message's arrival and needs no path.

    `offset` ("+01:00") is for a clock that writes ISO 8601 without a zone; without it such a text is refused.
    """

    clock: Clock
    path: Path = Path()  # noqa: RUF009 (a value)
    format: Format = "ms"
    offset: str = ""


def instant_ms(rules: Sequence[TimeRule], document: dict[str, object], one: Found, received_ms: int) -> int:
    """The instant [ms UTC] of a value by the first rule that finds a time; RejectedPayload where none does.

    A rule is passed over if nothing stands at its path, or a number where it wants a text (or the reverse). A time that
    is there and cannot be one is refused, never replaced by that of another clock.
    """
    for rule in rules:
        if rule.clock == "received":
            return received_ms
        value = paths.beside(document, rule.path, one)
        if rule.format == "iso":
            if isinstance(value, str):
                return _within(_iso_ms(value, rule), rule, value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            return _within(nearest_ms(value, 1000 if rule.format == "s" else 1), rule, value)
    wanted = ", ".join(rule.path.text for rule in rules)
    raise RejectedPayload("no_time", f"no time at {wanted}: the gateway must be set to send it")


def nearest_ms(value: float, unit_ms: int) -> int:
    """A number of units of time as its shortest text states it, to the nearest ms, ties to even."""
    if isinstance(value, int):
        return value * unit_ms
    unrounded = value * unit_ms
    if 0 <= unrounded <= LATEST_MS:  # off by less than 2e-3 ms: clear of a tie it rounds as the decimal does
        at_ms = round(unrounded)
        if abs(unrounded - at_ms) < 0.49:
            return at_ms
    return round(Decimal(str(value)) * unit_ms)


def _iso_ms(text: str, rule: TimeRule) -> int:
    parts = _ISO.fullmatch(text)
    zone = (parts["zone"] or rule.offset) if parts else ""
    if not parts or not zone:
        raise _refused(rule, text, "not ISO 8601 with a zone such as Z or +01:00")
    try:
        return (datetime.fromisoformat(parts["local"] + zone) - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError) as exc:
        raise _refused(rule, text, str(exc)) from exc


def _within(at_ms: int, rule: TimeRule, value: object) -> int:
    if not 0 <= at_ms <= LATEST_MS:
        raise _refused(rule, value, "not within the years 1970 to 2200")
    return at_ms


def _refused(rule: TimeRule, value: object, problem: str) -> RejectedPayload:
    return RejectedPayload("bad_time", f"{rule.path.text} = {value!r:.80}: {problem}")
