"""polars: its own JSON reader, explode, one pass over all loggers. Right if somebody thought of sorting it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from benchmarks.peers.job import A_K, GAP_AFTER_MS, HIGH_MC, INTERVAL_MS, Exposure, Exposures, Message

SCHEMA = {"logger": pl.String, "t0": pl.Int64, "every": pl.Int64, "mc": pl.List(pl.Int64)}


def as_it_arrives(messages: Sequence[Message], _end_ms: int) -> Exposures:
    """For readings in order: differences of neighbours, group by logger."""
    return evaluate(frame(messages))


def sorted_first(messages: Sequence[Message], _end_ms: int) -> Exposures:
    """The careful way: one reading for each logger and instant, in order of time."""
    return evaluate(frame(messages).unique(["logger", "at_ms"]).sort("logger", "at_ms"))


def frame(messages: Sequence[Message]) -> pl.LazyFrame:
    """Readings as a table, faults without a temperature."""
    documents = pl.read_ndjson(b"\n".join(message.payload for message in messages), schema=SCHEMA)
    position = pl.int_ranges(pl.col("mc").list.len().cast(pl.Int64))
    return (
        documents.lazy()
        .with_columns(position.alias("i"))
        .explode("i", "mc")
        .select("logger", "mc", at_ms=pl.col("t0") + pl.col("i") * pl.col("every").fill_null(0))
    )


def evaluate(readings: pl.LazyFrame) -> Exposures:
    """Exposure by logger."""
    delta = pl.col("at_ms").diff().over("logger")
    covered = pl.when(delta <= GAP_AFTER_MS).then(delta).otherwise(INTERVAL_MS)
    known = pl.when(pl.col("mc").is_not_null()).then(covered).otherwise(0)
    weight = pl.col("known") * (-A_K / (pl.col("mc") / 1000 + 273.15)).exp()
    sums = (
        readings.with_columns(known=known)
        .group_by("logger")
        .agg(
            above=pl.col("known").filter(pl.col("mc") > HIGH_MC).sum(), weight=weight.sum(), known=pl.col("known").sum()
        )
        .with_columns(mkt=A_K / -(pl.col("weight") / pl.col("known")).log() - 273.15)
        .collect()
    )
    rows = sums.select("logger", "above", "known", "mkt").iter_rows()
    return {logger: Exposure(above, known, mkt_c) for logger, above, known, mkt_c in rows}
