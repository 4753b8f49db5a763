"""What a reading becomes and what a crash costs, with a real broker and the service as a process of its own."""

from __future__ import annotations

import json
import random
import secrets
import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from paho.mqtt.publish import single

from coldchain import pipeline
from coldchain.commands.recall import recall
from coldchain.ledger import queries
from coldchain.ledger.ledger import Ledger
from coldchain.profiles import load_profiles
from coldchain.registry import parse_registry
from coldchain.settings import load_settings
from gateways.decoders import decode
from processes import Inbox, Mosquitto, ServiceProcess, eventually, listening, publish
from service_values import MINUTE_MS, PAST_REGISTRY, START_MS, payload, topic

MakeService = Callable[..., ServiceProcess]

HOT = (topic(), payload(0, *[9000] * 15))
COLD = (topic(), payload(20, 5000))


def status(service: ServiceProcess) -> queries.Status:
    with queries.reading(service.ledger) as connection:
        return queries.status(connection)


def stored(service: ServiceProcess) -> list[tuple[int, int]]:
    """(at_ms, temperature_mc) of every reading in the ledger, in the order of storing."""
    with queries.reading(service.ledger) as connection:
        found = list(queries.batches(connection))
    return [pair for each in found for pair in zip(each.at_ms.tolist(), each.temperature_mc.tolist(), strict=True)]


def test_an_excursion_becomes_an_event_an_alert_and_a_mail(
    mosquitto: Mosquitto, make_service: MakeService, inbox: Inbox, mail_port: int
) -> None:
    service = make_service(
        f'[alerts]\nunblinded_roles = ["qp"]\n[alerts.email]\nqp = ["qp@example.org"]\nsite = ["site@example.org"]\n'
        f'[smtp]\nhost = "127.0.0.1"\nport = {mail_port}\nsender = "coldchain@example.org"\nstarttls = false\n'
    )
    service.start()
    with listening(mosquitto.port, "coldchain/v1/alerts/+", "coldchain/v1/events/quarantine") as heard:
        publish(mosquitto.port, HOT, (topic(), b"\x00\xff not json"), (topic("lg-2"), payload(0, 5000)))
        eventually(lambda: len(heard) == 2)
        by_topic = dict(heard)
        event = by_topic["coldchain/v1/events/quarantine"]
        assert (event["kit"], event["breached_at_ms"]) == ("K-0001", START_MS + 10 * MINUTE_MS)
        card = by_topic["coldchain/v1/alerts/supply-manager"]
        assert (card["kits"], card["place"]) == (["K-0001"], "basel-cold-2")

        # the mail server is down so far: readings were not held up, and the mail comes once it is there
        eventually(lambda: status(service).last_delivery_error != "")
        eventually(lambda: status(service).undelivered == 2)
        inbox.start()
        eventually(lambda: len(inbox.letters) == 2)
        eventually(lambda: status(service).undelivered == 0)
    texts = {letter["To"]: letter.get_content() for letter in inbox.letters}
    assert "above-8" in texts["qp@example.org"]
    assert "above-8" not in texts["site@example.org"]
    found = status(service)
    assert (found.messages, found.rejected, found.events) == (3, 2, 1)
    with queries.reading(service.ledger) as connection:
        assert {kept.payload for kept in queries.rejected(connection)} == {b"\x00\xff not json", payload(0, 5000)}


def test_a_retained_reading_is_kept_and_not_judged(mosquitto: Mosquitto, make_service: MakeService) -> None:
    single(*HOT, qos=1, retain=True, hostname="127.0.0.1", port=mosquitto.port)
    service = make_service()
    service.start()
    eventually(lambda: status(service).messages == 1)
    assert (status(service).rejected, status(service).events) == (1, 0)


