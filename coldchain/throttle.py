"""How many messages of one gateway are taken at once: what is beyond that waits, so that the others do not."""

from __future__ import annotations

from dataclasses import dataclass, field

FORGET_ABOVE = 10_000
"""Gateways remembered; those that have been quiet for long enough are forgotten beyond that."""


@dataclass(slots=True)
class _Level:
    """How many messages stood in a bucket that leaks, and when [monotonic s]."""

    messages: float
    at_s: float


@dataclass(slots=True)
class Throttle:
    """A leaky bucket for each gateway: it holds `burst` messages and lets `per_s` of them out a second."""

    per_s: float
    burst: float
    _levels: dict[str, _Level] = field(default_factory=dict)

    def admits(self, gateway: str, now_s: float) -> bool:
        """Whether a message of a gateway is within its limit at this monotonic instant [s]; if so it counts."""
        level = self._levels.get(gateway)
        if level is None:
            if len(self._levels) >= FORGET_ABOVE:
                self._levels = {name: level for name, level in self._levels.items() if self._left(level, now_s)}
            level = self._levels[gateway] = _Level(0.0, now_s)
        messages = self._left(level, now_s) + 1
        if messages > self.burst:
            return False
        level.messages, level.at_s = messages, now_s
        return True

    def _left(self, level: _Level, now_s: float) -> float:
        left = level.messages - (now_s - level.at_s) * self.per_s
        return left if left > 0.0 else 0.0
