"""The peers must be right where the table says so, and each way to be wrong has an example here.

These need what the tests of the project need anyway; `test_installed_peers` needs what `make bench` installs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pytest

import oracle
from benchmarks.harness import Absent, Peer
from benchmarks.peers import (
    contest,
    exact,
    influxdb_continuous,
    influxdb_query,
    lines,
    ours,
    pandas_script,
    processes,
    traffic,
)
from benchmarks.peers.job import (
    DAY_MS,
    GAP_AFTER_MS,
    HOUR_MS,
    INTERVAL_MS,
    START_MS,
    Contestant,
    Exposure,
    Exposures,
    Job,
    Message,
    Run,
    in_process,
)
from benchmarks.peers.traffic import Scenario
from coldchain.readings import FAULT_MC
from peer_examples import (
    BY_NAME,
    DOUBLED,
    EIGHTEEN_MS,
    END_MS,
    FAR_APART,
    LATE,
    ONE_LOST,
    SCENARIOS,
    SIX_MS,
    TWELVE_MS,
    message,
    right,
)

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=[one.name for one in SCENARIOS])


def instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


@pytest.mark.parametrize("name", ["clean", "missing"])
def test_the_exact_answers_are_those_of_the_oracle(name: str) -> None:
    scenario = BY_NAME[name]
    loggers = list(scenario.recordings)
    start, end = instant(START_MS), instant(scenario.end_ms)
    registry = {
        "logger": [{"id": logger, "logging_interval": "5min"} for logger in loggers],
        "place": [{"id": logger, "kind": "storage"} for logger in loggers],
        "monitoring": [{"place": logger, "logger": logger, "from": start} for logger in loggers],
        "kit": [{"id": logger, "profile": "p"} for logger in loggers],
        "custody": [{"kits": [logger], "place": logger, "from": start, "to": end} for logger in loggers],
    }
    above = {"id": "above", "above_c": Decimal(8), "accumulated": "24h"}
    profile = {"profile": "p", "version": 1, "label_high_c": Decimal(8), "limit": [above]}
    items = [
        oracle.Item(logger, "1", at, None if mc == FAULT_MC else mc, None)
        for logger, columns in scenario.recordings.items()
        for at, mc in zip(*(column.tolist() for column in columns), strict=True)
    ]
    said = {kit["kit"]: kit for kit in oracle.replay(registry, [profile], items)["kits"]}
    for logger, found in exact.exposures(scenario.recordings).items():
        kit = said[logger]
        assert found.agrees(Exposure(kit["limits"][0]["used_ms"], kit["known_ms"], kit["mkt_c"]))
        assert found.unknown_ms(DAY_MS) == kit["unknown_ms"]


@every_scenario
@pytest.mark.parametrize("way", [ours.replay, ours.message_by_message])
def test_ours_is_right_on_everything(scenario: Scenario, way: Callable[[object], Job]) -> None:
    assert right(scenario, way(scenario.recordings)(scenario.messages, scenario.end_ms))


@every_scenario
def test_pandas_is_right_once_it_sorts(scenario: Scenario) -> None:
    assert right(scenario, pandas_script.sorted_first(scenario.messages, scenario.end_ms))


@pytest.mark.parametrize("name", ["clean", "missing"])
def test_pandas_is_right_without_sorting_on_what_comes_in_order(name: str) -> None:
    scenario = BY_NAME[name]
    assert right(scenario, pandas_script.as_it_arrives(scenario.messages, scenario.end_ms))


def test_without_sorting_pandas_takes_away_time_for_late_readings() -> None:
    assert pandas_script.sorted_first(LATE, END_MS)["lg-0"][:2] == (SIX_MS, EIGHTEEN_MS)
    # back to the first late reading: eleven intervals less
    assert pandas_script.as_it_arrives(LATE, END_MS)["lg-0"].above_ms == SIX_MS - 12 * INTERVAL_MS


def test_without_sorting_pandas_takes_away_time_for_repeated_readings() -> None:
    assert pandas_script.sorted_first(DOUBLED, END_MS)["lg-0"][:2] == (SIX_MS, TWELVE_MS)
    assert pandas_script.as_it_arrives(DOUBLED, END_MS)["lg-0"][:2] == (0, SIX_MS)


def influxql(points: str, messages: list[Message]) -> Exposures:
    assert processes.program("influxd"), "these tests need influxd"
    return influxdb_query.contestant(points)(messages, END_MS).exposures


@pytest.mark.parametrize("name", ["clean", "late", "doubled"])
@pytest.mark.parametrize(
    "points", [influxdb_query.FILL_PREVIOUS, influxdb_query.EACH_POINT], ids=["fill(previous)", "each point"]
)
def test_influxdb_is_right_as_long_as_nothing_is_missing(name: str, points: str) -> None:
    assert right(BY_NAME[name], influxql(points, BY_NAME[name].messages))


def test_with_fill_previous_influxdb_knows_what_nobody_measured() -> None:
    found = influxql(influxdb_query.FILL_PREVIOUS, FAR_APART)["lg-0"]
    assert found.known_ms == DAY_MS
    assert found.above_ms == 99 * INTERVAL_MS, "six readings above 8 degC stand for more than eight hours"


def test_without_filling_influxdb_does_not_know_what_the_next_reading_covers() -> None:
    assert pandas_script.sorted_first(ONE_LOST, END_MS)["lg-0"].known_ms == TWELVE_MS + INTERVAL_MS
    assert influxql(influxdb_query.EACH_POINT, ONE_LOST)["lg-0"].known_ms == TWELVE_MS


def test_to_influxdb_a_fault_is_no_point() -> None:
    messages = [message(1, [5000, None, 5000])]
    assert influxql(influxdb_query.EACH_POINT, messages)["lg-0"].known_ms == 2 * INTERVAL_MS
    assert influxql(influxdb_query.FILL_PREVIOUS, messages)["lg-0"].known_ms == DAY_MS


@pytest.mark.parametrize(
    ("resample", "above_ms"), [(influxdb_continuous.USUAL, 0), (influxdb_continuous.PATIENT, SIX_MS)]
)
def test_a_continuous_query_counts_what_is_late_as_far_as_it_goes_back(
    resample: influxdb_continuous.Resample, above_ms: int
) -> None:
    in_time = message(1, [5000] * 12)._replace(received_ms=START_MS + HOUR_MS)
    late = message(13, [9000] * 6)._replace(received_ms=START_MS + 12 * HOUR_MS)
    found = influxdb_continuous.contestant(resample)([in_time, late], END_MS).exposures
    assert found["lg-0"].above_ms == above_ms


def test_a_machine_that_cannot_follow_is_given_more_time_and_in_the_end_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def busy_at_first(*arguments: object) -> Exposures:
        tried.append(arguments[2])
        if arguments[2] in too_fast:
            raise influxdb_continuous.TooBusy("too busy")
        return {}

    monkeypatch.setattr(influxdb_continuous, "job", busy_at_first)
    too_fast: tuple[int, ...] = influxdb_continuous.SPEEDS[:1]
    assert influxdb_continuous.contestant(influxdb_continuous.USUAL)(LATE, END_MS).exposures == {}
    assert tuple(tried) == influxdb_continuous.SPEEDS
    too_fast = influxdb_continuous.SPEEDS
    with pytest.raises(processes.NoAnswer, match="too busy"):
        influxdb_continuous.contestant(influxdb_continuous.USUAL)(LATE, END_MS)


def test_the_scenarios_hold_what_their_names_say() -> None:
    def instants(scenario: Scenario, logger: str) -> list[int]:
        sent = [orjson.loads(one.payload) for one in scenario.messages]
        return [document["t0"] for document in sent if document["logger"] == logger]

    loggers = list(BY_NAME["clean"].recordings)
    assert all(instants(BY_NAME["clean"], logger) == sorted(instants(BY_NAME["clean"], logger)) for logger in loggers)
    assert any(instants(BY_NAME["late"], logger) != sorted(instants(BY_NAME["late"], logger)) for logger in loggers)
    assert sorted(one.payload for one in BY_NAME["late"].messages) == sorted(
        one.payload for one in BY_NAME["clean"].messages
    )
    assert {one.payload for one in BY_NAME["doubled"].messages} == {one.payload for one in BY_NAME["clean"].messages}
    assert BY_NAME["doubled"].readings > BY_NAME["clean"].readings
    holed = BY_NAME["missing"].recordings.values()
    steps = np.concatenate([np.diff(at_ms) for at_ms, _ in holed])
    assert (steps == GAP_AFTER_MS).any()
    assert (steps > GAP_AFTER_MS).any()
    assert any((mc == FAULT_MC).any() for _, mc in holed)
    assert any(at_ms[-1] < END_MS - GAP_AFTER_MS for at_ms, _ in holed)
    assert any(exposure.above_ms for exposure in exact.exposures(BY_NAME["clean"].recordings).values())


def test_what_a_logger_sends_in_order_arrives_in_order() -> None:
    for name in ("clean", "missing"):
        arrived = [(orjson.loads(one.payload), one.received_ms) for one in BY_NAME[name].messages]
        for logger in BY_NAME[name].recordings:
            own = [(document["t0"], received_ms) for document, received_ms in arrived if document["logger"] == logger]
            assert all(t0 < next_t0 and at < next_at for (t0, at), (next_t0, next_at) in pairwise(own))


def test_exactly_8_degrees_is_not_above() -> None:
    at_ms = START_MS + INTERVAL_MS * np.arange(1, 4)
    mc = np.array([8000, 8000, 8001], np.int32)
    at_the_bound = [message(1, mc.tolist())]
    for found in (
        exact.exposures({"lg-0": (at_ms, mc)}),
        ours.replay(["lg-0"])(at_the_bound, END_MS),
        pandas_script.as_it_arrives(at_the_bound, END_MS),
        influxql(influxdb_query.EACH_POINT, at_the_bound),
    ):
        assert found["lg-0"].above_ms == INTERVAL_MS


def test_an_answer_is_right_to_the_millisecond_and_nothing_known_is_no_number() -> None:
    exact_one = Exposure(1, 2, 5.0)
    assert Exposure(1, 2, 5.0 + 5e-8).agrees(exact_one)
    for wrong in (Exposure(1, 2, 5.0 + 2e-7), Exposure(0, 2, 5.0), Exposure(1, 3, 5.0), Exposure(1, 2, None)):
        assert not wrong.agrees(exact_one)
    assert not Exposure(0, 0, 0.0).agrees(Exposure(0, 0, None))
    assert contest.count_right({"a": exact_one}, {"a": exact_one, "b": exact_one}) == 1


def test_lines_of_code_leave_out_what_is_not_code(tmp_path: Path) -> None:
    module = tmp_path / "job.py"
    module.write_text(
        '"""Doc."""\nimport os\nA = 1\n\n\ndef f():\n    """Doc.\n\n    More."""\n    # why\n    return A\n'
    )
    assert lines.of_python(module, ["f", "A"]) == 3
    with pytest.raises(ValueError, match="has no g"):
        lines.of_python(module, ["g"])


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "find_spec", lambda _: None)
    monkeypatch.setattr(processes, "program", lambda _: None)
    present, absent = contest.contestants(["lg-0"], is_quick=False)
    assert [one.what for one in absent] == ["polars", "duckdb", "bytewax", "InfluxDB", "Node-RED"]
    assert all(one.name.startswith(("coldchain", "pandas")) for one in present)


def test_a_peer_that_does_not_start_is_said_and_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_messages: object, _end_ms: int) -> Run:
        raise processes.NoAnswer("influxd does not start")

    loggers = list(BY_NAME["clean"].recordings)
    works = Contestant("coldchain", 1, in_process(ours.replay(loggers)))
    monkeypatch.setattr(contest, "contestants", lambda *_, **__: ([works, Contestant("InfluxQL", 1, fails)], []))
    monkeypatch.setattr(traffic, "scenarios", lambda *_: SCENARIOS)
    measured, absent = contest.measure()
    assert isinstance(measured, Peer)
    assert measured.right == dict.fromkeys(["clean", "late", "doubled", "missing"], len(loggers))
    assert absent == Absent("InfluxQL", "influxd does not start")


def test_what_runs_by_the_clock_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loggers = list(BY_NAME["clean"].recordings)
    replay = in_process(ours.replay(loggers))
    runs = []

    def counted(messages: Sequence[Message], end_ms: int) -> Run:
        runs.append(len(messages))
        return Run(replay(messages, end_ms).exposures, 2.0)

    clocked = Contestant("InfluxDB", 1, counted, is_by_the_clock=True)
    monkeypatch.setattr(contest, "contestants", lambda *_, **__: ([Contestant("coldchain", 1, replay), clocked], []))
    monkeypatch.setattr(traffic, "scenarios", lambda *_: SCENARIOS)
    _, measured = contest.measure()
    assert isinstance(measured, Peer)
    assert measured.readings_per_s == SCENARIOS[0].readings / 2.0
    assert len(runs) == len(SCENARIOS)


def test_the_benchmark_stops_if_ours_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Contestant("coldchain", 1, in_process(pandas_script.as_it_arrives))
    monkeypatch.setattr(contest, "contestants", lambda *_, **__: ([wrong], []))
    monkeypatch.setattr(traffic, "scenarios", lambda *_: SCENARIOS)
    with pytest.raises(AssertionError, match="coldchain is wrong"), np.errstate(all="ignore"):
        contest.measure()


def test_what_the_peers_bring_with_them_is_of_the_version_that_the_project_has() -> None:
    def versions(lock: str) -> dict[str, str]:
        pinned = re.findall(r"^([a-z0-9-]+)==(\S+)", Path(lock).read_text(encoding="utf-8"), re.MULTILINE)
        return dict(pinned)

    project, peers = versions("requirements.lock"), versions("benchmarks/requirements.lock")
    assert {"polars", "duckdb", "bytewax"} <= peers.keys()
    assert all(project[name] == peers[name] for name in peers.keys() & project.keys())
