"""Everybody at the same messages: how fast, in how many lines, and on how many kits the answer is right.

`python -m benchmarks.peers.contest` prints this table alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.harness import Absent, Peer
from benchmarks.peers import (
    exact,
    influxdb_continuous,
    influxdb_query,
    lines,
    node_red,
    ours,
    pandas_script,
    processes,
    traffic,
)
from benchmarks.peers.job import Contestant, Exposures, Job, Message, Run, in_process

LOGGERS, DAYS = 300, 3
FEWEST_LOGGERS = 40
ROUNDS, ROUNDS_OF_A_SHARE = 3, 1
HERE = Path(__file__).parent
OURS = "coldchain"
SERVER = "writer, influxd"
ASKING = "ask", "write", "_post", "LINES_PER_WRITE"
NODE = "node"
LEFT_OUT = "left out of a quick run"


def measure(share: int = 1) -> list[Peer | Absent]:
    """Ours first, then every peer that runs here, or why it does not.

    With a `share` what takes long is left out: Node-RED, and whatever runs by the clock.
    """
    scenarios = traffic.scenarios(max(FEWEST_LOGGERS, LOGGERS // share), DAYS)
    answers = [exact.exposures(scenario.recordings) for scenario in scenarios]
    able, absent = contestants(scenarios[0].recordings, is_quick=share > 1)
    present: list[Contestant] = []
    right: list[dict[str, int]] = []
    seconds: list[list[float]] = []
    for one in able:
        try:
            runs = [one.run(scenario.messages, scenario.end_ms) for scenario in scenarios]
        except processes.NoAnswer as exc:  # the others are measured all the same
            absent.append(Absent(one.name, str(exc)))
            continue
        present.append(one)
        seconds.append([runs[0].cpu_s] if one.is_by_the_clock else [])
        found = zip(scenarios, runs, answers, strict=True)
        right.append({each.name: count_right(run.exposures, answer) for each, run, answer in found})
    kits = len(answers[0])
    for one, counts in zip(present, right, strict=True):
        assert set(counts.values()) == {kits} or not one.name.startswith(OURS), f"{one.name} is wrong: {counts}"
    clean = scenarios[0]
    # the order goes round, and all have run before: see harness
    for first in range(ROUNDS if share == 1 else ROUNDS_OF_A_SHARE):
        for turn in range(len(present)):
            who = (first + turn) % len(present)
            if not present[who].is_by_the_clock:
                seconds[who].append(present[who].run(clean.messages, clean.end_ms).cpu_s)
    count = clean.readings
    rows = zip(present, seconds, right, strict=True)
    return [
        *(Peer(one.name, one.counted, count / median(s), one.lines, kits, counts) for one, s, counts in rows),
        *absent,
    ]


def count_right(found: Exposures, exact_answers: Exposures) -> int:
    """On how many kits an answer is there and right."""
    return sum(kit in found and found[kit].agrees(answer) for kit, answer in exact_answers.items())


def contestants(loggers: Iterable[str], *, is_quick: bool) -> tuple[list[Contestant], list[Absent]]:
    """Who can run here, ours first; and who cannot."""
    loggers = tuple(loggers)
    rules = lines.of_text(ours.RULES.read_text(encoding="utf-8").splitlines(), "#")
    present = [
        Contestant(f"{OURS}, replay", rules, _quiet(ours.replay(loggers))),
        Contestant(f"{OURS}, message by message", rules, _quiet(ours.message_by_message(loggers))),
        _script("pandas, as it arrives", pandas_script.as_it_arrives, "frame", "evaluate"),
        _script("pandas, sorted first", pandas_script.sorted_first, "frame", "evaluate"),
    ]
    absent: list[Absent] = []
    for package, contestants_of in (("polars", _polars), ("duckdb", _duckdb), ("bytewax", _bytewax)):
        if find_spec(package):
            present += contestants_of()
        else:
            absent.append(Absent(package, "not installed: make bench installs it where it can be had"))
    if processes.program("influxd"):
        present += _influxdb()
        if is_quick:
            absent.append(Absent("InfluxDB, continuous query", LEFT_OUT))
        else:
            present += _continuous_queries()
    else:
        absent.append(Absent("InfluxDB", "influxd is not installed"))
    if is_quick:
        absent.append(Absent("Node-RED", LEFT_OUT))
    elif node_red.INSTALLED.exists() and processes.program("node"):
        present += _node_red()
    else:
        absent.append(Absent("Node-RED", "not installed: make bench installs it where npm and its packages can be had"))
    return present, absent


def _polars() -> list[Contestant]:
    from benchmarks.peers import polars_script

    return [
        _script("polars, as it arrives", polars_script.as_it_arrives, "frame", "evaluate", "SCHEMA"),
        _script("polars, sorted first", polars_script.sorted_first, "frame", "evaluate", "SCHEMA"),
    ]


def _duckdb() -> list[Contestant]:
    from benchmarks.peers import duckdb_sql

    return [_script("DuckDB, SQL", duckdb_sql.query, "QUERY")]


def _bytewax() -> list[Contestant]:
    from benchmarks.peers import bytewax_flow

    common = "run", "readings", "Sums", "Reading"
    return [
        _script("Bytewax, newer readings only", bytewax_flow.as_it_arrives, "add", *common),
        _script("Bytewax, waits 24 h for late ones", bytewax_flow.in_order, "Waiting", "WAIT_MS", *common),
    ]


def _influxdb() -> list[Contestant]:
    path, common = Path(influxdb_query.__file__), ("lines", "job", *ASKING, "ANSWERS")
    return [
        Contestant(
            f"InfluxQL, {words}", lines.of_python(path, [name, *common]), influxdb_query.contestant(query), SERVER
        )
        for words, name, query in (
            ("fill(previous)", "FILL_PREVIOUS", influxdb_query.FILL_PREVIOUS),
            ("5 min each point", "EACH_POINT", influxdb_query.EACH_POINT),
        )
    ]


def _continuous_queries() -> list[Contestant]:
    own = lines.of_python(Path(influxdb_continuous.__file__), ["job", "CONTINUOUS", "ANSWERS"])
    common = lines.of_python(Path(influxdb_query.__file__), ["lines", *ASKING])
    return [
        Contestant(
            f"InfluxDB, continuous query, {resample}",
            own + common,
            influxdb_continuous.contestant(resample),
            SERVER,
            is_by_the_clock=True,
        )
        for resample in (influxdb_continuous.USUAL, influxdb_continuous.PATIENT)
    ]


def _node_red() -> list[Contestant]:
    return [
        Contestant(
            f"Node-RED, {words}",
            lines.of_text(function.splitlines(), "//") + node_red.NODES,
            node_red.contestant(function),
            NODE,
        )
        for words, function in (
            ("as it arrives", node_red.AS_IT_ARRIVES),
            ("newer readings only", node_red.FUNCTION),
        )
    ]


def _script(name: str, job: Job, *helpers: str) -> Contestant:
    module = HERE / f"{job.__module__.rpartition('.')[2]}.py"
    return Contestant(name, lines.of_python(module, [job.__name__, *helpers]), _quiet(job))


def _quiet(job: Job) -> Callable[[Sequence[Message], int], Run]:
    """A script that takes the logarithm of nonsense says so; here it only has to be counted."""
    run = in_process(job)

    def quietly(messages: Sequence[Message], end_ms: int) -> Run:
        with np.errstate(all="ignore"):
            return run(messages, end_ms)

    return quietly


if __name__ == "__main__":
    from benchmarks.__main__ import show

    show(measure())
