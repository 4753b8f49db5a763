"""Receipts are read strictly: what is not exactly of the form deletes nothing."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from coldchain.errors import RejectedPayload
from gateways.agent import receipts
from gateways.agent.receipts import Missing, Receipt, Refused, Stored

GOOD: dict[str, Any] = {
    "v": 1,
    "at": 1_760_000_000_000,
    "stored": [{"logger": "lg-1001", "channel": "1", "boot": 3, "first": 1201, "seq": 1260, "above": [[1300, 1320]]}],
    "resend": [{"logger": "lg-1001", "channel": "1", "boot": 3, "from": 1261, "to": 1299}],
    "refused": [{"logger": "lg-1001", "sha256": "ab" * 32, "reason": "bad_value"}],
    "hold": False,
}


def changed(place: str, value: Any) -> bytes:
    document = orjson.loads(orjson.dumps(GOOD))
    *way, last = place.split(".")
    inner = document
    for key in way:
        inner = inner[int(key) if key.isdigit() else key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return orjson.dumps(document)


def test_the_contract_s_own_example_is_read() -> None:
    assert receipts.parse(orjson.dumps(GOOD | {"more": {"ignored": True}})) == Receipt(
        1_760_000_000_000,
        (Stored("lg-1001", "1", 3, ((1201, 1260), (1300, 1320))),),
        (Missing("lg-1001", "1", 3, 1261, 1299),),
        (Refused("lg-1001", "ab" * 32, "bad_value"),),
        False,
    )


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("v", 2),
        ("at", "now"),
        ("at", True),
        ("hold", 0),
        ("hold", ...),
        ("stored", ...),
        ("stored", {}),
        ("stored", [1]),
        ("stored.0.seq", 1200),
        ("stored.0.seq", 2**63),
        ("stored.0.seq", "1260"),
        ("stored.0.seq", 1260.0),
        ("stored.0.first", ...),
        ("stored.0.first", -1),
        ("stored.0.above", ...),
        ("stored.0.above", [[1300]]),
        ("stored.0.above", [[1320, 1300]]),
        ("stored.0.above", [["1300", "1320"]]),
        ("stored.0.above", [None]),
        ("stored.0.boot", None),
        ("stored.0.logger", 7),
        ("resend.0.from", 1300),
        ("resend.0.to", ...),
        ("refused.0.sha256", "ab"),
        ("refused.0.reason", None),
    ],
)
def test_a_receipt_with_one_thing_wrong_is_refused_whole(place: str, value: Any) -> None:
    with pytest.raises(RejectedPayload):
        receipts.parse(changed(place, value))


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"{", b"\xff\xfe", b'{"v":1,"v":1}', b"[" * 100_000])
def test_what_is_no_document_is_refused(payload: bytes) -> None:
    with pytest.raises(RejectedPayload):
        receipts.parse(payload)
