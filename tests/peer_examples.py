"""Small messages for the peers: what they must get right, and one example of each way to be wrong."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from benchmarks.peers import exact, traffic
from benchmarks.peers.contest import count_right
from benchmarks.peers.job import DAY_MS, INTERVAL_MS, START_MS, Exposures, Message
from benchmarks.peers.traffic import Scenario

END_MS = START_MS + DAY_MS
SCENARIOS = traffic.scenarios(loggers=8, days=1)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def right(scenario: Scenario, found: Exposures) -> bool:
    """Whether every kit's answer is right."""
    return count_right(found, exact.exposures(scenario.recordings)) == len(scenario.recordings)


def message(first: int, mc: Iterable[int | None]) -> Message:
    """Readings of the one logger from the `first` interval after the start on."""
    at_ms = START_MS + first * INTERVAL_MS
    payload = {"v": 1, "logger": "lg-0", "channel": "1", "t0": at_ms, "every": INTERVAL_MS, "mc": list(mc)}
    return Message(at_ms + DAY_MS, "coldchain/v1/basel/gw-1/lg-0/readings", orjson.dumps(payload))


LATE = [message(1, [5000] * 6), message(13, [5000] * 6), message(7, [9000] * 6)]
"""Six readings above 8 degC arrive after those that followed them."""

DOUBLED = [message(1, [9000] * 6), message(7, [5000] * 6), message(1, [9000] * 6)]
"""Six readings above 8 degC arrive again after those that followed them."""

FAR_APART = [message(1, [9000] * 6), message(100, [5000] * 6)]
"""Nothing is known of more than seven hours."""

ONE_LOST = [message(1, [9000] * 6), message(8, [9000] * 6)]
"""One reading is missing: the next covers its interval too."""

SIX_MS, TWELVE_MS, EIGHTEEN_MS = 6 * INTERVAL_MS, 12 * INTERVAL_MS, 18 * INTERVAL_MS
