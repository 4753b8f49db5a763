"""Which readings stand behind a report, and which kits share a section."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace

import numpy as np
import pytest

from coldchain.history import Series
from coldchain.model import CustodySegment, Kit, Logger, Monitoring, OpeningBalance
from coldchain.readings import FAULT_MC, ChannelKey
from coldchain.report import LoggerEvidence, readings_sha256
from report.cases import CUSTODY, HOUR, LOGGERS, MINUTE, MONITORING, T0, Case

DEPOT = ChannelKey("lg-1001", "1")


def kits(*ids: str) -> tuple[Kit, ...]:
    return tuple(Kit(name, "B22", "TRIAL-7", "mab-017") for name in ids)


def depot_evidence(instants: list[int], temperatures: list[int], logger: Logger = LOGGERS["lg-1001"]) -> LoggerEvidence:
    """Evidence of the depot's logger for a kit that is there from `T0` to `T0` + 1 h."""
    series = {DEPOT: Series(np.array(instants, np.int64), np.array(temperatures, np.int32))}
    case = Case(
        series=series,
        loggers=LOGGERS | {logger.id: logger},
        monitoring=MONITORING[:1],
        custody=(CustodySegment("depot-basel", T0, T0 + HOUR),),
    )
    (row,) = case.report().sections[0].loggers
    return row


def test_the_hash_is_over_instants_then_temperatures_little_endian() -> None:
    expected = hashlib.sha256(struct.pack("<2q2i", 1, 2, 5_000, FAULT_MC)).hexdigest()
    assert readings_sha256(np.array([1, 2], np.int64), np.array([5_000, FAULT_MC], np.int32)) == expected


def test_the_hash_does_not_depend_on_the_byte_order_of_the_columns() -> None:
    big = readings_sha256(np.array([1, 2], ">i8"), np.array([3, 4], ">i4"))
    assert big == readings_sha256(np.array([1, 2], np.int64), np.array([3, 4], np.int32))


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        readings_sha256(np.array([1, 2], np.int64), np.array([3], np.int32))


def test_only_records_inside_custody_count_and_the_start_is_outside() -> None:
    row = depot_evidence([T0, T0 + MINUTE, T0 + HOUR, T0 + HOUR + 1], [5_000] * 4)
    assert (row.first_ms, row.last_ms, row.readings) == (T0 + MINUTE, T0 + HOUR, 2)
    instants, temperatures = np.array([T0 + MINUTE, T0 + HOUR]), np.array([5_000, 5_000], np.int32)
    assert row.sha256 == readings_sha256(instants, temperatures)


def test_a_fault_is_counted_apart_and_is_part_of_the_hash() -> None:
    row = depot_evidence([T0 + MINUTE, T0 + 2 * MINUTE], [5_000, FAULT_MC])
    assert (row.readings, row.faults) == (1, 1)
    assert row.sha256 != depot_evidence([T0 + MINUTE], [5_000]).sha256


def test_readings_outside_the_calibration_are_counted() -> None:
    instants = [T0 + MINUTE, T0 + 2 * MINUTE, T0 + 3 * MINUTE]
    expired = replace(LOGGERS["lg-1001"], calibrated_until_ms=T0 + 2 * MINUTE)
    recent = replace(LOGGERS["lg-1001"], calibrated_from_ms=T0 + MINUTE)
    assert depot_evidence(instants, [5_000] * 3, expired).outside_calibration == 1
    assert depot_evidence(instants, [5_000] * 3, recent).outside_calibration == 1


def test_a_logger_without_records_is_shown_with_none() -> None:
    row = depot_evidence([], [])
    assert (row.first_ms, row.last_ms, row.readings, row.faults) == (None, None, 0, 0)


def test_a_logger_moved_away_before_custody_is_no_evidence() -> None:
    monitoring = (Monitoring("depot-basel", "lg-1001", "1", T0 - HOUR, T0), *MONITORING[1:])
    case = Case(monitoring=monitoring)
    assert [row.logger.id for row in case.report().sections[0].loggers] == ["lg-2002"]


def test_open_and_ended_monitoring_of_one_channel_can_stand_side_by_side() -> None:
    twice = (Monitoring("depot-basel", "lg-1001", "1", T0), Monitoring("depot-basel", "lg-1001", "1", T0, T0 + HOUR))
    once = Case().report().sections[0].loggers[0]
    assert Case(monitoring=(*twice, *MONITORING[1:])).report().sections[0].loggers[0] == once


def test_kits_with_equal_assessment_and_route_share_a_section() -> None:
    report = Case(kits=kits("K-2", "K-1", "K-3")).report()
    assert [section.kit_ids for section in report.sections] == [("K-1", "K-2", "K-3")]


def test_kits_with_other_route_or_opening_balance_have_their_own_section() -> None:
    opened = replace(kits("K-5")[0], opening=(OpeningBalance("above-8-accumulated", HOUR),))
    rows = Case(kits=(*kits("K-1"), opened)).report_kits() + Case(kits=kits("K-3"), custody=CUSTODY[:1]).report_kits()
    assert [section.kit_ids for section in Case().report(rows).sections] == [("K-1",), ("K-3",), ("K-5",)]


def test_a_balance_of_nothing_is_not_the_same_as_no_stated_balance() -> None:
    stated = replace(kits("K-2")[0], opening=(OpeningBalance("above-8-accumulated", 0),))
    assert len(Case(kits=(*kits("K-1"), stated)).report().sections) == 2


def test_a_held_kit_never_shares_a_section_with_an_available_one() -> None:
    held, free = Case(kits=kits("K-1", "K-2")).report_kits()
    report = Case().report([held, replace(free, events=())])
    assert [section.kit_ids for section in report.sections] == [("K-1",), ("K-2",)]
