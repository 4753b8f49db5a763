"""Alarms: what a person at the site or at the sponsor has to know about this gateway, as long as it is so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger("coldchain-gateway")


@dataclass(slots=True)
class Alarms:
    """Raised and cleared by name; each is logged when it begins, changes or ends, never once per reading."""

    clock_ms: Callable[[], int]
    active: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Since when [ms], and what is the matter."""
    is_changed: bool = False

    def set(self, name: str, problem: str) -> None:
        """Raise an alarm, or clear it if `problem` is empty."""
        before = self.active.get(name)
        if problem == (before[1] if before else ""):
            return
        self.is_changed = True
        if problem:
            self.active[name] = (before[0] if before else self.clock_ms(), problem)
            log.error("alarm %s: %s", name, problem)
        else:
            del self.active[name]
            log.info("alarm %s: over", name)

    def document(self) -> list[dict[str, object]]:
        """As they stand in the status message."""
        return [
            {"alarm": name, "since": since_ms, "problem": problem}
            for name, (since_ms, problem) in sorted(self.active.items())
        ]
