"""Edge nodes in the service and in a replay: what waits is read, a restart forgets nothing, requests leave after the
commit, and a log says the same in any order."""

from __future__ import annotations

import base64
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coldchain import edge_nodes, inputs
from coldchain.alerts.outbox import Outbox
from coldchain.broker import Arrived
from coldchain.errors import EnvironmentFailed
from coldchain.instant import iso
from coldchain.jobs import Watchdog
from coldchain.ledger.entries import Delivery, OutboxRow
from coldchain.ledger.ledger import Ledger
from coldchain.service import Service
from gateways.decoders.sparkplug_node import SEQUENCE_GAP
from service_values import MINUTE_MS, START_MS, settings_in
from sparkplug_values import UINT64, metric, parsed, payload

Said = tuple[int, str, bytes]
"""Minute, kind, payload."""


class MemoryBroker:
    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.deliveries: list[Delivery] = []
        self.requests: list[tuple[str, bytes]] = []
        self.is_linked = True

    def acknowledge(self, count: int) -> None:
        self.arrived = self.arrived[count:]

    def publish(self, row: OutboxRow) -> None:
        raise AssertionError(row)

    def request(self, topic: str, body: bytes) -> None:
        self.requests.append((topic, body))


class Running:
    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.broker, self.ledger = MemoryBroker(), ledger
        outbox = Outbox(ledger, self.broker, None, self.clock)  # type: ignore[arg-type]  # stands in for a Broker
        self.service = Service(settings_in(folder), ledger, self.broker, outbox, Watchdog(60), self.clock)  # type: ignore[arg-type]  # likewise
        self.service.load()

    def clock(self) -> int:
        return START_MS + 600 * MINUTE_MS

    def hear(self, *said: Said) -> None:
        for minute, kind, body in said:
            self.broker.arrived.append(Arrived(START_MS + minute * MINUTE_MS, topic(kind), body))
        self.service.take()


def topic(kind: str) -> str:
    return f"spBv1.0/basel/{kind}/gw-1" + ("/box" if kind[0] == "D" else "")


def birth(minute: int, value: float, seq: int = 0, alias: int = 1, bd_seq: int = 1) -> Said:
    air = metric("Air", value, unit="C", alias=alias)
    body = payload(START_MS + minute * MINUTE_MS, seq, metric("bdSeq", bd_seq, datatype=UINT64), air)
    return minute, "NBIRTH", body


def data(minute: int, seq: int, value: float, alias: int = 1) -> Said:
    return minute, "NDATA", payload(START_MS + minute * MINUTE_MS, seq, metric("", value, alias=alias))


def device_birth(minute: int, seq: int, value: float) -> Said:
    return minute, "DBIRTH", payload(START_MS + minute * MINUTE_MS, seq, metric("Probe", value, unit="C", alias=9))


def device_data(minute: int, seq: int, value: float) -> Said:
    return minute, "DDATA", payload(START_MS + minute * MINUTE_MS, seq, metric("", value, alias=9))


def stored(ledger: Ledger) -> list[tuple[str, str, int, int]]:
    return sorted(
        (batch.logger, batch.channel, at, mc)
        for batch in ledger.load_batches()
        for at, mc in zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True)
    )


