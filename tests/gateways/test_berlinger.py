"""Berlinger files: written ones for every rule, and the real ones where they are at hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from coldchain.errors import BadInput
from coldchain.readings import FAULT_MC
from gateways.files import LoggerFile, read_logger_file

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
EXPECTED = json.loads((SAMPLES / "expected.json").read_text("utf-8")) if SAMPLES.exists() else {}
REAL_FILES = [name for name in EXPECTED if name.startswith("berlinger/")]

HEADER = "Device: Q-tag CLm doc LR\r\nVers: 1.9\r\nConf:\r\n Serial: X1\r\n"
ZONE = " Zone: 0.00\r\n"
TABLE = "Data:\r\n\tyyyy-MM-dd hh:mm\tT\tOut of limits\r\n"
SIGNATURE = "Sig: 00\r\n"


def read(tmp_path: Path, text: str, zone: str | None = None) -> LoggerFile:
    path = tmp_path / "anything.bin"
    path.write_bytes(text.encode())
    return read_logger_file(path, logger="lg-7", zone=ZoneInfo(zone) if zone else None)


def table(*rows: str, header: str = HEADER + ZONE) -> str:
    return header + TABLE + "".join(f"\t{row}\r\n" for row in rows) + SIGNATURE


def refused(tmp_path: Path, text: str, zone: str | None = None) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read(tmp_path, text, zone)
    assert caught.value.file == str(tmp_path / "anything.bin")
    return caught.value


@pytest.mark.parametrize("name", REAL_FILES)
def test_a_real_file_gives_its_readings_beside_the_vendors_summary(name: str) -> None:
    expected, path = EXPECTED[name], SAMPLES / name
    found = read_logger_file(path, logger="lg-7", zone=ZoneInfo("UTC"))
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sum(map(len, found.batches)) == expected["n_readings"]
    assert len(found.days) == expected.get("day_summaries", 0)
    for batch in found.batches:
        mc = batch.temperature_mc
        assert (mc.min() / 1000, mc.max() / 1000) == (expected["min_c"], expected["max_c"])
        assert mc.mean() / 1000 == pytest.approx(expected["mean_c"], abs=5e-5)
        assert (
            str(batch.at_ms[[0, -1]].astype("datetime64[ms]"))
            == f"['{expected['first']}.000' '{expected['last']}.000']"
        )
        assert batch.received_ms is None
        ours_c = {"min_c": mc.min() / 1000, "max_c": mc.max() / 1000, "mean_c": mc.mean() / 1000}
        for figure in ours_c.keys() & found.vendor.keys():
            assert found.vendor[figure] == pytest.approx(ours_c[figure], abs=0.1)
    if "vendor" in expected:
        vendor = expected["vendor"]
        assert found.vendor == {
            "min_c": vendor["min"],
            "max_c": vendor["max"],
            "mean_c": vendor["avg"],
            "mkt_c": vendor["mkt"],
            "activation_energy_kj_mol": vendor["mkt_energy_kj"],
        }
        assert found.vendor["mkt_c"] == pytest.approx(expected["mkt_83.0_c"], abs=0.1)
    if found.days:
        assert min(day.min_mc or 0 for day in found.days) / 1000 == expected["summary_min_c"]
        assert max(day.max_mc or 0 for day in found.days) / 1000 == expected["summary_max_c"]
        assert any(f"{len(found.days)} day summaries" in note for note in found.notes)
    if not found.batches:
        assert any("no readings" in note for note in found.notes)


def test_readings_carry_the_registrys_logger_and_the_fixed_zone_of_the_header(tmp_path: Path) -> None:
    header = HEADER + " Zone: -5.50\r\n"
    found = read(tmp_path, table("2023-04-17 15:23\t12.7\tx", "2023-04-17 15:33\t-0.1", header=header))
    (batch,) = found.batches
    assert (batch.key, batch.seq, batch.boot, batch.received_ms) == (("lg-7", "1"), None, None, None)
    assert batch.at_ms.tolist() == [1_681_764_780_000, 1_681_765_380_000]
    assert batch.temperature_mc.tolist() == [12_700, -100]
    assert (found.family, found.serial) == ("berlinger", "X1")
    assert any("UTC-05:30" in note for note in found.notes)


def test_the_declared_zone_governs_over_the_header(tmp_path: Path) -> None:
    (batch,) = read(tmp_path, table("2023-07-17 15:23\t5.0"), "Europe/Zurich").batches
    assert batch.at_ms.tolist() == [1_689_600_180_000]


def test_rows_that_stand_twice_are_kept_as_they_are(tmp_path: Path) -> None:
    (batch,) = read(tmp_path, table("2023-04-17 15:23\t5.0", "2023-04-17 15:23\t5.0", "2023-04-17 15:13\t6.0")).batches
    assert batch.temperature_mc.tolist() == [5000, 5000, 6000]


def test_a_cell_without_a_temperature_is_a_fault(tmp_path: Path) -> None:
    rows = ("2023-04-17 15:23\t--.-", "2023-04-17 15:33\t", "2023-04-17 15:43\t9999", "2023-04-17 15:53\t5.0")
    (batch,) = read(tmp_path, table(*rows)).batches
    assert batch.temperature_mc.tolist() == [FAULT_MC, FAULT_MC, FAULT_MC, 5000]
    assert batch.faults == {0: "--.-", 1: "empty", 2: "implausible"}


def test_fahrenheit_is_converted_in_readings_and_summaries(tmp_path: Path) -> None:
    header = HEADER + ZONE + " Temp unit: F\r\nRes:\r\n Min T: 35.6, TS Min T: 2023-04-18 03:53\r\n"
    found = read(tmp_path, table("2023-04-17 15:23\t46.4", header=header))
    assert found.batches[0].temperature_mc.tolist() == [8000]
    assert found.vendor == {"min_c": 2.0}


def test_the_vendors_own_summary_is_kept_under_its_names(tmp_path: Path) -> None:
    header = HEADER + ZONE + " MKT Energy: 83.1\r\nRes:\r\n Min T: 2.1, TS Min T: 2023-04-18 03:53\r\n Max T: 9.9\r\n"
    found = read(tmp_path, table("2023-04-17 15:23\t5.0", header=header + " MKT: 5.6\r\n Avrg T: 5.4\r\n"))
    figures = {"min_c": 2.1, "max_c": 9.9, "mean_c": 5.4, "mkt_c": 5.6, "activation_energy_kj_mol": 83.1}
    assert found.vendor == figures


def test_an_unknown_unit_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, table("2023-04-17 15:23\t5.0", header=HEADER + ZONE + " Temp unit: K\r\n"))
    assert (error.line, error.key, error.value) == (6, "Conf/Temp unit", "K")


def test_a_users_own_words_do_not_become_settings(tmp_path: Path) -> None:
    header = HEADER + " User String 1: x, Temp unit: F\x0b Temp unit: F\r\n" + ZONE
    assert read(tmp_path, table("2023-04-17 15:23\t8.0", header=header)).batches[0].temperature_mc.tolist() == [8000]


@pytest.mark.parametrize(
    ("row", "key", "value"),
    [
        ("2023-04-17 15:2\t5.0", "time", "2023-04-17 15:2"),
        ("17.04.2023 15:23\t5.0", "time", "17.04.2023 15:23"),
        ("2023-02-30 15:23\t5.0", "time", "2023-02-30 15:23"),
        ("0000-04-17 15:23\t5.0", "time", "0000-04-17 15:23"),
        ("2023-04-17 15:23\t5,0", "temperature", "5,0"),
        ("2023-04-17 15:23\t5.O0", "temperature", "5.O0"),
        ("2023-04-17 15:23", "Data", ("2023-04-17 15:23",)),
        ("2023-04-17 15:23\t5.0\tx\t6.0", "Data", ("2023-04-17 15:23", "5.0", "x", "6.0")),
    ],
)
def test_a_malformed_row_is_refused_with_its_line_and_value(tmp_path: Path, row: str, key: str, value: object) -> None:
    error = refused(tmp_path, table("2023-04-17 15:13\t5.0", row))
    assert (error.line, error.key, error.value) == (9, key, value)


def test_a_row_that_lost_its_tab_is_refused_not_lost(tmp_path: Path) -> None:
    error = refused(tmp_path, HEADER + ZONE + TABLE + "2023-04-17 15:23\t5.0\r\n" + SIGNATURE)
    assert error.line == 8


def test_other_columns_are_refused(tmp_path: Path) -> None:
    text = HEADER + ZONE + "Data:\r\n\tyyyy-MM-dd hh:mm\tT int\tT ext\r\n\t2023-04-17 15:23\t5.0\t6.0\r\n"
    assert refused(tmp_path, text).line == 7


def test_without_any_zone_readings_are_refused_but_summaries_are_not(tmp_path: Path) -> None:
    assert refused(tmp_path, table("2023-04-17 15:23\t5.0", header=HEADER)).key == "zone"
    summary = HEADER + "Hist:\r\n 1:\r\n  Date: 2023-02-14\r\n  Min T: +2.0, TS Min T: 00:00\r\n" + SIGNATURE
    found = read(tmp_path, summary)
    assert (found.batches, len(found.days)) == ((), 1)


@pytest.mark.parametrize("zone", ["5.30", "+1h", "15", ""])
def test_a_header_zone_that_is_no_offset_is_refused(tmp_path: Path, zone: str) -> None:
    error = refused(tmp_path, table("2023-04-17 15:23\t5.0", header=HEADER + f" Zone: {zone}\r\n"))
    assert (error.line, error.key, error.value) == (5, "Conf/Zone", zone)


@pytest.mark.parametrize(
    ("time", "problem"),
    [
        ("2023-10-29 02:00", "occurs twice"),
        ("2023-10-29 02:59", "occurs twice"),
        ("2023-03-26 02:00", "does not exist"),
        ("2023-03-26 02:59", "does not exist"),
    ],
)
def test_an_hour_that_daylight_saving_repeats_or_skips_is_refused(tmp_path: Path, time: str, problem: str) -> None:
    error = refused(tmp_path, table("2023-03-01 00:00\t5.0", f"{time}\t5.0"), "Europe/Zurich")
    assert (error.line, error.key, error.value) == (9, "time", time)
    assert problem in str(error)
    assert "Etc/GMT-1" in str(error)


@pytest.mark.parametrize("time", ["2023-10-29 01:59", "2023-10-29 03:00", "2023-03-26 01:59", "2023-03-26 03:00"])
def test_the_minutes_around_a_change_of_clocks_are_read(tmp_path: Path, time: str) -> None:
    assert len(read(tmp_path, table(f"{time}\t5.0"), "Europe/Zurich").batches[0]) == 1


def test_a_fixed_offset_reads_the_repeated_hour(tmp_path: Path) -> None:
    (batch,) = read(tmp_path, table("2023-10-29 02:30\t5.0"), "Etc/GMT-1").batches
    assert batch.at_ms.tolist() == [1_698_543_000_000]


def test_a_file_without_its_signature_says_so(tmp_path: Path) -> None:
    text = table("2023-04-17 15:23\t5.0")
    assert not any("signature" in note for note in read(tmp_path, text).notes)
    assert any("signature" in note for note in read(tmp_path, text.removesuffix(SIGNATURE)).notes)


def test_a_file_of_no_known_family_names_the_known_ones(tmp_path: Path) -> None:
    for text in ("", "time,temperature\n", "\nDevice: Q-tag", "Device: other"):
        assert "Berlinger" in str(refused(tmp_path, text))


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_logger_file(tmp_path / "missing.txt", logger="lg-7", zone=None)
