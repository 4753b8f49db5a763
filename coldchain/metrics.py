"""`/metrics` for Prometheus: how the service does, in numbers without names.

No label has more than a handful of values, and none tells loggers, kits or products: silent loggers are counted. What
the ledger knows is asked when Prometheus asks, over a connection of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from coldchain.alarms import Kind
from coldchain.errors import EnvironmentFailed
from coldchain.ledger import queries
from coldchain.ledger.entries import Message
from coldchain.readings import ChannelKey, ReadingBatch
from coldchain.registry import Registry
from coldchain.settings import Metrics

COMMIT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class ServiceMetrics:
    """The numbers that the service's loop counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        messages = Counter(
            "coldchain_messages", "Messages committed to the ledger.", ["status"], registry=self.registry
        )
        self._accepted, self._rejected = messages.labels("accepted"), messages.labels("rejected")
        self._readings = Counter(
            "coldchain_readings", "Readings and faults that were new and are committed.", registry=self.registry
        )
        self._commit = Histogram(
            "coldchain_commit_seconds",
            "From the first step of judging messages to their commit on disk.",
            buckets=COMMIT_S,
            registry=self.registry,
        )
        self._silent = Gauge(
            "coldchain_silent_loggers",
            "Registered loggers on watch of which nothing came for longer than their gap.",
            registry=self.registry,
        )
        self._waiting = Gauge(
            "coldchain_waiting_messages",
            "Messages beyond the limit of their gateway, stored and not read yet.",
            registry=self.registry,
        )
        self._missing = Gauge(
            "coldchain_missing_readings", "Readings that gateways are asked to send again.", registry=self.registry
        )
        self._failing = Gauge("coldchain_ledger_failing", "1 while nothing can be committed.", registry=self.registry)

    def committed(self, messages: Sequence[Message], fresh: Sequence[ReadingBatch], seconds: float) -> None:
        """Some messages, and the readings that were new in them, are on disk."""
        if not messages:
            return
        rejected = sum(1 for message in messages if message.reason)
        self._accepted.inc(len(messages) - rejected)
        self._rejected.inc(rejected)
        self._readings.inc(sum(map(len, fresh)))
        self._commit.observe(seconds)

    def behind(self, waiting: int, missing: int) -> None:
        """So many messages are not read yet, and so many readings are asked for."""
        self._waiting.set(waiting)
        self._missing.set(missing)

    def silent_loggers(self, count: int) -> None:
        """So many loggers are silent now."""
        self._silent.set(count)

    def failing(self, is_failing: bool) -> None:
        """Whether the ledger takes commits."""
        self._failing.set(is_failing)


class LedgerCollector(Collector):
    """Outbox and quarantines, as the ledger has them when asked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families; none while the ledger cannot be read, which Prometheus shows as absent."""
        try:
            with queries.reading(self._path) as connection:
                waiting, on_hold = queries.undelivered(connection), queries.open_quarantines(connection)
        except EnvironmentFailed:
            return
        yield GaugeMetricFamily("coldchain_outbox_depth", "Alerts that are not delivered yet.", waiting)
        yield GaugeMetricFamily("coldchain_open_quarantines", "Kits on hold.", on_hold)


class LagCollector(Collector):
    """How far the time-series projection is behind. `lag` gives (blocks, oldest [ms], parked, differences, error)."""

    def __init__(self, lag: Callable[[], tuple[int, int | None, int, int, str]], clock: Callable[[], int]) -> None:
        self._lag, self._clock = lag, clock

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families."""
        blocks, oldest_ms, parked, differences, error = self._lag()
        behind_s = 0.0 if oldest_ms is None else max(0, self._clock() - oldest_ms) / 1000
        for name, text, value in (
            ("lag_seconds", "Age of the oldest reading that is not in the time-series store.", behind_s),
            ("backlog_blocks", "Blocks of readings that are not in the time-series store.", blocks),
            ("parked_points", "Points that the time-series server refused for good.", parked),
            ("differences", "What the last nightly reconciliation could not mend.", differences),
            ("up", "1 while the projection moves, 0 while it waits for its store.", not error),
        ):
            yield GaugeMetricFamily(f"coldchain_projection_{name}", text, float(value))


class AlarmCollector(Collector):
    """How full the ledger's disk is [%], and how many troubles operators have been told of, by kind."""

    def __init__(self, disk_percent: Callable[[], float], standing: Callable[[], Mapping[Kind, int]]) -> None:
        self._disk_percent, self._standing = disk_percent, standing

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families."""
        yield GaugeMetricFamily("coldchain_disk_used_percent", "How full the ledger's disk is.", self._disk_percent())
        alarms = GaugeMetricFamily("coldchain_alarms", "Troubles that operators were told of.", labels=["kind"])
        for kind, count in self._standing().items():
            alarms.add_metric([kind], count)
        yield alarms


def silent_loggers(registry: Registry, last_ms: Callable[[ChannelKey], int | None], now_ms: int) -> int:
    """How many loggers that watch a place now have said nothing for longer than their gap, or nothing at all.

    `last_ms`: of the last reading of a channel, None if there is none.
    """
    silent = set()
    for entry in registry.monitoring:
        if not entry.from_ms < now_ms <= (now_ms if entry.to_ms is None else entry.to_ms):
            continue
        said_ms = last_ms(ChannelKey(entry.logger, entry.channel))
        if now_ms - (entry.from_ms if said_ms is None else said_ms) > registry.loggers[entry.logger].gap_after_ms:
            silent.add(entry.logger)
    return len(silent)


def serve(metrics: Metrics, registry: CollectorRegistry) -> Callable[[], None]:
    """Answer `/metrics`, in threads of its own; what stops it. EnvironmentFailed if the port cannot be had."""
    try:
        server, thread = start_http_server(metrics.port, metrics.host, registry)
    except OSError as exc:
        raise EnvironmentFailed(f"metrics {metrics.host}:{metrics.port}", f"cannot be served: {exc}") from exc

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
