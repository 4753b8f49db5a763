"""The shell's promises, with a broker that only remembers and a clock that a test sets."""

import hashlib
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
import structlog

from coldchain import service, writer
from coldchain.alerts.outbox import Outbox
from coldchain.broker import Arrived
from coldchain.errors import BadInput, EnvironmentFailed
from coldchain.incoming import Intake, received
from coldchain.jobs import Watchdog
from coldchain.kernels import UNKNOWN
from coldchain.ledger import queries, senders
from coldchain.ledger.entries import Alert, Delivery, Message, OutboxRow
from coldchain.ledger.ledger import Ledger
from coldchain.ledger.locks import only_service
from coldchain.model import EarlyWarning
from coldchain.pipeline import Step
from coldchain.registry import parse_registry
from coldchain.service import Service
from coldchain.throttle import Throttle
from gateways.decoders import decoder
from service_values import MINUTE_MS, REGISTRY, RULES, START_MS, payload, settings_in, topic

HOT = tuple([9000] * 15)


def arrived(body: bytes, where: str | None = topic(), at_ms: int = START_MS, *, retain: bool = False) -> Arrived:
    return Arrived(at_ms, where, body, retain)


@dataclass
class MemoryBroker:
    """Remembers what was acknowledged and published."""

    arrived: list[Arrived] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    acknowledged: int = 0
    published: list[OutboxRow] = field(default_factory=list)
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    is_linked: bool = True

    def acknowledge(self, count: int) -> None:
        self.acknowledged += count
        self.arrived = self.arrived[count:]

    def tell(self, topic: str, document: bytes) -> None:
        self.told.append((topic, json.loads(document)))

    def publish(self, row: OutboxRow) -> None:
        self.published.append(row)
        self.deliveries.append(Delivery(row.id, START_MS))


class Running:
    """A service over a real ledger."""

    def __init__(self, folder: Path, ledger: Ledger, now_ms: int = START_MS + 60 * MINUTE_MS) -> None:
        self.now_ms, self.ledger, self.broker = now_ms, ledger, MemoryBroker()
        settings = settings_in(folder)
        outbox = Outbox(ledger, self.broker, None, self.clock)  # type: ignore[arg-type]  # stands in for a Broker
        watchdog = Watchdog(60)
        self.service = Service(settings, ledger, self.broker, outbox, watchdog, self.clock)  # type: ignore[arg-type]  # likewise
        self.ticks: SimpleQueue[None] = SimpleQueue()

    def clock(self) -> int:
        return self.now_ms

    def get(self, *bodies: bytes) -> None:
        """Messages arrive, and one turn of the loop is done."""
        self.broker.arrived += [arrived(body, at_ms=self.now_ms) for body in bodies]
        self.turn()

    def turn(self, *, tick: bool = False) -> None:
        if tick:
            self.ticks.put(None)
        self.service.take()
        self.service.tell_receipts(at_once=True)
        self.service.sweep(self.ticks)
        self.service.deliver()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "coldchain.db") as opened:
        yield opened


