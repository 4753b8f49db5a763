"""The gateway's own clock: how wrong is it, and how wrong was it when it stamped a reading?

Recorded times are never changed. Each state of the clock (from the start of the process, or from a moment at which
somebody set it, to the next) is a row in the spool; readings that the clock stamped name their state, and messages
carry its offset. When the offset becomes known it holds for all readings of the state, earlier ones too.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateways.agent.flow import Now
from gateways.agent.spool import Spool

STEP_MS = 1000
"""A wall clock that moves against the monotonic one by more was set; less is a clock that is being steered."""

LATEST_ANSWER_S = 10.0
"""A receipt that took longer says too little about the time."""

SURE_MS = 500
"""Estimates that differ by less than this beyond their uncertainty are one and the same."""


@dataclass(slots=True)
class _State:
    """One state of the clock; `step_ms`: by how much the next one was set forward."""

    id: int
    offset_ms: int | None = None
    unsure_ms: int = 0
    step_ms: int = 0


class Clock:
    """`state` is the id of the present one, for readings that the clock stamps."""

    def __init__(self, spool: Spool, now: Now) -> None:
        self._spool = spool
        with spool.transaction():
            self._states = [_State(spool.new_clock(now.ms))]
        self._distance_ms = now.ms - now.s * 1000

    @property
    def state(self) -> int:
        """The present state of the clock."""
        return self._states[-1].id

    @property
    def offset_ms(self) -> int | None:
        """What has to be added to this clock to have the service's time [ms]; None as long as nobody knows."""
        return self._states[-1].offset_ms

    def look(self, now: Now) -> int:
        """Notice that the clock was set; by how much [ms], 0 if it was not."""
        step_ms = round(now.ms - now.s * 1000 - self._distance_ms)
        if abs(step_ms) <= STEP_MS:
            return 0
        self._new_state(now, step_ms)
        self._distance_ms = now.ms - now.s * 1000
        return step_ms

    def answered(self, sent: Now, at_ms: int, now: Now) -> None:
        """The service wrote `at_ms` after `sent`, when the message left, and before `now`, when its receipt came."""
        took_s = now.s - sent.s
        if not 0 <= took_s <= LATEST_ANSWER_S or abs(now.ms - sent.ms - took_s * 1000) > STEP_MS:
            return
        unsure_ms = round(took_s * 500)
        offset_ms = at_ms - now.ms + unsure_ms
        last = self._states[-1]
        if last.offset_ms is not None:
            if abs(offset_ms - last.offset_ms) <= unsure_ms + last.unsure_ms + SURE_MS:
                return
            self._new_state(now, 0)  # it has drifted away: what was stamped before keeps the offset of its time
        self._learned(offset_ms, unsure_ms)

    def _new_state(self, now: Now, step_ms: int) -> None:
        with self._spool.transaction():
            state = _State(self._spool.new_clock(now.ms))
        self._states[-1].step_ms = step_ms
        self._states.append(state)

    def _learned(self, offset_ms: int, unsure_ms: int) -> None:
        with self._spool.transaction():
            self._spool.set_offset(self._states[-1].id, offset_ms)
            self._states[-1].offset_ms, self._states[-1].unsure_ms = offset_ms, unsure_ms
            # A state that ended before anybody knew its offset differs from the next one by the step between them.
            for earlier, later in zip(reversed(self._states[:-1]), reversed(self._states[1:]), strict=True):
                if earlier.offset_ms is not None or later.offset_ms is None:
                    break
                earlier.offset_ms = later.offset_ms + earlier.step_ms
                self._spool.set_offset(earlier.id, earlier.offset_ms)
        del self._states[:-1]
