"""Who may speak for a logger."""

from __future__ import annotations

import pytest

from coldchain.admission import ADMITTED, admission
from coldchain.readings import ReadingBatch
from coldchain.registry import Registry, parse_registry
from gateways.decoders import decode
from service_values import REGISTRY, START_MS, payload, topic

INTERVAL = 'logging_interval = "1min"\n'


def registry(more: str) -> Registry:
    return parse_registry([("registry.toml", REGISTRY.replace(INTERVAL, INTERVAL + more, 1))])


def said(where: str = topic()) -> tuple[ReadingBatch, ...]:
    return decode(where, payload(0, 5000, logger=where.split("/")[-2]), START_MS)


@pytest.mark.parametrize("sites", ["", 'sites = ["basel"]\n', 'sites = ["zug", "basel"]\n'])
def test_a_gateway_at_one_of_its_sites_or_any_if_none_is_given_speaks_for_a_logger(sites: str) -> None:
    assert admission(topic(), said(), registry(sites)) is ADMITTED


def test_a_logger_on_the_topic_of_another_site_is_refused() -> None:
    found = admission(topic(), said(), registry('sites = ["zug", "bern"]\n'))
    assert found.refused == ("wrong_site", "logger lg-1 is of zug, bern, not of basel")


def test_a_foreign_topic_names_no_site() -> None:
    assert admission("v3/app/devices/x/up", said(), registry('sites = ["zug"]\n')) is ADMITTED


def test_an_unknown_and_a_blocked_logger_are_let_in_with_a_flag() -> None:
    blocked = registry("blocked = true\n")
    assert admission(topic(), said(), blocked).flags == ("blocked_logger: lg-1 is blocked",)
    assert admission(topic("lg-9"), said(topic("lg-9")), blocked).flags == ("unknown_logger: lg-9 is not registered",)
