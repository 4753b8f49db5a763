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

LATEST_ANSWER_S = 5.0
"""A receipt that took longer says too little about the time."""

SURE_MS = 500
"""Estimates that differ by less than this beyond their uncertainty are one and the same."""


@dataclass(slots=True)
class _State:
    """One state of the clock.

    Parameters
    ----------
    since_ms : when it began, by itself [ms]
    id : its row in the spool; None until a reading needs it
    step_ms : by how much the next one was set forward
    """

    since_ms: int
    id: int | None = None
    offset_ms: int | None = None
    unsure_ms: int = 0
    step_ms: int = 0


class Clock:
    """Only `state` and `answered` write to the spool, and both change nothing if that fails."""

    def __init__(self, spool: Spool, now: Now) -> None:
        self._spool = spool
        self._states = [_State(now.ms)]
        self._distance_ms = now.ms - now.s * 1000

    def state(self) -> int:
        """The present state of the clock, as the readings that it stamps are to name it."""
        present = self._states[-1]
        if present.id is None:
            with self._spool.transaction():
                state = self._spool.new_clock(present.since_ms)
                if present.offset_ms is not None:
                    self._spool.set_offset(state, present.offset_ms)
            present.id = state
        return present.id

    @property
    def offset_ms(self) -> int | None:
        """What has to be added to this clock to have the service's time [ms]; None as long as nobody knows."""
        return self._states[-1].offset_ms

    def look(self, now: Now) -> int:
        """Notice that the clock was set; by how much [ms], 0 if it was not."""
        step_ms = round(now.ms - now.s * 1000 - self._distance_ms)
        if abs(step_ms) <= STEP_MS:
            return 0
        self._states[-1].step_ms = step_ms
        self._states.append(_State(now.ms))
        self._distance_ms = now.ms - now.s * 1000
        return step_ms

    def answered(self, sent: Now, at_ms: int, now: Now) -> None:
        """The service wrote `at_ms` after `sent`, when the message left, and before `now`, when its receipt came."""
        took_s = now.s - sent.s
        if not 0 <= took_s <= LATEST_ANSWER_S or abs(now.ms - sent.ms - took_s * 1000) > STEP_MS:
            return
        unsure_ms = round(took_s * 500)
        offset_ms = at_ms - now.ms + unsure_ms
        present = self._states[-1]
        if present.offset_ms is not None:
            if abs(offset_ms - present.offset_ms) <= unsure_ms + present.unsure_ms + SURE_MS:
                if 2 * unsure_ms < present.unsure_ms:  # the same offset, known better
                    self._learn([present], [offset_ms])
                    present.offset_ms, present.unsure_ms = offset_ms, unsure_ms
                return
            # It has drifted away: what was stamped before keeps the offset of its time.
            self._states = [_State(now.ms, None, offset_ms, unsure_ms)]
            return
        # A state that ended before anybody knew its offset differs from the next one by the step between them.
        offsets_ms = [offset_ms]
        for earlier in reversed(self._states[:-1]):
            offsets_ms.insert(0, offsets_ms[0] + earlier.step_ms)
        self._learn(self._states, offsets_ms)
        present.offset_ms, present.unsure_ms = offset_ms, unsure_ms
        self._states = [present]

    def _learn(self, states: list[_State], offsets_ms: list[int]) -> None:
        with self._spool.transaction():
            for state, offset_ms in zip(states, offsets_ms, strict=True):
                if state.id is not None:
                    self._spool.set_offset(state.id, offset_ms)