def test_a_registry_loaded_while_it_runs_is_noticed(mosquitto: Mosquitto, make_service: MakeService) -> None:
    service = make_service(registry=None)
    service.start()
    publish(mosquitto.port, HOT)
    eventually(lambda: status(service).readings == 15)
    assert status(service).events == 0
    with Ledger.open(service.ledger) as ledger:
        ledger.register("registry.toml", PAST_REGISTRY, "ann", START_MS)
    eventually(lambda: status(service).events == 1)
    publish(mosquitto.port, COLD)
    eventually(lambda: status(service).readings == 16)


def test_an_end_by_sigterm_leaves_nothing_unacknowledged(mosquitto: Mosquitto, make_service: MakeService) -> None:
    service = make_service()
    service.start()
    messages = [(topic(), payload(minute, 5000)) for minute in range(200)]
    publish(mosquitto.port, *messages[:100])
    assert service.stop() == 0
    publish(mosquitto.port, *messages[100:])
    service.start()
    eventually(lambda: status(service).readings == 200)
    assert status(service).messages == 200
    assert service.stop() == 0


def test_the_service_waits_for_a_broker_that_goes_and_comes_back(
    mosquitto: Mosquitto, make_service: MakeService
) -> None:
    service = make_service()
    service.start()
    mosquitto.stop()
    eventually(lambda: "broker connection lost" in service.log())
    mosquitto.start()
    eventually(lambda: service.log().count("broker connected") == 2)
    publish(mosquitto.port, HOT)
    eventually(lambda: status(service).events == 1)


def test_a_receipt_comes_after_the_commit_also_for_what_is_sent_twice(
    mosquitto: Mosquitto, make_service: MakeService
) -> None:
    service = make_service()
    service.start()
    with listening(mosquitto.port, "coldchain/v1/basel/gw-1/receipt") as heard:
        for _ in range(2):
            publish(mosquitto.port, (topic(), payload(0, 5000, 5100, boot=7, seq=40)))
            eventually(lambda: len(heard) > 0)
            receipt = heard.pop().document
            assert receipt["stored"] == [
                {"logger": "lg-1", "channel": "1", "boot": 7, "first": 40, "seq": 41, "above": []}
            ]
            assert status(service).readings == 2
            assert (receipt["resend"], receipt["refused"], receipt["hold"]) == ([], [], False)


def test_what_was_lost_on_the_way_is_asked_for_and_healed_by_the_answer(
    mosquitto: Mosquitto, make_service: MakeService
) -> None:
    service = make_service("[service]\nresend_after_s = 1\nlost_after_s = 2\n")
    service.start()
    with listening(mosquitto.port, "coldchain/v1/basel/gw-1/receipt") as heard:
        publish(mosquitto.port, *[(topic(), payload(n, 5000, boot=7, seq=n)) for n in (0, 2)])
        eventually(lambda: any(each.document["resend"] for each in heard))
        asked = next(each.document["resend"] for each in heard if each.document["resend"])
        assert asked == [{"logger": "lg-1", "channel": "1", "boot": 7, "from": 1, "to": 1}]
        eventually(lambda: status(service).lost_gaps == 1)
        assert unknown_ms(service) == (8 * 60 - 1) * MINUTE_MS
        publish(mosquitto.port, (topic(), payload(1, 5000, boot=7, seq=1)))
        eventually(lambda: heard[-1].document["stored"] != [] and heard[-1].document["stored"][0]["seq"] == 2)
    assert unknown_ms(service) == (8 * 60 - 2) * MINUTE_MS


def unknown_ms(service: ServiceProcess) -> int:
    """Unknown time of the kit, which was there for eight hours, as a report would say it."""
    settings = load_settings(service.settings, {})
    with queries.reading(service.ledger) as connection:
        (found,) = recall(connection, settings, START_MS + 600 * MINUTE_MS).assessments.values()
    return found.unknown_ms


KILLED_IN_SAVE = """
import os, signal
from coldchain.ledger import records
write_alerts, write_messages = records.write_alerts, records.write_messages
def note(connection, messages, fresh):
    global has_messages
    has_messages = bool(messages)
    write_messages(connection, messages, fresh)
def kill(*args):
    write_alerts(*args)
    if has_messages: os.kill(os.getpid(), signal.SIGKILL)
records.write_messages, records.write_alerts = note, kill
"""

