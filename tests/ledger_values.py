"""Values to write into a ledger."""

import numpy as np

from coldchain.ledger.entries import Alert, Message
from coldchain.model import Assessment, EarlyWarning, Kind, LimitFinding, QuarantineEvent, Reason, Severity, Verdict
from coldchain.pipeline import Step
from coldchain.readings import FAULT_MC, ReadingBatch

NOW_MS = 1_772_359_205_000

MINUTE_MS = 60_000


def batch(first_ms: int = 0, n: int = 3, logger: str = "lg-1", seq: int | None = 7) -> ReadingBatch:
    at_ms = first_ms + MINUTE_MS * np.arange(n, dtype=np.int64)
    temperature_mc = np.full(n, 5000, np.int32)
    faults = {}
    if n > 2:
        temperature_mc[2] = FAULT_MC
        faults = {2: "probe_open"}
    return ReadingBatch(logger, "1", at_ms, temperature_mc, NOW_MS, 3, seq, faults)


def message(*batches: ReadingBatch, payload: bytes = b"{}") -> Message:
    return Message(NOW_MS, "coldchain/v1/basel/gw-1/lg-1/readings", payload, batches)


def rejected(payload: bytes = b"\x00\xff") -> Message:
    return Message(NOW_MS, "coldchain/v1/basel/gw-1/lg-1/readings", payload, reason="not_json", detail="at byte 0")


def event(
    kit: str = "K-0001", limit: str = "above-8", revision: int = 1, breached_at_ms: int = 1000
) -> QuarantineEvent:
    return QuarantineEvent(
        id=f"{kit}-{limit}",
        kit=kit,
        limit=limit,
        reason=Reason.LIMIT,
        breached_at_ms=breached_at_ms,
        detected_at_ms=2000,
        profile="mab-017",
        profile_version=3,
        revision=revision,
        profile_sha256="0" * 64,
    )


def alert(key: str = "key-1", causes: tuple[tuple[str, int], ...] = (("K-0001-above-8", 1),)) -> Alert:
    return Alert(key, "email", "qp@example.org", "stop", "text", causes)


def assessment(verdict: Verdict = Verdict.OUTSIDE, mean_c: float | None = 5.25) -> Assessment:
    finding = LimitFinding("above-8", Kind.ACCUMULATED, Severity.QUARANTINE, 0, used=60_000, breached_at_ms=1000)
    return Assessment("mab-017", 3, "0" * 64, verdict, as_of_ms=3000, mean_c=mean_c, limits=(finding,))


def warning(share: int = 50) -> EarlyWarning:
    return EarlyWarning(f"warning-{share}", "K-0001", "above-8", share, "0" * 64)


def full_step() -> tuple[tuple[Message, ...], Step, tuple[Alert, ...]]:
    """One of everything: two batches in one message, a rejected message, a duplicate that held nothing new."""
    first, second, third = batch(), batch(logger="lg-2"), batch(first_ms=MINUTE_MS)
    step = Step(
        fresh=(first, second, third.select(np.zeros(3, np.bool_))),
        outcomes={"group-1": assessment()},
        events=(event(),),
        warnings=(warning(),),
    )
    return (message(first, second), rejected(), message(third)), step, (alert(),)
