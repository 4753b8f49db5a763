"""The native payload as a gateway writes it: the other direction of `gateways.decoders`."""

from __future__ import annotations

from collections.abc import Mapping

import cbor2
import numpy as np
import orjson

from coldchain.readings import FAULT_MC, ReadingBatch

_SINT32_LE = 78
_INT32 = np.iinfo(np.int32)
_NOTHING: Mapping[str, object] = {}


def json_columns(batch: ReadingBatch, more: Mapping[str, object] = _NOTHING) -> bytes:
    """A batch as JSON columns: the payload of everyday uploads. `more`: further keys, which readers ignore and keep."""
    document, offsets_ms = _document(batch, more)
    if offsets_ms is not None:
        document["dt"] = offsets_ms
    document["mc"] = [None if mc == FAULT_MC else mc for mc in batch.temperature_mc.tolist()]
    return orjson.dumps(document)


def cbor_columns(batch: ReadingBatch, more: Mapping[str, object] = _NOTHING) -> bytes:
    """A batch as CBOR with RFC 8746 typed arrays: the payload of a backlog. `more` as in `json_columns`."""
    document, offsets_ms = _document(batch, more)
    if offsets_ms is not None:
        fits = _INT32.min <= min(offsets_ms) and max(offsets_ms) <= _INT32.max
        document["dt"] = _sint32_array(offsets_ms) if fits else offsets_ms
    document["mc"] = _sint32_array(batch.temperature_mc.tolist())
    return cbor2.dumps(document)


def _document(batch: ReadingBatch, more: Mapping[str, object]) -> tuple[dict[str, object], list[int] | None]:
    """Everything but the temperatures, and the offsets [ms] where the readings are not evenly spaced."""
    document: dict[str, object] = {"v": 1, "logger": batch.logger, "channel": batch.channel, **more}
    if batch.boot is not None:
        document["boot"] = batch.boot
    if batch.seq is not None:
        document["seq"] = batch.seq
    document["t0"] = int(batch.at_ms[0])
    if batch.faults:
        document["fault"] = {str(position): reason for position, reason in sorted(batch.faults.items())}
    steps_ms = np.unique(np.diff(batch.at_ms))
    if len(steps_ms) == 0:
        return document, None
    if len(steps_ms) == 1 and steps_ms[0] > 0:
        return document | {"every": int(steps_ms[0])}, None
    return document, (batch.at_ms - batch.at_ms[0]).tolist()


def _sint32_array(values: list[int]) -> cbor2.CBORTag:
    return cbor2.CBORTag(_SINT32_LE, np.array(values, dtype="<i4").tobytes())