@pytest.fixture
def running(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setattr(service, "POLL_S", 0.0)
    monkeypatch.setattr(writer, "RETRY_S", 0.0)
    ledger.register("registry.toml", REGISTRY, "ann", START_MS)
    found = Running(tmp_path, ledger)
    found.service.load()
    return found


def restarted(tmp_path: Path, ledger: Ledger, now_ms: int) -> Running:
    found = Running(tmp_path, ledger, now_ms)
    found.service.load()
    return found


def test_a_reading_is_decoded() -> None:
    message = received(arrived(payload(0, 5000, 5100)))
    assert (message.status, len(message.batches[0])) == ("accepted", 2)
    assert message.batches[0].received_ms == START_MS


def test_a_retained_reading_is_refused_with_its_reason() -> None:
    message = received(arrived(payload(0, 5000), retain=True))
    assert (message.status, message.reason, message.batches) == ("rejected", "retained", ())


@pytest.mark.parametrize(
    ("body", "where"), [(b"\xff", topic()), (payload(0, 5000), topic("lg-2")), (payload(0, 5000), "other/topic")]
)
def test_what_cannot_be_read_is_kept_with_a_reason(body: bytes, where: str) -> None:
    message = received(arrived(body, where))
    assert message.status == "rejected"
    assert message.payload == body


def test_a_topic_that_is_no_text_is_kept_with_a_reason() -> None:
    message = received(arrived(payload(0, 5000), None))
    assert (message.reason, message.payload) == ("topic_not_utf8", payload(0, 5000))


def test_only_a_transaction_on_disk_says_that_a_failing_ledger_works_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_more: object) -> int:
        raise EnvironmentFailed("ledger", "disk full")

    with structlog.testing.capture_logs() as logs:
        with monkeypatch.context() as patch:
            patch.setattr(running.ledger, "save", broken)
            running.get(payload(0, 5000))
            running.turn()
            assert "ledger works again" not in [line["event"] for line in logs]
        running.turn()
    assert [line["event"] for line in logs].count("ledger works again") == 1


RECEIPT = "coldchain/v1/basel/gw-1/receipt"


def stored(first: int, seq: int, *above: list[int]) -> list[dict[str, Any]]:
    return [{"logger": "lg-1", "channel": "1", "boot": 3, "first": first, "seq": seq, "above": list(above)}]


def test_a_receipt_says_after_the_commit_what_is_stored(running: Running) -> None:
    running.get(payload(0, 5000, 5100, boot=3, seq=100), payload(2, 5200, boot=3, seq=102))
    running.get(payload(10, 5000, boot=3, seq=110))
    running.get(payload(10, 5000, boot=3, seq=110))
    assert [topic for topic, _ in running.broker.told] == [RECEIPT] * 3
    receipts = [document for _, document in running.broker.told]
    assert receipts[0] == {
        "v": 1, "at": running.now_ms, "stored": stored(100, 102), "resend": [], "refused": [], "hold": False
    }  # fmt: skip
    assert [each["stored"] for each in receipts[1:]] == [stored(100, 102, [110, 110])] * 2


