"""What a server can answer to a write, and what becomes of the points: a scripted HTTP server, then a real one."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from coldchain.errors import EnvironmentFailed
from coldchain.timeseries.influx import InfluxStore
from coldchain.timeseries.influx_server import MOST_PARKED, Refused, read_token
from coldchain.timeseries.influxql import InfluxQL
from coldchain.timeseries.points import Addition, Cursor
from processes import eventually, free_port
from scripted_influx import Asked, client, scripted
from timeseries_servers import InfluxDB, VictoriaMetrics

LINES = [f"reading,logger=lg-1 mc={n}i {n}" for n in range(40)]


def test_a_write_to_2_x_goes_to_its_path_with_token_organisation_and_bucket() -> None:
    with scripted(lambda _: (204, "")) as double, client(double.url, "secret") as (server, parked):
        server.write("bucket", LINES)
        (asked,) = double.asked
        assert asked.path == "/api/v2/write"
        assert asked.query == {"org": ["org"], "bucket": ["bucket"], "precision": ["ns"]}
        assert asked.lines == LINES
        assert asked.authorization == "Token secret"
        assert parked == []


@pytest.mark.parametrize(
    ("version", "path"),
    [
        ("1.6.7~rc0", "/write"),
        ("1.7.11", "/write"),
        ("1.8.10", "/api/v2/write"),
        ("v2.7.12", "/api/v2/write"),
        ("3.2.1", "/api/v2/write"),
        ("", "/api/v2/write"),
    ],
)
def test_the_path_of_a_write_is_chosen_by_the_version_that_the_server_answers(version: str, path: str) -> None:
    with scripted(lambda _: (204, ""), version=version) as double, client(double.url) as (server, _):
        server.write("bucket", LINES)
        assert double.asked[0].path == path
        named = double.asked[0].query.get("db") or double.asked[0].query["bucket"]
        assert named == ["bucket/autogen" if version.startswith("1.8") else "bucket"]


def test_a_user_and_password_go_as_basic_authorisation() -> None:
    with scripted(lambda _: (204, "")) as double, client(double.url, "ann:pass") as (server, _):
        server.write("bucket", LINES)
        assert double.asked[0].authorization == "Basic YW5uOnBhc3M="


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, '{"code":"unauthorized","message":"unauthorized access"}', "answers 401: unauthorized access"),
        (403, '{"message":"forbidden"}', "answers 403"),
        (404, '{"error":"database not found: \\"b\\""}', 'answers 404: database not found: "b"'),
        (429, "slow down", "answers 429: slow down"),
        (500, "<html>oops</html>", "answers 500"),
        (503, "", "answers 503"),
        (200, "<html>a proxy that means well</html>", "answers 200: <html>a proxy"),
    ],
)
def test_a_refusal_of_the_whole_is_an_error_and_nothing_is_parked(status: int, body: str, said: str) -> None:
    with scripted(lambda _: (status, body)) as double, client(double.url) as (server, parked):
        with pytest.raises(EnvironmentFailed) as caught:
            server.write("bucket", LINES)
        assert said in str(caught.value)
        assert len(double.asked) == 1
        assert parked == []


def test_a_server_that_says_when_to_come_again_is_heard() -> None:
    with (
        scripted(lambda _: (503, "busy"), headers={"Retry-After": "17"}) as double,
        client(double.url) as (server, _),
        pytest.raises(Refused) as caught,
    ):
        server.write("bucket", LINES)
    assert caught.value.retry_after_s == 17.0


@pytest.mark.parametrize("status", [400, 422])
def test_a_partial_write_is_halved_until_the_poison_is_alone_and_everything_else_is_in(status: int) -> None:
    stored: set[str] = set()

    def script(asked: Asked) -> tuple[int, str]:
        stored.update(line for line in asked.lines if "mc=7i" not in line and "mc=23i" not in line)
        bad = any("mc=7i" in line or "mc=23i" in line for line in asked.lines)
        return (status, '{"error":"partial write: field type conflict dropped=1"}') if bad else (204, "")

    with scripted(script) as double, client(double.url) as (server, parked):
        server.write("bucket", LINES)
    assert [line for _, line, _ in parked] == [LINES[7], LINES[23]]
    assert all("conflict" in error for _, _, error in parked)
    assert stored == set(LINES) - {LINES[7], LINES[23]}


def test_too_large_a_body_is_halved_and_loses_nothing() -> None:
    def script(asked: Asked) -> tuple[int, str]:
        return (413, "too large") if len(asked.lines) > 7 else (204, "")

    with scripted(script) as double, client(double.url) as (server, parked):
        server.write("bucket", LINES)
        written = [line for asked in double.asked if len(asked.lines) <= 7 for line in asked.lines]
    assert written == LINES
    assert parked == []


def test_when_everything_is_refused_it_is_no_poison_and_nothing_is_parked_for_it() -> None:
    lines = [f"reading mc={n}i {n}" for n in range(3 * MOST_PARKED)]
    with scripted(lambda _: (400, "unable to parse")) as double, client(double.url) as (server, parked):
        with pytest.raises(Refused):
            server.write("bucket", lines)
        assert parked == []


def test_points_dropped_for_their_age_are_an_error_that_says_what_to_change() -> None:
    body = '{"error":"partial write: points beyond retention policy dropped=3"}'
    with scripted(lambda _: (422, body)) as double, client(double.url) as (server, parked):
        with pytest.raises(EnvironmentFailed, match="must keep its points for ever"):
            server.write("bucket", LINES)
        assert parked == []


def test_a_server_that_hangs_is_given_up_after_the_timeout() -> None:
    release = threading.Event()

    def script(_: Asked) -> tuple[int, str]:
        release.wait(10)
        return 204, ""

    with scripted(script) as double, client(double.url, timeout_s=0.3) as (server, _):
        assert server.version
        began = time.monotonic()
        with pytest.raises(EnvironmentFailed, match="timed out"):
            server.write("bucket", LINES)
        assert time.monotonic() - began < 5
        release.set()


def test_a_server_that_is_not_there_is_an_error() -> None:
    with client(f"http://127.0.0.1:{free_port()}") as (server, _), pytest.raises(EnvironmentFailed, match="refused"):
        server.write("bucket", LINES)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"results":[{"statement_id":0,"error":"max-select-series limit exceeded"}]}', "max-select-series"),
        ('{"results":[{"series":[{"name":"r","columns":["time"],"values":[],"partial":true}]}]}', "only a part"),
        ("<html>", "does not answer InfluxQL"),
    ],
)
def test_an_answer_of_200_can_carry_an_error_or_a_part(body: str, said: str) -> None:
    with (
        scripted(lambda _: (200, body)) as double,
        client(double.url) as (server, _),
        pytest.raises(EnvironmentFailed, match=said),
    ):
        InfluxQL(server)._ask("b", "SELECT 1", method="POST")


def test_a_token_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" abc\n")
    assert read_token(tmp_path / "token") == "abc"
    assert read_token(None) == ""
    with pytest.raises(EnvironmentFailed, match="token cannot be read"):
        read_token(tmp_path / "none")


# ---- real servers


def held(url: str, bucket: str) -> list[tuple[int, object]]:
    with client(url) as (server, _):
        rows = InfluxQL(server).select(bucket, "reading", ("mc",), -1, 2**62, tags={}, fields={})
        return [(row["time"], row["mc"]) for row in rows]


def test_influxdb_drops_a_malformed_line_and_a_field_of_another_type_and_takes_the_rest(influxdb: InfluxDB) -> None:
    with client(influxdb.url, "") as (server, parked):
        InfluxQL(server).prepare(["refusals"])
        assert server.has_old_write
        server.write("refusals", LINES[:3])
        poison = ["reading,logger=lg-1 mc=oops 5", "reading,logger=lg-1 mc=6.5 6"]
        server.write("refusals", [LINES[3], poison[0], LINES[4], poison[1], *LINES[5:20]])
    assert sorted(line for _, line, _ in parked) == sorted(poison)
    assert held(influxdb.url, "refusals") == [(n, n) for n in range(20)]
    errors = {line: error for _, line, error in parked}
    assert "unable to parse" in errors[poison[0]]
    assert "field type conflict" in errors[poison[1]]


def test_influxdb_gives_all_of_an_answer_of_many_rows(influxdb: InfluxDB) -> None:
    lines = [f"reading,logger=lg-1 mc={n}i {n}" for n in range(25_000)]
    with client(influxdb.url) as (server, _):
        InfluxQL(server).prepare(["many"])
        server.write("many", lines)
    assert held(influxdb.url, "many") == [(n, n) for n in range(25_000)]


def test_influxdb_with_a_retention_of_its_own_is_refused_before_anything_is_lost(influxdb: InfluxDB) -> None:
    with client(influxdb.url, "") as (server, parked):
        InfluxQL(server)._ask("", 'CREATE DATABASE "short" WITH DURATION 1d', method="POST")
        with pytest.raises(EnvironmentFailed, match="must keep its points for ever"):
            server.write("short", LINES)
        assert parked == []


def test_influxdb_asks_for_user_and_password_where_it_is_told_to(tmp_path: Path) -> None:
    real = InfluxDB(tmp_path / "server", auth=True)
    try:
        with client(real.url, "") as (server, _):
            InfluxQL(server)._ask("", "CREATE USER \"ann\" WITH PASSWORD 'pass' WITH ALL PRIVILEGES", method="POST")
        with client(real.url, "ann:pass") as (server, parked):
            InfluxQL(server).prepare(["b"])
            server.write("b", LINES)
            assert len(InfluxQL(server).select("b", "reading", ("mc",), -1, 2**62, tags={}, fields={})) == 40
            assert parked == []
            InfluxQL(server)._ask("", "CREATE USER \"bob\" WITH PASSWORD 'pass'", method="POST")
            InfluxQL(server)._ask("", 'GRANT ALL ON "b" TO "bob"', method="POST")
        with client(real.url, "ann:wrong") as (server, _), pytest.raises(Refused) as caught:
            server.write("b", LINES)
        assert caught.value.status == 401
        with client(real.url, "bob:pass") as (server, parked):
            InfluxQL(server).prepare(["b"])  # who may not make a database may still write to one
            server.write("b", LINES)
            assert parked == []
    finally:
        real.kill()


def test_victoriametrics_takes_api_v2_write_through_the_same_transport(tmp_path: Path) -> None:
    real = VictoriaMetrics(tmp_path / "server")
    try:
        with client(real.url, "") as (server, parked):
            assert not server.has_old_write
            now_ms = time.time_ns() // 1_000_000
            lines = [
                f"reading,logger=lg-1,channel=1,rev=0 mc={n}i {(now_ms - (n + 60) * 1000) * 1_000_000}"
                for n in range(50)
            ]
            server.write("bucket", lines)
            assert parked == []

            def export() -> str:
                query = {"match[]": '{__name__="reading_mc"}'}
                return server.call("GET", "/api/v1/export", query).body.decode()

            server.call("GET", "/internal/force_flush")
            eventually(lambda: '"logger":"lg-1"' in export())
            values = [int(v) for v in export().partition('"values":[')[2].partition("]")[0].split(",")]
            assert sorted(values) == list(range(50))
            with pytest.raises(EnvironmentFailed, match="does not answer InfluxQL"):
                InfluxStore(server, "", "bucket").append(Addition(Cursor(block=7)))
    finally:
        real.kill()
