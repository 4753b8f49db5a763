"""What the job is about: the rule's numbers, the answer of a kit, and what all contestants are run with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

START_MS = 1_772_359_200_000
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
INTERVAL_MS, GAP_AFTER_MS = 5 * MINUTE_MS, 10 * MINUTE_MS
HIGH_MC = 8_000
A_K = 10_000.0
"""Activation energy / R [K] of MKT, at the default of 83.144 kJ/mol."""

MKT_TOLERANCE_C = 1e-7


class Message(NamedTuple):
    """One MQTT message as it arrives. Messages sort by arrival."""

    received_ms: int
    topic: str
    payload: bytes


class Exposure(NamedTuple):
    """What a kit has been through: time above 8 degC and known time [ms], MKT [degC]; None: nothing is known."""

    above_ms: int
    known_ms: int
    mkt_c: float | None

    def unknown_ms(self, custody_ms: int) -> int:
        """What of the custody is not known [ms]."""
        return custody_ms - self.known_ms

    def agrees(self, exact: Exposure) -> bool:
        """Whether this is right: times to the millisecond, MKT to a ten-millionth of a degree."""
        if (self.above_ms, self.known_ms) != (exact.above_ms, exact.known_ms):
            return False
        if self.mkt_c is None or exact.mkt_c is None:
            return self.mkt_c is exact.mkt_c
        return abs(self.mkt_c - exact.mkt_c) <= MKT_TOLERANCE_C


Exposures = Mapping[str, Exposure]
"""By logger, which stands for its kit."""

Job = Callable[[Sequence[Message], int], Exposures]
"""From messages in order of arrival, and the end of all custody [ms], to what every kit has been through."""


class Run(NamedTuple):
    """What one run of a contestant gave, and what it cost: CPU seconds, of whom `Contestant.counted` says."""

    exposures: Exposures
    cpu_s: float


class Contestant(NamedTuple):
    """One row of the table. `lines` of code of the job, without blank ones, comments and docstrings.

    `is_by_the_clock`: it takes as long as the clock says, so it is timed once only, and not at all in a quick run.
    """

    name: str
    lines: int
    run: Callable[[Sequence[Message], int], Run]
    counted: str = "itself"
    is_by_the_clock: bool = False


def in_process(job: Job) -> Callable[[Sequence[Message], int], Run]:
    """Run a job in this process, all its threads counted."""

    def run(messages: Sequence[Message], end_ms: int) -> Run:
        began = time.process_time()
        exposures = job(messages, end_ms)
        return Run(exposures, time.process_time() - began)

    return run
