"""InfluxDB 1.x: points of a series by time, so late and doubled data are no trouble; then InfluxQL.

InfluxQL cannot hold the time since the point before beside the point's value, so a rule on intervals has to be said by
windows. `GROUP BY time(5m) fill(previous)` is what its guides and continuous queries do: the last value stands until
the next, however long that takes. Without filling, each point stands for five minutes, also after a lost one.
A null cannot be stored: a fault is no point.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from benchmarks.peers import processes
from benchmarks.peers.job import A_K, INTERVAL_MS, START_MS, Exposure, Exposures, Message, Run

CONF = """
reporting-disabled = true
bind-address = "127.0.0.1:{backup}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
index-version = "tsi1"
query-log-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
[monitor]
store-enabled = false
"""
LINES_PER_WRITE = 5_000

FILL_PREVIOUS = """
SELECT mean(c) AS c FROM readings WHERE time > {start}ms AND time <= {end}ms
GROUP BY logger, time(5m) fill(previous)
"""
EACH_POINT = """
SELECT c FROM readings WHERE time > {start}ms AND time <= {end}ms GROUP BY logger
"""
ANSWERS = """
SELECT count(c) AS known FROM ({points}) GROUP BY logger;
SELECT count(c) AS above FROM ({points}) WHERE c > 8 GROUP BY logger;
SELECT {a} / -ln(mean(w)) - 273.15 AS mkt FROM (SELECT exp(-{a} / (c + 273.15)) AS w FROM ({points})) GROUP BY logger
"""


def lines(messages: Sequence[Message], stamp: Callable[[int], int] = int) -> Iterator[str]:
    """Line protocol. `stamp`: what is written for an instant [ms]."""
    for message in messages:
        document = orjson.loads(message.payload)
        logger, t0, every = document["logger"], document["t0"], document.get("every", 0)
        for i, mc in enumerate(document["mc"]):
            if mc is not None:
                yield f"readings,logger={logger} c={mc / 1000} {stamp(t0 + i * every)}"


def job(server: http.client.HTTPConnection, points: str, messages: Sequence[Message], end_ms: int) -> Exposures:
    """Write everything, then ask."""
    ask(server, "CREATE DATABASE trial")
    write(server, lines(messages), "ms")
    told = ask(server, ANSWERS.format(points=points.format(start=START_MS, end=end_ms), a=A_K))
    known, above, mkt_c = (
        {one["tags"]["logger"]: one["values"][0][1] for one in each.get("series", ())} for each in told
    )
    return {
        logger: Exposure(above.get(logger, 0) * INTERVAL_MS, known[logger] * INTERVAL_MS, mkt_c[logger])
        for logger in known
    }


def write(server: http.client.HTTPConnection, points: Iterator[str], precision: str) -> None:
    """Write lines to the database of the trial, some thousand at a time."""
    while batch := list(islice(points, LINES_PER_WRITE)):
        _post(server, f"/write?db=trial&precision={precision}", "\n".join(batch).encode())


def ask(server: http.client.HTTPConnection, question: str) -> list[Any]:
    """The result of each statement of a question to the database of the trial."""
    results: list[Any] = json.loads(_post(server, "/query?" + urlencode({"q": question, "db": "trial"})))["results"]
    return results


def _post(server: http.client.HTTPConnection, path: str, body: bytes = b"") -> bytes:
    server.request("POST", path, body)
    answer = server.getresponse()
    said = answer.read()
    if answer.status >= 300 or b'"error"' in said:
        raise processes.NoAnswer(f"InfluxDB says {answer.status}: {said[:500]!r}")
    return said


def contestant(points: str) -> Callable[[Sequence[Message], int], Run]:
    """Run the job with a query over all points."""
    return with_a_server(lambda server, messages, end_ms: job(server, points, messages, end_ms))


def with_a_server(
    job: Callable[[http.client.HTTPConnection, Sequence[Message], int], Exposures], more_conf: str = ""
) -> Callable[[Sequence[Message], int], Run]:
    """Run a job with a server of its own; its CPU seconds are those of the writer and of the server."""

    def run(messages: Sequence[Message], end_ms: int) -> Run:
        with (
            tempfile.TemporaryDirectory() as folder,
            _server(Path(folder), more_conf) as (pid, port),
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as server,
        ):
            began = time.process_time() + processes.cpu_seconds(pid)
            exposures = job(server, messages, end_ms)
            took = time.process_time() + processes.cpu_seconds(pid) - began
        return Run(exposures, took)

    return run


@contextlib.contextmanager
def _server(folder: Path, more_conf: str) -> Iterator[tuple[int, int]]:
    """influxd, as long as it is needed: its process id and port."""
    program = processes.program("influxd")
    assert program is not None
    port = processes.free_port()
    conf = CONF.format(folder=folder, port=port, backup=processes.free_port())
    (folder / "influxdb.conf").write_text(conf + more_conf, encoding="utf-8")
    command = [program, "run", "-config", str(folder / "influxdb.conf")]
    with processes.running(command, folder, lambda: _answers(port)) as pid:
        yield pid, port


def _answers(port: int) -> bool:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=1)) as server:
        try:
            server.request("GET", "/ping")
            return server.getresponse().status < 300
        except OSError:
            return False
