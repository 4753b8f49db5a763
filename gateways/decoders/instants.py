"""Instants as ISO 8601 texts with a zone: one text, or a column of texts that are written alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from coldchain.errors import RejectedPayload
from coldchain.readings import Milliseconds
from gateways.decoders.values import LATEST_MS, shown

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
# The hour and the zone are bounded here: `fromisoformat` takes +00:60 as an hour, and from Python 3.13 on 24:00.
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):\d\d(:\d\d(\.\d{1,9})?)?(?P<zone>Z|[+-]\d\d:?[0-5]\d)", re.ASCII
)

_DIGITS_TO_0 = bytes.maketrans(b"123456789", b"000000000")


def instant_ms(text: str) -> int:
    """The instant that a text states [ms UTC]; RejectedPayload if it states none, or without a zone."""
    if not _INSTANT.fullmatch(text):
        raise RejectedPayload("bad_time", f"{shown('at', text)}, ISO 8601 with a zone such as Z or +01:00")
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MS
    except ValueError as exc:
        raise RejectedPayload("bad_time", f"{shown('at', text)}: {exc}") from exc


def instants_ms(texts: Sequence[str]) -> Milliseconds | None:
    """The instants that texts state, int64[n] [ms UTC]; None unless all are written like the first and are instants of
    the years 1970 to 2200: then `instant_ms` says of each what is the matter."""
    first = texts[0]
    parts = _INSTANT.fullmatch(first)
    if parts is None:
        return None
    zone = parts.start("zone")
    if parts["zone"] != "Z" and {text[zone:] for text in texts} != {parts["zone"]}:
        return None
    try:
        lines = ("\n".join(texts) + "\n").encode("ascii")
        if lines.translate(_DIGITS_TO_0) != lines[: len(first) + 1].translate(_DIGITS_TO_0) * len(texts):
            return None
        local = np.frombuffer(lines, f"S{len(first) + 1}").astype(f"S{zone}").astype("datetime64[ms]")
        offset = datetime.fromisoformat(first).utcoffset() or timedelta()
    except ValueError:
        return None
    at_ms: Milliseconds = local.astype(np.int64) - offset // _MS
    return at_ms if at_ms.item(at_ms.argmin()) >= 0 and at_ms.item(at_ms.argmax()) <= LATEST_MS else None
