"""How many messages of one gateway are taken at once: what is beyond that waits, so that the others do not."""

from __future__ import annotations

from dataclasses import dataclass, field

FORGET_ABOVE = 10_000
"""Gateways remembered; those that have been quiet for long enough are forgotten beyond that."""


@dataclass(slots=True)
class Throttle:
    """A bucket for each gateway: it holds `burst` messages and fills by `per_s` of them a second."""

    per_s: float
    burst: float
    _full_at_s: dict[str, float] = field(default_factory=dict)

    def admits(self, gateway: str, now_s: float) -> bool:
        """Whether a message of a gateway is within its limit at this monotonic instant [s]; if so it counts."""
        full_at_s = max(self._full_at_s.get(gateway, now_s), now_s) + 1 / self.per_s
        if full_at_s - now_s > self.burst / self.per_s:
            return False
        if len(self._full_at_s) >= FORGET_ABOVE and gateway not in self._full_at_s:
            self._full_at_s = {name: at_s for name, at_s in self._full_at_s.items() if at_s > now_s}
        self._full_at_s[gateway] = full_at_s
        return True
