"""Two parsers must agree: `decode`, and a slow, obvious reading of the wire format."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import cbor2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from coldchain.errors import RejectedPayload
from coldchain.readings import FAULT_MC
from gateways.decoders import decode

TOPIC = "coldchain/v1/basel/gw-1/lg-1001/readings"
T0 = 1_760_000_000_000
END_MS = 7_289_654_400_000

Triples = list[tuple[int, int | None, str | None]]


class Refused(Exception):
    pass


def naive(payload: bytes) -> tuple[Triples, tuple[object, ...]] | None:
    """One (at_ms, milli-degC, fault) per reading, by the standard library and the words of the wire format."""
    try:
        return naive_document(naive_json(payload))
    except Refused:
        return None


def need(condition: bool) -> None:
    if not condition:
        raise Refused


def naive_json(payload: bytes) -> dict[str, Any]:
    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len({key for key, _ in found}) == len(found))
        return dict(found)

    def number(text: str) -> Decimal:
        need(math.isfinite(float(text)))
        return Decimal(text)

    def integer(text: str) -> int | Decimal:
        exact = number(text)
        return int(exact) if -(2**63) <= exact < 2**64 else exact

    need(len(payload) <= 2**20)
    try:
        document = json.loads(
            payload.decode("utf-8"),
            object_pairs_hook=pairs,
            parse_float=number,
            parse_int=integer,
            parse_constant=lambda _text: need(False),
        )
        json.dumps(document, ensure_ascii=False, default=str).encode("utf-8")
    except (ValueError, RecursionError) as exc:
        raise Refused from exc
    need(isinstance(document, dict) and depth(document) <= 16)
    return dict(document)


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def word(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 64 and value.isprintable() and "/" not in value


def naive_document(document: dict[str, Any]) -> tuple[Triples, tuple[object, ...]]:
    need(whole(document.get("v", 1)) and document.get("v", 1) == 1)
    need(document.get("logger") == "lg-1001")
    channel = "1" if document.get("channel") is None else document["channel"]
    need(word(channel))
    for key in ("boot", "seq"):
        value = document.get(key)
        need(value is None or (whole(value) and 0 <= value < 2**63))
    need(("mc" in document) != ("readings" in document))
    rows = naive_columns(document) if "mc" in document else [naive_row(row) for row in naive_list(document["readings"])]
    need(all(0 <= at_ms < END_MS for at_ms, _, _ in rows))
    return rows, ("lg-1001", channel, document.get("boot"), document.get("seq"))


def naive_list(value: object) -> list[Any]:
    need(isinstance(value, list))
    assert isinstance(value, list)
    need(1 <= len(value) <= 5000)
    return value


def naive_columns(document: dict[str, Any]) -> Triples:
    column = naive_list(document["mc"])
    t0, every, dt = document.get("t0", ""), document.get("every"), document.get("dt")
    need(whole(t0) and 0 <= t0 < END_MS and (every is None or dt is None))
    if dt is not None:
        need(isinstance(dt, list) and len(dt) == len(column) and all(map(whole, dt)))
        times = [t0 + offset for offset in dt]
    else:
        need(len(column) == 1 if every is None else whole(every) and every > 0)
        times = [t0 + position * (every or 0) for position in range(len(column))]
    reasons = {} if document.get("fault") is None else document["fault"]
    need(isinstance(reasons, dict) and all(map(word, reasons.values())))
    rows: Triples = []
    for position, (at_ms, mc) in enumerate(zip(times, column, strict=True)):
        need(mc is None or (whole(mc) and -(2**31) <= mc < 2**31))
        if mc is None or mc == -(2**31):
            rows.append((at_ms, None, reasons.pop(str(position), "null")))
        elif not -273_150 <= mc <= 1_000_000:
            rows.append((at_ms, None, reasons.pop(str(position), "implausible")))
        else:
            rows.append((at_ms, mc, None))
    need(not reasons)
    return rows


def naive_row(row: Any) -> tuple[int, int | None, str | None]:
    need(isinstance(row, dict) and sum(unit in row for unit in "cfk") == 1)
    (unit,) = (unit for unit in "cfk" if unit in row)
    value, reason = row[unit], row.get("fault")
    need(reason is None or (value is None and word(reason)))
    at_ms = naive_instant(row.get("at"))
    if value is None:
        return at_ms, None, reason or "null"
    need(isinstance(value, (int, Decimal)) and not isinstance(value, bool))
    # A double is all that a sender's number promises: what it is exactly is its shortest text.
    exact = Fraction(value if whole(value) else Decimal(str(float(value))))
    milli = {"c": exact * 1000, "f": (exact - 32) * 5000 / 9, "k": (exact - Fraction(27315, 100)) * 1000}[unit]
    floor = milli.numerator // milli.denominator
    rest = milli - floor
    mc = floor + (1 if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor % 2) else 0)
    return (at_ms, mc, None) if -273_150 <= mc <= 1_000_000 else (at_ms, None, "implausible")


def naive_instant(at: object) -> int:
    if whole(at):
        assert isinstance(at, int)
        return at
    need(isinstance(at, str))
    form = (
        r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?(Z|[+-][0-9:]+)"
    )
    parts = re.fullmatch(form, str(at))
    need(parts is not None)
    assert parts is not None
    year, month, day, hour, minute, second = (int(part or 0) for part in parts.groups()[:6])
    offset = timedelta(0)
    if parts[8] != "Z":
        zone = re.fullmatch(r"([+-])([0-9]{2}):?([0-9]{2})", parts[8])
        need(zone is not None and int(zone[2]) < 24 and int(zone[3]) < 60)
        assert zone is not None
        offset = timedelta(hours=int(zone[2]), minutes=int(zone[3])) * (1 if zone[1] == "+" else -1)
    try:
        local = datetime(year, month, day, hour, minute, second, tzinfo=timezone(offset))
    except ValueError as exc:
        raise Refused from exc
    since = local - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * 86_400_000 + since.seconds * 1000 + int((parts[7] or "0").ljust(3, "0")[:3])


def fast(payload: bytes) -> tuple[Triples, tuple[object, ...]] | None:
    """What `decode` gives, in the form of `naive`; None for a rejected payload."""
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
