"""ElitechLog workbooks: a written one for every rule, and the real one where it is at hand."""

from __future__ import annotations

import json
import lzma
import struct
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.errors import BadInput
from coldchain.readings import FAULT_MC
from gateways.files import Declared, LoggerFile, read_logger_content

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
EXPECTED = json.loads((SAMPLES / "expected.json").read_text("utf-8")) if SAMPLES.exists() else {}
REAL_FILES = [name for name in EXPECTED if name.startswith("elitech/")]

Cells = list[list[str | float]]

HEADER: Cells = [
    ["Data Report"],
    ["Device Model", "RC-5+", "", "Sensor Type", "Temperature(Internal)"],
    ["Serial Number", "EFI000000001", "", "Firmware Version", "V4,8"],
    ["Start Delay", "0H1M", "", "Repeat Start", "Enable"],
    ["Time Zone", "UTC -03:30", "", "Stop Mode", "Button"],
    ["Maximum", "26,7°C", "", "First Reading", "2023-10-04 15:20:18"],
    ["Minimum", "23,7°C", "", "Last Reading", "2023-10-04 15:20:38(Stop by button)"],
    ["Average", "24,0°C", "", "Logging Duration", "0D 0H 0M 20S"],
    ["Mean Kinetic Temperature (MKT)", "24,0°C", "", "Current Readings", "3"],
    ["First Alarm(Temperature)", "N/A", "", "First Alarm(Humidity)", "N/A"],
]
TABLE: Cells = [
    ["No.", "Time", "Temperature°C"],
    ["1", "2023-10-04 15:20:18", 26.7],
    ["2", "2023-10-04 15:20:28", 24.05],
    ["3", "2023-10-04 15:20:38", 23.0],
]