KILLED_AFTER_COMMIT = """
import os, signal
from coldchain.broker import Broker
Broker.acknowledge = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""

ACKNOWLEDGES_FIRST = """
from coldchain.service import Service
take = Service.take
def careless(self):
    arrived = list(self._broker.arrived)
    if arrived:
        self._broker.acknowledge(len(arrived))
        self._broker.arrived = arrived
        self._broker.acknowledge = lambda count: None
    take(self)
Service.take = careless
"""


@pytest.mark.parametrize(
    ("prelude", "readings"),
    [
        pytest.param(KILLED_IN_SAVE, 15, id="killed before the commit"),
        pytest.param(KILLED_AFTER_COMMIT, 15, id="killed after the commit"),
        pytest.param(ACKNOWLEDGES_FIRST + KILLED_IN_SAVE, 0, id="control: acknowledged before the commit"),
    ],
)
def test_a_kill_around_the_commit_loses_nothing_unless_it_was_acknowledged_before(
    mosquitto: Mosquitto, make_service: MakeService, prelude: str, readings: int
) -> None:
    service = make_service()
    service.start(prelude=prelude)
    publish(mosquitto.port, HOT)
    assert service.process.wait(20) == -9
    service.start()
    publish(mosquitto.port, COLD)
    eventually(lambda: status(service).readings >= readings + 1)
    assert len(stored(service)) == len(set(stored(service))) == readings + 1
    assert status(service).events == (1 if readings else 0)


def test_kills_at_random_moments_lose_nothing_and_change_nothing(
    mosquitto: Mosquitto, make_service: MakeService
) -> None:
    seed = secrets.randbelow(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)  # noqa: S311 (no secret)
    sent = [(minute, chance.choice((4000, 5000, 8000, 9000, 26000))) for minute in range(300)]
    chance.shuffle(sent)
    service = make_service()
    service.start()
    for first in range(0, 300, 75):
        messages = [(topic(), payload(*pair)) for pair in sent[first : first + 75]]
        messages += chance.sample(messages, 10)
        publisher = threading.Thread(target=publish, args=(mosquitto.port, *messages), kwargs={"pause_s": 0.003})
        publisher.start()
        publisher.join(chance.uniform(0.0, 0.4))
        service.kill()
        publisher.join()
        service.start()
    eventually(lambda: len(stored(service)) >= 300)
    assert service.stop() == 0

    expected = sorted((START_MS + minute * MINUTE_MS, mc) for minute, mc in sent)
    assert sorted(stored(service)) == expected
    batches = [batch for pair in sent for batch in decode(topic(), payload(*pair), START_MS + 600 * MINUTE_MS)]
    registry = parse_registry([("registry.toml", PAST_REGISTRY)])
    uncrashed = pipeline.replay(batches, registry, load_profiles(service.settings.parent / "rules"))
    with Ledger.open(service.ledger) as ledger:
        assert ledger.audit_verify().problems == ()
        events = {(event.id, event.breached_at_ms, event.supported) for event in ledger.load_events()}
    assert events == {(e.id, e.breached_at_ms, True) for of_kit in uncrashed.events.values() for e in of_kit.values()}
    with queries.reading(service.ledger) as connection:
        noted = queries.assessments(connection)
        known = recall(connection, load_settings(service.settings, {}), START_MS + 600 * MINUTE_MS)
    assert known.assessments == uncrashed.assessments
    # the ledger notes an assessment when its outcome changes, as it was then
    assert {group: told(body) for group, body in noted.items()} == {
        group: told(json.loads(orjson.dumps(a))) for group, a in uncrashed.assessments.items()
    }


def told(assessment: dict[str, Any]) -> tuple[object, ...]:
    breaches = [(limit["limit_id"], limit["breached_at_ms"]) for limit in assessment["limits"]]
    return assessment["verdict"], breaches, assessment["conflicts"]
