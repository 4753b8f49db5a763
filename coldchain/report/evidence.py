"""What a stability impact report rests on: kits, their assessments, and the readings behind them with their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from coldchain.history import EMPTY, History, Series
from coldchain.model import Assessment, CustodySegment, Kit, Logger, Monitoring, QuarantineEvent
from coldchain.profiles import StabilityProfile
from coldchain.readings import FAULT_MC, ChannelKey, MilliCelsius, Milliseconds

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class ReportKit:
    """One kit as the pipeline sees it. `history` is None where custody gives it none."""

    kit: Kit
    custody: tuple[CustodySegment, ...]
    assessment: Assessment
    profile: StabilityProfile
    history: History | None
    events: tuple[QuarantineEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class LoggerEvidence:
    """What one logger channel says about one place while the kits were there.

    `first_ms`, `last_ms`: instants of its first and last record inside both monitoring and custody, None without any.
    `readings` and `faults` count those records, duplicates once; `outside_calibration` of the readings, not valid by
    their date, count as unknown.
    `sha256`: of the records, see `readings_sha256`.
    """

    place: str
    logger: Logger
    channel: str
    first_ms: int | None
    last_ms: int | None
    readings: int
    faults: int
    outside_calibration: int
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """Kits that share assessment, route and opening balance: one set of facts, shown once."""

    kits: tuple[ReportKit, ...]
    loggers: tuple[LoggerEvidence, ...]

    @property
    def kit_ids(self) -> tuple[str, ...]:
        return tuple(row.kit.id for row in self.kits)


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Everything a stability impact report says; its editions only write it down."""

    sections: tuple[Section, ...]
    prepared_at_ms: int
    software_version: str


def build(
    kits: Iterable[ReportKit],
    *,
    loggers: Mapping[str, Logger],
    monitoring: Iterable[Monitoring],
    series: Mapping[ChannelKey, Series],
    prepared_at_ms: int,
    software_version: str,
) -> Report:
    """The report about these kits; the same values give the same report, in whatever order they come.

    Parameters
    ----------
    series : the distinct records of each logger channel; those inside monitoring and custody, up to the assessment's
        `as_of_ms`, become evidence
    prepared_at_ms : instant that is printed as the report's date; it is part of the report hash
    """
    groups: dict[object, list[ReportKit]] = {}
    for row in sorted(kits, key=lambda row: row.kit.id):
        quarantined = bool(row.events)
        key = (row.assessment, row.custody, row.kit.opening, row.profile.sha256, quarantined)
        groups.setdefault(key, []).append(row)
    watches = sorted(monitoring, key=lambda watch: (watch.place, watch.logger, watch.channel, watch.from_ms))
    sections = (Section(tuple(rows), _loggers(rows[0], loggers, watches, series)) for rows in groups.values())
    return Report(tuple(sections), prepared_at_ms, software_version)


def readings_sha256(at_ms: Milliseconds, temperature_mc: MilliCelsius) -> str:
    """Hex SHA-256 of columns of records: which bytes were judged, in a form that anyone can recompute.

    The bytes are n instants as little-endian int64 [ms UTC], then n temperatures as little-endian int32 [milli-degC]
    (-2147483648 marks a fault), without header or separator, ordered by instant, then temperature: 12 n bytes.
    """
    instants = np.ascontiguousarray(at_ms, dtype="<i8")
    temperatures = np.ascontiguousarray(temperature_mc, dtype="<i4")
    if instants.shape != temperatures.shape or instants.ndim != 1:
        raise ValueError(f"columns differ in length: {instants.shape} instants, {temperatures.shape} temperatures")
    return hashlib.sha256(instants.tobytes() + temperatures.tobytes()).hexdigest()


def _loggers(
    row: ReportKit, loggers: Mapping[str, Logger], watches: Iterable[Monitoring], series: Mapping[ChannelKey, Series]
) -> tuple[LoggerEvidence, ...]:
    spans: dict[tuple[str, str, str], list[Span]] = {}
    as_of = row.assessment.as_of_ms
    for segment in row.custody if as_of is not None else ():
        for watch in watches:
            begin = max(segment.from_ms, watch.from_ms)
            end = min(t for t in (segment.to_ms, watch.to_ms, as_of) if t is not None)
            if watch.place == segment.place and begin < end:
                spans.setdefault((watch.place, watch.logger, watch.channel), []).append((begin, end))
    return tuple(
        _logger_evidence(place, loggers[logger], channel, inside, series.get(ChannelKey(logger, channel), EMPTY))
        for (place, logger, channel), inside in spans.items()
    )


def _logger_evidence(place: str, logger: Logger, channel: str, spans: list[Span], series: Series) -> LoggerEvidence:
    inside = np.zeros(len(series), dtype=bool)
    for begin, end in spans:
        inside |= (series.at_ms > begin) & (series.at_ms <= end)
    at, temperature = series.at_ms[inside], series.temperature_mc[inside]
    valid = temperature != FAULT_MC
    uncalibrated = np.zeros(len(at), dtype=bool)
    if logger.calibrated_from_ms is not None:
        uncalibrated |= at <= logger.calibrated_from_ms
    if logger.calibrated_until_ms is not None:
        uncalibrated |= at > logger.calibrated_until_ms
    return LoggerEvidence(
        place=place,
        logger=logger,
        channel=channel,
        first_ms=int(at[0]) if len(at) else None,
        last_ms=int(at[-1]) if len(at) else None,
        readings=int(valid.sum()),
        faults=int((~valid).sum()),
        outside_calibration=int((uncalibrated & valid).sum()),
        sha256=readings_sha256(at, temperature),
    )