def messages(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT status, reason FROM message ORDER BY id").fetchall()


def test_what_waits_is_in_the_ledger_asks_for_a_birth_and_is_read_when_it_comes(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "coldchain.db") as ledger:
        running = Running(tmp_path, ledger)
        running.hear(data(1, 7, 5.0))
        assert messages(tmp_path / "coldchain.db") == [("rejected", "parked")]
        ((where, body),) = running.broker.requests
        assert where == "spBv1.0/basel/NCMD/gw-1"
        assert parsed(body).metrics[0].name == "Node Control/Rebirth"
        running.hear(birth(2, 6.0))
        assert [(at - START_MS, mc) for _, _, at, mc in stored(ledger) if mc > 0] == [
            (MINUTE_MS, 5000),
            (2 * MINUTE_MS, 6000),
        ]


def test_a_restart_between_a_parked_message_and_its_birth_loses_nothing(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "coldchain.db") as ledger:
        Running(tmp_path, ledger).hear(data(1, 7, 5.0))
        Running(tmp_path, ledger).hear(birth(2, 6.0))
        assert ("basel:gw-1", "Air", START_MS + MINUTE_MS, 5000) in stored(ledger)


def a_day() -> list[Said]:
    said = [data(0, 9, 4.0), birth(1, 5.0), device_birth(2, 1, -18.0)]
    for i in range(3):
        said += [data(3 + i, 2 + 2 * i, 5.0 + i), device_data(3 + i, 3 + 2 * i, -18.0 - i)]
    said += [data(9, 11, 60.0), birth(10, 7.0, alias=2), data(11, 1, 7.5, alias=2), device_data(12, 2, -20.0)]
    said += [(13, "NDEATH", payload(None, None, metric("bdSeq", 1, datatype=UINT64)))]
    return [*said, birth(20, 6.0, bd_seq=2), data(21, 1, 6.5)]


@pytest.mark.parametrize("after", range(len(a_day())))
def test_a_restart_at_any_moment_changes_nothing_of_what_is_read(tmp_path: Path, after: int) -> None:
    found = []
    for restarts in (False, True):
        folder = tmp_path / str(restarts)
        folder.mkdir()
        with Ledger.open(folder / "coldchain.db") as ledger:
            running = Running(folder, ledger)
            for i, one in enumerate(a_day()):
                if restarts and i == after:
                    running = Running(folder, ledger)
                running.hear(one)
            found.append((stored(ledger), messages(folder / "coldchain.db")))
    assert found[0] == found[1]
    assert len(found[0][0]) > 15


def test_a_restart_without_what_was_said_before_would_lose_the_aliases(tmp_path: Path) -> None:
    """The control: the same without births from the ledger."""
    with Ledger.open(tmp_path / "coldchain.db") as ledger:
        running = Running(tmp_path, ledger)
        running.hear(birth(1, 5.0))
        running.service.intake.nodes = {}
        running.hear(data(2, 1, 6.0))
        assert messages(tmp_path / "coldchain.db")[-1] == ("rejected", "parked")


def test_a_message_that_could_not_be_stored_is_heard_again_as_if_for_the_first_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(tmp_path / "coldchain.db") as ledger:
        running = Running(tmp_path, ledger)
        save = ledger.save

        def full(*_: Any, **__: Any) -> None:
            raise EnvironmentFailed("ledger", "disk full")

        monkeypatch.setattr(ledger, "save", full)
        running.hear(data(1, 7, 5.0))
        assert running.broker.requests == []
        monkeypatch.setattr(ledger, "save", save)
        running.service.writer._retry_at = 0.0
        running.hear()
        assert len(running.broker.requests) == 1
        running.hear(birth(2, 6.0))
        assert len([mc for *_, mc in stored(ledger) if mc > 0]) == 2


def test_of_a_busy_node_only_the_newest_messages_are_heard_again_and_nothing_old_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_nodes, "HEARD_AGAIN", 5)
    with Ledger.open(tmp_path / "coldchain.db") as ledger:
        running = Running(tmp_path, ledger)
        other = metric("Door", 1, alias=2, unit="C")
        said = payload(START_MS, 0, metric("bdSeq", 1, datatype=UINT64), metric("Air", 5.0, unit="C", alias=1), other)
        running.hear((0, "NBIRTH", said), data(1, 1, 9.0))
        running.hear(*[data(2 + i, 2 + i, 1.0 + i, alias=2) for i in range(8)])
        node = edge_nodes.load(ledger)["basel", "gw-1"]
        assert node.expected == running.service.intake.nodes["basel", "gw-1"].expected
        assert node.is_trusted
        assert node.held["", "Air"].value == SEQUENCE_GAP
        assert running.service.intake.nodes["basel", "gw-1"].held["", "Air"].value == 9.0


def test_a_log_of_edge_nodes_says_the_same_in_any_order_of_lines_and_as_the_service(tmp_path: Path) -> None:
    lines = [
        json.dumps(
            {
                "received_at": iso(START_MS + minute * MINUTE_MS),
                "topic": topic(kind),
                "payload_base64": base64.b64encode(body).decode(),
            }
        )
        for minute, kind, body in a_day()
    ]
    found = []
    for seed in range(6):
        shuffled = random.Random(seed).sample(lines, len(lines)) if seed else lines  # noqa: S311
        log = tmp_path / f"{seed}.ndjson"
        log.write_text("\n".join(shuffled))
        read = inputs.read([log], logger=None, zone=None)
        columns = [(b.key, b.at_ms.tolist(), b.temperature_mc.tolist(), b.received_ms) for b in read.batches]
        found.append((columns, read.rejected, read.messages))
    assert all(one == found[0] for one in found)
    with Ledger.open(tmp_path / "coldchain.db") as ledger:
        running = Running(tmp_path, ledger)
        for one in a_day():
            running.hear(one)
        by_service = stored(ledger)
    by_log = sorted(
        (*key, at, mc)
        for key, at_ms, temperature_mc, _ in found[0][0]
        for at, mc in zip(at_ms, temperature_mc, strict=True)
    )
    assert sorted(set(by_log)) == by_service
    assert np.min([mc for *_, mc in by_service]) < 0
