"""DuckDB: messages in a table, the rule in one query. A window has an order of its own, so late data are no trouble."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pandas as pd

from benchmarks.peers.job import A_K, GAP_AFTER_MS, HIGH_MC, INTERVAL_MS, Exposure, Exposures, Message

QUERY = f"""
WITH documents AS (
  SELECT from_json(payload, '{{"logger":"VARCHAR","t0":"BIGINT","every":"BIGINT","mc":["INTEGER"]}}') AS d
  FROM messages
), readings AS (
  SELECT DISTINCT
    d.logger AS logger,
    d.t0 + coalesce(d.every, 0) * unnest(range(len(d.mc))) AS at_ms,
    unnest(d.mc) AS mc
  FROM documents
), steps AS (
  SELECT logger, mc, at_ms - lag(at_ms) OVER (PARTITION BY logger ORDER BY at_ms) AS delta
  FROM readings
), covering AS (
  SELECT logger, mc, CASE WHEN delta <= {GAP_AFTER_MS} THEN delta ELSE {INTERVAL_MS} END AS covered
  FROM steps
)
SELECT
  logger,
  coalesce(sum(covered) FILTER (mc > {HIGH_MC}), 0),
  coalesce(sum(covered) FILTER (mc IS NOT NULL), 0),
  {A_K} / -ln(sum(covered * exp(-{A_K} / (mc / 1000 + 273.15))) / sum(covered) FILTER (mc IS NOT NULL)) - 273.15
FROM covering
GROUP BY logger
"""  # noqa: S608 - numbers of this module


def query(messages: Sequence[Message], _end_ms: int) -> Exposures:
    """Exposure by logger."""
    payloads = pd.DataFrame({"payload": [message.payload.decode() for message in messages]})
    with duckdb.connect() as database:
        database.register("messages", payloads)
        rows = database.execute(QUERY).fetchall()
    return {logger: Exposure(int(above), int(known), mkt_c) for logger, above, known, mkt_c in rows}
