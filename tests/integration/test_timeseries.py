"""The time-series store beside the running service: it follows, it is measured, and when it is dead nobody waits."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coldchain.errors import EnvironmentFailed
from coldchain.ledger import queries
from coldchain.readings import ChannelKey
from coldchain.settings import load_settings
from coldchain.timeseries import local_file
from coldchain.timeseries.opening import file_of, opened, opened_to_read
from coldchain.timeseries.reconciliation import reconcile
from coldchain.timeseries.retention import Kept
from processes import Mosquitto, ServiceProcess, eventually, free_port, publish
from scraping import scraped
from service_values import MINUTE_MS, START_MS, payload, topic
from timeseries_servers import InfluxDB

MakeService = Callable[..., ServiceProcess]

HOT = (topic(), payload(0, *[9000] * 15))
COLD = (topic(), payload(20, 5000))


@contextmanager
def mute(port: int) -> Iterator[None]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        held: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    held.append(listening.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=accept)
        thread.start()
        yield
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


def test_the_embedded_store_follows_the_service_by_itself(mosquitto: Mosquitto, make_service: MakeService) -> None:
    port = free_port()
    service = make_service(f"[metrics]\nport = {port}\n")
    service.start()
    publish(mosquitto.port, HOT, (topic(), b"not json"), COLD)
    settings = load_settings(service.settings, {})
    eventually(lambda: scraped(port)["coldchain_open_quarantines"] == 1)
    eventually(lambda: held_readings(service) == 16)
    with opened_to_read(settings) as store:
        readings = store.readings(ChannelKey("lg-1", "1"), 0, 2**43)
        assert readings.at_ms.tolist() == [START_MS + minute * MINUTE_MS for minute in [*range(15), 20]]
        assert [(each.kit, each.event) for each in store.holds(0, 2**43)] == [("K-0001", events(service)[0])]
        assert store.kit_verdicts(0, 2**43)[-1].verdict == "outside"
    eventually(lambda: scraped(port)["coldchain_projection_backlog_blocks"] == 0)
    found = scraped(port)
    assert found["coldchain_messages_total,status=accepted"] == 2
    assert found["coldchain_messages_total,status=rejected"] == 1
    assert found["coldchain_readings_total"] == 16
    assert found["coldchain_commit_seconds_count"] > 0
    assert found["coldchain_projection_up"] == 1
    assert service.stop() == 0


@pytest.mark.parametrize("how", ["nobody listens", "a server that never answers"])
def test_a_dead_store_costs_lag_and_nothing_else_and_is_caught_up_when_it_comes_back(
    mosquitto: Mosquitto, make_service: MakeService, tmp_path: Path, how: str
) -> None:
    store_port, port = free_port(), free_port()
    service = make_service(
        f'[timeseries]\nurl = "http://127.0.0.1:{store_port}"\ntimeout_s = 2\n[metrics]\nport = {port}\n'
    )
    if how == "nobody listens":
        service.start()
        live_through_a_day(mosquitto, service, port)
    else:
        with mute(store_port):
            service.start()
            live_through_a_day(mosquitto, service, port)
    server = InfluxDB(tmp_path / "influxdb", port=store_port)
    try:
        eventually(lambda: scraped(port)["coldchain_projection_up"] == 1, 90)
        eventually(lambda: scraped(port)["coldchain_projection_backlog_blocks"] == 0)
        assert scraped(port)["coldchain_projection_lag_seconds"] == 0
        assert service.stop() == 0
        settings = load_settings(service.settings, {})
        with opened(settings) as found, local_file.projecting(file_of(settings), waiting=True):
            result = reconcile(found.projector, found.store, Kept(), mends=False)
        assert (result.differences, result.readings) == ((), 65)
    finally:
        server.kill()


def live_through_a_day(mosquitto: Mosquitto, service: ServiceProcess, port: int) -> None:
    """Everything but the store does its part: readings, event, commits within their usual time."""
    publish(mosquitto.port, HOT)
    eventually(lambda: len(events(service)) == 1)
    for minute in range(100, 150):
        publish(mosquitto.port, (topic(), payload(minute, 5000)))
    eventually(lambda: status(service).readings == 65)
    eventually(lambda: scraped(port)["coldchain_projection_up"] == 0)
    found = scraped(port)
    assert found["coldchain_readings_total"] == 65
    slow = found["coldchain_commit_seconds_count"] - found["coldchain_commit_seconds_bucket,le=1.0"]
    assert slow == 0, "a commit waited for the store"
    assert "time-series projection waits" in service.log()


def status(service: ServiceProcess) -> queries.Status:
    with queries.reading(service.ledger) as connection:
        return queries.status(connection)


def events(service: ServiceProcess) -> list[str]:
    with queries.reading(service.ledger) as connection:
        return [event.id for event in queries.events(connection)]


def held_readings(service: ServiceProcess) -> int:
    """How many readings of the logger the embedded store has; 0 before there is one."""
    try:
        with opened_to_read(load_settings(service.settings, {})) as store:
            return len(store.readings(ChannelKey("lg-1", "1"), 0, 2**43))
    except EnvironmentFailed:
        return 0
