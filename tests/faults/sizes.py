"""How much of everything: one place for the short form of `make test` and the full numbers of `make faults`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """The amounts of every scenario; seconds where a name says `_s`."""

    name: str
    kills: int
    control_kills: int
    broker_kills: int
    agent_kills: int
    lives: int
    steps_apart: int
    payloads: int
    stored_payloads: int
    locked_s: float
    hole_s: float
    trickle_s: float
    cuts: int
    jumps: int
    fleet: int
    fleet_hours: int
    faster: int
    flood_per_s: int
    flood_s: int


SHORT = Size(
    name="short",
    kills=8,
    control_kills=3,
    broker_kills=2,
    agent_kills=2,
    lives=8,
    steps_apart=16,
    payloads=10_000,
    stored_payloads=200,
    locked_s=1.0,
    hole_s=1.5,
    trickle_s=1.0,
    cuts=2,
    jumps=4,
    fleet=50,
    fleet_hours=6,
    faster=8_000,
    flood_per_s=2_000,
    flood_s=3,
)

FULL = Size(
    name="full",
    kills=1_000,
    control_kills=40,
    broker_kills=60,
    agent_kills=40,
    lives=400,
    steps_apart=1,
    payloads=1_000_000,
    stored_payloads=5_000,
    locked_s=30.0,
    hole_s=90.0,
    trickle_s=30.0,
    cuts=20,
    jumps=16,
    fleet=500,
    fleet_hours=72,
    faster=1_000,
    flood_per_s=10_000,
    flood_s=30,
)
