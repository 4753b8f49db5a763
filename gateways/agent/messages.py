"""Messages: readings of the spool as payloads of the native form, live ones as JSON, the backlog as CBOR."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from coldchain.readings import ReadingBatch
from gateways.agent.channels import Channel, Row, Span
from gateways.encoders import cbor_columns, json_columns


class Message(NamedTuple):
    """A payload for a logger's topic, known by its hash, and which readings it holds."""

    logger: str
    payload: bytes
    sha256: str
    span: Span


def runs(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Rows that may share a message: their numbers follow one another, one state of a clock stamped them."""
    start = 0
    for i in range(1, len(rows) + 1):
        if i == len(rows) or rows[i].seq != rows[i - 1].seq + 1 or rows[i].clock != rows[start].clock:
            if rows:
                yield rows[start:i]
            start = i


def message(channel: Channel, run: Sequence[Row], offset: Callable[[int], int | None], *, is_live: bool) -> Message:
    """One run of a channel as a message.

    Times stay as they were recorded. Where the gateway's own clock stamped them, the message says so and by how much
    that clock was wrong: `"clock": {"source": "gateway", "offset": ms to add, null if unknown}`.
    """
    batch = ReadingBatch(
        channel.logger,
        channel.channel,
        np.array([row.at_ms for row in run], dtype=np.int64),
        np.array([row.mc for row in run], dtype=np.int32),
        boot=channel.boot,
        seq=run[0].seq,
        faults={i: row.fault for i, row in enumerate(run) if row.fault is not None},
    )
    clock = run[0].clock
    more: dict[str, object] = {} if clock is None else {"clock": {"source": "gateway", "offset": offset(clock)}}
    payload = (json_columns if is_live else cbor_columns)(batch, more)
    digest = hashlib.sha256(payload).hexdigest()
    return Message(channel.logger, payload, digest, Span(channel.id, run[0].seq, run[-1].seq))
