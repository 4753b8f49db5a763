"""Message logs: one MQTT message per line of NDJSON, as recorded at the broker (INTERFACES.md)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from coldchain.errors import BadInput
from coldchain.instant import instant_ms

LONGEST_NUMBER = 40
"""Digits; Python itself refuses to read more than some thousands."""


class LoggedMessage(NamedTuple):
    """One message as it arrived. `payload` is None where the line itself shows why it cannot be one: see `reason`."""

    received_ms: int
    topic: str
    payload: bytes | None
    reason: str = ""


def read(path: str | Path) -> Iterator[LoggedMessage]:
    """Every message of a log; BadInput names file and line if a line is not one."""
    try:
        with Path(path).open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield parse_line(line, str(path), number)
    except OSError as exc:
        raise BadInput(f"cannot be read: {exc.strerror}", file=str(path)) from exc


def parse_line(line: bytes, file: str, number: int) -> LoggedMessage:
    """The message of one line. What is wrong inside its payload is the message's fault, not the log's."""
    odd: list[str] = []

    def whole(digits: str) -> int:
        if len(digits) > LONGEST_NUMBER:
            odd.append("number beyond all bounds")
            return 0
        return int(digits)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            odd.append("duplicate key")
        return found

    try:
        try:
            entry = json.loads(line, object_pairs_hook=pairs, parse_constant=odd.append, parse_int=whole)
        except RecursionError:
            # only a payload can be nested so deeply: what stands before it tells whose message it is
            odd.append("nested too deeply")
            entry = json.loads(line.partition(b'"payload"')[0].rstrip(b", \t") + b', "payload": null}')
    except ValueError as exc:
        raise BadInput(f"not a line of JSON: {exc}", file=file, line=number) from exc
    if not isinstance(entry, dict):
        raise BadInput("not a message: write one JSON object a line", file=file, line=number)
    for key in ("received_at", "topic"):
        if not isinstance(entry.get(key), str):
            raise BadInput("is missing or not a text", file=file, line=number, key=key)
    try:
        received_ms = instant_ms(entry["received_at"])
    except ValueError as exc:
        raise BadInput(str(exc), file=file, line=number, key="received_at", value=entry["received_at"]) from exc
    if ("payload" in entry) == ("payload_base64" in entry):
        raise BadInput("give either payload or payload_base64", file=file, line=number, key="payload")
    if entry.get("retained") is True:
        return LoggedMessage(received_ms, entry["topic"], None, "retained")
    if odd:
        return LoggedMessage(received_ms, entry["topic"], None, f"not_json: {odd[0]}")
    if "payload" in entry:
        return LoggedMessage(received_ms, entry["topic"], json.dumps(entry["payload"]).encode())
    try:
        payload = base64.b64decode(entry["payload_base64"], validate=True)
    except (binascii.Error, TypeError, ValueError) as exc:
        raise BadInput(f"not base64: {exc}", file=file, line=number, key="payload_base64") from exc
    return LoggedMessage(received_ms, entry["topic"], payload)
