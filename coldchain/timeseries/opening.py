"""Which store the settings name, opened."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from coldchain.errors import EnvironmentFailed
from coldchain.ledger import queries
from coldchain.settings import Settings
from coldchain.timeseries import local_file
from coldchain.timeseries.embedded import EmbeddedStore
from coldchain.timeseries.ledger_view import no_rest
from coldchain.timeseries.local_file import trouble_with_file
from coldchain.timeseries.projector import Projector
from coldchain.timeseries.store import Store


@dataclass(frozen=True, slots=True)
class Opened:
    """Everything that projecting needs, open."""

    ledger: sqlite3.Connection
    local: sqlite3.Connection
    store: Store
    projector: Projector


@contextmanager
def opened(settings: Settings, rest: Callable[[], None] = no_rest) -> Iterator[Opened]:
    """Ledger, local file and store of some settings, to project or to compare. For use in one thread; `rest` is called
    between two pieces of work, of about a millisecond each.

    Raises EnvironmentFailed if there is no ledger, or the file cannot be opened. A server is asked when it is used.
    """
    path = settings.ledger.path
    with (
        queries.trouble_with(path),
        queries.reading(path) as ledger,
        local_file.opened(local_file.path_of(path)) as local,
        store_of(settings, local, rest) as store,
    ):
        yield Opened(ledger, local, store, Projector(ledger, local, store, rest))


@contextmanager
def opened_to_read(settings: Settings) -> Iterator[Store]:
    """The store of some settings, to ask."""
    path = local_file.path_of(settings.ledger.path)
    if settings.timeseries.url:
        with store_of(settings, None) as store:
            yield store
    else:
        with local_file.reading(path) as local:
            yield EmbeddedStore(local)


@contextmanager
def store_of(
    settings: Settings, local: sqlite3.Connection | None, rest: Callable[[], None] = no_rest
) -> Iterator[Store]:
    """The store that the settings name; points that a server refuses go into the local file, where there is one."""
    said = settings.timeseries
    if not said.url:
        assert local is not None  # noqa: S101 (the caller opened it)
        yield EmbeddedStore(local, rest)
        return
    try:  # its client takes half a second to import that the embedded store need not wait
        from coldchain.timeseries.influx import InfluxStore
        from coldchain.timeseries.influx_server import Server, read_token
    except ModuleNotFoundError as exc:
        raise EnvironmentFailed(
            f"time-series store {said.url}", "needs influxdb-client: coldchain[timeseries]"
        ) from exc

    def park(bucket: str, line: str, error: str) -> None:
        if local is not None:
            with trouble_with_file():
                local.execute(
                    "INSERT INTO parked (at_ms, bucket, line, error) VALUES (?, ?, ?, ?)",
                    (time.time_ns() // 1_000_000, bucket, line, error),
                )

    server = Server(said.url, said.org, read_token(said.token_file), said.timeout_s, park)
    try:
        yield InfluxStore(server, said.org, said.bucket)
    finally:
        server.close()


def parked(local: sqlite3.Connection) -> int:
    """How many points a server has refused for good."""
    return int(local.execute("SELECT count(*) FROM parked").fetchone()[0])


def file_of(settings: Settings) -> Path:
    """Where the local file of some settings is."""
    return local_file.path_of(settings.ledger.path)
