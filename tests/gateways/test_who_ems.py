"""WHO PQS E006 equipment monitoring in the delivery format 0.8: appliances, records, faults, refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from coldchain.errors import RejectedPayload
from coldchain.instant import instant_ms
from gateways.decoders import decode

NOW_MS = instant_ms("2024-01-15T04:06:00Z")


def delivery(*reports: dict[str, Any]) -> bytes:
    return json.dumps({"meta": {"schemaVersion": "0.8.1", "transferType": "ems"}, "data": list(reports)}).encode()


def report(serial: object, *records: dict[str, Any]) -> dict[str, Any]:
    return {"AMID": "appliance-1", "ESER": serial, "LSER": "log-1", "records": list(records)}


def rows(data: bytes) -> list[tuple[str, str, int, int | str]]:
    return [
        (batch.logger, batch.channel, at, batch.faults.get(i, mc))
        for batch in decode("who-ems/ke", data, NOW_MS)
        for i, (at, mc) in enumerate(zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True))
    ]


def test_every_record_of_every_appliance_is_a_reading_of_each_compartment() -> None:
    at, later = instant_ms("2024-01-15T04:05:54Z"), instant_ms("2024-01-15T04:15:54Z")
    data = delivery(
        report(
            "E-1",
            {"ABST": "20240115T040554Z", "TVC": 3.2, "TAMB": 21, "ALRM": "HEAT", "TCON": 101.5, "TPCB": 35.2},
            {"ABST": "20240115T041554Z", "TVC": None, "TAMB": 22.5, "ALRM": None, "EERR": "abcde"},
        ),
        report("E-2", {"ABST": "20240115T040554.250Z", "TFRZ": -19.5}),
    )
    assert rows(data) == [
        ("E-1", "TVC", at, 3200),
        ("E-1", "TVC", later, "null"),
        ("E-2", "TFRZ", at + 250, -19_500),
        ("E-1", "TAMB", at, 21_000),
        ("E-1", "TAMB", later, 22_500),
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (delivery(report(None, {"ABST": "20240115T040554Z", "TVC": 3})), "bad_type"),
        (delivery(report("E-1", {"ABST": "20240115T040554", "TVC": 3})), "bad_time"),
        (delivery(report("E-1", {"ABST": "20241315T040554Z", "TVC": 3})), "bad_time"),
        (delivery(report("E-1", {"TVC": 3})), "no_time"),
        (delivery(report("E-1", {"ABST": "20240115T040554Z", "TVC": True})), "bad_type"),
        (delivery(report("E-1", {"ABST": "20240115T040554Z", "BEMD": 14.3})), "not_a_reading"),
        (json.dumps({"meta": {}}).encode(), "not_a_reading"),
    ],
)
def test_a_delivery_that_cannot_be_judged_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RejectedPayload) as caught:
        rows(data)
    assert caught.value.reason == reason
