"""A route with everything a report must show: two places, a gap, an excursion, a fault, an open last custody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from coldchain import history, stability
from coldchain.history import Series
from coldchain.model import CustodySegment, Kind, Kit, Logger, Monitoring, Place, QuarantineEvent, Severity, Stage
from coldchain.profiles import Limit, StabilityProfile
from coldchain.readings import FAULT_MC, ChannelKey
from coldchain.report import Report, ReportKit, build
from coldchain.stages import stays

T0 = 1_772_323_200_000
"""2026-03-01T00:00:00Z"""
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

LIMITS = (
    Limit("above-8-accumulated", Kind.ACCUMULATED, Severity.QUARANTINE, "STAB-0042, table 3", None, 8_000, 72 * HOUR),
    Limit("above-8-single", Kind.SINGLE_EVENT, Severity.QUARANTINE, "STAB-0042, table 3", None, 8_000, 10 * HOUR),
    Limit("above-25-accumulated", Kind.ACCUMULATED, Severity.QUARANTINE, "STAB-0042, table 4", None, 25_000, 0),
    Limit("below-2-events", Kind.EVENTS, Severity.WARN, "STAB-0042, table 5", 2_000, None, 2),
    Limit("mkt-24h", Kind.MKT, Severity.QUARANTINE, "STAB-0042, table 6", None, None, 8_000, DAY, Decimal("0.9")),
    Limit("unknown-single", Kind.UNKNOWN_SINGLE, Severity.QUARANTINE, "SOP-12, 4.1", None, None, 6 * HOUR),
)
PROFILE = StabilityProfile(
    name="mab-017",
    version=3,
    title="mAb 017, vial, 2-8 degC",
    label_low_mc=2_000,
    label_high_mc=8_000,
    activation_energies_j_mol=(83_144.62618,),
    limits=LIMITS,
    document="STAB-0042",
    document_version="4",
    author="qa-author",
    approver="qa-approver",
    approved_at_ms=T0 - 90 * DAY,
    effective_from_ms=T0 - 60 * DAY,
    sha256="ab" * 32,
)
LOGGERS = {
    "lg-1001": Logger("lg-1001", 5 * MINUTE, 10 * MINUTE, T0 - 200 * DAY, T0 + 165 * DAY),
    "lg-2002": Logger("lg-2002", 5 * MINUTE, 10 * MINUTE),
}
MONITORING = (Monitoring("depot-basel", "lg-1001", "1", T0), Monitoring("shipper-77", "lg-2002", "1", T0))
PLACES = {
    "depot-basel": Place("depot-basel", "storage", Stage.DEPOT),
    "shipper-77": Place("shipper-77", "shipper", Stage.TRANSIT),
}
CUSTODY = (CustodySegment("depot-basel", T0, T0 + 2 * DAY), CustodySegment("shipper-77", T0 + 2 * DAY))


def readings(start_ms: int, end_ms: int, level: Callable[[float], float]) -> tuple[np.ndarray, np.ndarray]:
    """A reading every 5 min in (start, end], `level` in degC of the hours since `T0`, with a small ripple."""
    at = np.arange(start_ms + 5 * MINUTE, end_ms + 1, 5 * MINUTE, dtype=np.int64)
    ripple = 220 * np.sin(np.arange(len(at)) * 0.7) + 90 * np.sin(np.arange(len(at)) * 0.13)
    celsius = np.array([level((t - T0) / HOUR) for t in at.tolist()]) * 1000
    return at, (celsius + ripple).astype(np.int32)


def excursion_series(end_ms: int = T0 + 4 * DAY) -> dict[ChannelKey, Series]:
    """5 degC in the depot; in the shipper a 14 h excursion to about 13 degC, two faults and 2.5 h of silence."""

    def shipper(hour: float) -> float:
        return 5.0 + 8.0 * float(np.clip(min(hour - 60, 74 - hour), 0, 1))

    depot = Series(*readings(T0, T0 + 2 * DAY, lambda _: 5.0))
    at, temperature = readings(T0 + 2 * DAY, end_ms, shipper)
    temperature[30:32] = FAULT_MC
    kept = (at <= T0 + 80 * HOUR) | (at > T0 + 82 * HOUR + 30 * MINUTE)
    return {ChannelKey("lg-1001", "1"): depot, ChannelKey("lg-2002", "1"): Series(at[kept], temperature[kept])}


@dataclass(frozen=True)
class Case:
    """Everything that `build` takes, from kits and series; judged by the real pipeline parts."""

    kits: tuple[Kit, ...] = (Kit("K-0001", "B22", "TRIAL-7", "mab-017"),)
    series: dict[ChannelKey, Series] = field(default_factory=excursion_series)
    profile: StabilityProfile = PROFILE
    loggers: dict[str, Logger] = field(default_factory=lambda: LOGGERS)
    monitoring: tuple[Monitoring, ...] = MONITORING
    custody: tuple[CustodySegment, ...] = CUSTODY
    as_of_ms: int | None = None

    def report_kits(self) -> list[ReportKit]:
        if not self.custody:
            problems = history.custody_problems((), 0)
            return [self._kit(kit, None, problems) for kit in self.kits]
        channels = {
            key: history.channel_record(key, series, self.loggers[key.logger]) for key, series in self.series.items()
        }
        places = {
            place: history.place_record([m for m in self.monitoring if m.place == place], channels)
            for place in {m.place for m in self.monitoring}
        }
        as_of = history.evaluation_instant(self.custody, places, self.as_of_ms, None)
        record = history.kit_record(self.custody, places, as_of)
        problems = history.custody_problems(self.custody, as_of)
        return [self._kit(kit, record, problems) for kit in self.kits]

    def _kit(self, kit: Kit, record: history.Record | None, problems: tuple[str, ...]) -> ReportKit:
        opening = {spent.limit: spent.amount for spent in kit.opening}
        places = {place: PLACES.get(place, Place(place, "storage")) for place in (s.place for s in self.custody)}
        found = stability.judge(self.profile, record, opening, problems, stays(self.custody, places))
        events = tuple(
            QuarantineEvent(f"event-{kit.id}-{limit}", kit.id, limit, reason, at, at + MINUTE, self.profile.name, 3)
            for limit, reason, at in found.breaches
        )
        return ReportKit(kit, self.custody, found, self.profile, record.history if record else None, events)

    def report(self, kits: Sequence[ReportKit] | None = None) -> Report:
        return build(
            self.report_kits() if kits is None else kits,
            loggers=self.loggers,
            monitoring=self.monitoring,
            series=self.series,
            prepared_at_ms=T0 + 5 * DAY,
            software_version="9.9.9",
        )
