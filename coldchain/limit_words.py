"""How a limit is said: "above 8 degC, accumulated" and "72 h", exact and without the notation of the file."""

from __future__ import annotations

from coldchain.model import Kind
from coldchain.profiles import Limit, StabilityProfile

_MEASURE = {
    Kind.ACCUMULATED: "accumulated",
    Kind.SINGLE_EVENT: "single event",
    Kind.EVENTS: "events",
    Kind.UNKNOWN_ACCUMULATED: "unknown time, accumulated",
    Kind.UNKNOWN_SINGLE: "unknown time, single stretch",
}


def subject(limit: Limit) -> str:
    """What a limit measures: `above 8 degC, accumulated`."""
    if limit.kind is Kind.MKT:
        return f"mean kinetic temperature over {time(limit.window_ms)}"
    found = bound(limit)
    return f"{found}, {_MEASURE[limit.kind]}" if found else _MEASURE[limit.kind]


def bound(limit: Limit) -> str:
    """From where on a limit counts: `above 8 degC`; empty for a limit without a bound."""
    if limit.low_mc is not None and limit.high_mc is not None:
        return f"outside {degrees(limit.low_mc)} to {degrees(limit.high_mc)} degC"
    if limit.high_mc is not None:
        return f"above {degrees(limit.high_mc)} degC"
    return "" if limit.low_mc is None else f"below {degrees(limit.low_mc)} degC"


def allowed(limit: Limit) -> str:
    """How much a limit allows: `72 h`, `10`, `8 degC`."""
    if limit.kind is Kind.MKT:
        return f"{degrees(limit.allowed)} degC"
    return str(limit.allowed) if limit.kind is Kind.EVENTS else time(limit.allowed)


def label(profile: StabilityProfile) -> str:
    """The labelled range: `2 to 8 degC`, `at most -60 degC`."""
    low, high = profile.label_low_mc, profile.label_high_mc
    if low is not None and high is not None:
        return f"{degrees(low)} to {degrees(high)} degC"
    if high is not None:
        return f"at most {degrees(high)} degC"
    return "no range" if low is None else f"at least {degrees(low)} degC"


def time(ms: int) -> str:
    """A length of time in hours, as stability documents give it, exact: `72 h`, `1 h 30 min`, `0 h`."""
    hours, rest_ms = divmod(ms, 3_600_000)
    minutes, rest_ms = divmod(rest_ms, 60_000)
    parts = [f"{hours} h"] if hours or not ms else []
    parts += [f"{minutes} min"] if minutes else []
    parts += [f"{rest_ms / 1000:g} s"] if rest_ms else []
    return " ".join(parts)


def degrees(mc: int) -> str:
    """degC without needless zeros: `8`, `-0.5`, `8.004`."""
    return f"{mc / 1000:.3f}".rstrip("0").rstrip(".")
