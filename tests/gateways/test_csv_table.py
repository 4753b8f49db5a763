"""Text exports: invented files in the shapes of real loggers for every trap, real ones where they are at hand."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.errors import BadInput
from coldchain.readings import FAULT_MC, ReadingBatch
from gateways.files import Declared, LoggerFile, Order, parse, read_logger_content, read_logger_file

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
EXPECTED = json.loads((SAMPLES / "expected.json").read_text("utf-8")) if SAMPLES.exists() else {}
REAL_FILES = [name for name in EXPECTED if name.startswith(("hobo/", "ibutton/", "wellzion/"))]
REAL_RUN = [name for name in REAL_FILES if name.startswith("hobo/20024354")]

PLAIN = """\
mapping = "plain"
[time]
columns = ["Time"]
[[channel]]
column = "T*"
unit = "c"
"""


def read(
    text: str | bytes,
    mapping: str | None = None,
    zone: str | None = "UTC",
    order: Order | None = None,
    repeats_in_order: bool = False,
) -> LoggerFile:
    content = text.encode() if isinstance(text, str) else text
    declared = Declared(ZoneInfo(zone) if zone else None, order, repeats_in_order)
    how = parse(mapping, "map.toml") if mapping else None
    return read_logger_content(content, file="export.csv", logger="lg-7", declared=declared, mapping=how)


def one(found: LoggerFile) -> ReadingBatch:
    (batch,) = found.batches
    return batch


def refused(
    text: str | bytes, mapping: str | None = PLAIN, zone: str | None = "UTC", order: Order | None = None
) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read(text, mapping, zone, order)
    assert caught.value.file == "export.csv"
    assert "\n" not in str(caught.value)
    return caught.value


def complaint(content: str | bytes, mapping: str | None = None) -> str:
    """What is said against a file, empty if it can be read; anything but BadInput fails the test."""
    try:
        read(content, mapping)
    except BadInput as exc:
        return str(exc)
    return ""


def plain(*rows: str) -> str:
    return "Time;Temp\n" + "".join(f"{row}\n" for row in rows)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


# -- the real files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL_FILES)
def test_a_real_file_gives_what_is_expected_of_it(name: str) -> None:
    expected, path = EXPECTED[name], SAMPLES / name
    found = read_logger_file(path, logger="lg-7", zone=ZoneInfo("UTC"))
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sum(map(len, found.batches)) == expected["n_rows"]
    if not expected["n_readings"]:
        assert found.batches == ()
        return
    batch = one(found)
    valid = batch.temperature_mc[batch.temperature_mc != FAULT_MC]
    assert len(valid) == expected["n_readings"]
    assert len(batch.faults) == expected.get("sentinels", 0)
    assert (valid.min() / 1000, valid.max() / 1000) == (expected["min_c"], expected["max_c"])
    assert valid.mean() / 1000 == pytest.approx(expected["mean_c"], abs=1e-4)
    at = batch.at_ms[[0, -1]].astype("datetime64[ms]").tolist()
    first, last = (expected.get(f"{key}_utc", expected[key]) for key in ("first", "last"))
    assert [moment.isoformat() for moment in at] == [first, last]
    assert found.serial == expected.get("serial", found.serial)
    assert found.serial


@pytest.mark.parametrize("name", REAL_RUN)
def test_all_exports_of_one_real_run_agree_wherever_they_have_the_same_instant(name: str) -> None:
    def by_instant(of: str) -> dict[int, int]:
        batch = one(read_logger_file(SAMPLES / of, logger="lg-7", zone=None))
        return dict(zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True))

    base, other = by_instant(REAL_RUN[0]), by_instant(name)
    common = base.keys() & other.keys()
    assert len(common) >= 48
    assert max(abs(base[at] - other[at]) for at in common) <= 1


# -- one invented run in nine exports ------------------------------------------------------------------------------

START = datetime(2026, 4, 8, 21, tzinfo=UTC)
RUN_MC = [18_771, 18_913, 8_200, -414, 0, 5_125, 18_961, 19_056, 19_127, 20_222, 7_469, 8_668, 2_000, 8_000]
SERIALS = "(LGR S/N: 00120024, SEN S/N: 00120024)"


def hobo(
    *, sep: str = ",", mark: str = ".", date: str = "%y.%m.%d", clock: str = "%H:%M:%S", hours: int = 2,
    unit: str = "C", time_header: str = "Date Time, GMT", title: bool = True, apart: bool = False,
) -> str:  # fmt: skip
    """HOBOware's export of the run, as its settings make it."""

    def cells(*values: str) -> str:
        return sep.join(values) + "\n"

    zone = f"{'-' if hours < 0 else '+'}{abs(hours):02}:00"
    names = ["Date", f"Time, GMT{zone}"] if apart else [f"{time_header}{zone}"]
    head = ["#", *names, f"Temp, °{unit} {SERIALS}", f"RH, % {SERIALS}", "Host Connected", "End Of File"]
    text = '"Plot Title: 00120024"\n' if title else ""
    text += cells(*(f'"{name}"' for name in head))
    for i, mc in enumerate(RUN_MC):
        at = START + timedelta(hours=hours, minutes=15 * i)
        shown = [at.strftime(date), at.strftime(clock)]
        value = Fraction(mc, 1000) if unit == "C" else Fraction(mc, 1000) * 9 / 5 + 32
        times = shown if apart else [" ".join(shown)]
        number = f"{float(value):.3f}".replace(".", mark)
        text += cells(str(i + 1), *times, number, f"43{mark}5", "Logged" if i == 0 else "", "")
    end = START + timedelta(hours=hours, minutes=15 * len(RUN_MC) - 7, seconds=34)
    times = [end.strftime(date), end.strftime(clock)] if apart else [f"{end:{date} {clock}}"]
    return text + cells(str(len(RUN_MC) + 1), *times, "", "", "Logged", "Logged")


