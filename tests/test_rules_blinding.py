"""Swapping the treatment arms leaves every byte that a blinded person can see as it is."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from coldchain import pipeline
from coldchain.alerts.compose import EVENT_TOPIC, compose
from coldchain.ledger.entries import Alert
from coldchain.model import CustodySegment, Kit, Logger, Monitoring, Place
from coldchain.profiles import composite, load_profile
from coldchain.readings import ReadingBatch
from coldchain.registry import Registry
from coldchain.settings import Alerts
from rule_histories import HOUR_MS, RULES, START_MS, TEMPLATES

NOW_MS = START_MS + 200 * HOUR_MS
RECIPIENTS = Alerts(
    mqtt_roles=("supply-manager", "qp"),
    unblinded_roles=("qp",),
    email={"supply-manager": ("supply@example.org",), "qp": ("qp@example.org",)},
)
FILES = [RULES / "mab-017.toml", RULES / "comparator-02.toml", *sorted(TEMPLATES.glob("*.toml"))]
PROFILES = {profile.name: profile for profile in map(load_profile, FILES) if profile.label_high_mc == 8000}
PLACES = ("basel", "zug", "site-3")
ARMS = (0, 1, 0, 1, 1, 0)
"""The arm of each kit; two kits at each place, but of different arms only at the first."""


def registry(names: tuple[str, str], blind_group: str | None) -> Registry:
    kits = {
        f"K-{number}": Kit(f"K-{number}", f"B-{names[arm]}", "TRIAL-7", names[arm], blind_group)
        for number, arm in enumerate(ARMS)
    }
    return Registry(
        loggers={place: Logger(place, HOUR_MS, 2 * HOUR_MS) for place in PLACES},
        places={place: Place(place, "storage") for place in PLACES},
        monitoring=tuple(Monitoring(place, place, "1", START_MS) for place in PLACES),
        kits=kits,
        custody={
            kit: (CustodySegment(PLACES[number // 2], START_MS, START_MS + 60 * HOUR_MS),)
            for number, kit in enumerate(kits)
        },
    )


def readings(warmest_mc: int, hours: int) -> list[ReadingBatch]:
    """60 h at 5 degC; warm for so many hours at Basel, frozen for one at Zug, silent in between at the site."""
    at_ms = START_MS + HOUR_MS * np.arange(1, 61, dtype=np.int64)
    basel, zug = np.full(60, 5000, np.int32), np.full(60, 5000, np.int32)
    basel[10 : 10 + hours] = warmest_mc
    zug[20] = -600
    silent = np.r_[0:10, 50:60]
    return [
        ReadingBatch("basel", "1", at_ms, basel, NOW_MS),
        ReadingBatch("zug", "1", at_ms, zug, NOW_MS),
        ReadingBatch("site-3", "1", at_ms[silent], np.full(20, 5000, np.int32), NOW_MS),
    ]


def told(known: Registry, batches: list[ReadingBatch]) -> tuple[Alert, ...]:
    """Every alert of a day that is lived through in three steps, as the outbox gets it."""
    state, first = pipeline.start(known, PROFILES, now_ms=START_MS, is_live=True)
    found: list[Alert] = []
    steps = (None, *batches)
    for number, batch in enumerate(steps):
        now_ms = NOW_MS + number
        step = first if batch is None else pipeline.step(state, [batch], now_ms)
        before = {kit: dict(events) for kit, events in state.events.items()}
        found += compose(step.events, step.warnings, known, RECIPIENTS, known=before, by_email=True, now_ms=now_ms)
        pipeline.adopt(state, step)
    return tuple(found)


def blinded(alerts: tuple[Alert, ...]) -> list[Alert]:
    seen = (EVENT_TOPIC, "coldchain/v1/alerts/supply-manager", "supply@example.org")
    return [alert for alert in alerts if alert.recipient in seen]


def unblinded(alerts: tuple[Alert, ...]) -> list[Alert]:
    return [alert for alert in alerts if alert not in blinded(alerts)]


@pytest.mark.parametrize("names", list(combinations(sorted(PROFILES), 2)))
@pytest.mark.parametrize(("warmest_mc", "hours"), [(8001, 1), (9000, 12), (26_000, 3), (41_000, 1)])
def test_swapping_the_arms_leaves_every_blinded_alert_byte_identical(
    names: tuple[str, str], warmest_mc: int, hours: int
) -> None:
    batches = readings(warmest_mc, hours)
    ours = told(registry(names, "TRIAL-7"), batches)
    swapped = told(registry((names[1], names[0]), "TRIAL-7"), batches)
    assert blinded(ours) == blinded(swapped)
    assert blinded(ours)
    for alert in blinded(ours):
        for secret in (*names, "limit", "budget", "batch", "profile", "degC"):
            assert secret not in alert.body + alert.subject


def test_the_unblinded_do_see_which_arm_it_is_and_without_a_blind_group_everybody_would() -> None:
    # the control: what protects is the blind group, not a test that cannot see
    names = ("mab-017", "comparator-02")
    batches = readings(9000, 12)
    ours, swapped = (told(registry(pair, "TRIAL-7"), batches) for pair in (names, names[::-1]))
    assert [alert.body for alert in unblinded(ours)] != [alert.body for alert in unblinded(swapped)]
    ours, swapped = (told(registry(pair, None), batches) for pair in (names, names[::-1]))
    assert [alert.body for alert in blinded(ours)] != [alert.body for alert in blinded(swapped)]


def test_the_hash_of_the_rules_is_that_of_the_composite_for_both_arms_and_only_unblinded_roles_see_it() -> None:
    names = ("mab-017", "comparator-02")
    known = registry(names, "TRIAL-7")
    sha256 = composite("TRIAL-7", [PROFILES[name] for name in names]).sha256
    alerts = told(known, readings(9000, 12))
    details = [line for alert in unblinded(alerts) for line in alert.body.split("K-") if "rules SHA-256" in line]
    assert details
    assert all(f"rules SHA-256 {sha256}" in line for line in details)
    for alert in blinded(alerts):
        for secret in (sha256, *(PROFILES[name].sha256 for name in names)):
            assert secret not in alert.body + alert.subject


def test_moving_one_kit_to_the_other_arm_changes_nothing_as_long_as_both_arms_have_kits() -> None:
    known = registry(("mab-017", "comparator-02"), "TRIAL-7")
    moved = replace(known, kits={**known.kits, "K-0": replace(known.kits["K-0"], profile="comparator-02")})
    batches = readings(9000, 12)
    assert blinded(told(known, batches)) == blinded(told(moved, batches))
