"""The link to the broker: one thread turns paho's network loop, and tells the agent what happened by events.

paho's own thread is not used: an exception in a callback would end it while the client looks alive. Here callbacks only
note what happened, and whatever goes wrong in this thread ends the process, which starts again from its spool.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from coldchain.errors import EnvironmentFailed
from gateways.agent.settings import Mqtt

KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 5.0
LONGEST_PAUSE_S = 15.0
GOODBYE_S = 3.0

log = logging.getLogger("coldchain-gateway")


class Linked(NamedTuple):
    """The broker has accepted the connection and the subscription; without the session it may have lost messages."""

    session_present: bool


class Unlinked(NamedTuple):
    """The connection is gone, or could not be made."""

    reason: str


class Acknowledged(NamedTuple):
    """The broker has taken the message with this key."""

    key: str


class Arrived(NamedTuple):
    """A message on the receipt topic."""

    payload: bytes


class Failed(NamedTuple):
    """A thread met something that it does not understand."""

    error: BaseException


LinkEvent = Linked | Unlinked | Acknowledged | Arrived | Failed


class Link:
    """`publish` may be called from another thread; everything else that concerns the network happens in one."""

    def __init__(self, mqtt: Mqtt, user: str, topic: str, tell: Callable[[LinkEvent], None]) -> None:
        self._mqtt, self._topic, self._tell = mqtt, topic, tell
        self._outgoing: deque[tuple[str, bytes, bool, str]] = deque()
        self._keys: dict[int, str] = {}
        self._session_present = self._is_linked = self._is_useless = False
        self._stops_s: float | None = None
        self._pause_s, self._retry_s = 1.0, 0.0
        # Each gateway has a pace of its own, so that a broker that is back is not met by all of them at once.
        self._pace = 0.75 + zlib.crc32(user.encode()) % 1000 / 2000
        self._reason = ""
        self._awake, self._wake = socket.socketpair()
        self._awake.setblocking(False)
        self._wake.setblocking(False)
        self._client = self._new_client(user)
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    def _new_client(self, user: str) -> Client:
        mqtt = self._mqtt
        client = Client(CallbackAPIVersion.VERSION2, user, clean_session=False, protocol=MQTTv311)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(0)  # the agent bounds what is in flight, by receipts
        client.will_set(f"{self._topic}/status", b'{"online":false}', qos=1, retain=True)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_subscribe, client.on_message = self._on_subscribe, self._on_message
        client.on_publish = self._on_publish
        try:
            client.username_pw_set(user, None if mqtt.password_file is None else _first_line(mqtt.password_file))
            if mqtt.ca_file is not None:
                certificate, key = (str(f) if f else None for f in (mqtt.cert_file, mqtt.key_file))
                client.tls_set(str(mqtt.ca_file), certificate, key)
        except (OSError, UnicodeDecodeError) as exc:  # ssl.SSLError is an OSError
            raise EnvironmentFailed("broker", f"its password or certificates cannot be read: {exc}") from exc
        client.connect_async(mqtt.host, mqtt.port, KEEPALIVE_S)
        return client

    def start(self) -> None:
        """Begin to connect; it goes on trying for ever."""
        self._thread.start()

    def publish(self, topic: str, payload: bytes, *, key: str = "", retain: bool = False) -> None:
        """Hand a message over; without a connection it is sent after the next one. `Acknowledged` names its key."""
        self._outgoing.append((topic, payload, retain, key))
        self._rouse()

    def stop(self) -> None:
        """Send what was handed over, wait shortly for the broker to take it, and disconnect."""
        self._stops_s = time.monotonic() + GOODBYE_S
        self._rouse()
        if self._thread.is_alive():
            self._thread.join(GOODBYE_S + CONNECT_TIMEOUT_S + 1)

    def _rouse(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe rouses as well
            self._wake.send(b"!")

    def _run(self) -> None:
        try:
            while not self._has_said_goodbye():
                self._turn()
            self._client.disconnect()
            self._client.loop_write()
        except Exception as exc:  # noqa: BLE001 (handed to the agent's own thread, which ends with it)
            self._tell(Failed(exc))

    def _has_said_goodbye(self) -> bool:
        if self._stops_s is None:
            return False
        is_done = not self._outgoing and not self._keys
        return is_done or not self._is_linked or time.monotonic() > self._stops_s

    def _turn(self) -> None:
        connection = self._client.socket()
        if connection is None:
            if not self._reconnect():
                self._sleep(0.2)
            return
        # Bytes that TLS has decrypted already make no socket readable.
        pending = getattr(connection, "pending", lambda: 0)()
        wants = [connection] if self._client.want_write() else []
        readable, writable, _ = select.select([connection, self._awake], wants, [], 0.0 if pending else 1.0)
        self._drain()
        if connection in readable or pending:
            self._client.loop_read()
        while self._is_linked and self._outgoing:
            topic, payload, retain, key = self._outgoing.popleft()
            # paho takes it in whatever happens now, and sends it again on the next connection.
            self._keys[self._client.publish(topic, payload, qos=1, retain=retain).mid] = key
        if writable or self._client.want_write():
            self._client.loop_write()
        self._client.loop_misc()
        if self._is_useless:
            self._is_useless = False
            self._client.disconnect()

    def _sleep(self, seconds: float) -> None:
        select.select([self._awake], [], [], seconds)
        self._drain()
        if self._client.socket() is None:
            time.sleep(0.02)  # messages that are handed over without a connection must not make this turn fast

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._awake.recv(4096):
                pass

    def _reconnect(self) -> bool:
        if time.monotonic() < self._retry_s:
            return False
        try:
            self._client.reconnect()
        except OSError as exc:
            self._lost(f"cannot be reached: {exc}")
        self._retry_s = time.monotonic() + self._pause_s * self._pace
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return self._client.socket() is not None

    def _lost(self, reason: str) -> None:
        if self._is_linked or reason != self._reason:
            log.warning("broker %s:%d: %s", self._mqtt.host, self._mqtt.port, reason)
            self._reason = reason
            self._tell(Unlinked(reason))
        self._is_linked = False

    def _on_connect(
        self, client: Client, _data: Any, flags: ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._lost(f"refuses the connection: {code}")
            return
        self._session_present = flags.session_present
        client.subscribe(f"{self._topic}/receipt", qos=1)

    def _on_subscribe(
        self, _client: Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if any(code.is_failure for code in codes):
            # Without receipts nothing could ever leave the spool; publishing would only repeat itself.
            self._lost(f"refuses the subscription to {self._topic}/receipt")
            self._is_useless = True
            return
        self._is_linked, self._pause_s, self._reason = True, 1.0, ""
        log.info("broker %s:%d: connected", self._mqtt.host, self._mqtt.port)
        self._tell(Linked(self._session_present))

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if self._is_linked and self._stops_s is None:
            self._lost(f"the connection is lost: {code}")

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, _code: ReasonCode, _properties: Properties | None
    ) -> None:
        key = self._keys.pop(mid, "")
        if key:
            self._tell(Acknowledged(key))

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._tell(Arrived(bytes(message.payload)))


def _first_line(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].strip()
