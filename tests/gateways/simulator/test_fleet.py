"""A fleet of any size is a sound registry with whole routes, and the same seed is the same fleet."""

from __future__ import annotations

import csv
import tracemalloc
from collections import Counter, defaultdict
from itertools import islice, pairwise
from pathlib import Path

import pytest

from coldchain.errors import BadInput
from coldchain.model import CustodySegment
from coldchain.registry import load_registry
from gateways.simulator import fleet as fleets
from gateways.simulator import registry_tables
from gateways.simulator.fleet import Fleet
from gateways.simulator.places import KINDS

START_MS = 1_772_409_600_000


def tables(fleet: Fleet) -> registry_tables.Tables:
    everything = fleets.loggers(fleet), fleets.places(fleet), fleets.monitoring(fleet)
    return registry_tables.Tables(*everything, fleets.kits(fleet), fleets.custody(fleet))


@pytest.mark.parametrize("kits", [1, 2, 21, 2_345])
def test_the_registry_accepts_the_files_of_a_fleet_of_any_size_and_csv_says_what_toml_says(
    tmp_path: Path, kits: int
) -> None:
    fleet = fleets.fleet(kits, 5, 3, START_MS)
    from_csv = load_registry(*registry_tables.write_csv(tables(fleet), tmp_path))
    (tmp_path / "registry.toml").write_text(registry_tables.as_toml(tables(fleet)))
    from_toml = load_registry(tmp_path / "registry.toml")
    assert len(from_csv.kits) == kits
    for name in ("loggers", "places", "monitoring", "kits", "custody"):
        assert getattr(from_csv, name) == getattr(from_toml, name)


def test_each_kit_is_at_one_watched_place_at_every_moment() -> None:
    fleet = fleets.fleet(1_000, 5, 1, START_MS)
    spots = {spot.id: spot for spot in fleet.spots}
    routes: dict[str, list[CustodySegment]] = defaultdict(list)
    for together, segment in fleets.custody(fleet):
        for kit in together:
            routes[kit].append(segment)
    assert set(routes) == {kit.id for kit in fleets.kits(fleet)}
    kinds: Counter[tuple[str, ...]] = Counter()
    for route in routes.values():
        assert route[0].from_ms == fleet.start_ms
        assert route[-1].to_ms is None
        for here, there in pairwise(route):
            assert here.to_ms == there.from_ms
        for segment in route:
            spot, interval_ms = spots[segment.place], KINDS[spots[segment.place].kind].interval_ms
            assert spot.from_ms <= max(fleet.start_ms, segment.from_ms - interval_ms)
            assert spot.to_ms >= min(fleet.end_ms, (segment.to_ms or fleet.end_ms) + interval_ms)
            assert (segment.from_ms - fleet.start_ms) % interval_ms == 0
            assert fleet.start_ms <= segment.from_ms < fleet.end_ms
        kinds[tuple(spots[segment.place].kind for segment in route)] += 1
    assert kinds == {
        ("cold-room", "shipper", "fridge", "home-fridge"): 120,
        ("cold-room", "shipper", "fridge"): 480,
        ("cold-room",): 360,
        ("room",): 40,
    }


def test_even_one_kit_goes_the_whole_way() -> None:
    (lot,) = fleets.fleet(1, 1, 1, START_MS).lots
    assert [segment.place for segment in lot.route] == [
        "depot-01-cold-room",
        "shipper-00001",
        "site-0001-fridge",
        "home-00001",
    ]


def test_ids_are_unique_and_topics_hold_lower_case_words_only() -> None:
    fleet = fleets.fleet(3_000, 2, 1, START_MS)
    loggers = [logger for spot in fleet.spots for logger in spot.loggers]
    assert len(set(loggers)) == len(loggers)
    assert len({spot.id for spot in fleet.spots}) == len(fleet.spots)
    for spot in fleet.spots:
        for word in (spot.site, spot.gateway, *spot.loggers):
            assert word.replace("-", "").isalnum()
            assert word == word.lower()
            assert not any(told in word for told in ("patient", "mab", "trial"))


def test_the_same_seed_is_the_same_fleet_and_another_is_not(tmp_path: Path) -> None:
    def written(seed: int) -> list[bytes]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        return [
            path.read_bytes()
            for path in registry_tables.write_csv(tables(fleets.fleet(500, 3, seed, START_MS)), folder)
        ]

    assert written(7) == written(7)
    assert written(7)[3:] != written(8)[3:]


def test_a_kits_number_does_not_tell_its_arm() -> None:
    arms = [kit.profile for kit in fleets.kits(fleets.fleet(500, 3, 1, START_MS)) if kit.blind_group]
    assert 0.4 < arms.count("mab-017") / len(arms) < 0.6
    for period in range(1, 25):
        assert any(arms[i] != arms[i + period] for i in range(len(arms) - period))


def test_kits_and_custody_of_a_million_are_never_held(tmp_path: Path) -> None:
    """A tenth of it is enough to tell holding from streaming: rows that were kept would need many times as much."""
    fleet = fleets.fleet(1_000_000, 30, 1, START_MS)
    assert len({spot.kind for spot in fleet.spots}) == 6
    some = tables(fleet)
    few = registry_tables.Tables([], [], [], islice(some.kits, 100_000), islice(some.custody, 20_000))
    tracemalloc.start()
    registry_tables.write_csv(few, tmp_path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000
    with (tmp_path / "custody.csv").open(newline="") as file:
        assert max(len(row["kits"]) for row in csv.DictReader(file)) < csv.field_size_limit()


@pytest.mark.parametrize(
    ("kits", "days", "seed", "key"),
    [(0, 1, 1, "kits"), (1_000_001, 1, 1, "kits"), (1, 0, 1, "days"), (1, 1, -1, "seed")],
)
def test_what_cannot_be_simulated_is_refused_by_name(kits: int, days: int, seed: int, key: str) -> None:
    with pytest.raises(BadInput) as refused:
        fleets.fleet(kits, days, seed, START_MS)
    assert refused.value.key == key
