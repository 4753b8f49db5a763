"""One InfluxDB for all tests of this folder; each takes a database of its own in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from coldchain.settings import Settings
from timeseries_servers import InfluxDB
from timeseries_values import settings_for

_numbers = count()


@pytest.fixture(scope="session")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    server = InfluxDB(tmp_path_factory.mktemp("influxdb"))
    yield server
    server.kill()


MakeSettings = Callable[..., Settings]


@pytest.fixture
def on_influxdb(tmp_path: Path, influxdb: InfluxDB) -> MakeSettings:
    """Makes settings that project into a new database of the server."""

    def make(more: str = "") -> Settings:
        bucket = f"b{next(_numbers)}"
        return settings_for(tmp_path / "influx", f'[timeseries]\nurl = "{influxdb.url}"\nbucket = "{bucket}"\n{more}')

    return make


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    return settings_for(tmp_path / "embedded")
