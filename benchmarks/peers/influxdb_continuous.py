"""InfluxDB 1.x with continuous queries: hourly counts and sums, which the server keeps up while the data come in.

A continuous query runs by the clock, over the hours before, so its data have to be of now. Here the clock goes faster:
an hour of the trial lasts 150 ms, instants and windows shrink alike, and each message is written at its time. RESAMPLE
FOR says how far back the hours are counted again; what comes later is in the store, but in no hour.
Each point stands for five minutes: no window of InfluxQL holds the time since the point before.
"""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Sequence

from benchmarks.peers import processes
from benchmarks.peers.influxdb_query import ask, lines, with_a_server, write
from benchmarks.peers.job import A_K, HOUR_MS, INTERVAL_MS, START_MS, Exposure, Exposures, Message, Run

FASTER = 24_000
SHORT_HOUR_MS = HOUR_MS // FASTER
CLOCK = """
[continuous_queries]
log-enabled = false
run-interval = "10ms"
"""
"""How often the server looks whether a query is due; once a second by default."""

USUAL = "EVERY 1h FOR 4h"
PATIENT = "EVERY 6h FOR 48h"
SETTLED_MS = 14 * HOUR_MS
"""After the last message; by then a patient query has run again."""

CONTINUOUS = """
CREATE CONTINUOUS QUERY known ON trial RESAMPLE {resample} BEGIN
  SELECT count(c) AS known INTO hourly FROM readings GROUP BY time(1h), logger END;
CREATE CONTINUOUS QUERY above ON trial RESAMPLE {resample} BEGIN
  SELECT count(c) AS above INTO hourly FROM readings WHERE c > 8 GROUP BY time(1h), logger END;
CREATE CONTINUOUS QUERY weight ON trial RESAMPLE {resample} BEGIN
  SELECT sum(w) AS weight INTO hourly FROM (SELECT exp(-{a} / (c + 273.15)) AS w FROM readings GROUP BY logger)
  GROUP BY time(1h), logger END
"""
ANSWERS = "SELECT sum(known), sum(above), {a} / -ln(sum(weight) / sum(known)) - 273.15 FROM hourly GROUP BY logger"


def job(server: http.client.HTTPConnection, resample: str, messages: Sequence[Message], end_ms: int) -> Exposures:
    """Say what is to be counted, write each message when it is due, and in the end ask for the hours."""
    ask(server, "CREATE DATABASE trial")
    ask(server, in_short_hours(CONTINUOUS.format(resample=resample, a=A_K)))
    clock = ShortHours()
    rest = sorted(messages, reverse=True)
    while rest:
        clock.wait(rest[-1].received_ms)
        now_ms, due = clock.now_ms(), []
        while rest and rest[-1].received_ms <= now_ms:
            due.append(rest.pop())
        write(server, lines(due, clock.stamp), "u")
        clock.must_not_be_after(now_ms + HOUR_MS)
    clock.wait(max(end_ms, messages[-1].received_ms) + SETTLED_MS)
    (told,) = ask(server, ANSWERS.format(a=A_K))
    hours = {one["tags"]["logger"]: one["values"][0][1:] for one in told["series"]}
    return {
        logger: Exposure((above or 0) * INTERVAL_MS, known * INTERVAL_MS, mkt_c)
        for logger, (known, above, mkt_c) in hours.items()
    }


class ShortHours:
    """The time of the trial, which begins with the next short hour of the clock."""

    def __init__(self) -> None:
        self._began_us = (time.time_ns() // 1_000_000 // SHORT_HOUR_MS + 1) * SHORT_HOUR_MS * 1000

    def now_ms(self) -> int:
        """Now in the trial [ms]."""
        return START_MS + (time.time_ns() // 1000 - self._began_us) * FASTER // 1000

    def stamp(self, at_ms: int) -> int:
        """When an instant of the trial is on the clock [us]."""
        return self._began_us + (at_ms - START_MS) * 1000 // FASTER

    def wait(self, until_ms: int) -> None:
        """Until an instant of the trial."""
        time.sleep(max(0, until_ms - self.now_ms()) / FASTER / 1000)

    def must_not_be_after(self, latest_ms: int) -> None:
        """Raises NoAnswer if this machine is too slow for so fast a clock."""
        if self.now_ms() > latest_ms:
            raise processes.NoAnswer("too busy to write what comes in an hour within the next, which lasts 150 ms")


def in_short_hours(query: str) -> str:
    """A query with every duration in hours as short as the hours are here."""
    return re.sub(r"\b(\d+)h\b", lambda hours: f"{int(hours[1]) * SHORT_HOUR_MS}ms", query)


def contestant(resample: str) -> Callable[[Sequence[Message], int], Run]:
    """Run the job with queries that count again as `resample` says."""
    return with_a_server(lambda server, messages, end_ms: job(server, resample, messages, end_ms), CLOCK)
