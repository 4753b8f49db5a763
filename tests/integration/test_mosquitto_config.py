"""The broker settings that are shipped: who gets in, who may say what, how much is kept."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from processes import Mosquitto, eventually

SHIPPED = Path(__file__).parents[2] / "deploy" / "mosquitto"
USERS = ("coldchain-service", "supply-manager", "basel/gw-1", "basel/gw-2")


@pytest.fixture
def shipped(tmp_path: Path) -> Iterator[Mosquitto]:
    passwords = tmp_path / "passwords"
    passwords.touch(0o600)
    for user in USERS:
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, f"password of {user}"], check=True)
    shutil.copy(SHIPPED / "acl", tmp_path / "acl")
    conf = (SHIPPED / "mosquitto.conf").read_text(encoding="utf-8").replace("listener 1883 127.0.0.1\n", "")
    conf = conf.replace("/etc/mosquitto/", f"{tmp_path}/").replace("/var/lib/mosquitto/", f"{tmp_path}/")
    broker = Mosquitto(tmp_path, conf)
    yield broker
    broker.stop()


class Connection:
    """A client that notes what it is told. Clients speak MQTT 5, where a broker says why it refuses."""

    def __init__(self, port: int, user: str | None, topic: str | None = None, client_id: str = "") -> None:
        self.answers: list[ReasonCode] = []
        self.published: dict[int, ReasonCode] = {}
        self.heard: list[tuple[str, bytes]] = []
        self.ready = False
        self.client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
        if user is not None:
            self.client.username_pw_set(user, f"password of {user}")
        self._topic = topic
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: setattr(self, "ready", True)
        self.client.on_publish = lambda _c, _d, mid, reason, _p: self.published.update({mid: reason})
        self.client.on_message = lambda _c, _d, message: self.heard.append((message.topic, bytes(message.payload)))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        eventually(lambda: self.ready or any(answer.is_failure for answer in self.answers))

    def _on_connect(
        self, client: Client, _data: object, _flags: object, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self.answers.append(reason)
        if self._topic is None:
            self.ready = not reason.is_failure
        else:
            client.subscribe(self._topic, qos=1)

    def publish(self, topic: str) -> bool:
        """Whether the broker takes a message on this topic."""
        info = self.client.publish(topic, topic.encode(), qos=1)
        eventually(lambda: info.mid in self.published)
        return not self.published[info.mid].is_failure

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_nobody_gets_in_without_a_name(shipped: Mosquitto) -> None:
    nobody = Connection(shipped.port, None)
    assert nobody.answers[0].is_failure
    nobody.close()


@pytest.mark.parametrize(
    ("user", "topic", "may"),
    [
        ("basel/gw-1", "coldchain/v1/basel/gw-1/lg-1/readings", True),
        ("basel/gw-1", "coldchain/v1/basel/gw-1/lg-1/meta", True),
        ("basel/gw-1", "coldchain/v1/basel/gw-1/status", True),
        ("basel/gw-1", "coldchain/v1/basel/gw-1/receipt", False),
        ("basel/gw-1", "coldchain/v1/basel/gw-2/lg-1/readings", False),
        ("basel/gw-1", "coldchain/v1/zug/gw-1/lg-1/readings", False),
        ("basel/gw-1", "coldchain/v1/alerts/supply-manager", False),
        ("basel/gw-1", "coldchain/v1/events/quarantine", False),
        ("supply-manager", "coldchain/v1/alerts/supply-manager", False),
        ("supply-manager", "coldchain/v1/basel/gw-1/lg-1/readings", False),
        ("coldchain-service", "coldchain/v1/alerts/supply-manager", True),
        ("coldchain-service", "coldchain/v1/events/quarantine", True),
        ("coldchain-service", "coldchain/v1/basel/gw-1/receipt", True),
        ("coldchain-service", "coldchain/v1/basel/gw-1/lg-1/readings", False),
    ],
)
def test_each_says_only_what_is_theirs_to_say(shipped: Mosquitto, user: str, topic: str, may: bool) -> None:
    connection = Connection(shipped.port, user)
    assert connection.publish(topic) is may
    connection.close()


def test_the_service_hears_all_gateways_and_a_role_hears_only_its_own_alerts(shipped: Mosquitto) -> None:
    service = Connection(shipped.port, "coldchain-service", "coldchain/v1/+/+/+/readings")
    role = Connection(shipped.port, "supply-manager", "coldchain/v1/#")
    gateways = [Connection(shipped.port, user) for user in ("basel/gw-1", "basel/gw-2")]
    topics = ["coldchain/v1/basel/gw-1/lg-1/readings", "coldchain/v1/basel/gw-2/lg-1/readings"]
    for gateway, topic in zip(gateways, topics, strict=True):
        gateway.publish(topic)
    service.publish("coldchain/v1/alerts/qp")
    service.publish("coldchain/v1/alerts/supply-manager")
    eventually(lambda: len(service.heard) == 2 and len(role.heard) == 1)
    assert [topic for topic, _ in service.heard] == topics
    assert [topic for topic, _ in role.heard] == ["coldchain/v1/alerts/supply-manager"]
    for connection in (service, role, *gateways):
        connection.close()


def test_a_client_id_of_somebody_else_does_not_take_over_their_session(shipped: Mosquitto) -> None:
    service = Connection(shipped.port, "coldchain-service", "coldchain/v1/+/+/+/readings", "coldchain-service")
    thief = Connection(shipped.port, "basel/gw-1", client_id="coldchain-service")
    assert thief.publish("coldchain/v1/basel/gw-1/lg-1/readings")
    eventually(lambda: len(service.heard) == 1)
    assert len(service.answers) == 1
    thief.close()
    service.close()