NINE = {
    "comma": hobo(),
    "tab": hobo(sep="\t"),
    "semicolon with decimal comma": hobo(sep=";", mark=","),
    "fahrenheit, month first": hobo(unit="F", date="%m.%d.%y", hours=0),
    "day first, slashes": hobo(date="%d/%m/%Y"),
    "twelve hours": hobo(date="%m/%d/%y", clock="%I:%M:%S %p"),
    "date and time apart": hobo(apart=True, date="%m/%d/%Y"),
    "west of Greenwich": hobo(hours=-5, title=False, date="%Y-%m-%d"),
    "German": hobo(sep=";", mark=",", date="%d.%m.%Y", time_header="Datum Zeit, GMT"),
}


@pytest.mark.parametrize("name", NINE)
def test_nine_exports_of_one_run_give_the_same_readings(name: str) -> None:
    batch = one(found := read(NINE[name], zone=None))
    assert batch.at_ms.tolist() == [ms(START.isoformat()) + 900_000 * i for i in range(len(RUN_MC))]
    assert np.abs(batch.temperature_mc - RUN_MC).max() <= (1 if "fahrenheit" in name else 0)
    assert found.serial == "00120024"
    assert batch.faults == {}
    assert "1 rows are events without a temperature." in found.notes


def test_fahrenheit_becomes_the_nearest_milli_degree() -> None:
    batch = one(read(plain("2026-03-01 10:00;41,9", "2026-03-01 10:10;32,0"), PLAIN.replace('"c"', '"f"')))
    assert batch.temperature_mc.tolist() == [round(Fraction("9.9") * 5000 / 9), 0]


THERMOCHRON = """\
1-Wire/iButton Part Number: DS1921G-F5
1-Wire/iButton Registration Number: 79000000AB54A821
Mission Start:  Tue Oct 03 16:33:00 IST 2017
High Temperature Alarm:  85 \ufffdC

Date/Time,Unit,Value
10/3/17 11:48:00 PM,C,85
10/3/17 11:53:00 PM,F,95
10/3/17 11:58:00 PM,C,33.5
10/4/17 12:03:00 AM,C,33"""


