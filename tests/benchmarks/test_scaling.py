"""Every point of a curve has its answers recounted first, so the recount must notice a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from benchmarks import guarding, recount, scaling, scaling_chart
from benchmarks.fleet import cold_room, fleet, profile
from benchmarks.guarding import Room
from benchmarks.harness import Curve
from coldchain.model import Assessment, Kind


@pytest.fixture(scope="module")
def room() -> Room:
    made = Room(cold_room(20, 2), 3)
    made.read(30)
    return made


def one_second_more(one: Assessment) -> Assessment:
    return replace(one, known_ms=one.known_ms + 1000)


def warmer(one: Assessment) -> Assessment:
    assert one.mkt_c is not None
    return replace(one, mkt_c=one.mkt_c + 1e-8)


def a_higher_peak(one: Assessment) -> Assessment:
    limits = (replace(each, peak_c=6.0) if each.kind is Kind.MKT else each for each in one.limits)
    return replace(one, limits=tuple(limits))


def time_out_of_range(one: Assessment) -> Assessment:
    return replace(one, limits=(replace(one.limits[0], used=1), *one.limits[1:]))


def another_extreme(one: Assessment) -> Assessment:
    return replace(one, max_mc=9_000)


def test_the_recount_agrees_with_the_service(room: Room) -> None:
    recount.compare(room)


@pytest.mark.parametrize("wrong", [one_second_more, warmer, a_higher_peak, time_out_of_range, another_extreme])
def test_the_recount_notices_a_wrong_answer(
    room: Room, wrong: Callable[[Assessment], Assessment], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = {group: wrong(one) for group, one in room.judged().items()}
    monkeypatch.setattr(room, "judged", lambda: judged)
    with pytest.raises(AssertionError):
        recount.compare(room)


def test_the_recount_counts_time_out_of_range() -> None:
    """The room is never out of its label; of 4.9 to 5.1 degC it often is."""
    rules = profile()
    narrow = replace(
        rules,
        limits=tuple(
            replace(one, low_mc=4_900, high_mc=5_100) if one.kind is Kind.ACCUMULATED else one for one in rules.limits
        ),
    )
    made = Room(cold_room(1, 1), 3, narrow)
    (found,) = made.judged().values()
    assert found.limits[0].used
    recount.compare(made)


def test_where_several_loggers_watch_a_place_their_extremes_are_recounted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Room(fleet(4, 2, loggers_per_place=2), 2)
    made.read(30)
    recount.compare(made)
    judged = {group: another_extreme(one) for group, one in made.judged().items()}
    monkeypatch.setattr(made, "judged", lambda: judged)
    with pytest.raises(AssertionError):
        recount.compare(made)


def test_without_groups_every_kit_is_judged_by_itself_and_alike() -> None:
    registry = cold_room(20, 2)
    assert len(registry.groups) == 2
    by_hand = Room(guarding.ungrouped(registry), 2)
    each = by_hand.judged()
    assert each.keys() == set(registry.kits)
    groups = Room(registry, 2)
    together = groups.judged()
    assert each == {kit: together[group.id] for group in registry.groups.values() for kit in group.kits}


def test_the_curves_are_drawn_with_every_point() -> None:
    curves = [
        Curve("a < b", "us", "kits", [(1, 10.0), (1_000, 12.5), (1_000_000, 1_234.0)]),
        Curve("c", "bytes", "d", [(5, 1)]),
    ]
    drawing = scaling_chart.svg(curves, "here & now")
    ElementTree.fromstring(drawing)  # noqa: S314 - our own drawing
    for words in ("a &lt; b", "us, against kits", ">10<", ">12.5<", ">1,234<", ">1 k<", ">1 M<", ">5<"):
        assert words in drawing
    assert drawing.count("<circle") == 4


def test_a_curve_has_the_cost_of_one_reading_at_each_size() -> None:
    points = scaling.timed({1: lambda: sum(range(200_000)), 2: lambda: None}, rounds=1)
    assert [size for size, _ in points] == [1, 2]
    assert points[0][1] > points[1][1] >= 0
