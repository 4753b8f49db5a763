"""Limits that can never bind: a stricter one is always broken first, so the looser one says what does not hold."""

from __future__ import annotations

from coldchain.limit_words import allowed, subject
from coldchain.model import Kind, Severity
from coldchain.profiles import Limit, StabilityProfile

_OF_TEMPERATURE = (Kind.ACCUMULATED, Kind.SINGLE_EVENT, Kind.EVENTS)


def never_binding(profile: StabilityProfile) -> list[tuple[Limit, Limit]]:
    """Each limit that cannot be the first to break, and the one before it; of two equal limits the later one."""
    found = []
    for number, loose in enumerate(profile.limits):
        for other, strict in enumerate(profile.limits):
            if other == number or not _is_behind(loose, strict):
                continue
            if other < number or not _is_behind(strict, loose):
                found.append((loose, strict))
                break
    return found


def sentence(loose: Limit, strict: Limit) -> str:
    """The finding in words."""
    return (
        f"{loose.id} can never bind ({subject(loose)}: {allowed(loose)}): "
        f"{strict.id} is broken first ({subject(strict)}: {allowed(strict)})"
    )


def _is_behind(loose: Limit, strict: Limit) -> bool:
    """Whether `strict` is broken, no later and no less severely, whenever `loose` is."""
    if strict.severity is Severity.WARN and loose.severity is Severity.QUARANTINE:
        return False
    match strict.kind:
        case Kind.UNKNOWN_ACCUMULATED:
            is_unknown = loose.kind in (Kind.UNKNOWN_ACCUMULATED, Kind.UNKNOWN_SINGLE)
            return is_unknown and strict.allowed <= loose.allowed
        case Kind.UNKNOWN_SINGLE:
            # a long total may come in short stretches: only where no stretch at all is allowed is there no total
            is_unknown = loose.kind is Kind.UNKNOWN_SINGLE or (
                loose.kind is Kind.UNKNOWN_ACCUMULATED and strict.allowed == 0
            )
            return is_unknown and strict.allowed <= loose.allowed
        case Kind.MKT:
            return _is_behind_mkt(loose, strict)
    if loose.kind is Kind.MKT:
        # a mean above X needs time above X
        return strict.allowed == 0 and strict.high_mc is not None and strict.high_mc <= loose.allowed
    if loose.kind not in _OF_TEMPERATURE or not covers(strict, loose):
        return False
    if strict.allowed == 0:
        return True
    match strict.kind:
        case Kind.ACCUMULATED:
            return loose.kind in (Kind.ACCUMULATED, Kind.SINGLE_EVENT) and strict.allowed <= loose.allowed
        case Kind.SINGLE_EVENT:
            return loose.kind is Kind.SINGLE_EVENT and strict.allowed <= loose.allowed
    # one run above 8 degC may hold many runs above 25 degC: counts compare at equal bounds only
    return loose.kind is Kind.EVENTS and covers(loose, strict) and strict.allowed <= loose.allowed


def _is_behind_mkt(loose: Limit, strict: Limit) -> bool:
    return (
        loose.kind is Kind.MKT
        and strict.window_ms == loose.window_ms
        and strict.activation_energy_j_mol == loose.activation_energy_j_mol
        and strict.min_coverage <= loose.min_coverage
        and strict.allowed <= loose.allowed
    )


def covers(wide: Limit, narrow: Limit) -> bool:
    """Whether every temperature that is out of range for `narrow` is so for `wide`."""
    hot = narrow.high_mc is None or (wide.high_mc is not None and wide.high_mc <= narrow.high_mc)
    cold = narrow.low_mc is None or (wide.low_mc is not None and wide.low_mc >= narrow.low_mc)
    return hot and cold
