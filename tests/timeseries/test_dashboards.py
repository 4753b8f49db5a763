"""The dashboards that are shipped: a real server answers every query of every panel, with what the store says."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from coldchain.settings import Settings
from coldchain.timeseries.influxql import InfluxQL
from coldchain.timeseries.line_protocol import BLINDED
from coldchain.timeseries.opening import Opened, opened
from coldchain.timeseries.points import HOUR_MS
from scripted_influx import client
from service_values import START_MS
from timeseries_servers import InfluxDB
from timeseries_values import DAY_MS, SHIPPER, Arrival, fill, month, project, settings_for

DEPLOY = Path(__file__).parents[2] / "deploy"
BOARDS = {
    path.stem: json.loads(path.read_text()) for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
}
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
PANELS = [
    pytest.param(name, panel, target, id=f"{name}: {panel['title']} {target['refId']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    for target in panel["targets"]
]
FROM_MS, TO_MS = START_MS, START_MS + 20 * DAY_MS


@pytest.fixture(scope="module")
def projected(tmp_path_factory: pytest.TempPathFactory, influxdb: InfluxDB) -> Iterator[Opened]:
    folder = tmp_path_factory.mktemp("dashboards")
    settings = settings_for(folder, f'[timeseries]\nurl = "{influxdb.url}"\nbucket = "dashboards"\n')
    arrivals = month(seed=18, days=12)
    with opened_after(settings, arrivals[:20]), opened_after(settings, arrivals[20:]) as found:
        yield found


@contextmanager
def opened_after(settings: Settings, arrivals: list[Arrival]) -> Iterator[Opened]:
    """What some settings open, when these messages are in the ledger and projected."""
    fill(settings, arrivals)
    with opened(settings) as found:
        project(found)
        yield found


def asked(influxdb: InfluxDB, query: str) -> list[dict[str, Any]]:
    with client(influxdb.url) as (server, _):
        return InfluxQL(server)._ask("dashboards", query)


def filled_in(query: str, place: str = "basel-cold-2") -> str:
    """What Grafana sends for a query: the range, and variables with regular expressions escaped."""
    query = query.replace("$timeFilter", f"time >= {FROM_MS}ms and time <= {TO_MS}ms")
    query = query.replace("/^$place$/", f"/^{re.escape(place)}$/").replace("$kit", "K-0001")
    assert "$" not in query.replace("$/", ""), query
    return query


@pytest.mark.parametrize(("name", "panel", "target"), PANELS)
def test_a_panel_gets_an_answer(
    projected: Opened, influxdb: InfluxDB, name: str, panel: dict[str, Any], target: dict[str, Any]
) -> None:
    assert projected.projector.backlog.blocks == 0
    series = asked(influxdb, filled_in(target["query"]))
    assert sum(len(each["values"]) for each in series) > 0, f"{name}: {panel['title']} is empty"
    assert any(value is not None for each in series for row in each["values"] for value in row[1:])


def values(influxdb: InfluxDB, board: str, title: str, place: str = "basel-cold-2") -> dict[int, list[Any]]:
    """The rows of a panel's first query by the end of their hour [ms]."""
    (panel,) = (panel for panel in BOARDS[board]["panels"] if panel["title"] == title)
    (series,) = asked(influxdb, filled_in(panel["targets"][0]["query"], place))
    return {(row[0] - 1_000_000) // 1_000_000 + HOUR_MS: row[1:] for row in series["values"]}


def test_the_envelope_and_the_known_time_of_a_place_are_those_of_the_store(
    projected: Opened, influxdb: InfluxDB
) -> None:
    for place, as_tag in (("basel-cold-2", "basel-cold-2"), (SHIPPER, "shipper,7=blue%5C")):
        envelope = values(influxdb, "place", "Hottest and coldest in each hour", as_tag)
        known = values(influxdb, "place", "Known time of each hour", as_tag)
        hours = [hour for hour in projected.store.place_hours(place, FROM_MS - 1, TO_MS) if hour.known_ms]
        assert len(hours) > 100
        for hour in hours:
            assert hour.max_mc is not None
            assert hour.min_mc is not None
            assert envelope[hour.at_ms] == [hour.max_mc / 1000, hour.min_mc / 1000]
            assert known[hour.at_ms] == [hour.known_ms / 36_000]
        unknown = known.keys() - {hour.at_ms for hour in hours}
        assert unknown, "an hour without any point must show as unknown, not vanish"
        assert all(known[at_ms] == [0] for at_ms in unknown)
        assert all(envelope.get(at_ms, [None, None]) == [None, None] for at_ms in unknown)


def test_the_fleet_counts_what_the_loggers_say(projected: Opened, influxdb: InfluxDB) -> None:
    heard = values(influxdb, "fleet", "Channels heard from in each hour")
    counted = values(influxdb, "fleet", "Readings and faults in each hour")
    hours: dict[int, list[tuple[int, int]]] = {}
    for key in projected.store.channels():
        for hour in projected.store.logger_hours(key, FROM_MS - 1, TO_MS):
            hours.setdefault(hour.at_ms, []).append((hour.n, hour.faults))
    for at_ms, said in hours.items():
        assert heard[at_ms] == [len(said)]
        assert counted[at_ms] == [sum(n for n, _ in said), sum(faults for _, faults in said)]


def test_the_variable_offers_every_place(projected: Opened, influxdb: InfluxDB) -> None:
    assert projected.store.cursor().block > 0
    (variable,) = BOARDS["place"]["templating"]["list"]
    (series,) = asked(influxdb, variable["query"])
    assert [row[1] for row in series["values"]] == ["basel-cold-2", "shipper,7=blue%5C"]


def test_three_dashboards_without_alerts_that_know_the_blinded_measurements_only() -> None:
    assert BOARDS.keys() == {"fleet", "place", "kit"}
    assert len({board["uid"] for board in BOARDS.values()}) == 3
    for board in BOARDS.values():
        assert "alert" not in json.dumps(board).lower()
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        for panel in board["panels"]:
            for target in panel["targets"]:
                assert target["datasource"] == {"type": "influxdb", "uid": "coldchain"}
                measurements = set(re.findall(r'FROM "(\w+)"', target["query"]))
                assert measurements
                assert measurements <= set(BLINDED)


def test_grafana_is_provisioned_with_the_blinded_bucket_and_these_dashboards() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "coldchain.yaml").read_text())["datasources"]
    assert (source["uid"], source["type"], source["jsonData"]["dbName"]) == ("coldchain", "influxdb", "coldchain")
    assert source["jsonData"]["version"] == "InfluxQL"
    environment = COMPOSE["services"]["grafana"]["environment"]
    for name in re.findall(r"\$([A-Z_]+)", json.dumps(source)):
        assert name in environment
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "coldchain.yaml").read_text())["providers"]
    mounts = dict(volume.split(":")[:2][::-1] for volume in COMPOSE["services"]["grafana"]["volumes"])
    assert (DEPLOY / mounts[provider["options"]["path"]]).resolve() == (DEPLOY / "grafana" / "dashboards").resolve()


