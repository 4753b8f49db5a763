"""`/metrics`: numbers about the service, and no names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coldchain.errors import EnvironmentFailed
from coldchain.ledger.ledger import Ledger
from coldchain.metrics import LagCollector, LedgerCollector, ServiceMetrics, serve, silent_loggers
from coldchain.readings import ChannelKey
from coldchain.registry import parse_registry
from coldchain.settings import Metrics
from ledger_values import NOW_MS, full_step
from processes import free_port
from scraping import scraped
from service_values import MINUTE_MS, PAST_REGISTRY, REGISTRY, START_MS


def test_commits_outbox_quarantines_and_lag_are_served(tmp_path: Path) -> None:
    metrics, port = ServiceMetrics(), free_port()
    path = tmp_path / "coldchain.db"
    messages, step, alerts = full_step()
    with Ledger.open(path) as ledger:
        ledger.save(messages, step, alerts, NOW_MS)
        metrics.committed(messages, step.fresh, 0.004)
        metrics.committed((), (), 9.0)
        metrics.silent_loggers(3)
        metrics.registry.register(LedgerCollector(path))
        metrics.registry.register(LagCollector(lambda: (7, NOW_MS - 30_000, 1, 2, "the store is dead"), lambda: NOW_MS))
        stop = serve(Metrics(port=port), metrics.registry)
        try:
            found = scraped(port)
        finally:
            stop()
    assert found["coldchain_messages_total,status=accepted"] == 2
    assert found["coldchain_messages_total,status=rejected"] == 1
    assert found["coldchain_readings_total"] == 6
    assert found["coldchain_commit_seconds_count"] == 1
    assert found["coldchain_commit_seconds_bucket,le=0.005"] == 1
    assert found["coldchain_commit_seconds_bucket,le=0.0025"] == 0
    assert found["coldchain_silent_loggers"] == 3
    assert found["coldchain_outbox_depth"] == 1
    assert found["coldchain_open_quarantines"] == 1
    assert found["coldchain_projection_lag_seconds"] == 30
    assert found["coldchain_projection_backlog_blocks"] == 7
    assert found["coldchain_projection_parked_points"] == 1
    assert found["coldchain_projection_differences"] == 2
    assert found["coldchain_projection_up"] == 0
    labels = {label for name in found for label in re.findall(r",(\w+)=", name)}
    assert labels == {"status", "le"}, "a label that names things would grow without end"


def test_a_ledger_that_cannot_be_read_leaves_its_numbers_out_and_the_rest_stands(tmp_path: Path) -> None:
    metrics, port = ServiceMetrics(), free_port()
    metrics.failing(True)
    metrics.registry.register(LedgerCollector(tmp_path / "none.db"))
    stop = serve(Metrics(port=port), metrics.registry)
    try:
        found = scraped(port)
    finally:
        stop()
    assert found["coldchain_ledger_failing"] == 1
    assert not any("outbox" in name for name in found)


def test_a_port_that_is_taken_is_one_clear_error() -> None:
    port = free_port()
    stop = serve(Metrics(port=port), ServiceMetrics().registry)
    try:
        with pytest.raises(EnvironmentFailed, match=f"127.0.0.1:{port}: cannot be served"):
            serve(Metrics(port=port), ServiceMetrics().registry)
    finally:
        stop()


@pytest.mark.parametrize(
    ("last_minute", "now_minute", "silent"),
    [(0, 2, 0), (0, 3, 1), (10, 12, 0), (None, 3, 1), (None, -1, 0)],
)
def test_a_logger_on_watch_is_silent_when_its_gap_is_over(
    last_minute: int | None, now_minute: int, silent: int
) -> None:
    registry = parse_registry([("registry.toml", REGISTRY.replace("from = 2026-03-01T00", "from = 2026-03-01T10"))])
    last_ms = {} if last_minute is None else {ChannelKey("lg-1", "1"): START_MS + last_minute * MINUTE_MS}
    assert silent_loggers(registry, last_ms.get, START_MS + now_minute * MINUTE_MS) == silent


def test_a_logger_that_watches_nothing_any_more_is_not_silent() -> None:
    ended = PAST_REGISTRY.replace(
        'logger = "lg-1"\nfrom = 2026-03-01T00:00:00Z',
        'logger = "lg-1"\nfrom = 2026-03-01T00:00:00Z\nto = 2026-03-02T00:00:00Z',
    )
    assert ended != PAST_REGISTRY
    registry = parse_registry([("registry.toml", ended)])
    assert silent_loggers(registry, lambda _: None, START_MS + 20 * 1440 * MINUTE_MS) == 0
    assert silent_loggers(registry, lambda _: None, START_MS + 60 * MINUTE_MS) == 1
