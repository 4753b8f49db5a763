"""The disk that the ledger lies on: how full it is, and what must not be done any more at that.

Full is counted as `df` counts: what others than the administrator can still use, of what they ever could.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from coldchain.errors import EnvironmentFailed

LOOK_EVERY_S = 1.0

CALM_BELOW = 2.0
"""How far below the alarm [percent points] it has to fall before the alarm ends, so that it does not come and go."""


class Room(StrEnum):
    """What the room on the disk allows."""

    ENOUGH = "enough"
    HOLDING = "holding"
    """Live data only: gateways are asked to keep their backlog."""
    STOPPED = "stopped"
    """Nothing is committed or acknowledged."""


def used_percent(path: Path) -> float:
    """How full the file system of a file is [%]; EnvironmentFailed if the system does not tell."""
    try:
        found = os.statvfs(path.parent)
    except OSError as exc:
        raise EnvironmentFailed(f"disk of {path}", f"does not say how full it is: {exc}") from exc
    used = found.f_blocks - found.f_bfree
    usable = used + found.f_bavail
    return 100.0 * used / usable if usable else 0.0


def room_at(percent: float, alarm_percent: int, stop_percent: int, before: Room = Room.ENOUGH) -> Room:
    """What a disk so full allows, after what it allowed `before`."""
    if percent >= stop_percent:
        return Room.STOPPED
    calm = alarm_percent - (CALM_BELOW if before is not Room.ENOUGH else 0.0)
    return Room.HOLDING if percent >= calm else Room.ENOUGH


class DiskGuard:
    """Looks at the disk at most once a second. Any thread may ask."""

    def __init__(
        self, path: Path, alarm_percent: int, stop_percent: int, measure: Callable[[Path], float] = used_percent
    ) -> None:
        self._path, self._alarm_percent, self._stop_percent = path, alarm_percent, stop_percent
        self._measure = measure
        self._look_at_s = 0.0
        self.percent, self._room = 0.0, Room.ENOUGH

    def look(self) -> Room:
        """What the disk allows now; if it does not answer, what it did before: the ledger's error says more."""
        now_s = time.monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_EVERY_S
            try:
                self.percent = self._measure(self._path)
            except EnvironmentFailed:
                return self._room
            self._room = room_at(self.percent, self._alarm_percent, self._stop_percent, self._room)
        return self._room

    @property
    def is_holding(self) -> bool:
        """Whether gateways shall keep their backlog back: `hold` of a receipt."""
        return self.look() is not Room.ENOUGH

    def check(self) -> None:
        """EnvironmentFailed if the disk is too full to write anything more to the ledger."""
        if self.look() is Room.STOPPED:
            raise EnvironmentFailed(
                f"disk of {self._path}",
                f"{self.percent:.1f} % full, nothing is stored from {self._stop_percent} % on ([ledger] stop_percent)",
            )
