"""The right answers, slowly: integers and fifty digits, straight from what the loggers sent and in their order.

`tests/benchmarks` compares it with the oracle of the exposure semantics.
"""

from __future__ import annotations

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
    above_ms = known_ms = 0
    weighted, before_ms = Decimal(0), START_MS - GAP_AFTER_MS
    with localcontext(_FIFTY_DIGITS):
        for at_ms, mc in readings:
            covered_ms = at_ms - before_ms if at_ms - before_ms <= GAP_AFTER_MS else INTERVAL_MS
            before_ms = at_ms
            if mc == FAULT_MC:
                continue
            known_ms += covered_ms
            above_ms += covered_ms if mc > HIGH_MC else 0
            weighted += covered_ms * _rate(mc)
        mkt_c = float(-Decimal(A_K) / (weighted / known_ms).ln() - Decimal("273.15")) if known_ms else None
    return Exposure(above_ms, known_ms, mkt_c)


@lru_cache(maxsize=100_000)
def _rate(mc: int) -> Decimal:
    with localcontext(_FIFTY_DIGITS):
        return (-Decimal(A_K) / (Decimal(mc) / 1000 + Decimal("273.15"))).exp()
