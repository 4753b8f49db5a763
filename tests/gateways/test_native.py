"""Two parsers must agree: `decode`, and a slow, obvious reading of the wire format."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import cbor2
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coldchain.errors import RejectedPayload
from coldchain.readings import FAULT_MC
from gateways.decoders import decode
from tests.gateways.naive_payload import END_MS, Triples, naive

TOPIC = "coldchain/v1/basel/gw-1/lg-1001/readings"
T0 = 1_760_000_000_000


def fast(payload: bytes) -> tuple[Triples, tuple[object, ...]] | None:
    """What `decode` gives, as one (at_ms, milli-degC, fault) per reading; None for a rejected payload."""
    try:
        (batch,) = decode(TOPIC, payload, T0)
    except RejectedPayload:
        return None
    assert (batch.at_ms.dtype.name, batch.temperature_mc.dtype.name) == ("int64", "int32")
    assert set(batch.faults) == set(np.flatnonzero(batch.temperature_mc == FAULT_MC).tolist())
    rows: Triples = [
        (at_ms, None if mc == FAULT_MC else mc, batch.faults.get(position))
        for position, (at_ms, mc) in enumerate(zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True))
    ]
    return rows, (batch.logger, batch.channel, batch.boot, batch.seq)


good_mc = st.none() | st.integers(-30_000, 60_000)
odd = (
    st.sampled_from([None, True, False, 0, -1, 1, 2, 1.5, 5e3, -0.0, 2**31, -(2**31), 2**63, 2**64, 10**400])
    | st.sampled_from(["", "1", "5.1", "a/b", "x" * 65, "lg-1002", "\u202e", '"', "\\", "null", END_MS - 1, END_MS])
    | st.sampled_from([[], [1], {}, {"2": "x"}])
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
)
offsets = st.integers(-(10**9), 10**9) | st.integers(-(2**64), 2**64)
instants = (
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
    | st.from_regex(
        r"(19|20|22)\d\d-[01]\d-[0-3]\d[T ][0-2]\d:[0-5]\d(:[0-6]\d(\.\d{1,9})?)?(Z|[+-][0-2]\d:?[0-6]\d)",
        fullmatch=True,
    )
    | st.integers(0, END_MS)
    | odd
)
rows = st.fixed_dictionaries(
    {"at": instants},
    optional=dict.fromkeys("cfk", good_mc.map(lambda mc: None if mc is None else mc / 1000) | odd) | {"fault": odd},
)
documents = st.fixed_dictionaries(
    {"logger": st.just("lg-1001")},
    optional={
        "v": st.just(1) | odd,
        "channel": st.sampled_from(["1", "2", "probe a"]) | odd,
        "boot": st.integers(0, 5) | odd,
        "seq": st.integers(0, 10**6) | odd,
        "t0": st.just(T0) | odd,
        "every": st.just(60_000) | odd,
        "dt": st.lists(offsets, max_size=4) | odd,
        "mc": st.lists(good_mc | odd, max_size=4) | st.lists(good_mc, min_size=1, max_size=4),
        "fault": st.dictionaries(
            st.sampled_from("0123") | st.text(max_size=2), st.just("probe_open") | odd, max_size=2
        ),
        "readings": st.lists(rows, max_size=3) | odd,
        "note": odd,
    },
)
good_columns = st.builds(
    lambda mc, spaced, seq: {
        "v": 1, "logger": "lg-1001", "channel": "1", "boot": 3, "seq": seq, "t0": T0, "mc": mc
    } | ({"every": 60_000} if spaced else {"dt": [60_000 * position for position in range(len(mc))]}),
    st.lists(good_mc, min_size=1, max_size=60), st.booleans(), st.integers(0, 10**9),
)  # fmt: skip
good_rows = st.builds(
    lambda entries: {"logger": "lg-1001", "readings": entries},
    st.lists(
        st.builds(
            lambda at, unit, value: {"at": at.isoformat(), unit: value},
            st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1), timezones=st.timezones()),  # noqa: DTZ001 - Hypothesis takes naive bounds and adds the zone
            st.sampled_from("cfk"),
            st.none() | st.decimals(-400, 400, places=4, allow_nan=False).map(float),
        ),
        min_size=1,
        max_size=20,
    ),
)


@given(good_columns | good_rows)
def test_two_parsers_read_every_good_message_alike(document: dict[str, Any]) -> None:
    payload = json.dumps(document).encode()
    assert fast(payload) == naive(payload)


@given(good_columns)
def test_every_good_message_is_accepted_in_json_and_in_cbor(document: dict[str, Any]) -> None:
    by_json, by_cbor = fast(json.dumps(document).encode()), fast(cbor2.dumps(document))
    assert by_json is not None
    assert by_json == by_cbor


@settings(max_examples=400)
@given(documents)
def test_two_parsers_accept_and_refuse_the_same_messages(document: dict[str, Any]) -> None:
    payload = json.dumps(document).encode()
    assert fast(payload) == naive(payload)


@settings(max_examples=400)
@given(good_columns | good_rows, st.data())
def test_two_parsers_agree_on_damaged_messages(document: dict[str, Any], data: st.DataObject) -> None:
    payload = damaged(json.dumps(document).encode(), data)
    assert fast(payload) == naive(payload)


@settings(max_examples=400)
@given(good_columns | good_rows, st.data())
def test_damaged_cbor_is_rejected_or_read_but_never_anything_else(
    document: dict[str, Any], data: st.DataObject
) -> None:
    fast(damaged(cbor2.dumps(document), data))


@settings(max_examples=400)
@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda rest: b"\xa1\x66logger" + rest))
@example(b"{")
@example(b"\xbf")
def test_arbitrary_bytes_are_rejected_or_read_but_never_anything_else(payload: bytes) -> None:
    fast(payload)


def damaged(payload: bytes, data: st.DataObject) -> bytes:
    """The payload with some bytes replaced, removed or put in, often by bytes that mean something in JSON or CBOR."""
    telling = st.sampled_from(
        [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"-", b".", b"e9", b"0", b"\xff", b"\xf6"]
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload)))
        gone = data.draw(st.integers(0, 2))
        payload = payload[:at] + data.draw(telling | st.binary(max_size=2)) + payload[at + gone :]
    return payload