def workbook(rows: Cells) -> bytes:
    """The smallest BIFF8 workbook in a compound file that holds these rows in one sheet."""

    def record(kind: int, body: bytes) -> bytes:
        return struct.pack("<HH", kind, len(body)) + body

    def cell(row: int, column: int, value: str | float) -> bytes:
        place = struct.pack("<HHH", row, column, 0)
        if isinstance(value, str):
            return record(0x0204, place + struct.pack("<HB", len(value), 1) + value.encode("utf-16-le"))
        return record(0x0203, place + struct.pack("<d", value))

    begin = struct.pack("<HHHHII", 0x0600, 0x0005, 0, 1996, 0, 6)
    sheet_at = 20 + 4 + 12 + 4
    name = struct.pack("<IBBBB", sheet_at, 0, 0, 4, 0) + b"List"
    stream = record(0x0809, begin) + record(0x0085, name) + record(0x000A, b"")
    assert len(stream) == sheet_at
    stream += record(0x0809, begin[:2] + struct.pack("<H", 0x0010) + begin[4:])
    stream += b"".join(cell(r, c, value) for r, row in enumerate(rows) for c, value in enumerate(row) if value != "")
    stream += record(0x000A, b"")
    stream = stream.ljust(max(4096, -(-len(stream) // 512) * 512), b"\0")
    sectors = len(stream) // 512
    assert sectors < 126
    chain = [0xFFFFFFFD, 0xFFFFFFFE, *range(3, sectors + 2), 0xFFFFFFFE]
    table = struct.pack("<128I", *chain, *[0xFFFFFFFF] * (128 - len(chain)))

    def entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
        text = name.encode("utf-16-le") + b"\0\0"
        links = struct.pack("<HBBIII", len(text), kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, child)
        return text.ljust(64, b"\0") + links + b"\0" * 36 + struct.pack("<III", start, size, 0)

    folder = entry("Root Entry", 5, 1, 0xFFFFFFFE, 0) + entry("Workbook", 2, 0xFFFFFFFF, 2, len(stream)) + b"\0" * 256
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16 + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + b"\0" * 10
    head += struct.pack("<IIIIIIIII", 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0, 0) + b"\xff" * 432
    return head + table + folder + stream


def read(content: bytes, zone: str | None = None) -> LoggerFile:
    declared = Declared(ZoneInfo(zone) if zone else None)
    return read_logger_content(content, file="export.xls", logger="lg-7", declared=declared)


def refused(rows: Cells) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read(workbook(rows))
    assert caught.value.file == "export.xls"
    return caught.value


def changed(row: int, column: int, value: str | float, rows: Cells) -> Cells:
    copy = [list(each) for each in rows]
    copy[row][column] = value
    return copy


@pytest.mark.parametrize("name", REAL_FILES)
def test_a_real_workbook_gives_its_readings_beside_the_vendors_summary(name: str) -> None:
    expected = EXPECTED[name]
    found = read(lzma.decompress((SAMPLES / name).read_bytes()))
    (batch,) = found.batches
    mc = batch.temperature_mc
    assert len(batch) == expected["n_readings"]
    assert batch.faults == {}
    assert (mc.min() / 1000, mc.max() / 1000) == (expected["min_c"], expected["max_c"])
    assert mc.mean() / 1000 == pytest.approx(expected["mean_c"], abs=5e-5)
    span = [moment.isoformat() for moment in batch.at_ms[[0, -1]].astype("datetime64[ms]").tolist()]
    assert span == [expected["first_utc"], expected["last_utc"]]
    vendor = {"min_c": "min", "max_c": "max", "mean_c": "avg", "mkt_c": "mkt"}
    assert found.vendor == {ours: expected["vendor"][theirs] for ours, theirs in vendor.items()}
    assert not any("cut" in note for note in found.notes)


def test_a_workbook_gives_readings_serial_zone_and_summary() -> None:
    found = read(workbook(HEADER + TABLE), zone="Asia/Tokyo")
    (batch,) = found.batches
    assert batch.temperature_mc.tolist() == [26_700, 24_050, 23_000]
    assert batch.at_ms[0] == datetime.fromisoformat("2023-10-04T15:20:18-03:30").timestamp() * 1000
    assert (found.family, found.serial) == ("elitech", "EFI000000001")
    assert found.vendor == {"min_c": 23.7, "max_c": 26.7, "mean_c": 24.0, "mkt_c": 24.0}


def test_a_workbook_without_a_zone_needs_a_declared_one() -> None:
    rows = changed(4, 0, "Other", HEADER) + TABLE
    assert refused(rows).key == "zone"
    (batch,) = read(workbook(rows), zone="UTC").batches
    assert batch.at_ms[0] == datetime.fromisoformat("2023-10-04T15:20:18+00:00").timestamp() * 1000


def test_a_workbook_in_fahrenheit_is_converted_and_its_summary_too() -> None:
    rows: Cells = [*changed(5, 1, "80,1°F", HEADER), ["No.", "Time", "Temperature°F"]]
    rows.append(["1", "2023-10-04 15:20:18", 50.0])
    found = read(workbook(rows))
    assert found.batches[0].temperature_mc.tolist() == [10_000]
    assert found.vendor["max_c"] == 26.722


def test_temperatures_may_be_text_with_a_decimal_comma() -> None:
    rows: Cells = [["No.", "Time", "Temperature°C"], ["1", "2023-10-04 15:20:18", "24,05"]]
    assert read(workbook(HEADER + rows)).batches[0].temperature_mc.tolist() == [24_050]


@pytest.mark.parametrize("figure", ["N/A", "24,0°C at 3 h", "24,0°F or C", ""])
def test_a_figure_of_the_summary_that_is_no_temperature_is_left_out(figure: str) -> None:
    vendor = read(workbook(changed(7, 1, figure, HEADER) + TABLE)).vendor
    assert vendor.keys() == {"min_c", "max_c", "mkt_c"}


def test_a_cell_without_a_number_is_a_fault() -> None:
    found = read(workbook(HEADER + changed(2, 2, "N/A", TABLE)))
    assert found.batches[0].temperature_mc.tolist() == [26_700, FAULT_MC, 23_000]
    assert found.batches[0].faults == {1: "N/A"}


def test_a_table_with_fewer_rows_than_the_header_counts_says_so() -> None:
    assert any("counts 3 readings, the table has 2 rows" in note for note in read(workbook(HEADER + TABLE[:-1])).notes)


def test_a_wrong_cell_is_named_with_the_row_of_the_sheet() -> None:
    error = refused(HEADER + changed(3, 1, "04-10 15:20", TABLE))
    assert (error.line, error.value) == (len(HEADER) + 4, "04-10 15:20")


def test_a_workbook_of_another_kind_is_refused() -> None:
    assert "not of ElitechLog" in refused([["Name", "Price"], ["x", 1.0]]).problem


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
def test_a_damaged_workbook_is_read_or_refused_but_never_crashes(at: int, put: bytes) -> None:
    content = bytearray(workbook(HEADER + TABLE))
    at %= len(content)
    content[at : at + len(put)] = put
    assert complaint(bytes(content)).partition(":")[0] in ("", "export.xls")


@given(st.integers(0, 4096))
def test_a_workbook_that_was_cut_is_read_or_refused_but_never_crashes(length: int) -> None:
    assert complaint(workbook(HEADER + TABLE)[:length]).partition(":")[0] in ("", "export.xls")


def complaint(content: bytes) -> str:
    """What is said against a file, empty if it can be read; anything but BadInput fails the test."""
    try:
        read(content)
    except BadInput as exc:
        return str(exc)
    return ""
