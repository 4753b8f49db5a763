"""The race for the core of a replay: `replay_core`'s contestants, and polars and DuckDB where they are installed.

`make bench` installs them. The answers are compared before anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import NDArray

from benchmarks.harness import Absent, Row, race
from benchmarks.replay_core import (
    A_K,
    GAP_AFTER_MS,
    HIGH_MC,
    INTERVAL_MS,
    Answer,
    Columns,
    as_frame,
    assert_agree,
    numpy_script,
    ours,
    pandas_script,
    refrigerators,
    restless,
)

JOB = "MKT, time above, longest event"
GOALS = {"numpy script": 15.0, "polars script": 25.0}
"""The least ratio to a reference."""
WORST_GOALS = {"numpy script": 10.0}
LOGGERS, READINGS = 1_000, 10_000
YEARS, YEAR = 95, 105_120

DUCKDB_QUERY = f"""
WITH steps AS (
  SELECT
    logger,
    temperature_mc > {HIGH_MC} AS above,
    temperature_mc / 1000 + 273.15 AS kelvin,
    at_ms - lag(at_ms) OVER by_time AS delta,
    row_number() OVER by_time - row_number() OVER (PARTITION BY logger, temperature_mc > {HIGH_MC} ORDER BY at_ms)
      AS run
  FROM readings
  WINDOW by_time AS (PARTITION BY logger ORDER BY at_ms)
), covering AS (
  SELECT *, CASE WHEN delta <= {GAP_AFTER_MS} THEN delta ELSE {INTERVAL_MS} END AS covered FROM steps
), runs AS (
  SELECT logger, sum(covered) AS run_ms FROM covering WHERE above GROUP BY logger, run
), longest AS (
  SELECT logger, max(run_ms) AS longest_ms FROM runs GROUP BY logger
), sums AS (
  SELECT
    logger,
    {A_K} / -ln(sum(covered * exp(-{A_K} / kelvin)) / sum(covered)) - 273.15 AS mkt_c,
    coalesce(sum(covered) FILTER (above), 0) AS above_ms
  FROM covering GROUP BY logger
)
SELECT mkt_c, above_ms::BIGINT AS above_ms, coalesce(longest_ms, 0)::BIGINT AS longest_ms
FROM sums LEFT JOIN longest USING (logger) ORDER BY logger
"""  # noqa: S608 - numbers of this module


def scripts(frame: pd.DataFrame, tools: set[str]) -> tuple[dict[str, Callable[[], Answer]], list[str]]:
    """Which of the tools are installed, each with its own table of these readings; and the names of the others."""
    makers = {name: make for name, make in _MAKERS.items() if name in tools}
    found = {f"{name} script": make(frame) for name, make in makers.items() if find_spec(name)}
    return found, [name for name in makers if not find_spec(name)]


def polars_script(frame: pd.DataFrame) -> Callable[[], Answer]:
    """All loggers at once with polars: group by logger, run-length ids."""
    import polars as pl

    readings = pl.DataFrame({name: frame[name].to_numpy() for name in frame.columns})

    def run() -> Answer:
        delta = pl.col("at_ms").diff().over("logger")
        parts = (
            readings.lazy()
            .with_columns(
                covered=pl.when(delta <= GAP_AFTER_MS).then(delta).otherwise(INTERVAL_MS),
                above=pl.col("temperature_mc") > HIGH_MC,
            )
            .with_columns(
                weight=pl.col("covered") * (-A_K / (pl.col("temperature_mc") / 1000 + 273.15)).exp(),
                run=pl.col("above").rle_id(),
            )
        )
        runs = parts.filter("above").group_by("logger", "run").agg(run_ms=pl.col("covered").sum())
        longest = runs.group_by("logger").agg(longest=pl.col("run_ms").max())
        sums = (
            parts.group_by("logger")
            .agg(
                mkt=A_K / -(pl.col("weight").sum() / pl.col("covered").sum()).log() - 273.15,
                above=pl.col("covered").filter("above").sum(),
            )
            .join(longest, on="logger", how="left")
            .sort("logger")
            .with_columns(pl.col("longest").fill_null(0))
            .collect()
        )
        return Answer(*(sums[name].to_numpy() for name in ("mkt", "above", "longest")))

    return run


def duckdb_script(frame: pd.DataFrame) -> Callable[[], Answer]:
    """All loggers at once with SQL windows, from a table that DuckDB holds."""
    import duckdb

    database = duckdb.connect()
    database.register("frame", frame)
    database.execute("CREATE TABLE readings AS SELECT * FROM frame")

    def run() -> Answer:
        sums = database.execute(DUCKDB_QUERY).fetchnumpy()
        return Answer(*(np.asarray(sums[name]) for name in ("mkt_c", "above_ms", "longest_ms")))

    return run


_MAKERS = {"polars": polars_script, "duckdb": duckdb_script}


def measure(share: int = 1) -> list[Row | Absent]:
    """The rows of this job, of a `share` of the loggers; the answers are compared before anything is timed."""
    weeks, years = refrigerators(LOGGERS // share, READINGS), refrigerators(max(1, YEARS // share), YEAR)
    return [
        *_raced(f"{JOB}, 5 weeks each", weeks, GOALS, {"pandas": pandas_script}, {"polars", "duckdb"}),
        *_raced(f"{JOB}, a year each", years, GOALS, {}, {"polars"}),
        *_raced(f"{JOB}, the limit crossed at every reading", restless(weeks), WORST_GOALS, {}, set()),
        *race(f"{JOB}, a year each", len(years), partial(ours, years), {"reading the columns": partial(_read, years)}),
        Absent("core of a replay from packed columns", "readings are in memory as int64 and int32, never packed"),
    ]


def _read(columns: Columns) -> int:
    """The least that anybody has to do: look at every instant and every temperature once."""
    return _sum(columns.at_ms, columns.temperature_mc)


@njit("int64(int64[::1], int32[::1])")
def _sum(at: NDArray[np.int64], temperature: NDArray[np.int32]) -> int:
    total = 0
    for i in range(len(at)):
        total += at[i]
    for i in range(len(temperature)):
        total += temperature[i]
    return total


def _raced(
    job: str,
    columns: Columns,
    goals: dict[str, float],
    of_frame: dict[str, Callable[[pd.DataFrame], Answer]],
    tools: set[str],
) -> list[Row | Absent]:
    frame = as_frame(columns)
    references: dict[str, Callable[[], Answer]] = {"numpy script": partial(numpy_script, columns)}
    references |= {f"{name} script": partial(script, frame) for name, script in of_frame.items()}
    found, lacking = scripts(frame, tools)
    references |= found
    answer = ours(columns)
    for run in references.values():
        assert_agree(answer, run())
    rows = race(job, len(columns), partial(ours, columns), references, goal=goals)
    return [*rows, *(Absent(f"{job}, {name} script", f"{name} is not installed") for name in lacking)]
