"""Message logs: one MQTT message a line; a bad line is the file's fault, a bad payload the message's."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from coldchain import inputs, message_log
from coldchain.errors import BadInput, RejectedPayload
from coldchain.instant import instant_ms
from coldchain.message_log import LoggedMessage, parse_line

TOPIC = "coldchain/v1/basel/gw-1/lg-1001/readings"
RECEIVED_AT = "2026-03-01T10:00:05.000Z"
RECEIVED_MS = instant_ms(RECEIVED_AT)


def line(**more: Any) -> bytes:
    return json.dumps({"received_at": RECEIVED_AT, "topic": TOPIC} | more).encode()


def with_payload(payload: str) -> bytes:
    """A line whose payload is written as it stands."""
    return line(payload="PAYLOAD").replace(b'"PAYLOAD"', payload.encode())


def parsed(text: bytes) -> LoggedMessage:
    return parse_line(text, "day.ndjson", 7)


def refusal(text: bytes) -> BadInput:
    with pytest.raises(BadInput) as caught:
        parsed(text)
    assert (caught.value.file, caught.value.line) == ("day.ndjson", 7)
    return caught.value


def test_a_payload_that_is_json_comes_back_as_the_same_json() -> None:
    found = parsed(with_payload('{"v":1, "mc":[5120,null,-0], "c":5.1}'))
    assert (found.received_ms, found.topic, found.reason) == (RECEIVED_MS, TOPIC, "")
    assert found.payload is not None
    assert json.loads(found.payload) == {"v": 1, "mc": [5120, None, 0], "c": 5.1}


def test_a_payload_in_base64_comes_back_byte_for_byte() -> None:
    payload = bytes(range(256))
    assert parsed(line(payload_base64=base64.b64encode(payload).decode())).payload == payload
    assert parsed(line(payload_base64="")).payload == b""


def test_an_instant_of_arrival_in_any_zone_is_one_instant() -> None:
    assert parsed(line(payload=1, received_at="2026-03-01T11:00:05+01:00")).received_ms == RECEIVED_MS


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        (b"{", None, "not a line of JSON"),
        (b"\xff", None, "not a line of JSON"),
        (b"[1]", None, "one JSON object a line"),
        (b"null", None, "one JSON object a line"),
        (line(payload=1).replace(b'"topic"', b'"tropic"'), "topic", "missing"),
        (line(payload=1, topic=5), "topic", "not a text"),
        (line(payload=1).replace(b"received_at", b"received"), "received_at", "missing"),
        (line(payload=1, received_at=1772359205000), "received_at", "not a text"),
        (line(payload=1, received_at="2026-03-01T10:00:05"), "received_at", "zone"),
        (line(payload=1, received_at="yesterday"), "received_at", "ISO 8601"),
        (line(), "payload", "either payload or payload_base64"),
        (line(payload=1, payload_base64="AA=="), "payload", "either payload or payload_base64"),
        (line(payload_base64="A"), "payload_base64", "not base64"),
        (line(payload_base64="AA==\n"), "payload_base64", "not base64"),
        (line(payload_base64="Ä"), "payload_base64", "not base64"),
        (line(payload_base64=None), "payload_base64", "not base64"),
    ],
)
def test_a_line_that_is_no_message_is_refused_with_file_line_and_key(
    text: bytes, key: str | None, problem: str
) -> None:
    error = refusal(text)
    assert error.key == key
    assert problem in str(error)


def test_a_refused_instant_is_shown() -> None:
    assert refusal(line(payload=1, received_at="yesterday")).value == "yesterday"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ('{"mc":[NaN]}', "not_json: NaN"),
        ('{"mc":[Infinity]}', "not_json: Infinity"),
        ('{"mc":[-Infinity]}', "not_json: -Infinity"),
        ('{"mc":[1],"mc":[2]}', "not_json: duplicate key"),
        ('{"a":{"mc":[1],"mc":[1]}}', "not_json: duplicate key"),
    ],
)
def test_a_payload_that_is_no_strict_json_is_a_rejected_message_and_not_a_bad_log(payload: str, reason: str) -> None:
    found = parsed(with_payload(payload))
    assert (found.payload, found.reason) == (None, reason)
    with pytest.raises(RejectedPayload):
        inputs.decoded(found)


@pytest.mark.parametrize(
    "payload", ["[" * 100_000 + "]" * 100_000, '{"mc":[' + "9" * 5000 + "]}"], ids=["deep", "long"]
)
def test_a_payload_beyond_all_bounds_is_a_rejected_message_and_not_a_bad_log(payload: str) -> None:
    found = parsed(with_payload(payload))
    assert (found.received_ms, found.topic, found.payload) == (RECEIVED_MS, TOPIC, None)
    assert found.reason.startswith("not_json: ")


@pytest.mark.parametrize("payload", ["1e400", '{"mc":[1e400]}', "null", '"text"', "[]", "true"])
def test_a_payload_that_holds_no_readings_is_rejected(payload: str) -> None:
    with pytest.raises(RejectedPayload):
        inputs.decoded(parsed(with_payload(payload)))


def test_a_retained_message_is_no_fresh_reading() -> None:
    assert parsed(line(payload=1, retained=True)) == LoggedMessage(RECEIVED_MS, TOPIC, None, "retained")
    assert parsed(line(payload=1, retained=False)).payload == b"1"


def test_lines_are_counted_with_the_blank_ones_that_are_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "day.ndjson"
    log.write_bytes(b"\n" + line(payload=1) + b"\r\n  \n" + line(payload=2))
    assert [message.payload for message in message_log.read(log)] == [b"1", b"2"]
    log.write_bytes(log.read_bytes() + b"\n\noops\n")
    with pytest.raises(BadInput) as caught:
        list(message_log.read(log))
    assert (caught.value.file, caught.value.line) == (str(log), 6)


def test_a_log_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"absent\.ndjson: cannot be read: No such file"):
        list(message_log.read(tmp_path / "absent.ndjson"))
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        list(message_log.read(tmp_path))