def test_commits_in_quick_succession_share_a_receipt(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RECEIPTS_EVERY_S", 60.0)
    assert running.service.may_wait_s == service.TURN_S
    for minute in (0, 1, 3):
        running.broker.arrived = [arrived(payload(minute, 5000, boot=3, seq=minute))]
        running.service.take()
        running.service.tell_receipts()
    assert [document["stored"] for _, document in running.broker.told] == [stored(0, 0)]
    assert running.service.may_wait_s == service.TURN_S
    running.service._next_receipts = time.monotonic() + 0.01
    assert running.service.may_wait_s <= 0.01
    running.service._next_receipts = 0.0
    running.service.tell_receipts()
    assert [document["stored"] for _, document in running.broker.told[1:]] == [stored(0, 1, [3, 3])]
    running.service.tell_receipts(at_once=True)
    assert len(running.broker.told) == 2


def test_many_gateways_are_told_a_few_at_a_time_in_turn_and_none_is_forgotten(running: Running) -> None:
    gateways = [f"gw-{number}" for number in range(10)]
    running.broker.arrived = [
        arrived(payload(minute, 5000, boot=3, seq=minute), f"coldchain/v1/basel/{gateway}/lg-1/readings")
        for minute, gateway in enumerate(gateways)
    ]
    running.service.take()
    told: list[int] = []
    for _ in range(4):
        running.service._next_receipts = 0.0
        running.service.tell_receipts()
        told.append(len(running.broker.told))
        assert running.service._next_receipts <= time.monotonic() + service.RECEIPTS_EVERY_S
    assert told == [4, 8, 10, 10]
    assert [topic for topic, _ in running.broker.told] == [
        f"coldchain/v1/basel/{gateway}/receipt" for gateway in gateways
    ]


def test_one_commit_takes_half_of_what_may_be_in_flight_and_each_is_acknowledged(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, sizes = running.ledger.save, []

    def counted(messages: Sequence[Message], *rest: Any, **more: Any) -> int:
        sizes.append((len(messages), running.broker.acknowledged))
        if len(sizes) == 3:
            raise EnvironmentFailed("ledger", "disk full")
        return save(messages, *rest, **more)

    monkeypatch.setattr(running.ledger, "save", counted)
    running.broker.arrived = [arrived(payload(minute, 5000)) for minute in range(1200)]
    running.service.take()
    assert sizes == [(500, 0), (500, 500), (200, 1000)]
    assert (running.broker.acknowledged, len(running.broker.arrived)) == (1000, 200)
    running.service.take()
    assert (running.broker.acknowledged, len(running.broker.arrived)) == (1200, 0)
    assert sum(map(len, running.ledger.load_batches())) == 1200


def test_nothing_is_receipted_that_is_not_stored(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_more: object) -> int:
        raise EnvironmentFailed("ledger", "disk full")

    with monkeypatch.context() as patch:
        patch.setattr(running.ledger, "save", broken)
        running.get(payload(0, 5000, boot=3, seq=100))
        assert running.broker.told == []
    running.service.writer._retry_at = 0.0
    running.turn()
    assert running.broker.told[0][1]["stored"] == stored(100, 100)


def test_readings_without_a_named_counter_get_no_receipt(running: Running) -> None:
    running.get(payload(0, 5000), payload(1, 5000, seq=1), payload(2, 5000, boot=1))
    assert running.broker.told == []


def flooded(folder: Path, ledger: Ledger) -> Running:
    """A service that reads one message of a gateway at once, and has got five."""
    found = Running(folder, ledger)
    found.service.intake = Intake(decoder(), Throttle(per_s=0.001, burst=1))
    found.service.load()
    found.get(*[payload(minute, 9000, boot=3, seq=minute) for minute in range(5)])
    return found


def test_what_a_gateway_sends_beyond_its_limit_is_kept_acknowledged_and_read_later(
    tmp_path: Path, ledger: Ledger
) -> None:
    running = flooded(tmp_path, ledger)
    assert running.broker.acknowledged == 5
    assert len(list(ledger.load_batches())) == 1
    assert ledger.count_waiting() == 4
    assert running.broker.told[-1][1]["stored"] == stored(0, 0)
    running.service.take_waiting()
    running.turn()
    assert ledger.count_waiting() == 0
    assert not running.service.has_waiting
    assert sum(map(len, ledger.load_batches())) == 5
    assert running.broker.told[-1][1]["stored"] == stored(0, 4)
    assert ledger.audit_verify().problems == ()


def test_what_waits_is_read_after_a_restart_as_it_had_arrived(tmp_path: Path, ledger: Ledger) -> None:
    arrived_ms = flooded(tmp_path, ledger).now_ms
    again = restarted(tmp_path, ledger, arrived_ms + 3_600_000)
    assert again.service.has_waiting
    again.service.take_waiting()
    assert {batch.received_ms for batch in ledger.load_batches()} == {arrived_ms}


def test_a_flood_from_one_gateway_lets_the_messages_of_others_pass(tmp_path: Path, ledger: Ledger) -> None:
    running = flooded(tmp_path, ledger)
    running.broker.arrived = [arrived(payload(9, 5000, logger="lg-2"), "coldchain/v1/basel/gw-2/lg-2/readings")]
    running.turn()
    assert [batch.logger for batch in ledger.load_batches()] == ["lg-1", "lg-2"]
    assert ledger.count_waiting() == 4


def test_a_failing_disk_leaves_what_waits_where_it_is(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = flooded(tmp_path, ledger)

    def broken(*_args: object) -> None:
        raise sqlite3.OperationalError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(senders, "write_waiting", broken)
        running.service.take_waiting()
    assert ledger.count_waiting() == 4
    assert not running.service.has_waiting, "the loop must not hurry while the ledger fails"
    running.service.writer._retry_at = 0.0
    running.service.take_waiting()
    assert ledger.count_waiting() == 0


def test_a_logger_on_another_sites_topic_is_kept_and_not_judged(tmp_path: Path, ledger: Ledger) -> None:
    ledger.register("registry.toml", REGISTRY.replace('"1min"\n', '"1min"\nsites = ["zug"]\n', 1), "ann", START_MS)
    running = restarted(tmp_path, ledger, START_MS + 60 * MINUTE_MS)
    running.get(payload(0, *HOT, boot=3, seq=0))
    with queries.reading(tmp_path / "coldchain.db") as connection:
        (kept,) = queries.rejected(connection)
    assert (kept.reason, kept.payload) == ("wrong_site", payload(0, *HOT, boot=3, seq=0))
    assert ledger.load_events() == ()
    assert running.broker.told[0][1]["refused"][0]["reason"] == "wrong_site"
    assert running.broker.told[0][1]["stored"] == []


def test_an_unknown_logger_is_flagged_and_judged_once_it_is_registered(tmp_path: Path, ledger: Ledger) -> None:
    running = restarted(tmp_path, ledger, START_MS + 60 * MINUTE_MS)
    running.get(payload(0, *HOT))
    ledger.register("registry.toml", REGISTRY, "ann", START_MS)
    again = restarted(tmp_path, ledger, running.now_ms)
    assert len(again.ledger.load_events()) == 1
    with queries.reading(tmp_path / "coldchain.db") as connection:
        (detail,) = connection.execute("SELECT detail FROM message").fetchone()
    assert detail == "unknown_logger: lg-1 is not registered"


def test_what_the_registry_says_of_a_topic_is_asked_anew_when_it_has_changed() -> None:
    intake, none, known = Intake(decoder(), Throttle(9, 9)), parse_registry([]), parse_registry([("r.toml", REGISTRY)])
    details = [
        intake.read([arrived(payload(0, 5000))], registry, 0.0).messages[0].detail for registry in (none, known, none)
    ]
    assert details == ["unknown_logger: lg-1 is not registered", "", "unknown_logger: lg-1 is not registered"]


def test_a_refused_message_is_named_so_that_it_is_not_sent_for_ever(running: Running) -> None:
    running.get(b"no document")
    ((where, receipt),) = running.broker.told
    sha256 = hashlib.sha256(b"no document").hexdigest()
    assert (where, receipt["refused"]) == (
        RECEIPT,
        [{"logger": "lg-1", "sha256": sha256, "reason": "not_a_document"}],
    )


def test_a_receipt_remembers_what_was_stored_before_a_restart(running: Running, tmp_path: Path, ledger: Ledger) -> None:
    running.get(payload(0, 5000, 5100, boot=3, seq=100))
    again = restarted(tmp_path, ledger, running.now_ms)
    again.get(payload(2, 5000, boot=3, seq=102))
    assert again.broker.told[0][1]["stored"] == stored(100, 102)


def test_what_is_missing_is_asked_for_again_and_again_and_then_unknown_until_it_comes(
    running: Running, tmp_path: Path, ledger: Ledger
) -> None:
    begin_ms = running.now_ms
    running.get(payload(0, 5000, boot=3, seq=100), payload(2, 5000, boot=3, seq=102))
    running.broker.told.clear()
    for second in range(300):
        running.now_ms = begin_ms + 1000 * second
        running.turn()
    asked = [(document["at"] - begin_ms) // 1000 for _, document in running.broker.told]
    assert asked == [10, 30, 70, 150]
    missing = {"logger": "lg-1", "channel": "1", "boot": 3, "from": 101, "to": 101}
    assert all(document["resend"] == [missing] for _, document in running.broker.told)
    assert ledger.lost_readings() == ()
    assert unknown_ms(running) == 0

    running.now_ms = begin_ms + 300_000
    running.turn()
    assert len(ledger.lost_readings()) == 1
    assert unknown_ms(running) == MINUTE_MS
    assert ledger.audit_verify().problems == ()
    assert unknown_ms(restarted(tmp_path, ledger, running.now_ms)) == MINUTE_MS
    running.service.writer.checkpoint()
    assert unknown_ms(restarted(tmp_path, ledger, running.now_ms)) == MINUTE_MS

    running.broker.told.clear()
    running.now_ms += 3_600_000
    running.turn()
    assert running.broker.told == []
    running.get(payload(1, 5000, boot=3, seq=101))
    assert unknown_ms(running) == 0
    assert running.broker.told[0][1]["stored"] == stored(100, 102)
    assert unknown_ms(restarted(tmp_path, ledger, running.now_ms)) == 0


def unknown_ms(running: Running) -> int:
    """Unknown time of the kit up to the reading of minute 2."""
    state = running.service.writer.kept.state
    record = state.places["basel-cold-2"]
    assert record.history is not None
    ends = record.history.end_ms.tolist()
    spans = zip([record.history.start_ms, *ends], ends, record.history.hot_mc.tolist(), strict=False)
    return sum(end - start for start, end, hot in spans if hot == UNKNOWN)


def test_an_excursion_becomes_an_event_an_alert_and_an_acknowledgement(running: Running) -> None:
    running.get(payload(0, *HOT))
    (event,) = running.ledger.load_events()
    assert (event.kit, event.limit, event.breached_at_ms) == ("K-0001", "above-8", START_MS + 10 * MINUTE_MS)
    assert running.broker.acknowledged == 1
    topics = {row.recipient for row in running.broker.published}
    assert topics == {"coldchain/v1/events/quarantine", "coldchain/v1/alerts/supply-manager"}
    running.turn()
    assert running.ledger.due_alerts(10**15) == ()


def test_the_same_message_again_changes_nothing(running: Running) -> None:
    running.get(payload(0, *HOT))
    running.get(payload(0, *HOT), payload(0, *HOT))
    assert running.broker.acknowledged == 3
    assert len(list(running.ledger.load_batches())) == 1
    assert [event.revision for event in running.ledger.load_events()] == [1]
    assert len(running.broker.published) == 2


def test_a_rejected_message_is_acknowledged_once_it_is_kept(running: Running, tmp_path: Path) -> None:
    running.get(b"\x00\xff", payload(0, 5000))
    assert running.broker.acknowledged == 2
    with queries.reading(tmp_path / "coldchain.db") as connection:
        (kept,) = queries.rejected(connection)
    assert kept.payload == b"\x00\xff"


def test_nothing_is_acknowledged_while_the_disk_fails_and_all_is_once_it_works(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise EnvironmentFailed("ledger", "database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "save", full)
        running.get(payload(0, *HOT))
        running.get(payload(20, 5000))
        assert (running.broker.acknowledged, running.broker.published) == (0, [])
        assert list(running.ledger.load_batches()) == []
    running.turn()
    assert running.broker.acknowledged == 2
    assert len(list(running.ledger.load_batches())) == 2
    assert len(running.ledger.load_events()) == 1


def test_a_reading_that_another_process_stored_meanwhile_is_not_stored_twice(running: Running, tmp_path: Path) -> None:
    message = received(arrived(payload(0, 5000)))
    with Ledger.open(tmp_path / "coldchain.db") as other:
        other.save((message,), Step(fresh=message.batches), (), START_MS)
    running.get(payload(0, 5000))
    assert len(list(running.ledger.load_batches())) == 1
    assert running.broker.acknowledged == 1


def test_a_registry_loaded_while_running_is_noticed_and_judged(tmp_path: Path, ledger: Ledger) -> None:
    running = restarted(tmp_path, ledger, START_MS + 60 * MINUTE_MS)
    running.get(payload(0, *HOT))
    assert ledger.load_events() == ()
    with Ledger.open(tmp_path / "coldchain.db") as other:
        other.register("registry.toml", REGISTRY, "ann", START_MS)
    running.service._next_poll = 0.0
    running.turn()
    assert [event.kit for event in ledger.load_events()] == ["K-0001"]


def test_a_kit_that_moves_on_is_still_counted_once(tmp_path: Path, running: Running) -> None:
    running.get(payload(0, 5000))
    with Ledger.open(tmp_path / "coldchain.db") as other:
        other.register("registry.toml", REGISTRY + "to = 2026-03-01T10:30:00Z\n", "ann", START_MS)
    running.service._next_poll = 0.0
    running.turn()
    with queries.reading(tmp_path / "coldchain.db") as connection:
        assert sum(queries.status(connection).verdicts.values()) == 1


def test_what_a_reload_finds_is_not_lost_when_the_disk_fails_just_then(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "POLL_S", 0.0)
    monkeypatch.setattr(writer, "RETRY_S", 0.0)
    running = restarted(tmp_path, ledger, START_MS + 60 * MINUTE_MS)
    running.get(payload(0, *HOT))
    with Ledger.open(tmp_path / "coldchain.db") as other:
        other.register("registry.toml", REGISTRY, "ann", START_MS)

    def full(*_: object, **__: object) -> None:
        raise EnvironmentFailed("ledger", "database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "save", full)
        running.turn()
        assert ledger.load_events() == ()
    running.turn()
    assert [event.kit for event in ledger.load_events()] == ["K-0001"]


def test_what_another_process_writes_during_a_load_is_noticed_afterwards(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "POLL_S", 0.0)
    monkeypatch.setattr(writer, "RETRY_S", 0.0)
    load_warnings = Ledger.load_warnings

    def meanwhile(self: Ledger) -> tuple[EarlyWarning, ...]:
        with Ledger.open(tmp_path / "coldchain.db") as other:
            other.register("registry.toml", REGISTRY, "ann", START_MS)
        return load_warnings(self)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "load_warnings", meanwhile)
        running = restarted(tmp_path, ledger, START_MS + 60 * MINUTE_MS)
    running.turn()
    running.get(payload(0, *HOT))
    assert [event.kit for event in ledger.load_events()] == ["K-0001"]


def test_a_registry_that_names_unknown_rules_stops_the_service(running: Running, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "coldchain.db") as other:
        other.register("registry.toml", REGISTRY.replace("mab-017", "mab-018"), "ann", START_MS)
    with pytest.raises(BadInput, match="mab-018"):
        running.turn()


def test_a_version_judges_from_the_moment_it_is_in_force_without_a_restart(running: Running, tmp_path: Path) -> None:
    # 10 minutes are allowed until 11:30 and 5 minutes afterwards; the kit was warm for 8
    stricter = RULES.replace("version = 1", "version = 2", 1).replace('"10min"', '"5min"')
    stricter = stricter.replace("2026-01-01T00:00:00Z", "2026-03-01T11:30:00Z", 1)
    (tmp_path / "rules" / "mab-017-v2.toml").write_text(stricter, encoding="utf-8")
    running.service.load()
    running.get(payload(0, *HOT[:8]))
    assert running.ledger.load_events() == ()
    running.now_ms = START_MS + 90 * MINUTE_MS - 1
    running.turn()
    assert running.ledger.load_events() == ()
    running.now_ms += 1
    running.turn()
    (event,) = running.ledger.load_events()
    assert (event.profile_version, event.breached_at_ms) == (2, START_MS + 5 * MINUTE_MS)
    assert event.profile_sha256 == hashlib.sha256(stricter.encode()).hexdigest()


def test_silence_becomes_unknown_time_and_then_an_event(running: Running) -> None:
    running.get(payload(0, 5000))
    running.now_ms = START_MS + 25 * 60 * MINUTE_MS
    running.turn(tick=True)
    (event,) = running.ledger.load_events()
    assert (event.limit, event.reason.value, event.revision) == ("unknown", "data_missing", 1)


def test_a_restart_during_silence_revises_nothing(running: Running, tmp_path: Path) -> None:
    running.get(payload(0, 5000))
    running.now_ms = START_MS + 25 * 60 * MINUTE_MS
    running.turn(tick=True)
    again = restarted(tmp_path, running.ledger, running.now_ms + MINUTE_MS)
    again.turn(tick=True)
    assert [(event.revision, event.supported) for event in running.ledger.load_events()] == [(1, True)]


def test_a_missing_tick_is_made_up_for(running: Running) -> None:
    running.get(payload(0, 5000))
    running.now_ms = START_MS + 25 * 60 * MINUTE_MS
    running.service._silence_due = 0.0
    running.turn()
    assert len(running.ledger.load_events()) == 1


def test_while_many_groups_are_asked_for_silence_messages_are_stored_in_between(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "GROUPS_AT_ONCE", 1)
    more = REGISTRY.partition("[[kit]]")[2]
    kits = "".join(f"[[kit]]{more}".replace("0001", f"000{n}").replace("T10:00", f"T1{n}:00") for n in range(2, 5))
    ledger.register("registry.toml", REGISTRY + kits, "ann", START_MS)
    running = restarted(tmp_path, ledger, START_MS + 60 * MINUTE_MS)
    running.get(payload(0, 5000))
    running.now_ms = START_MS + 29 * 60 * MINUTE_MS
    running.turn(tick=True)
    held = [len(ledger.load_events())]
    while running.service.may_wait_s == 0:
        running.ticks.put(None)  # a tick while a round goes on begins no other
        running.get(b"in between")
        held.append(len(ledger.load_events()))
        assert len(list(ledger.message_topics("coldchain/"))) == len(held)
    assert held == [1, 2, 3, 4]


def test_an_alert_waits_while_there_is_no_broker_and_is_not_sent_twice_while_under_way(running: Running) -> None:
    running.broker.is_linked = False
    running.get(payload(0, *HOT))
    assert running.broker.published == []
    running.broker.is_linked = True
    running.turn()
    assert len(running.broker.published) == 2
    running.broker.deliveries = []
    running.turn()
    assert len(running.broker.published) == 2


def test_an_undelivered_alert_is_delivered_after_a_restart(running: Running, tmp_path: Path) -> None:
    running.broker.is_linked = False
    running.get(payload(0, *HOT))
    again = restarted(tmp_path, running.ledger, running.now_ms)
    again.turn()
    assert len(again.broker.published) == 2


def test_mail_waits_in_the_outbox_while_there_is_no_mail_server(running: Running) -> None:
    letter = Alert("key", "email", "qp@example.org", "stop", "text", ())
    running.ledger.save((Message(START_MS, "t", b""),), Step(), (letter,), START_MS)
    running.turn()
    assert [row.key for row in running.ledger.due_alerts(10**15)] == ["key"]


@pytest.fixture
def own_log() -> Iterator[None]:
    """The service sends its log to this test's stderr, which is closed afterwards."""
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("own_log")
def test_no_broker_at_the_start_is_an_error_of_the_environment(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(EnvironmentFailed, match=f"broker 127.0.0.1:{port}: cannot be reached") as caught:
        service.run(settings_in(tmp_path, port), stop=threading.Event())
    assert caught.value.exit_code == 3


@pytest.mark.usefixtures("own_log")
def test_a_second_service_on_one_ledger_is_refused(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with only_service(settings.ledger.path), pytest.raises(EnvironmentFailed, match="another coldchain service"):
        service.run(settings, stop=threading.Event())


@pytest.mark.usefixtures("own_log")
def test_rules_that_are_not_there_stop_the_start(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    (tmp_path / "rules" / "mab-017.toml").unlink()
    with pytest.raises(BadInput, match="rules"):
        service.run(settings, stop=threading.Event())


def test_the_watchdog_ends_a_loop_that_stands_still() -> None:
    ended: SimpleQueue[float] = SimpleQueue()
    watchdog = Watchdog(0.2, ended.put)
    watchdog.start()
    assert ended.get(timeout=5) >= 0.2
    watchdog.stop()


def test_the_watchdog_lets_a_loop_that_beats_live() -> None:
    ended: SimpleQueue[float] = SimpleQueue()
    watchdog = Watchdog(0.2, ended.put)
    watchdog.start()
    for _ in range(20):
        watchdog._stopped.wait(0.03)
        watchdog.beat()
    watchdog.allow(100)
    watchdog._stopped.wait(0.5)
    watchdog.stop()
    assert ended.empty()