def test_a_thermochron_file_states_its_unit_row_by_row_and_85_degrees_is_a_reading_of_it() -> None:
    found = read(THERMOCHRON, zone="Asia/Kolkata")
    assert one(found).temperature_mc.tolist() == [85_000, 35_000, 33_500, 33_000]
    assert one(found).at_ms[-1] == ms("2017-10-04T00:03:00+05:30")
    assert found.serial == "79000000AB54A821"


def test_the_abbreviated_zone_of_a_thermochron_file_names_no_zone() -> None:
    assert "no time zone" in refused(THERMOCHRON, None, zone=None).problem


WELLZION = (
    '"Index","Timestamp","Thermocouple(°C)","Serial Number","Logger Name"\r\n'
    '"0","15/06/2018 11:55:08 AM","-270.0","007","1e5"\r\n'
    '"1","15/06/2018 12:00:08 PM","26.9"\r\n'
    '"2","15/06/2018 12:05:08 PM","--.-"\r\n'
)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-8", "cp1252"])
def test_a_file_in_any_usual_encoding_gives_the_same_readings(encoding: str) -> None:
    found = read(WELLZION.encode(encoding))
    assert one(found).temperature_mc.tolist() == [FAULT_MC, 26_900, FAULT_MC]
    assert one(found).at_ms[1] == ms("2018-06-15T12:00:08+00:00")


def test_an_open_thermocouple_is_a_fault_and_an_id_stays_text() -> None:
    found = read(WELLZION)
    assert one(found).faults == {0: "-270.0", 2: "--.-"}
    assert found.serial == "007"


@pytest.mark.parametrize("serial", ["NA", "007", "1e5", "nan", "00E1"])
def test_ids_that_look_like_numbers_or_nothing_stay_as_they_are(serial: str) -> None:
    assert read(WELLZION.replace("007", serial)).serial == serial


def test_a_file_of_two_loggers_is_refused() -> None:
    text = WELLZION + '"3","15/06/2018 12:10:08 PM","26.9","008"\r\n'
    assert (refused(text, None).line, refused(text, None).value) == (5, "008")


# -- dates ---------------------------------------------------------------------------------------------------------


def test_a_date_that_may_be_day_or_month_first_is_refused_and_an_option_or_the_mapping_says_which() -> None:
    text = plain("03/04/2026 10:00;5.1", "03/04/2026 10:10;5.2", "03/04/2026 10:20;5.2")
    error = refused(text)
    assert (error.line, error.key, error.value) == (2, "time", "03/04/2026 10:00")
    assert "2026-04-03 (dmy) or 2026-03-04 (mdy)" in error.problem
    assert one(read(text, PLAIN, order="dmy")).at_ms[0] == ms("2026-04-03T10:00:00+00:00")
    stated = PLAIN.replace("[[channel]]", 'order = "mdy"\n[[channel]]')
    assert one(read(text, stated)).at_ms[0] == ms("2026-03-04T10:00:00+00:00")
    assert one(read(text, stated, order="dmy")).at_ms[0] == ms("2026-04-03T10:00:00+00:00")


def test_one_day_after_the_12th_decides_the_order_of_the_whole_file() -> None:
    batch = one(read(plain("05/04/2026 10:00;5", "12/04/2026 10:00;5", "13/04/2026 10:00;5"), PLAIN))
    assert batch.at_ms[0] == ms("2026-04-05T10:00:00+00:00")


def test_readings_that_follow_at_one_interval_over_midnight_prove_the_order_and_uneven_ones_do_not() -> None:
    even = ("03/04/2026 23:40;5", "03/04/2026 23:50;5", "04/04/2026 00:00;5")
    found = read(plain(*even), PLAIN)
    assert one(found).at_ms[0] == ms("2026-04-03T23:40:00+00:00")
    assert "Dates are taken as dmy" in found.notes[0]
    assert "ambiguous" in refused(plain(*even, "04/04/2026 00:25;5")).problem
    assert "ambiguous" in refused(plain(*even[1:])).problem


def test_dates_a_day_apart_prove_nothing() -> None:
    assert "ambiguous" in refused(plain(*(f"0{day}/04/2026 10:00;5" for day in (1, 2, 3)))).problem


