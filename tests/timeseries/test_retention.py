"""What may be let go and what never: hours stay, the retention period stays, evidence of kits on hold stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coldchain.readings import ChannelKey
from coldchain.registry import parse_registry
from coldchain.settings import Settings
from coldchain.timeseries.opening import opened
from coldchain.timeseries.reconciliation import reconcile
from coldchain.timeseries.retention import Kept, held_spans, kept, prune
from service_values import START_MS
from timeseries_values import DAY_MS, HOUR_MS, MINUTE_MS, ODD, REGISTRY, UNREGISTERED, fill, month, project

MakeSettings = Callable[..., Settings]

LG_1, LG_2, IN_SHIPPER, STRAY = (ChannelKey(name, "1") for name in ("lg-1", "lg-2", ODD, UNREGISTERED))
NOW_MS = START_MS + 30 * DAY_MS
CUTOFF_MS = NOW_MS - 10 * DAY_MS


@pytest.mark.parametrize("is_embedded", [True, False])
def test_readings_past_their_retention_go_and_evidence_and_hours_stay(
    embedded: Settings, on_influxdb: MakeSettings, is_embedded: bool
) -> None:
    settings = embedded if is_embedded else on_influxdb()
    # K-0003 alone gets an event: nothing is warm but the shipper
    arrivals = month(seed=14, days=30)
    for arrival in arrivals:
        if arrival.batch.logger != ODD:
            arrival.batch.temperature_mc[:] = 5000
    fill(settings, arrivals)
    with opened(settings) as found:
        project(found)
        on_hold = {each.hold.kit for each in found.store.evidence(0, 2**43)}
        assert on_hold == {"K-0003"}
        hours = {key: found.store.logger_hours(key, 0, 2**43) for key in found.store.channels()}
        before = {key: found.store.readings(key, 0, 2**43) for key in found.store.channels()}
        keep = kept(found.ledger, found.projector.registry, NOW_MS, raw_days=10)
        assert keep.cutoff_ms == CUTOFF_MS
        assert prune(found.store, found.ledger, keep) > 0

        last_day_ms = CUTOFF_MS // DAY_MS * DAY_MS
        for key in (LG_1, LG_2, STRAY):
            after = found.store.readings(key, 0, 2**43)
            assert after.at_ms.tolist() == [at for at in before[key].at_ms.tolist() if at >= last_day_ms]
            assert 0 < len(after) < len(before[key])
        evidence = found.store.readings(IN_SHIPPER, 0, 2**43)
        # in custody from March 2 to March 20, a gap of an hour around it, in whole UTC days
        from_ms, to_ms = START_MS // DAY_MS * DAY_MS, 1_773_964_800_000 + 60 * MINUTE_MS + DAY_MS
        expected = [
            at
            for at in before[IN_SHIPPER].at_ms.tolist()
            if at >= last_day_ms or from_ms <= at < to_ms // DAY_MS * DAY_MS
        ]
        assert evidence.at_ms.tolist() == expected
        assert {key: found.store.logger_hours(key, 0, 2**43) for key in found.store.channels()} == hours

        settled = reconcile(found.projector, found.store, keep, mends=False)
        assert settled.differences == (), "what may be gone is no difference"
        strict = reconcile(found.projector, found.store, Kept(), mends=False)
        assert {each.what for each in strict.differences} <= {"readings", "unverified readings"}
        assert strict.differences
        assert reconcile(found.projector, found.store, Kept()).remaining == 0
        assert found.store.readings(LG_1, 0, 2**43).at_ms.tolist() == before[LG_1].at_ms.tolist()


def test_without_a_retention_nothing_is_ever_let_go(embedded: Settings) -> None:
    fill(embedded, month(seed=15, days=2))
    with opened(embedded) as found:
        project(found)
        keep = kept(found.ledger, found.projector.registry, NOW_MS + 10_000 * DAY_MS, raw_days=0)
        assert prune(found.store, found.ledger, keep) == 0
        assert reconcile(found.projector, found.store, Kept(), mends=False).differences == ()


def test_evidence_is_what_watched_a_place_while_the_kit_was_there() -> None:
    registry = parse_registry([("registry.toml", REGISTRY)])
    spans = held_spans(registry, ["K-0001"])
    march_5_ms, march_30_ms = 1_772_668_800_000, 1_774_828_800_000
    gap_ms = 20 * MINUTE_MS
    assert spans == {
        LG_1: [(START_MS - gap_ms, march_30_ms + gap_ms)],
        LG_2: [(march_5_ms - gap_ms // 2, march_30_ms + gap_ms // 2)],
    }
    assert held_spans(registry, ["K-0003", "no-such-kit"]).keys() == {IN_SHIPPER}


@pytest.mark.parametrize(
    ("day_ms", "may_be_gone"),
    [
        (START_MS // DAY_MS * DAY_MS, True),
        (CUTOFF_MS // DAY_MS * DAY_MS, False),  # it ends after the cut-off
        (CUTOFF_MS // DAY_MS * DAY_MS - DAY_MS, True),
        (START_MS // DAY_MS * DAY_MS + 5 * DAY_MS, False),  # touched by what is held
        (START_MS // DAY_MS * DAY_MS + 6 * DAY_MS, True),
    ],
)
def test_the_edges_of_what_must_stay(day_ms: int, may_be_gone: bool) -> None:
    day_5 = START_MS // DAY_MS * DAY_MS + 5 * DAY_MS
    keep = Kept(CUTOFF_MS, {LG_1: [(day_5 + HOUR_MS, day_5 + 2 * HOUR_MS)]})
    assert keep.may_be_gone(LG_1, day_ms) is may_be_gone
    assert keep.may_be_gone(LG_2, day_ms) is (may_be_gone or day_ms == day_5)
