"""The watch from outside: a service cannot tell that it is dead, so somebody else looks whether it says it is alive.

It needs the status of the service at the broker and a mail server, nothing of the ledger.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from coldchain.alarms import Key, Kind, Standing, Trouble, step
from coldchain.alerts.alarm_letters import alarm_letters
from coldchain.alerts.alarm_mail import AlarmMail
from coldchain.broker import KEEPALIVE_S, give_credentials
from coldchain.commands.terminal import now_ms
from coldchain.errors import BadInput
from coldchain.gateway_status import status_of
from coldchain.settings import Mqtt, Settings, load_settings

LOOK_EVERY_S = 1.0
MAIL_FINISHES_WITHIN_S = 5.0

log = structlog.get_logger()


def run(settings_file: Path) -> None:
    """Watch until SIGTERM or SIGINT. A broker that cannot be reached is an alarm, not an end."""
    settings = load_settings(settings_file)
    _usable(settings, str(settings_file))
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    mail, link = AlarmMail(settings.smtp, now_ms), ServiceLink(settings.mqtt)
    link.start()
    after_s = {Kind.SERVICE: settings.alarms.service_after_s, Kind.BROKER: settings.alarms.broker_after_s}
    standing: dict[Key, Standing] = {}
    while not stop.wait(LOOK_EVERY_S):
        every_s, now_s = settings.alarms.repeat_every_s, time.monotonic()
        is_told = any(key.kind is Kind.SERVICE and each.told for key, each in standing.items())
        standing, notices = step(standing, link.troubles(is_told=is_told), after_s, every_s, now_s, now_ms())
        for notice in notices:
            log.critical("alarm", kind=notice.kind, state=notice.change, details=notice.details)
            for letter in alarm_letters(notice, settings.alerts, by_email=True):
                mail.post(letter, notice.at_ms)
        mail.turn(now_s)
    link.stop()
    mail.close(MAIL_FINISHES_WITHIN_S)


def _usable(settings: Settings, file: str) -> None:
    """BadInput if there is nobody to tell, or nothing to listen to."""
    role = settings.alerts.operator_role
    for is_missing, key, what in (
        (not settings.smtp.host, "smtp.host", "a watch tells by e-mail: name a mail server"),
        (not settings.alerts.email.get(role), f"alerts.email.{role}", "a watch tells operators: name an address"),
        (not settings.mqtt.service_status, "mqtt.service_status", "the service says nowhere that it is there"),
    ):
        if is_missing:
            raise BadInput(what, file=file, key=key)


class ServiceLink:
    """What the broker says of the service. paho's own thread turns the network loop and connects again for ever."""

    def __init__(self, mqtt: Mqtt) -> None:
        self._mqtt = mqtt
        self._is_linked = False
        self._is_online = False
        self._reason = self._unheard = f"nothing is said at {mqtt.service_status}"
        # Never the service's own client id: that would take over its session.
        name = f"{mqtt.username or 'coldchain'}-watch"
        self._client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv311)
        give_credentials(self._client, mqtt)
        self._client.reconnect_delay_set(1, 30)
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Begin to connect."""
        self._client.connect_async(self._mqtt.host, self._mqtt.port, KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def troubles(self, *, is_told: bool) -> Iterator[Trouble]:
        """What does not work now. `is_told`: operators know that the service is offline.

        Without the broker nothing is known of the service, so nothing new is said of it: a broker that ends sends the
        last wills of all its clients.
        """
        if not self._is_linked:
            yield Trouble(Kind.BROKER, detail=f"{self._mqtt.host}:{self._mqtt.port}")
        if not self._is_online and (self._is_linked or is_told):
            yield Trouble(Kind.SERVICE, detail=self._reason)

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self._is_linked = not reason.is_failure
        if self._is_linked:
            self._is_online, self._reason = False, self._unheard  # the broker tells the present state at once
            client.subscribe(self._mqtt.service_status, qos=1)
            log.info("broker connected")

    def _on_disconnect(self, *_: Any) -> None:
        self._is_linked = False

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            status = status_of(bytes(message.payload))
        except ValueError as exc:
            status, self._reason = None, str(exc)
        else:
            self._reason = f"told at {self._mqtt.service_status}"
        self._is_online = status is not None and status.is_online
