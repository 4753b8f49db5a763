"""Split and repack: what was made of a kit has lived that kit's life."""

from __future__ import annotations

import pytest

from coldchain.errors import BadInput
from coldchain.model import OpeningBalance
from coldchain.registry import Registry, parse_registry
from test_pipeline import batch, begun, every_five, minute, of

WORLD = """
logger = [{ id = "lg-a", logging_interval = "5min" }, { id = "lg-b", logging_interval = "5min" }]
place = [{ id = "room", kind = "storage" }, { id = "box", kind = "shipper" }]
monitoring = [
  { place = "room", logger = "lg-a", from = 2026-02-01T00:00:00Z },
  { place = "box", logger = "lg-b", from = 2026-02-01T00:00:00Z },
]
kit = [
  { id = "K-1", batch = "B", trial = "T", profile = "mab-017", opening = { "above-8" = "4min" } },
  { id = "K-2", batch = "B", trial = "T", profile = "mab-017", opening = { "above-8" = "9min" } },
  { id = "K-3", batch = "B", trial = "T", profile = "mab-017", opening = { "above-8" = "1min" } },
  { id = "K-4", batch = "B", trial = "T", profile = "mab-017" },
]
custody = [
  { kits = ["K-1"], place = "room", from = 2026-03-01T00:00:00Z },
  { kits = ["K-2"], place = "box", from = 2026-03-01T00:00:00Z },
  { kits = ["K-3"], place = "box", from = 2026-03-01T00:20:00Z },
]
"""


def world(*repacks: str, more: str = "") -> Registry:
    rows = ", ".join(f"{{ {repack} }}" for repack in repacks)
    return parse_registry([("registry.toml", f"{WORLD}repack = [{rows}]\n{more}")])


SPLIT = 'kits = ["K-3"], of = ["K-1"], at = 2026-03-01T00:20:00Z'
REPACK = 'kits = ["K-3"], of = ["K-1", "K-2"], at = 2026-03-01T00:20:00Z'


def test_a_split_kit_has_spent_what_its_source_had_spent_by_then_and_goes_on_from_there() -> None:
    readings = every_five("lg-a", 5, 15, 5000), batch("lg-a", (20, 9000), (25, 9000)), every_five("lg-b", 5, 30, 9000)
    state = begun(*readings, registered=world(SPLIT))
    split = of(state, "K-3")
    assert (split.start_ms, split.as_of_ms) == (minute(0), minute(30))
    # 4 min of the source's balance, 5 min in the room before the split, 10 min in the box after it
    assert split.limits[0].used == 19 * 60_000
    assert split.custody_problems == ()
    assert of(state, "K-1").limits[0].used == 14 * 60_000


def test_a_kit_repacked_from_two_places_takes_the_worst_of_both_and_the_larger_balance() -> None:
    readings = every_five("lg-a", 5, 20, 1000), every_five("lg-b", 5, 20, 9000)
    state = begun(*readings, registered=world(REPACK))
    repacked = of(state, "K-3")
    assert (repacked.min_mc, repacked.max_mc) == (1000, 9000)
    assert repacked.limits[0].used == 29 * 60_000
    assert repacked.custody_problems == (f"custody_overlap:box+room@{minute(0)}",)


def test_a_kit_made_of_a_repacked_kit_has_the_whole_chain_behind_it() -> None:
    again = 'kits = ["K-4"], of = ["K-3"], at = 2026-03-01T00:30:00Z'
    for order in ((SPLIT, again), (again, SPLIT)):
        found = world(*order)
        assert [segment.place for segment in found.custody["K-4"]] == ["room", "box"]
        assert found.custody["K-4"][0].from_ms == minute(0)
        assert found.custody["K-4"][-1].to_ms == minute(30)
        assert found.kits["K-4"].opening == (OpeningBalance("above-8", 4 * 60_000),)


@pytest.mark.parametrize(
    ("repacks", "message"),
    [
        (['kits = ["K-9"], of = ["K-1"], at = 2026-03-01T00:20:00Z'], "repack.kits.*K-9.*is not registered"),
        (['kits = ["K-3"], of = ["K-9"], at = 2026-03-01T00:20:00Z'], "repack.of.*K-9.*is not registered"),
        (['kits = ["K-3"], of = ["K-3"], at = 2026-03-01T00:20:00Z'], "is made of itself"),
        ([SPLIT, SPLIT.replace("00:20", "00:15")], "K-3.*is made twice"),
        (['kits = ["K-3"], of = ["K-4"], at = 2026-03-01T00:20:00Z'], "K-4.*was nowhere before"),
        (['kits = ["K-3"], of = ["K-1"], at = 2026-03-01T00:00:00Z'], "K-1.*was nowhere before"),
        (['kits = ["K-2"], of = ["K-1"], at = 2026-03-01T00:20:00Z'], "K-2 has custody before this instant"),
        ([SPLIT, 'kits = ["K-4"], of = ["K-3"], at = 2026-03-01T00:20:00Z'], "K-3.*was nowhere before"),
    ],
)
def test_a_repack_that_cannot_have_been_is_refused_with_its_line(repacks: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        world(*repacks)
    assert "registry.toml:" in str(refused.value)
