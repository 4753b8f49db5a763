"""Requests to a 2.x server and its documented answers. No such server runs here: this is by documentation only."""

from __future__ import annotations

import orjson
import pytest

from coldchain.errors import EnvironmentFailed
from coldchain.readings import FAULT_MC, ChannelKey
from coldchain.timeseries.flux import Flux, rows
from coldchain.timeseries.influx import InfluxStore, dialect_of
from coldchain.timeseries.influxql import InfluxQL
from coldchain.timeseries.points import Hold
from scripted_influx import Asked, client, scripted

READINGS = (
    "#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339Nano,string,string,string,string,long\r\n"
    "#group,false,false,true,true,false,true,true,true,true,false\r\n"
    "#default,_result,,,,,,,,,\r\n"
    ",result,table,_start,_stop,_time,_measurement,channel,logger,fault,mc\r\n"
    ",,0,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,2026-03-01T10:00:00Z,reading,1,lg-1,,5120\r\n"
    ",,0,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,2026-03-01T10:00:00.001Z,reading,1,lg-1,probe_open,\r\n"
    ",,0,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z,2026-03-01T10:10:00Z,reading,1,lg-1,,-40\r\n"
    "\r\n"
)

HOLDS = (
    "#datatype,string,long,dateTime:RFC3339Nano,string,string,long,string,string,long,long,long,boolean\r\n"
    "#group,false,false,false,false,false,false,false,false,false,false,false,false\r\n"
    "#default,_result,,,,,,,,,,,\r\n"
    ",result,table,_time,place,reason,seq,event,kit,breached_at_ms,detected_at_ms,revision,supported\r\n"
    ',,0,2026-03-01T10:00:00.005000002Z,basel,limit,2,id-1,"K-""1"", x",1,2,1,true\r\n'
)

ERROR = (
    "#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,memory limit exceeded,897\r\n"
)


def test_a_2_x_server_is_asked_in_flux_and_every_other_in_influxql() -> None:
    for version, kind in (
        ("v2.0.9", Flux),
        ("v2.7.12", Flux),
        ("1.6.7", InfluxQL),
        ("1.8.10", InfluxQL),
        ("3.1.0", InfluxQL),
    ):
        with scripted(lambda _: (204, ""), version=version) as double, client(double.url) as (server, _):
            assert isinstance(dialect_of(server, "org"), kind)


def test_readings_are_asked_for_and_read() -> None:
    with scripted(lambda _: (200, READINGS)) as double, client(double.url) as (server, _):
        store = InfluxStore(server, "org", "bucket")
        found = store.readings(ChannelKey('l"g', "1"), 1_772_359_200_000 - 1, 1_772_359_800_000)
        (asked,) = double.asked
        assert (asked.path, asked.query) == ("/api/v2/query", {"org": ["org"]})
        (query,) = asked.lines
        assert query == (
            'from(bucket: "bucket")'
            " |> range(start: 2026-03-01T09:59:59.999000001Z, stop: 2026-03-01T10:10:00.000000001Z)"
            ' |> filter(fn: (r) => r._measurement == "reading" and r["logger"] == "l\\"g" and r["channel"] == "1")'
            ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
            ' |> group() |> sort(columns: ["_time"])'
        )
        assert found.at_ms.tolist() == [1_772_359_200_000, 1_772_359_200_001, 1_772_359_800_000]
        assert found.temperature_mc.tolist() == [5120, FAULT_MC, -40]
        assert found.faults == {1: "probe_open"}


def test_events_are_asked_for_by_kit_and_read() -> None:
    with scripted(lambda _: (200, HOLDS)) as double, client(double.url) as (server, _):
        found = InfluxStore(server, "org", "bucket").holds(0, 2**43, kit='K-"1", x')
        assert 'filter(fn: (r) => true and r["kit"] == "K-\\"1\\", x")' in double.asked[0].lines[0]
    assert found == (Hold(2, 1_772_359_200_005, "id-1", 'K-"1", x', "basel", "limit", 1, 2, 1, True),)


def test_points_are_dropped_by_tags_and_range() -> None:
    with scripted(lambda _: (204, "")) as double, client(double.url) as (server, _):
        InfluxStore(server, "org", "bucket").forget_readings(ChannelKey("lg-1", "1"), 999, 2000)
        InfluxStore(server, "org", "bucket").forget_readings(ChannelKey("lg-1", "1"), 999, 2000, is_verified=False)
        first, second = double.asked
        assert (first.path, first.query) == ("/api/v2/delete", {"org": ["org"], "bucket": ["bucket"]})
        assert orjson.loads("\n".join(first.lines)) == {
            "start": "1970-01-01T00:00:00.999000001Z",
            "stop": "1970-01-01T00:00:02.000000001Z",
            "predicate": '_measurement="reading" AND logger="lg-1" AND channel="1"',
        }
        assert "reading_unverified" in second.lines[0]


def test_a_query_that_fails_half_way_is_an_error_and_no_short_answer() -> None:
    with pytest.raises(EnvironmentFailed, match="memory limit exceeded"):
        list(rows(READINGS + ERROR))
    with (
        scripted(lambda _: (200, "<html>")) as double,
        client(double.url) as (server, _),
        pytest.raises(EnvironmentFailed, match="something else"),
    ):
        InfluxStore(server, "org", "bucket").acts(0, 1)


def test_channels_are_the_tags_of_every_table() -> None:
    table = "#datatype,string,long,string,string\r\n#group,false,false,false,false\r\n#default,_result,,,\r\n"
    table += ",result,table,channel,logger\r\n,,0,1,lg-2\r\n,,0,1,lg%5C1\r\n"

    def script(asked: Asked) -> tuple[int, str]:
        return 200, table if "logger_hour" in asked.lines[0] else ""

    with scripted(script) as double, client(double.url) as (server, _):
        assert InfluxStore(server, "org", "bucket").channels() == (ChannelKey("lg-2", "1"), ChannelKey("lg\\1", "1"))