def test_a_date_that_is_the_same_in_both_orders_is_not_ambiguous() -> None:
    assert one(read(plain("04/04/2026 10:00;5"), PLAIN)).at_ms[0] == ms("2026-04-04T10:00:00+00:00")


def test_rows_that_need_different_orders_are_refused_at_the_row_where_the_order_breaks() -> None:
    assert refused(plain("13/04/2026 10:00;5", "04/13/2026 10:00;5")).line == 3
    assert refused(plain("31/04/2026 10:00;5"), order="dmy").value == "31/04/2026 10:00"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-04-03T10:00:00Z", "2026-04-03T10:00:00+00:00"),
        ("2026-04-03 10:00:00.250+02:00", "2026-04-03T08:00:00.250+00:00"),
        ("03-Apr-2026 10:00", "2026-04-03T10:00:00+00:00"),
        ("Apr 3, 2026 12:05:00\u202fAM", "2026-04-03T00:05:00+00:00"),
        ("2026/4/3 12:05 p.m.", "2026-04-03T12:05:00+00:00"),
    ],
)
def test_a_time_without_ambiguity_is_read(text: str, instant: str) -> None:
    assert one(read(plain(f"{text};5"), PLAIN)).at_ms.tolist() == [ms(instant)]


@pytest.mark.parametrize(
    "text", ["2026-04-03", "10:00", "2026-02-30 10:00", "2026-04-03 24:00", "2026-04-03 13:00 PM", "2026-04-03 0:00 AM",
             "46115.5", "1969-12-31 10:00", "٢٠٢٦-04-03 10:00", "2026-04-03 10:00 +99:00", ""]
)  # fmt: skip
def test_what_is_no_instant_is_refused_with_its_line(text: str) -> None:
    assert refused(plain("2026-04-03 10:00;5", f"{text};5")).line == 3


# -- zones ---------------------------------------------------------------------------------------------------------


def test_a_file_without_a_zone_needs_a_declared_one() -> None:
    text = plain("2026-07-01 10:00;5")
    assert refused(text, zone=None).key == "zone"
    assert one(read(text, PLAIN, zone="Europe/Zurich")).at_ms[0] == ms("2026-07-01T08:00:00+00:00")
    stated = PLAIN.replace("[[channel]]", 'zone = "Asia/Tokyo"\n[[channel]]')
    assert one(read(text, stated, zone=None)).at_ms[0] == ms("2026-07-01T01:00:00+00:00")
    assert one(read(text, stated, zone="UTC")).at_ms[0] == ms("2026-07-01T10:00:00+00:00")


def test_the_zone_in_the_file_wins_over_the_declared_one_and_a_note_says_so() -> None:
    found = read(NINE["comma"], zone="Asia/Tokyo")
    assert one(found).at_ms[0] == ms(START.isoformat())
    assert any("UTC+02:00" in note and "Asia/Tokyo, as given, is not used" in note for note in found.notes)


AUTUMN = ("2026-10-25 01:30;5", "2026-10-25 02:30;6", "2026-10-25 02:30;7", "2026-10-25 03:30;8")


def test_an_hour_that_occurs_twice_is_refused_unless_the_rows_are_declared_to_be_in_order() -> None:
    error = refused(plain(*AUTUMN), zone="Europe/Zurich")
    assert (error.line, error.value) == (3, "2026-10-25 02:30")
    assert "occurs twice" in error.problem
    hours = [ms(f"2026-10-{text}:30:00+00:00") for text in ("24T23", "25T00", "25T01", "25T02")]
    assert one(read(plain(*AUTUMN), PLAIN, "Europe/Zurich", repeats_in_order=True)).at_ms.tolist() == hours
    stated = PLAIN.replace("[[channel]]", 'repeated_hour = "in_order"\n[[channel]]')
    assert one(read(plain(*AUTUMN), stated, "Europe/Zurich")).at_ms.tolist() == hours


def test_rows_in_order_do_not_help_where_nothing_comes_before_the_hour_that_occurs_twice() -> None:
    with pytest.raises(BadInput, match="occurs twice"):
        read(plain(*AUTUMN[1:]), PLAIN, "Europe/Zurich", repeats_in_order=True)


