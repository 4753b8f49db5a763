"""What a scenario found, one JSON line each, and the page that `make faults` makes of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One scenario or one control. `lost` of a control is what it lost, as it must: `is_good` says so."""

    promise: str
    what: str
    count: int
    unit: str
    lost: int
    doubled: int
    uncaught: int
    seed: int
    seconds: float
    is_good: bool
    is_control: bool = False
    note: str = ""

    def line(self) -> str:
        return json.dumps(asdict(self))


def read(path: Path) -> list[Figure]:
    """The figures that some lane has written so far."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Figure(**json.loads(line)) for line in lines if '"promise"' in line]
