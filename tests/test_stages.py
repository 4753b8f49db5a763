"""Stages: how much of a budget a kit uses up in depots, in transit, at sites and with the patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coldchain import pipeline, profile_mistakes, retention, stages, tally
from coldchain.alerts.cards import warning_cards
from coldchain.amendment import changes
from coldchain.errors import BadInput
from coldchain.ledger import checkpoint
from coldchain.model import CustodySegment, EarlyWarning, Place, Stage, StageUse, Verdict
from coldchain.pipeline import State, Step
from coldchain.profiles import StabilityProfile, StageShare, composite, parse_profile
from coldchain.readings import ReadingBatch
from coldchain.registry import Registry, parse_registry
from coldchain.replay_document import document_of
from coldchain.stability import judge
from coldchain.state import remember
from rule_histories import HOUR_MS, START_MS, lasting
from test_pipeline import RULES, batch, minute

SHARES = 'accumulated = "60min", stages = { transit = "20min", depot = "10min" }'
STAGED = RULES.replace('accumulated = "20min"', SHARES)

REGISTRY = """
logger = [
  { id = "lg-d", logging_interval = "5min" },
  { id = "lg-b", logging_interval = "5min" },
  { id = "lg-s", logging_interval = "5min" },
]
place = [
  { id = "depot", kind = "storage", stage = "depot" },
  { id = "box", kind = "shipper" },
  { id = "site", kind = "storage" },
]
monitoring = [
  { place = "depot", logger = "lg-d", from = 2026-02-01T00:00:00Z },
  { place = "box", logger = "lg-b", from = 2026-02-01T00:00:00Z },
  { place = "site", logger = "lg-s", from = 2026-02-01T00:00:00Z },
]
kit = [{ id = "K-1", batch = "B22", trial = "TRIAL-7", profile = "mab-017" }]
custody = [
  { kits = ["K-1"], place = "depot", from = 2026-03-01T00:00:00Z, to = 2026-03-01T01:00:00Z },
  { kits = ["K-1"], place = "box", from = 2026-03-01T01:00:00Z, to = 2026-03-01T02:00:00Z },
  { kits = ["K-1"], place = "site", from = 2026-03-01T02:00:00Z },
]
"""
OPENING = 'profile = "mab-017", opening = { "above-8" = "15min" } }]'


def registry(text: str = REGISTRY) -> Registry:
    return parse_registry([("registry.toml", text)])


def profile(text: str = STAGED) -> StabilityProfile:
    return parse_profile(text, "mab-017.toml")


def live(
    *batches: ReadingBatch, registered: str = REGISTRY, rules: str = STAGED, now: float = 0
) -> tuple[State, list[ReadingBatch]]:
    """A live state after these readings, and what it stored."""
    stored = list(batches)
    profiles = {"mab-017": profile(rules)}
    state, found = pipeline.start(
        registry(registered),
        profiles,
        batches,
        now_ms=minute(now),
        is_live=True,
        archive=lambda key: [each for each in stored if each.key == key],
    )
    pipeline.adopt(state, found)
    return state, stored


def feed(state: State, stored: list[ReadingBatch], *batches: ReadingBatch, now: float) -> Step:
    stored.extend(batches)
    found = pipeline.step(state, batches, minute(now))
    pipeline.adopt(state, found)
    return found


def used(state: State, now: float) -> dict[Stage, int]:
    """Minutes of the first limit by stage."""
    (assessment,) = pipeline.look(state, state.registry.groups, minute(now)).values()
    return {use.stage: use.used // 60_000 for use in assessment.limits[0].stages}


def steady(logger: str, first: int, last: int, mc: int) -> ReadingBatch:
    return batch(logger, *((when, mc) for when in range(first, last + 1, 5)))


def test_a_shipper_is_in_transit_and_a_home_with_the_patient_unless_the_place_says_otherwise() -> None:
    rows = [
        ('kind = "shipper"', Stage.TRANSIT),
        ('kind = "patient_home"', Stage.PATIENT),
        ('kind = "storage"', None),
        ('kind = "room", stage = "site"', Stage.SITE),
        ('kind = "shipper", stage = "depot"', Stage.DEPOT),
    ]
    for row, stage in rows:
        assert registry(f'place = [{{ id = "p", {row} }}]').places["p"].stage is stage


def test_a_csv_of_places_has_a_column_for_the_stage() -> None:
    found = parse_registry([("places.csv", "id,kind,stage\na,storage,depot\nb,shipper,\nc,room,\n")])
    assert [place.stage for place in found.places.values()] == [Stage.DEPOT, Stage.TRANSIT, None]


def test_a_stage_that_does_not_exist_is_refused_with_its_line_and_those_that_do() -> None:
    with pytest.raises(BadInput) as caught:
        registry('[[place]]\nid = "p"\nkind = "storage"\nstage = "ship"\n')
    assert str(caught.value).startswith("registry.toml:4: place[1].stage = 'ship': ")
    assert all(f"'{stage}'" in str(caught.value) for stage in Stage)


def test_a_limit_has_its_shares_in_the_order_of_the_way_to_the_patient() -> None:
    shares = (StageShare(Stage.DEPOT, 600_000), StageShare(Stage.TRANSIT, 1_200_000))
    assert [limit.stages for limit in profile().limits] == [shares, ()]
    assert [limit.stages for limit in profile(RULES).limits] == [(), ()]


def test_a_composite_keeps_the_shares_of_each_limit() -> None:
    blind = composite("TRIAL-7", [profile()])
    assert [limit.stages for limit in blind.limits] == [limit.stages for limit in profile().limits]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('depot = "10min"', 'depot = "61min"',
         "stages.depot = '61min': more than the whole budget: write at most accumulated = 60min"),
        ('depot = "10min"', 'depo = "10min"', "stages.depo = '10min': unknown key: did you mean depot?"),
        ('depot = "10min"', 'moon = "10min"',
         "stages.moon = '10min': unknown key: there are depot, transit, site, patient"),
        ('depot = "10min"', "depot = 10", "stages.depot = 10: not a duration: write a whole number with ms, s, min"),
        ('transit = "20min", depot = "10min"', "", "stages: is empty: give a share for one of depot, transit, site"),
        ('accumulated = "60min"', 'single_event = "60min"',
         "stages: shares of a budget belong to accumulated: leave this out"),
        ('accumulated = "60min"', "events = 2", "stages: shares of a budget belong to accumulated: leave this out"),
        ('above_c = 8.0, accumulated = "60min"', 'unknown_accumulated = "60min"',
         "stages: shares of a budget belong to accumulated: leave this out"),
    ],
)  # fmt: skip
def test_shares_that_are_wrong_are_refused_with_what_would_be_right(old: str, new: str, expected: str) -> None:
    table = '[[limit]]\nid = "above-8"\nabove_c = 8.0, accumulated = "60min", stages = {STAGES}\nsource = "s"\n'
    text = STAGED[: STAGED.index("limit = [")] + table.replace(", ", "\n").replace(
        "{STAGES}", '{ transit = "20min", depot = "10min" }'
    )
    text += '[[limit]]\nid = "unknown"\nunknown_single = "30min"\nsource = "s"\n'
    old, new = (part if part.startswith(("depot", "transit")) else part.replace(", ", "\n") for part in (old, new))
    assert profile_mistakes.mistakes(text, "r.toml") == []
    assert old in text
    changed = text.replace(old, new, 1)
    line = next(n for n, row in enumerate(changed.splitlines(), 1) if row.startswith("stages"))
    (mistake,) = profile_mistakes.mistakes(changed, "r.toml")
    assert str(mistake).startswith(f"r.toml:{line}: limit[1].{expected}")


def test_a_share_may_be_all_of_the_budget_or_nothing() -> None:
    for share in ("60min", "1h", "0s"):
        assert profile_mistakes.mistakes(STAGED.replace('depot = "10min"', f'depot = "{share}"'), "r.toml") == []


def test_a_wrong_budget_does_not_hide_behind_its_shares() -> None:
    text = STAGED.replace('accumulated = "60min"', 'accumulated = "an hour"')
    assert [error.key for error in profile_mistakes.mistakes(text, "r.toml")] == ["limit[1].accumulated"]


def test_a_diff_tells_of_shares_and_that_they_have_no_effect_on_verdicts() -> None:
    new = STAGED.replace('transit = "20min", depot = "10min"', 'transit = "15min", site = "2h"').replace("60min", "2h")
    assert [str(change) for change in changes(profile(), profile(new))] == [
        "above 8 degC, accumulated: 1 h -> 2 h, looser (above-8)",
        "above 8 degC, accumulated, share of depot: 10 min -> no share (above-8)",
        "above 8 degC, accumulated, share of transit: 20 min -> 15 min (above-8)",
        "above 8 degC, accumulated, share of site: no share -> 2 h (above-8)",
    ]


def test_stays_of_one_stage_that_overlap_or_follow_at_once_are_one() -> None:
    places = {
        "a": Place("a", "storage", Stage.DEPOT),
        "b": Place("b", "storage", Stage.DEPOT),
        "box": Place("box", "shipper", Stage.TRANSIT),
        "site": Place("site", "storage"),
    }
    route = [
        CustodySegment("a", 0, 100),
        CustodySegment("b", 10, 20),
        CustodySegment("b", 100, 150),
        CustodySegment("box", 140, 160),
        CustodySegment("site", 160, 170),
        CustodySegment("a", 170),
    ]
    found = stages.stays(route, places)
    assert found == {Stage.DEPOT: ((0, 150), (170, 2**62)), Stage.TRANSIT: ((140, 160),)}
    assert stages.stays(reversed(route), places) == found


def test_each_stage_is_charged_with_what_happened_there_and_nothing_before_or_after() -> None:
    # 3 h at 5 degC, 4 h at 9 degC, 3 h at 5 degC; a depot for the first 4 h, a shipper for 2 h, then no stage
    record = lasting((3 * HOUR_MS, 5000), (4 * HOUR_MS, 9000), (3 * HOUR_MS, 5000))
    where = {
        Stage.DEPOT: ((START_MS, START_MS + 4 * HOUR_MS),),
        Stage.TRANSIT: ((START_MS + 4 * HOUR_MS, START_MS + 6 * HOUR_MS),),
    }
    found = judge(profile(), record, {"above-8": 600_000}, (), where).limits[0]
    assert found.used == 4 * HOUR_MS + 600_000
    assert found.stages == (
        StageUse(Stage.DEPOT, 600_000, HOUR_MS),
        StageUse(Stage.TRANSIT, 1_200_000, 2 * HOUR_MS),
    )


def test_a_stage_counts_both_sides_of_a_range_as_its_limit_does() -> None:
    rules = profile(STAGED.replace("above_c = 8.0", "outside_c = [2.0, 8.0]"))
    record = lasting((HOUR_MS, 9000), (HOUR_MS, 5000), (HOUR_MS, 1000), (HOUR_MS, None), (HOUR_MS, 8000))
    whole = {Stage.TRANSIT: ((START_MS, START_MS + 5 * HOUR_MS),)}
    (depot, transit) = judge(rules, record, {}, (), whole).limits[0].stages
    assert (depot.used, transit.used) == (0, 2 * HOUR_MS)


def test_a_share_is_passed_by_the_first_millisecond_beyond_it_and_never_breaks_anything() -> None:
    whole = {Stage.DEPOT: ((START_MS, START_MS + HOUR_MS),)}
    exact = judge(profile(), lasting((600_000, 9000)), {}, (), whole)
    beyond = judge(profile(), lasting((600_001, 9000)), {}, (), whole)
    assert (exact.warned, beyond.warned) == ((), (("above-8@depot", 100),))
    assert beyond.verdict is Verdict.WITHIN_ALLOWANCE
    assert beyond.breaches == ()
    assert exact.outcome != beyond.outcome


def test_a_kit_without_custody_has_used_nothing_in_any_stage() -> None:
    found = judge(profile(), None, {}, ("custody_missing",))
    assert [(use.stage, use.used) for use in found.limits[0].stages] == [(Stage.DEPOT, 0), (Stage.TRANSIT, 0)]
    assert found.warned == ()


@pytest.mark.parametrize("cut", [1, 2 * HOUR_MS, 3 * HOUR_MS - 1, 3 * HOUR_MS, 4 * HOUR_MS + 7, 9 * HOUR_MS])
def test_counting_a_life_in_pieces_gives_the_bits_of_counting_it_at_once(cut: int) -> None:
    pieces = ((3 * HOUR_MS, 5000), (HOUR_MS, None), (2 * HOUR_MS, 9000), (HOUR_MS, 1000), (3 * HOUR_MS, 30_000))
    where = {
        Stage.DEPOT: ((START_MS, START_MS + 5 * HOUR_MS), (START_MS + 8 * HOUR_MS, 2**62)),
        Stage.TRANSIT: ((START_MS + 4 * HOUR_MS, START_MS + 9 * HOUR_MS),),
    }
    counted = tally.measures(profile(), {})
    begun = tally.begin(counted, START_MS)
    whole = tally.advance(begun, counted, lasting(*pieces), where)
    first = tally.advance(begun, counted, _until(pieces, cut), where)
    both = tally.advance(first, counted, lasting(*pieces), where)
    assert whole.shares[:, 0].tolist() == [3 * HOUR_MS, 4 * HOUR_MS]
    assert both.shares.tobytes() == whole.shares.tobytes()


def _until(pieces: tuple[tuple[int, int | None], ...], cut: int) -> Any:
    kept = []
    for length, mc in pieces:
        kept.append((min(length, cut), mc))
        cut -= length
        if cut <= 0:
            break
    return lasting(*kept)


def test_passing_a_share_warns_once_and_stops_no_kit() -> None:
    state, stored = live(steady("lg-d", 0, 60, 5000))
    quiet = feed(state, stored, steady("lg-b", 65, 80, 9000), now=80)
    assert [(warning.limit, warning.share) for warning in quiet.warnings] == []
    passed = feed(state, stored, batch("lg-b", (85, 9000)), now=85)
    assert [(warning.limit, warning.share, warning.stage) for warning in passed.warnings] == [
        ("above-8@transit", 100, Stage.TRANSIT)
    ]
    again = feed(state, stored, batch("lg-b", (90, 9000)), now=90)
    assert [(warning.limit, warning.share, warning.stage) for warning in again.warnings] == [("above-8", 50, None)]
    assert not any(step.events for step in (quiet, passed, again))


def test_an_opening_balance_is_of_no_stage() -> None:
    registered = REGISTRY.replace('profile = "mab-017" }]', OPENING)
    assert registered != REGISTRY
    state, stored = live(steady("lg-d", 0, 60, 5000), registered=registered)
    feed(state, stored, steady("lg-b", 65, 80, 9000), now=80)
    assert used(state, 80) == {Stage.DEPOT: 0, Stage.TRANSIT: 20}
    (assessment,) = state.assessments.values()
    assert assessment.limits[0].used == minute(35) - minute(0)


def test_a_place_whose_kits_wait_is_looked_at_before_a_share_is_passed_even_if_the_budget_is_broken() -> None:
    registered = REGISTRY.replace('profile = "mab-017" }]', 'profile = "mab-017", opening = { "above-8" = "3h" } }]')
    transit_only = STAGED.replace(', depot = "10min"', "")
    state, stored = live(steady("lg-d", 0, 60, 5000), registered=registered, rules=transit_only)
    told = []
    for when in range(65, 120, 5):
        found = feed(state, stored, batch("lg-b", (when, 9000)), now=when)
        told += [(when, warning.limit) for warning in found.warnings]
    assert told == [(85, "above-8@transit")]


def test_a_place_in_range_waits_whatever_its_shares_are() -> None:
    state, stored = live(steady("lg-d", 0, 30, 5000), rules=STAGED.replace('depot = "10min"', 'depot = "0s"'), now=30)
    looks = [feed(state, stored, batch("lg-d", (when, 5000)), now=when) for when in range(35, 55, 5)]
    assert [len(found.assessments) for found in looks[1:]] == [0, 0, 0]


def test_late_data_are_charged_to_the_stage_in_which_they_were_measured() -> None:
    state, stored = live(steady("lg-d", 0, 40, 5000), steady("lg-b", 65, 120, 5000), now=120)
    late = feed(state, stored, steady("lg-d", 45, 60, 9000), now=121)
    assert used(state, 121) == {Stage.DEPOT: 20, Stage.TRANSIT: 0}
    assert [warning.limit for warning in late.warnings] == ["above-8@depot"]


def test_a_place_that_turns_out_to_be_of_another_stage_has_its_kits_judged_again_from_the_archive() -> None:
    state, stored = live(steady("lg-d", 0, 60, 9000), steady("lg-b", 65, 100, 5000), now=100)
    pipeline.adopt(state, retention.put_away(state, minute(95), minute(100)))
    assert used(state, 100) == {Stage.DEPOT: 60, Stage.TRANSIT: 0}
    moved = registry(REGISTRY.replace('stage = "depot"', 'stage = "transit"'))
    state, found = pipeline.amend(state, moved, {"mab-017": profile()}, minute(100))
    pipeline.adopt(state, found)
    assert used(state, 100) == {Stage.DEPOT: 0, Stage.TRANSIT: 60}
    assert "above-8@transit" in [warning.limit for warning in found.warnings]
    feed(state, stored, batch("lg-b", (105, 9000)), now=105)
    assert used(state, 105) == {Stage.DEPOT: 0, Stage.TRANSIT: 65}


def test_a_checkpoint_keeps_what_was_used_in_each_stage(tmp_path: Path) -> None:
    state, _ = live(steady("lg-d", 0, 60, 9000), steady("lg-b", 65, 100, 9000), now=100)
    pipeline.adopt(state, retention.put_away(state, minute(95), minute(100)))
    path = tmp_path / "checkpoint"
    read = checkpoint.read(path, checkpoint.write(path, remember(state), "key"), "key")
    assert read is not None
    (before,), (after,) = state.tallies.values(), read.tallies.values()
    assert before.shares[:, 0].tolist() == [60 * 60_000, 35 * 60_000]
    assert after.shares.tobytes() == before.shares.tobytes()
    assert after.sums.tobytes() == before.sums.tobytes()


def test_a_replay_shows_the_stages_of_a_limit_that_has_shares_and_of_no_other() -> None:
    batches = [steady("lg-d", 0, 60, 9000), steady("lg-b", 65, 120, 5000)]
    said = document_of(pipeline.replay(batches, registry(), {"mab-017": profile()}), messages=0, rejected=0)
    (above, unknown) = said["kits"][0]["limits"]
    assert above["stages"] == [
        {"stage": "depot", "used_ms": 3_600_000, "allowed_ms": 600_000},
        {"stage": "transit", "used_ms": 0, "allowed_ms": 1_200_000},
    ]
    assert "stages" not in unknown
    plain = document_of(pipeline.replay(batches, registry(), {"mab-017": profile(RULES)}), messages=0, rejected=0)
    assert "stages" not in plain["kits"][0]["limits"][0]


def test_the_card_of_a_passed_share_names_the_stage_and_asks_nobody_to_stop_a_kit() -> None:
    warning = EarlyWarning("id", "K-1", "above-8@transit", 100)
    (card,) = warning_cards([warning], registry(), minute(150))
    assert card.action == (
        "More than the share of the stage transit is used up: above-8, kits now at site. No kit has to be stopped for "
        "that, but less is left for what is still to come. Find out what happened in the stage transit."
    )
