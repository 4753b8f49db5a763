"""Saved mappings: what is written is what is read, and a mistake is one line with file, line, key and value."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.errors import BadInput
from gateways.files import ChannelColumn, Mapping, TimeColumns, built_in, clock, dump, load, parse
from gateways.files.sniff import notice, pattern, sniff

GOOD = """\
mapping = "probe"
[time]
columns = ["Date", "Time"]
order = "dmy"
zone = "Europe/Zurich"
[[channel]]
column = "Probe 1*"
channel = "1"
sentinels = ["-270"]
[[channel]]
column = "Probe 2*"
channel = "2"
unit = "f"
"""

TEXTS = st.text(min_size=1, max_size=12)
CHANNELS = st.builds(
    ChannelColumn, TEXTS, unit=st.sampled_from(["c", "f", "k", None]), sentinels=st.lists(TEXTS, max_size=2).map(tuple)
)


def test_a_mapping_says_where_time_and_channels_are() -> None:
    mapping = parse(GOOD, "probe.toml")
    assert mapping.time == TimeColumns(("Date", "Time"), order="dmy", zone="Europe/Zurich")
    assert mapping.channel == (
        ChannelColumn("Probe 1*", "1", sentinels=("-270",)),
        ChannelColumn("Probe 2*", "2", unit="f"),
    )


@given(TEXTS, CHANNELS, st.sampled_from(["dmy", "mdy", None]), st.sampled_from([",", "\t", None]))
def test_a_mapping_that_is_saved_is_the_same_when_loaded(
    name: str, channel: ChannelColumn, order: str | None, delimiter: str | None
) -> None:
    mapping = Mapping(name, TimeColumns((name,), order=order), (channel,), delimiter=delimiter)  # type: ignore[arg-type]  # sampled from its choices
    assert parse(dump(mapping), "m.toml") == mapping


def test_the_mappings_of_the_package_are_valid_and_each_survives_being_saved() -> None:
    assert {mapping.mapping for mapping in built_in()} == {"hobo", "hobo-two-columns", "thermochron", "wellzion"}
    for mapping in built_in():
        assert parse(dump(mapping), "m.toml") == mapping


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ('order = "dmy"', 'order = "dym"', 4, "order"),
        ('zone = "Europe/Zurich"', 'zone = "CEST+2"', 5, "zone"),
        ('unit = "f"', 'unit = "F"', 13, "unit"),
        ('channel = "2"', 'channel = "1"', 6, "channel"),
        ('channel = "1"', "channel = 1", 6, "channel"),
        ('columns = ["Date", "Time"]', 'columns = "Time"', 3, "columns"),
        ('columns = ["Date", "Time"]', "columns = []", 3, "columns"),
        ('column = "Probe 2*"\n', "", 6, "channel"),
        ('mapping = "probe"', 'maping = "probe"', 1, "maping"),
        ('mapping = "probe"', 'mapping = "probe"\nserial = "S/N"', 2, "serial"),
        ('mapping = "probe"', 'mapping = "probe"\nserial = "("', 2, "serial"),
        ('mapping = "probe"', 'mapping = "probe"\ndelimiter = "::"', 2, "delimiter"),
        ('sentinels = ["-270"]', "sentinels = [-270]", 9, "sentinels"),
    ],
)
def test_a_mistake_in_a_mapping_is_named_with_line_and_key(old: str, new: str, line: int, key: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(GOOD.replace(old, new, 1), "probe.toml")
    assert (caught.value.file, caught.value.line, caught.value.key) == ("probe.toml", line, key)


@given(st.text(max_size=80))
def test_any_other_text_is_refused_as_a_mapping(text: str) -> None:
    with pytest.raises(BadInput):
        parse(text, "m.toml")


def test_a_mapping_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        load(tmp_path / "none.toml")


def test_sniffing_finds_delimiter_header_and_columns() -> None:
    rows = "".join(f"{i};13/04/2026;1{i}:00:00;0{i};4,{i};50,1\n" for i in range(5))
    seen = sniff("Report\nMade by;someone\n\nNo;Date;Time;Id;Temp (°C);RH\n" + rows, "x.csv")
    assert (seen.delimiter, seen.rows[seen.header].line, seen.time, seen.temperatures) == (";", 4, (1, 2), (4,))


def test_sniffing_notices_mark_order_unit_zone_probes_and_events() -> None:
    head = "Nr;Datum, GMT+02:00;F\u00fchler 1 (\u00b0C);F\u00fchler 2 (\u00b0C);Ereignis\n"
    rows = "".join(f"{i};{12 + i:02}.04.2026 10:00;4,{i};-1{i},5;\n" for i in range(3))
    seen = sniff(head + rows + "4;15.04.2026 10:07;;;Logged\n", "x.csv")
    assert (seen.delimiter, seen.time, seen.temperatures) == (";", (1,), (2, 3))
    found = notice(seen)
    assert found[:2] == ((",",), ("dmy",))
    assert (str(found.zone), found.units, found.events) == ("UTC+02:00", ("c",), 1)


@pytest.mark.parametrize(
    ("dates", "orders"),
    [
        (["03/04/2026 10:00", "05/06/2026 10:00"], ("dmy", "mdy")),
        (["03/04/2026 10:00", "13/04/2026 10:00"], ("dmy",)),
        (["04/13/2026 10:00"], ("mdy",)),
        (["2026-04-03 10:00"], ("dmy",)),
        (["03/03/2026 10:00"], ("dmy",)),
        (["01/02/03 10:00"], ("dmy", "mdy", "ymd")),
        (["13/04/2026 10:00", "04/13/2026 10:00"], ()),
        ([], ()),
    ],
)
def test_the_orders_in_which_all_dates_can_be_read_are_told_once_each(
    dates: list[str], orders: tuple[str, ...]
) -> None:
    assert clock.orders(dates) == orders


@pytest.mark.parametrize(
    "header", ["Temperatura", "Temp\u00e9rature", "Lämpötila", "Teplota", "\u6e29\u5ea6", "Темп.", "℃"]
)
def test_a_header_in_another_language_is_known_for_a_temperature(header: str) -> None:
    rows = "".join(f"1{i};2026-04-13 10:0{i};4{i}\n" for i in range(3))
    assert sniff(f"RH;Time;{header}\n" + rows, "x.csv").temperatures == (2,)


def test_a_file_that_mixes_its_decimal_marks_is_noticed() -> None:
    assert notice(sniff("Time;Temp\n2026-04-13 10:00;4.5\n2026-04-13 10:10;4,5\n", "x.csv")).decimal_marks == (",", ".")


def test_sniffing_refuses_what_is_no_table() -> None:
    with pytest.raises(BadInput, match="no table"):
        sniff("just\nwords\n", "x.csv")


def test_a_header_is_kept_without_what_changes_from_file_to_file() -> None:
    assert pattern("Date Time, GMT+02:00") == "Date Time, GMT*"
    assert pattern("Temp, °C (S/N: 20024354)") == "Temp, °C (S/N: *)"
    assert pattern("Probe 2") == "Probe 2"


@given(st.text(max_size=200))
def test_sniffing_finds_columns_or_refuses_but_never_crashes(text: str) -> None:
    try:
        seen = sniff(text, "x.csv")
    except BadInput:
        return
    assert all(i < len(seen.rows[seen.header].cells) for i in (*seen.time, *seen.temperatures))
