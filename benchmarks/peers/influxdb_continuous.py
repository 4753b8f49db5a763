"""InfluxDB 1.x with continuous queries: hourly counts and sums, which the server keeps up while the data come in.

A continuous query runs by the clock, over the hours before, so its data have to be of now. Here the clock goes faster:
an hour of the trial lasts 150 ms, or 450 on a busy machine, instants and windows shrink alike, and each message is
written at its time. RESAMPLE FOR says how far back the hours are counted again; what comes later is in no hour.
Each point stands for five minutes: no window of InfluxQL holds the time since the point before.
"""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.peers import processes
from benchmarks.peers.influxdb_query import ask, lines, with_a_server, write
from benchmarks.peers.job import A_K, HOUR_MS, INTERVAL_MS, START_MS, Exposure, Exposures, Message, Run

SPEEDS = 24_000, 8_000
"""How many times as fast the clock goes; the next one if the machine cannot follow."""

CLOCK = """
[continuous_queries]
log-enabled = false
run-interval = "10ms"
"""
"""How often the server looks whether a query is due; once a second by default."""

SHARE_KEPT_UP = 0.9
"""At least this share of the queries that were due must have run."""


class Resample(NamedTuple):
    """Every so many hours the last so many are counted again."""

    every_h: int
    for_h: int

    def __str__(self) -> str:
        return f"EVERY {self.every_h}h FOR {self.for_h}h"


USUAL, PATIENT = Resample(1, 4), Resample(6, 48)

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

LAST = "nobody"
LAST_HOUR = "SELECT last(known), last(above), last(weight) FROM hourly WHERE logger = 'nobody'"
PATIENCE_HOURS = 100


class TooBusy(processes.NoAnswer):
    """This machine cannot follow so fast a clock."""


def job(
    server: http.client.HTTPConnection, resample: Resample, speed: int, messages: Sequence[Message], end_ms: int
) -> Exposures:
    """Say what is to be counted, write each message when it is due, and in the end ask for the hours."""
    clock = ShortHours(speed)
    ask(server, "CREATE DATABASE trial")
    ask(server, clock.shortened(CONTINUOUS.format(resample=resample, a=A_K)))
    clock.begin()
    rest = sorted(messages, reverse=True)
    while rest:
        clock.wait(rest[-1].received_ms)
        now_ms, due = clock.now_ms(), []
        while rest and rest[-1].received_ms <= now_ms:
            due.append(rest.pop())
        write(server, lines(due, clock.stamp), "u")
        clock.must_not_be_after(now_ms + HOUR_MS)
    clock.wait(max(end_ms, messages[-1].received_ms) + HOUR_MS)
    _wait_until_counted(server, clock, resample)
    (told,) = ask(server, ANSWERS.format(a=A_K))
    hours = {one["tags"]["logger"]: one["values"][0][1:] for one in told["series"]}
    return {
        logger: Exposure((above or 0) * INTERVAL_MS, known * INTERVAL_MS, mkt_c)
        for logger, (known, above, mkt_c) in hours.items()
        if logger != LAST
    }


def _wait_until_counted(server: http.client.HTTPConnection, clock: ShortHours, resample: Resample) -> None:
    """Until every query has run over all that is written: a last point, of no logger of the trial, is in its hour.

    Raises TooBusy if that takes too long, or if the queries have not run as often as they were due.
    """
    write(server, iter([f"readings,logger={LAST} c=9 {clock.stamp(clock.now_ms())}"]), "u")
    patience_ms = clock.now_ms() + (PATIENCE_HOURS + resample.every_h) * HOUR_MS
    while not any(None not in one["values"][0] for one in ask(server, LAST_HOUR)[0].get("series", ())):
        clock.must_not_be_after(patience_ms)
        time.sleep(0.01)
    due = len(re.findall("CREATE", CONTINUOUS)) * (clock.now_ms() - START_MS) // (resample.every_h * HOUR_MS)
    (counters,) = ask(server, "SHOW STATS FOR 'cq'")[0]["series"]
    run = dict(zip(counters["columns"], counters["values"][0], strict=True))["queryOk"]
    if run < SHARE_KEPT_UP * due:
        raise TooBusy(f"too busy to run the continuous queries: {run} of {due}")


class ShortHours:
    """The time of the trial at a speed; it begins with a short hour of the clock."""

    def __init__(self, speed: int) -> None:
        self._speed, self._hour_ms, self._began_us = speed, HOUR_MS // speed, 0

    def begin(self) -> None:
        """With the next short hour."""
        self._began_us = (time.time_ns() // 1_000_000 // self._hour_ms + 1) * self._hour_ms * 1000

    def now_ms(self) -> int:
        """Now in the trial [ms]."""
        return START_MS + (time.time_ns() // 1000 - self._began_us) * self._speed // 1000

    def stamp(self, at_ms: int) -> int:
        """When an instant of the trial is on the clock [us]."""
        return self._began_us + (at_ms - START_MS) * 1000 // self._speed

    def wait(self, until_ms: int) -> None:
        """Until an instant of the trial."""
        time.sleep(max(0, until_ms - self.now_ms()) / self._speed / 1000)

    def must_not_be_after(self, latest_ms: int) -> None:
        """Raises TooBusy if it is."""
        if self.now_ms() > latest_ms:
            raise TooBusy(f"too busy to follow a clock whose hours last {self._hour_ms} ms")

    def shortened(self, query: str) -> str:
        """A query with its hours as short as they are here."""
        return re.sub(r"\b(\d+)h\b", lambda hours: f"{int(hours[1]) * self._hour_ms}ms", query)


def contestant(resample: Resample) -> Callable[[Sequence[Message], int], Run]:
    """Run the job with queries that count again as `resample` says, as fast as this machine can follow."""

    def run(messages: Sequence[Message], end_ms: int) -> Run:
        *faster, slowest = (
            with_a_server(lambda server, *data, speed=speed: job(server, resample, speed, *data), CLOCK)
            for speed in SPEEDS
        )
        for run_at_speed in faster:
            try:
                return run_at_speed(messages, end_ms)
            except TooBusy:
                continue
        return slowest(messages, end_ms)

    return run