def test_the_compose_file_has_the_four_services_and_every_file_that_it_mounts_but_secrets() -> None:
    services = COMPOSE["services"]
    assert services.keys() == {"mosquitto", "service", "influxdb", "grafana"}
    assert services["influxdb"]["image"].startswith("influxdb:2.7")
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert source.startswith("./secrets/") or (DEPLOY / source).exists(), source
            else:
                assert source in COMPOSE["volumes"]
    dockerfile = DEPLOY / services["service"]["build"]["dockerfile"].removeprefix("deploy/")
    for source in re.findall(r"^COPY (.+) \S+$", dockerfile.read_text(), re.MULTILINE):
        for each in source.split():
            assert (DEPLOY.parent / each).exists(), each


def test_the_settings_of_the_compose_file_are_valid_and_name_its_services() -> None:
    settings = Settings.model_validate(tomllib.loads((DEPLOY / "compose" / "settings.toml").read_text()))
    services = COMPOSE["services"]
    assert settings.mqtt.host in services
    assert settings.timeseries.url == "http://influxdb:8086"
    assert settings.timeseries.bucket == services["influxdb"]["environment"]["DOCKER_INFLUXDB_INIT_BUCKET"]
    assert settings.timeseries.org == services["influxdb"]["environment"]["DOCKER_INFLUXDB_INIT_ORG"]
    assert f"127.0.0.1:{settings.metrics.port}:{settings.metrics.port}" in services["service"]["ports"]
