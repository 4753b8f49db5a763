"""The project's own payload: columns (JSON, CBOR) and the tolerant row form, read strictly.

What is refused and what becomes a fault: a document that is not exactly of the form is refused whole; a value of
the right type that no probe can have measured is a fault with reason "implausible". Unknown keys are ignored. An
optional key that is null counts as absent, except `v`: null is no version.
"""

from __future__ import annotations

from collections.abc import Mapping

from coldchain.errors import RejectedPayload
from coldchain.readings import ReadingBatch
from gateways.decoders import columns, rows
from gateways.decoders.values import count, name, shown


def read(document: Mapping[str, object], logger: str, received_ms: int) -> ReadingBatch:
    """The readings of one document of `logger`, the logger that the message's topic names."""
    version = document.get("v", 1)
    if type(version) is not int or version != 1:
        raise RejectedPayload("unknown_version", shown("v", version))
    stated = name(document, "logger")
    if stated != logger:
        raise RejectedPayload("logger_mismatch", f"{shown('logger', stated)}, the topic says {logger!r}")
    channel = "1" if document.get("channel") is None else name(document, "channel")
    boot, seq = count(document, "boot"), count(document, "seq")
    if ("mc" in document) == ("readings" in document):
        raise RejectedPayload("missing_field", "exactly one of mc and readings holds the temperatures")
    at_ms, mc, faults = columns.read(document) if "mc" in document else rows.read(document)
    return ReadingBatch(logger, channel, at_ms, mc, received_ms, boot, seq, faults)
