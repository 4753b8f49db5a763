"""Registries of any size for the benchmarks, and the profile that judges them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from coldchain.profiles import StabilityProfile, load_profile
from coldchain.registry import Registry, parse_registry

START_MS = 1_760_000_000_000
DAY_MS, INTERVAL_MS = 86_400_000, 300_000
KITS_PER_ROW = 10_000
"""Of a custody file: CSV readers take no longer fields."""

TEMPLATE = Path(__file__).parents[1] / "rules" / "templates" / "usp-controlled-cold.toml"


def write_rules(folder: Path) -> None:
    """The same profile as a rule file, in a new folder `rules`."""
    (folder / "rules").mkdir()
    rules = TEMPLATE.read_text(encoding="utf-8").replace('profile = "usp-controlled-cold"', 'profile = "mab"')
    (folder / "rules" / "mab.toml").write_text(rules, encoding="utf-8")


def profile() -> StabilityProfile:
    """Controlled cold: three limits on time, one on MKT over 24 h, two on unknown time."""
    return replace(load_profile(TEMPLATE), name="mab")


def cold_room(kits: int, routes: int) -> Registry:
    """One room with one logger; its kits came in `routes` deliveries."""
    return fleet(kits, 1, loggers_per_place=1, routes_per_place=routes)


def fleet(kits: int, places: int, *, loggers_per_place: int = 2, routes_per_place: int = 4) -> Registry:
    """The registry of `fleet_tables`."""
    tables = fleet_tables(kits, places, loggers_per_place=loggers_per_place, routes_per_place=routes_per_place)
    return parse_registry(tables)


def fleet_tables(kits: int, places: int, *, loggers_per_place: int, routes_per_place: int) -> list[tuple[str, str]]:
    """Kits spread evenly over places, each with its loggers and its deliveries, as CSV text that users load."""
    loggers = [f"lg-{number + 1}" for number in range(places * loggers_per_place)]
    rooms = [f"room-{number + 1}" for number in range(places)]
    tables = {
        "logger.csv": ["id,logging_interval", *(f"{logger},5min" for logger in loggers)],
        "place.csv": ["id,kind", *(f"{room},storage" for room in rooms)],
        "monitoring.csv": ["place,logger,from"],
        "kit.csv": ["id,batch,trial,profile"],
        "custody.csv": ["kits,place,from"],
    }
    for number, logger in enumerate(loggers):
        tables["monitoring.csv"].append(f"{rooms[number // loggers_per_place]},{logger},2025-01-01T00:00:00Z")
    for number in range(places * routes_per_place):
        share = range(kits * number // (places * routes_per_place), kits * (number + 1) // (places * routes_per_place))
        names = [f"K-{kit:07}" for kit in share]
        tables["kit.csv"] += [f"{name},B-{number % 97},TRIAL-{number % 7},mab" for name in names]
        minute, second = divmod(number % routes_per_place, 60)
        came = f"2025-10-09T{9 + minute // 60:02}:{minute % 60:02}:{second:02}Z"
        for first in range(0, len(names), KITS_PER_ROW):
            some = " ".join(names[first : first + KITS_PER_ROW])
            tables["custody.csv"].append(f"{some},{rooms[number // routes_per_place]},{came}")
    return [(name, "\n".join(rows)) for name, rows in tables.items()]
