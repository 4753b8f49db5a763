"""The connection to the broker: one thread turns the network loop, commits and acknowledges.

An acknowledgement can therefore never cross a reconnect: what arrived on a connection is forgotten when that
connection ends, and the broker sends it again. Callbacks only note what happened; an exception in one would leave the
client looking alive and deaf.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, topic_matches_sub
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from coldchain.errors import EnvironmentFailed
from coldchain.ledger.entries import Delivery, OutboxRow
from coldchain.packet_stream import Published, StreamingClient
from coldchain.settings import Mqtt
from gateways.decoders.documents import MAX_PAYLOAD_BYTES

KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 5.0
ANSWER_WITHIN_S = 10.0
LONGEST_PAUSE_S = 30.0
GATHER_S = 0.05
"""How long one turn goes on collecting messages for one commit once they come in."""

SESSION_NEVER_EXPIRES = 0xFFFFFFFF
LARGEST_PACKET = MAX_PAYLOAD_BYTES + 65_536
"""A payload that is only just refused, with its topic [bytes]. What is larger the broker does not even send."""

ONLINE, OFFLINE = b'{"online":true}', b'{"online":false}'
"""What the service says of itself where `[mqtt] service_status` names a topic; the latter is its last will too."""

log = structlog.get_logger()


def give_credentials(client: Client, mqtt: Mqtt) -> None:
    """Let a client say who it is, and know whom it talks to; EnvironmentFailed if a file of them cannot be read."""
    try:
        if mqtt.username:
            password = mqtt.password_file.read_text(encoding="utf-8").strip() if mqtt.password_file else None
            client.username_pw_set(mqtt.username, password)
        if mqtt.ca_file or mqtt.cert_file:
            ca, certificate, key = (str(f) if f else None for f in (mqtt.ca_file, mqtt.cert_file, mqtt.key_file))
            client.tls_set(ca, certificate, key)
    except OSError as exc:  # ssl.SSLError is one
        raise EnvironmentFailed("broker", f"its password or certificates cannot be read: {exc}") from exc


class Arrived(NamedTuple):
    """A message and when it arrived; without a `topic` that is no text. `mid`, `qos`: how it is acknowledged."""

    received_ms: int
    topic: str | None
    payload: bytes
    is_retained: bool = False
    mid: int = 0
    qos: int = 1


class Broker:
    """A connection that heals itself. `arrived` holds what was received on the present one and not acknowledged."""

    def __init__(self, mqtt: Mqtt, clock: Callable[[], int]) -> None:
        self._mqtt, self._clock = mqtt, clock
        self.arrived: list[Arrived] = []
        self.deliveries: list[Delivery] = []
        self.statuses: list[Arrived] = []
        self._is_linked = self._is_subscribed = self._has_session = False
        self._refusal = self._failure = ""
        self._published: dict[int, int] = {}
        self._announced: dict[int, str] = {}
        self._pause_s, self._retry_at = 1.0, 0.0
        self._speaks_5 = mqtt.protocol == "5"
        self._client = self._new_client()

    def _new_client(self) -> StreamingClient:
        mqtt = self._mqtt
        client = StreamingClient(
            CallbackAPIVersion.VERSION2,
            mqtt.client_id,
            clean_session=None if self._speaks_5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self._speaks_5 else MQTTProtocolVersion.MQTTv311,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(mqtt.max_inflight)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_subscribe, client.on_publish = self._on_subscribe, self._on_publish
        if mqtt.service_status:
            client.will_set(mqtt.service_status, OFFLINE, qos=1, retain=True)
        give_credentials(client, mqtt)
        return client

    @property
    def is_linked(self) -> bool:
        """Whether the broker has accepted the present connection."""
        return self._is_linked

    def connect(self) -> None:
        """Connect and subscribe for the first time; EnvironmentFailed if the broker cannot be reached or refuses."""
        where = f"broker {self._mqtt.host}:{self._mqtt.port}"
        self._client.on_log = self._on_log  # for now only: with it paho words every packet
        try:
            if self._speaks_5:
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
                properties.SessionExpiryInterval = SESSION_NEVER_EXPIRES
                properties.ReceiveMaximum = self._mqtt.max_inflight
                properties.MaximumPacketSize = LARGEST_PACKET
                self._client.connect(
                    self._mqtt.host, self._mqtt.port, KEEPALIVE_S, clean_start=False, properties=properties
                )
            else:
                self._client.connect(self._mqtt.host, self._mqtt.port, KEEPALIVE_S)
        except OSError as exc:
            raise EnvironmentFailed(where, f"cannot be reached: {exc}") from exc
        answer_until = time.monotonic() + ANSWER_WITHIN_S
        while not self._is_subscribed and not self._refusal and time.monotonic() < answer_until:
            self._turn_once(0.2)
            if self._client.socket() is None:
                break
        if not self._is_subscribed:
            raise EnvironmentFailed(where, self._refusal or self._no_answer())
        self._client.on_log = None

    def _no_answer(self) -> str:
        problem = f"closes the connection or does not answer{self._failure}"
        if self._mqtt.cert_file:
            return f"{problem}; is {self._mqtt.cert_file} a certificate that it accepts, valid and not revoked?"
        return f"{problem}; does it take clients without a certificate?" if self._mqtt.ca_file else problem

    def turn(self, timeout_s: float) -> None:
        """Let the network do its part for about `timeout_s`; messages that came in are in `arrived` afterwards.

        Once some have come, it goes on collecting for one commit until none waits.
        """
        if self._client.socket() is None and not self._reconnect():
            time.sleep(timeout_s)
            return
        gather_until = time.monotonic() + timeout_s + GATHER_S
        while self._turn_once(timeout_s) and len(self.arrived) < self._mqtt.max_inflight:
            timeout_s = 0.0
            if time.monotonic() >= gather_until:
                break
        if self._refusal and self._is_linked:
            raise EnvironmentFailed("broker", self._refusal)

    def _turn_once(self, timeout_s: float) -> bool:
        """Wait for the network, then read and write what there is; whether messages have come."""
        stream = self._client.stream
        if stream is None or self._client.socket() is None:
            return False
        is_writing = [stream] if stream.wants_write or self._client.want_write() else []
        readable, writable, _ = select.select([stream], is_writing, [], timeout_s)
        if readable:
            stream.fill(self._mqtt.max_inflight)
        if writable:
            stream.flush()
        messages, stream.messages = stream.messages, []
        self._receive(messages)
        while stream.has_news and self._client.socket() is not None:
            self._client.loop_read()
        if self._client.want_write():
            self._client.loop_write()
        self._client.loop_misc()
        return bool(messages)

    def _receive(self, messages: list[Published]) -> None:
        now_ms = self._clock()
        for message in messages:
            topic = _text(message.topic)
            arrived = Arrived(now_ms, topic, message.payload, message.is_retained, message.mid, message.qos)
            if topic is not None and self._is_status(topic):
                self.statuses.append(arrived)
                if not message.qos:
                    continue  # else another subscription brought it as well
            self.arrived.append(arrived)

    def _is_status(self, topic: str) -> bool:
        return topic.endswith("/status") and any(topic_matches_sub(one, topic) for one in self._mqtt.status_topics)

    def _reconnect(self) -> bool:
        if time.monotonic() < self._retry_at:
            return False
        self._refusal = ""
        try:
            self._client.reconnect()
        except OSError as exc:
            log.warning("broker unreachable", error=str(exc), next_attempt_s=self._pause_s)
        self._retry_at = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return self._client.socket() is not None

    def acknowledge(self, count: int) -> None:
        """Acknowledge the first `count` of `arrived`, which are stored; those of a lost connection come again."""
        stored, self.arrived = self.arrived[:count], self.arrived[count:]
        if self._is_linked and self._client.stream is not None:
            self._client.stream.acknowledge(arrived.mid for arrived in stored if arrived.qos)

    def publish(self, row: OutboxRow) -> None:
        """Publish an alert; `deliveries` tells when the broker has taken it."""
        info = self._client.publish(row.recipient, row.body, qos=1)
        self._published[info.mid] = row.id

    def tell(self, topic: str, payload: bytes) -> None:
        """Publish something that is not in the outbox; nothing while there is no connection."""
        if self._is_linked:
            self._client.publish(topic, payload, qos=1)

    def request(self, topic: str, payload: bytes) -> None:
        """Publish a request to a gateway, once: whoever asks does so again if it was not heard."""
        if self._is_linked:
            self._client.publish(topic, payload, qos=0)

    def announce(self, topic: str, body: bytes, *, retain: bool = False) -> None:
        """Publish with QoS 1: the client sends it again after a reconnect until the broker has taken it."""
        self._announced[self._client.publish(topic, body, qos=1, retain=retain).mid] = topic

    def close(self) -> None:
        """Disconnect cleanly. The session stays: what arrives meanwhile is delivered at the next start."""
        if self._is_linked and self._mqtt.service_status:
            self.announce(self._mqtt.service_status, OFFLINE, retain=True)  # a clean end sends no last will
        self._is_linked = False
        self._client.disconnect()

    def _on_connect(
        self, client: Client, _userdata: Any, flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._refusal = f"refuses the connection: {reason}"
            log.error("broker refuses the connection", reason=str(reason))
            return
        self._is_linked, self._pause_s, self._has_session = True, 1.0, flags.session_present
        if self._speaks_5:
            # A retained reading is old news: it is asked for once, so that it is seen, kept and refused.
            options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            client.subscribe([(topic, options) for topic in self._mqtt.topics] + self._status_subscriptions())
        else:
            client.subscribe([(topic, 1) for topic in self._mqtt.topics] + [(t, 0) for t in self._mqtt.status_topics])
        if self._mqtt.service_status:
            self.announce(self._mqtt.service_status, ONLINE, retain=True)

    def _status_subscriptions(self) -> list[tuple[str, SubscribeOptions]]:
        """The newest status is asked for at every connection; with QoS 0, so that none waits for an acknowledgement."""
        return [(topic, SubscribeOptions(qos=0)) for topic in self._mqtt.status_topics]

    def _on_subscribe(
        self, _client: Client, _userdata: Any, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        for topic, reason in zip(self._mqtt.topics + self._mqtt.status_topics, reasons, strict=False):
            if reason.is_failure:
                self._refusal = f"refuses the subscription to {topic}: {reason}"
        self._is_subscribed = not self._refusal
        log.info("broker connected", session_present=self._has_session)

    def _on_disconnect(
        self, _client: Client, _userdata: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if self._is_linked:
            log.warning("broker connection lost", reason=str(reason), unacknowledged=len(self.arrived))
        self._is_linked = self._is_subscribed = False
        self.arrived = []

    def _on_log(self, _client: Client, _userdata: Any, level: int, text: str) -> None:
        # The first says why, such as a certificate that the broker does not accept; what follows is that it is gone.
        if level == LogLevel.MQTT_LOG_ERR and not self._failure:
            self._failure = f" ({text})"

    def _on_publish(self, _client: Client, _userdata: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        outbox_id = self._published.pop(mid, None)
        if outbox_id is not None:
            error = f"the broker refuses it: {reason}" if reason.is_failure else ""
            self.deliveries.append(Delivery(outbox_id, self._clock(), error))
        announced = self._announced.pop(mid, None)
        if announced is not None and reason.is_failure:
            log.error("the broker refuses a message of the service", topic=announced, reason=str(reason))


def _text(topic: bytes) -> str | None:
    try:
        return topic.decode()
    except UnicodeDecodeError:
        return None
