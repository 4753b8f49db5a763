"""The native payload as a gateway writes it: the other direction of `gateways.decoders`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cbor2
import numpy as np
import orjson
from numpy.typing import NDArray

from coldchain.readings import FAULT_MC, Milliseconds, ReadingBatch

_SINT32_LE = 78
_INT32 = np.iinfo(np.int32)
_NOTHING: Mapping[str, object] = {}


def json_columns(batch: ReadingBatch, more: Mapping[str, object] = _NOTHING) -> bytes:
    """A batch as JSON columns: the payload of everyday uploads. `more`: further keys, which readers ignore and keep."""
    document, offsets_ms = _document(batch, more)
    if offsets_ms is not None:
        document["dt"] = offsets_ms.tolist()
    temperature_mc = batch.temperature_mc.tolist()
    is_whole = FAULT_MC not in temperature_mc
    document["mc"] = temperature_mc if is_whole else [None if mc == FAULT_MC else mc for mc in temperature_mc]
    return orjson.dumps(document)


def cbor_columns(batch: ReadingBatch, more: Mapping[str, object] = _NOTHING) -> bytes:
    """A batch as CBOR with RFC 8746 typed arrays: the payload of a backlog. `more` as in `json_columns`."""
    document, offsets_ms = _document(batch, more)
    if offsets_ms is not None:
        fits = _INT32.min <= offsets_ms.min() and offsets_ms.max() <= _INT32.max
        document["dt"] = _sint32_array(offsets_ms) if fits else offsets_ms.tolist()
    document["mc"] = _sint32_array(batch.temperature_mc)
    return cbor2.dumps(document)


def _document(batch: ReadingBatch, more: Mapping[str, object]) -> tuple[dict[str, object], Milliseconds | None]:
    """Everything but the temperatures, and the offsets [ms] where the readings are not evenly spaced."""
    document: dict[str, object] = {"v": 1, "logger": batch.logger, "channel": batch.channel, **more}
    if batch.boot is not None:
        document["boot"] = batch.boot
    if batch.seq is not None:
        document["seq"] = batch.seq
    document["t0"] = int(batch.at_ms[0])
    if batch.faults:
        document["fault"] = {str(position): reason for position, reason in sorted(batch.faults.items())}
    if len(batch) == 1:
        return document, None
    steps_ms = np.diff(batch.at_ms)
    every_ms = int(steps_ms[0])
    if every_ms > 0 and (steps_ms == every_ms).all():
        return document | {"every": every_ms}, None
    return document, batch.at_ms - batch.at_ms[0]


def _sint32_array(values: NDArray[Any]) -> cbor2.CBORTag:
    return cbor2.CBORTag(_SINT32_LE, values.astype("<i4").tobytes())