def test_an_hour_that_the_clock_skips_is_refused() -> None:
    text = plain("2026-03-29 01:50;5", "2026-03-29 02:30;5")
    assert "does not exist" in refused(text, zone="Europe/Zurich").problem
    with pytest.raises(BadInput, match="does not exist"):
        read(text, PLAIN, "Europe/Zurich", repeats_in_order=True)


def test_offsets_of_the_rows_themselves_hold_through_the_hour_that_occurs_twice() -> None:
    text = plain("2026-10-25 02:30+02:00;5", "2026-10-25 02:30+01:00;6")
    assert np.diff(one(read(text, PLAIN, zone=None)).at_ms).tolist() == [3_600_000]


# -- temperatures ----------------------------------------------------------------------------------------------------


def test_mixed_decimal_marks_are_refused_at_the_second_mark() -> None:
    error = refused(plain("2026-03-01 10:00;5.1", "2026-03-01 10:10;5", "2026-03-01 10:20;5,1"))
    assert (error.line, error.value) == (4, "5,1")
    assert "line 2 has '.'" in error.problem


def test_a_decimal_mark_other_than_the_mappings_and_a_thousands_separator_are_refused() -> None:
    assert "mixed" in refused(plain("2026-03-01 10:00;5.1"), 'decimal = ","\n' + PLAIN).problem
    assert refused(plain("2026-03-01 10:00;1,234.5")).line == 2


def test_a_decimal_comma_in_a_file_parted_by_commas_is_refused() -> None:
    error = refused("Time,Temp\n2026-03-01 10:00,5,1\n")
    assert (error.line, "decimal comma" in error.problem) == (2, True)
    assert one(read('Time,Temp\n2026-03-01 10:00,"5,1"\n', PLAIN)).temperature_mc.tolist() == [5_100]


def test_two_probes_in_one_file_are_two_channels() -> None:
    text = "Time;Temp A, °C;Temp B, °F;RH, %\n2026-03-01 10:00;5.1;41;50\n2026-03-01 10:10;;32;50\n"
    both = read(text, PLAIN.replace('unit = "c"\n', ""))
    assert [batch.channel for batch in both.batches] == ["1", "2"]
    assert both.batches[0].temperature_mc.tolist() == [5_100, FAULT_MC]
    assert both.batches[0].faults == {1: "empty"}
    assert both.batches[1].temperature_mc.tolist() == [5_000, 0]
    named = PLAIN.replace('column = "T*"\nunit = "c"', 'column = "Temp B*"\nchannel = "air"')
    assert [batch.channel for batch in read(text, named).batches] == ["air"]


def test_a_unit_that_is_stated_nowhere_or_twice_is_refused() -> None:
    unstated = PLAIN.replace('unit = "c"\n', "")
    assert "unit is stated nowhere" in refused(plain("2026-03-01 10:00;5.1"), unstated).problem
    assert "cell's unit is f" in refused(plain("2026-03-01 10:00;41 °F")).problem
    assert one(read(plain("2026-03-01 10:00;41 °F"), unstated)).temperature_mc.tolist() == [5_000]


SENTINELS = PLAIN + 'sentinels = ["-127", "err7"]\nfirst_sentinels = ["85"]\n'


def test_sentinels_are_faults_and_a_value_at_power_on_is_one_in_the_first_row_only() -> None:
    rows = ("85.0", "-127.00", "ERR7", "85.0", "-126.9", "OPEN", "--.-")
    text = plain(*(f"2026-03-01 10:{10 + i}:00;{cell}" for i, cell in enumerate(rows)))
    batch = one(read(text, SENTINELS))
    assert sorted(batch.faults) == [0, 1, 2, 5, 6]
    assert batch.temperature_mc[[3, 4]].tolist() == [85_000, -126_900]
    assert batch.faults[5] == "OPEN"


def test_a_value_that_no_probe_measures_is_a_fault_and_zero_is_a_reading() -> None:
    batch = one(read(plain("2026-03-01 10:00;9999", "2026-03-01 10:10;0.0", "2026-03-01 10:20;\u22120.1"), PLAIN))
    assert batch.temperature_mc.tolist() == [FAULT_MC, 0, -100]
    assert batch.faults == {0: "implausible"}


