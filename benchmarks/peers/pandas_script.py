"""pandas: every message to columns, then one frame for all loggers. Right if somebody thought of sorting it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
import pandas as pd

from benchmarks.peers.job import A_K, GAP_AFTER_MS, HIGH_MC, INTERVAL_MS, Exposure, Exposures, Message


def as_it_arrives(messages: Sequence[Message], _end_ms: int) -> Exposures:
    """For readings in order: differences of neighbours, group by logger."""
    return evaluate(frame(messages))


def sorted_first(messages: Sequence[Message], _end_ms: int) -> Exposures:
    """The careful way: one reading for each logger and instant, in order of time."""
    return evaluate(frame(messages).drop_duplicates(["logger", "at_ms"]).sort_values(["logger", "at_ms"]))


def frame(messages: Sequence[Message]) -> pd.DataFrame:
    """Readings as a table, faults without a temperature."""
    documents = [orjson.loads(message.payload) for message in messages]
    lengths = [len(document["mc"]) for document in documents]
    every = np.repeat([document.get("every", 0) for document in documents], lengths)
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return pd.DataFrame(
        {
            "logger": np.repeat([document["logger"] for document in documents], lengths),
            "at_ms": np.repeat([document["t0"] for document in documents], lengths)
            + every * (np.arange(len(first)) - first),
            "mc": np.array([mc for document in documents for mc in document["mc"]], dtype=np.float64),
        }
    )


def evaluate(readings: pd.DataFrame) -> Exposures:
    """Exposure by logger."""
    delta = readings.groupby("logger")["at_ms"].diff()
    covered = delta.where(delta <= GAP_AFTER_MS, INTERVAL_MS).where(readings["mc"].notna(), 0).astype("int64")
    parts = pd.DataFrame(
        {
            "logger": readings["logger"],
            "above": covered.where(readings["mc"] > HIGH_MC, 0),
            "known": covered,
            "weight": covered * np.exp(-A_K / (readings["mc"] / 1000 + 273.15)),
        }
    )
    sums = parts.groupby("logger").sum()
    mkt = A_K / -np.log(sums["weight"] / sums["known"]) - 273.15
    rows = zip(sums.index, sums["above"], sums["known"], mkt, strict=True)
    return {logger: Exposure(int(above), int(known), float(mkt_c)) for logger, above, known, mkt_c in rows}
