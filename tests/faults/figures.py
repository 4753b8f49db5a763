"""What a scenario found and how far it is: one JSON line each, written by the tests, read by `make faults`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple


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
    return [Figure(**json.loads(line)) for line in _lines(path) if line.startswith('{"promise"')]


class Step(NamedTuple):
    """How far a test is."""

    name: str
    done: int
    of: int


def last_step(path: Path) -> Step | None:
    """How far a lane is, None before it has said so."""
    for line in reversed(_lines(path)):
        if line.startswith('{"step"'):
            said = json.loads(line)
            return Step(said["step"].removeprefix("test_").replace("_", " ")[:50], said["done"], said["of"])
    return None


def _lines(path: Path) -> list[str]:
    """The lines that are whole: one may just be written."""
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