@pytest.mark.parametrize("cell", ["1e5", "5.1.2", "0x10", "\uff15.1", "5 1", "=5", "12345678901"])
def test_digits_that_are_no_temperature_are_refused(cell: str) -> None:
    assert (refused(plain(f"2026-03-01 10:00;{cell}")).line, refused(plain(f"2026-03-01 10:00;{cell}")).key) == (
        2,
        "T*",
    )


def test_an_event_row_is_no_fault_but_a_row_without_any_mark_or_with_other_measurements_is() -> None:
    head = "#;Time;Temp;RH;Host Connected\n"
    found = read(
        head
        + "1;2026-03-01 10:00;5.1;40;\n2;2026-03-01 10:07;;;Logged\n3;2026-03-01 10:10;;41;\n4;2026-03-01 10:20;;;\n",
        PLAIN,
    )
    assert one(found).temperature_mc.tolist() == [5_100, FAULT_MC, FAULT_MC]
    assert "1 rows are events without a temperature." in found.notes


# -- the table itself ------------------------------------------------------------------------------------------------


def test_the_line_of_an_error_counts_lines_of_the_file_even_behind_quoted_line_breaks() -> None:
    text = 'note;"two\nlines"\n\nTime;Temp\n2026-03-01 10:00;5.1\nnever;5.1\n'
    assert refused(text).line == 6


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest_of_the_file() -> None:
    mapping = 'delimiter = ";"\n' + PLAIN
    assert (
        "quoting"
        in refused(plain("2026-03-01 10:00;5.1", '"2026-03-01 10:10;5.2', "2026-03-01 10:20;5"), mapping).problem
    )


def test_the_separator_line_of_a_spreadsheet_is_obeyed() -> None:
    assert one(read("sep=|\r\nTime|Temp\r\n2026-03-01 10:00|5,1\r\n", PLAIN)).temperature_mc.tolist() == [5_100]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"PK\x03\x04rest", "workbook (.xlsx)"),
        (b"%PDF-1.7", "PDF"),
        (b"Time;Temp\n\x00\x01;5", "control character"),
        (b"\xff\xfeT\x00i\x00m", "not text"),
        (b"", "no row is a header"),
    ],
)
def test_what_is_no_text_table_is_refused_in_one_line(content: bytes, problem: str) -> None:
    assert problem in refused(content).problem


def test_a_file_of_no_known_family_is_refused_and_told_what_to_do() -> None:
    assert "make a mapping" in refused(plain("2026-03-01 10:00;5.1"), None).problem


@given(st.binary(max_size=400))
def test_random_bytes_are_read_or_refused_but_never_crash(content: bytes) -> None:
    for mapping in (None, PLAIN):
        assert "\n" not in complaint(content, mapping)


@given(
    st.integers(0, len(THERMOCHRON) - 1),
    st.sampled_from(["", '"', ",", ";", "\n", "\r", "9", "-", "\x00", "é", "\ufffd"]),
    st.sampled_from([THERMOCHRON, WELLZION, NINE["comma"], NINE["German"]]),
)
def test_a_damaged_export_is_read_or_refused_but_never_crashes(at: int, put: str, text: str) -> None:
    at %= len(text)
    assert complaint(text[:at] + put + text[at + 1 :]).partition(":")[0] in ("", "export.csv")


@given(st.lists(st.integers(-40_000, 80_000), min_size=1, max_size=30), st.sampled_from(".,"), st.sampled_from(";\t|"))
def test_what_is_written_is_what_is_read_in_any_format(mc: list[int], mark: str, sep: str) -> None:
    rows = [
        f"{START + timedelta(minutes=5 * i):%Y-%m-%d %H:%M}{sep}{value / 1000:.3f}".replace(".", mark)
        for i, value in enumerate(mc)
    ]
    batch = one(read(f"Time{sep}Temp\n" + "\n".join(rows), PLAIN))
    assert batch.temperature_mc.tolist() == mc
    assert batch.at_ms.tolist() == [ms(START.isoformat()) + 300_000 * i for i in range(len(mc))]
