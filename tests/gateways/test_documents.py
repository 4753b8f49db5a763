"""What JSON and CBOR leave open is refused before it can be misread."""

from __future__ import annotations

import contextlib
import json
import time

import cbor2
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from coldchain.errors import RejectedPayload
from gateways.decoders import decode
from gateways.decoders.documents import MAX_DEPTH, MAX_PAYLOAD_BYTES, parse


def refused(payload: bytes) -> str:
    with pytest.raises(RejectedPayload) as caught:
        parse(payload)
    return caught.value.reason


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not_a_document"),
        (b"  ", "not_a_document"),
        (b"[]", "not_a_document"),
        (b"5.1", "not_a_document"),
        (b"\xef\xbb\xbf{}", "not_a_document"),
        (b"\xff\xfe{\x00}\x00", "not_a_document"),
        (b"{\x00}\x00", "not_json"),
        (b"{", "not_json"),
        (b"{}{}", "not_json"),
        (b"{} x", "not_json"),
        (b'{"a":NaN}', "not_json"),
        (b'{"a":Infinity}', "not_json"),
        (b'{"a":-Infinity}', "not_json"),
        (b'{"a":1e400}', "not_json"),
        (b'{"a":' + b"9" * 5000 + b"}", "not_json"),
        (b'{"a":1,}', "not_json"),
        (b"{'a':1}", "not_json"),
        (b'{"a":"\xff"}', "not_json"),
        (b'{"a":"\\ud800"}', "not_json"),
        (b'{"a":1,"a":2}', "duplicate_key"),
        (b'{"b":{"a":1,"c":[{"x":0,"x":0}]}}', "duplicate_key"),
        (b'{"a":"\\n","a":2}', "duplicate_key"),
        (b'{"a":1,"\\u0061":2}', "duplicate_key"),
        (b'{"a":"x","b":[["y"],{"k":"z","k":"z"}]}', "duplicate_key"),
    ],
)
def test_broken_or_ambiguous_json_is_refused(payload: bytes, reason: str) -> None:
    assert refused(payload) == reason


@pytest.mark.parametrize(
    "payload",
    [
        b"\xa2\x61a\x01\x61a\x02",
        b"\xa1\x61a",
        b"\xa0\x00",
        b"\xbf\x61a\x01\xff\xff",
        b"\xa1\x01\x02",
        b"\xa1\x61a\x62\xff\xff",
        b"\xa1\x61a\xc1\x01",
        b"\xa1\x61a\xc5\x82\x1a\x7f\xff\xff\xff\x03",
        b"\xa1\x61a\xd8\x23\x62((",
        b"\xa1\x61a\xd8\x1c\xa1\x61b\xd8\x1d\x00",
        b"\xa1\x61a\xd8\x4e\x43\x01\x02\x03",
        b"\xa1\x61a\xd8\x4e\x01",
        b"\xa1\x61a\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x61a\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
    ],
    ids=[
        "duplicate key",
        "ends early",
        "trailing byte",
        "trailing break",
        "integer key",
        "text not UTF-8",
        "date tag",
        "huge big float",
        "regular expression",
        "document inside itself",
        "typed array of 3 bytes",
        "typed array of no bytes",
        "list of 2**63 values",
        "string of 2**63 bytes",
    ],
)
def test_broken_or_ambiguous_cbor_is_refused(payload: bytes) -> None:
    assert refused(payload) == "not_cbor"


def test_a_payload_over_the_limit_is_refused_before_it_is_decoded() -> None:
    filled = b'{"a":"' + b"x" * (MAX_PAYLOAD_BYTES - 8) + b'"}'
    assert len(filled) == MAX_PAYLOAD_BYTES
    assert set(parse(filled)) == {"a"}
    assert refused(filled + b" ") == "too_large"


def test_depth_is_refused_at_any_depth() -> None:
    for levels in (MAX_DEPTH, 1000, 100_000):
        assert refused(b'{"a":' + b"[" * levels + b"]" * levels + b"}") == "too_deep"
        assert refused(b'{"a":' + b"[" * levels) == "too_deep"
        assert refused(b"\xa1\x61a" + b"\x81" * levels + b"\x01") == "not_cbor"
    just_allowed = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert "a" in parse(just_allowed)


def test_brackets_inside_strings_are_not_depth_and_do_not_hide_it() -> None:
    assert parse(b'{"a":"' + b"[{" * 100 + b'"}')["a"] == "[{" * 100
    hidden = b'{"a":[' + b'"]]]]\\"]]",[' * 40 + b"1" + b"]" * 41 + b"}"
    assert refused(hidden) == "too_deep"


def test_a_payload_made_to_be_slow_is_decided_quickly() -> None:
    started = time.process_time()
    for unit in (b'\\"', b'"', b"[", b'["\\'):
        payload = (b'{"[[[[[[[[[[[[[[[[[[' + unit * MAX_PAYLOAD_BYTES)[:MAX_PAYLOAD_BYTES]
        assert refused(payload) in {"not_json", "too_deep"}
    assert time.process_time() - started < 5


def test_json_may_begin_with_white_space() -> None:
    assert parse(b' \r\n{"a":1}\n') == {"a": 1}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=3), json_values, max_size=5))
def test_every_unambiguous_document_within_the_depth_is_read_as_it_was_written(document: dict[str, object]) -> None:
    assume(_depth(document) <= MAX_DEPTH)
    assert parse(json.dumps(document).encode()) == document
    assert parse(json.dumps(document, ensure_ascii=False).encode()) == document
    assert parse(cbor2.dumps(document)) == document


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@settings(max_examples=400)
@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: b"\xa1\x66logger" + rest))
def test_arbitrary_bytes_are_rejected_or_read_but_never_anything_else(payload: bytes) -> None:
    with contextlib.suppress(RejectedPayload):
        decode("coldchain/v1/basel/gw-1/lg-1001/readings", payload, 0)
