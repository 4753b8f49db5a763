"""The peers that `make bench` installs: right where the table says so, wrong as these examples show.

A package that cannot be had on a machine is skipped, and the run says which.
"""

from __future__ import annotations

from types import ModuleType

import pytest

from benchmarks import replay_core, replay_race
from benchmarks.peers import node_red, processes
from benchmarks.peers.job import DAY_MS, INTERVAL_MS, Exposures, Message
from benchmarks.peers.traffic import Scenario
from peer_examples import (
    BY_NAME,
    DOUBLED,
    EIGHTEEN_MS,
    END_MS,
    LATE,
    SCENARIOS,
    SIX_MS,
    message,
    right,
)

pytestmark = pytest.mark.peers
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=[one.name for one in SCENARIOS])
in_order = pytest.mark.parametrize("name", ["clean", "missing"])


@pytest.fixture(scope="module")
def polars_script() -> ModuleType:
    pytest.importorskip("polars")
    from benchmarks.peers import polars_script

    return polars_script


@pytest.fixture(scope="module")
def duckdb_sql() -> ModuleType:
    pytest.importorskip("duckdb")
    from benchmarks.peers import duckdb_sql

    return duckdb_sql


@pytest.fixture(scope="module")
def bytewax_flow() -> ModuleType:
    pytest.importorskip("bytewax")
    from benchmarks.peers import bytewax_flow

    return bytewax_flow


def through_node_red(function: str, messages: list[Message]) -> Exposures:
    if not node_red.INSTALLED.exists() or processes.program("node") is None:
        pytest.skip("Node-RED is not installed")
    return node_red.contestant(function)(messages, END_MS).exposures


@every_scenario
def test_polars_is_right_once_it_sorts(polars_script: ModuleType, scenario: Scenario) -> None:
    assert right(scenario, polars_script.sorted_first(scenario.messages, scenario.end_ms))


@in_order
def test_polars_is_right_without_sorting_on_what_comes_in_order(polars_script: ModuleType, name: str) -> None:
    assert right(BY_NAME[name], polars_script.as_it_arrives(BY_NAME[name].messages, END_MS))


def test_without_sorting_polars_is_wrong_on_late_and_repeated_readings(polars_script: ModuleType) -> None:
    assert polars_script.as_it_arrives(LATE, END_MS)["lg-0"].above_ms == SIX_MS - 12 * INTERVAL_MS
    assert polars_script.as_it_arrives(DOUBLED, END_MS)["lg-0"][:2] == (0, SIX_MS)


@every_scenario
def test_duckdb_is_right_on_everything(duckdb_sql: ModuleType, scenario: Scenario) -> None:
    assert right(scenario, duckdb_sql.query(scenario.messages, scenario.end_ms))


@pytest.mark.parametrize("name", ["clean", "doubled", "missing"])
def test_bytewax_is_right_unless_something_is_late(bytewax_flow: ModuleType, name: str) -> None:
    assert right(BY_NAME[name], bytewax_flow.as_it_arrives(BY_NAME[name].messages, END_MS))
    assert right(BY_NAME[name], bytewax_flow.in_order(BY_NAME[name].messages, END_MS))


def test_bytewax_leaves_out_what_is_late_unless_it_waits(bytewax_flow: ModuleType) -> None:
    assert bytewax_flow.as_it_arrives(LATE, END_MS)["lg-0"].above_ms == 0
    assert bytewax_flow.in_order(LATE, END_MS)["lg-0"][:2] == (SIX_MS, EIGHTEEN_MS)


def test_bytewax_cannot_wait_for_ever(bytewax_flow: ModuleType) -> None:
    a_day = DAY_MS // INTERVAL_MS
    later = [message(7 + a_day, [5000] * 20), message(7 + 2 * a_day, [5000])]
    assert bytewax_flow.in_order([message(1, [5000] * 6), *later, message(7, [9000] * 6)], END_MS)["lg-0"].above_ms == 0


@pytest.mark.parametrize("name", ["clean", "doubled", "missing"])
def test_node_red_is_right_unless_something_is_late(name: str) -> None:
    assert right(BY_NAME[name], through_node_red(node_red.FUNCTION, BY_NAME[name].messages))


def test_node_red_leaves_out_what_is_late() -> None:
    assert through_node_red(node_red.FUNCTION, LATE)["lg-0"].above_ms == 0


def test_node_red_without_a_look_at_the_order_takes_away_time() -> None:
    assert through_node_red(node_red.AS_IT_ARRIVES, LATE)["lg-0"].above_ms == SIX_MS - 12 * INTERVAL_MS


@pytest.mark.parametrize("seed", range(3))
def test_polars_and_duckdb_give_the_answer_of_the_replay(seed: int) -> None:
    columns = replay_core.refrigerators(loggers=20, readings=480, seed=seed)
    scripts, lacking = replay_race.scripts(replay_core.as_frame(columns), {"polars", "duckdb"})
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)}")
    for run in scripts.values():
        replay_core.assert_agree(replay_core.ours(columns), run())
