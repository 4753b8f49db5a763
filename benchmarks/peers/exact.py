"""The right answers, slowly: integers and fifty digits, straight from what the loggers sent and in their order.

`tests/benchmarks` compares it with the oracle of the exposure semantics.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal, localcontext
from functools import lru_cache

from benchmarks.peers.job import A_K, GAP_AFTER_MS, HIGH_MC, INTERVAL_MS, START_MS, Exposure, Exposures
from benchmarks.peers.traffic import Recordings
from coldchain.readings import FAULT_MC

_FIFTY_DIGITS = Context(prec=50)


def exposures(recordings: Recordings) -> Exposures:
    """What every kit has been through."""
    return {
        logger: _exposure(list(zip(at_ms.tolist(), mc.tolist(), strict=True)))
        for logger, (at_ms, mc) in recordings.items()
    }


def _exposure(readings: list[tuple[int, int]]) -> Exposure:
    known: list[tuple[int, int]] = []
    before_ms = START_MS - GAP_AFTER_MS
    for at_ms, mc in readings:
        covered_ms = at_ms - before_ms if at_ms - before_ms <= GAP_AFTER_MS else INTERVAL_MS
        before_ms = at_ms
        if mc != FAULT_MC:
            known.append((covered_ms, mc))
    above_ms = sum(covered_ms for covered_ms, mc in known if mc > HIGH_MC)
    return Exposure(above_ms, sum(covered_ms for covered_ms, _ in known), mkt_c(known) if known else None)


def mkt_c(lasted: Iterable[tuple[int, int]]) -> float:
    """MKT [degC] of (ms, milli-degC), at least one."""
    with localcontext(_FIFTY_DIGITS):
        pieces = [(Decimal(ms), _rate(mc)) for ms, mc in lasted]
        mean = sum((ms * rate for ms, rate in pieces), Decimal()) / sum((ms for ms, _ in pieces), Decimal())
        return float(-Decimal(A_K) / mean.ln() - Decimal("273.15"))


@lru_cache(maxsize=100_000)
def _rate(mc: int) -> Decimal:
    with localcontext(_FIFTY_DIGITS):
        return (-Decimal(A_K) / (Decimal(mc) / 1000 + Decimal("273.15"))).exp()
