"""A gateway of a scripted day as a process: `python -m gateways.publish --gateway gw-basel`.

It publishes its messages at their time, waits for the broker to acknowledge every one, and says so in one line.
Exit codes: 0 published, 2 wrong arguments, 3 the broker cannot be reached or does not acknowledge.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from coldchain.errors import BadInput, ColdchainError, EnvironmentFailed
from gateways.decoders import decode
from gateways.simulator.demo_day import DEMO_START_MS, DemoDay, scenario

CONNECT_PATIENCE_S = 15.0
"""How long a broker may take to come up."""

ACKNOWLEDGE_PATIENCE_S = 30.0
"""How long the broker may stay silent, or away, while messages wait for it."""

_ONLINE, _OFFLINE = b'{"online":true}', b'{"online":false}'


class Link:
    """A connection to the broker that outlives interruptions and remembers which messages were acknowledged.

    paho's own thread turns the network loop, reconnects once a second, and sends again what was not acknowledged.
    """

    def __init__(self, gateway: str, status_topic: str, credentials: tuple[str, str] | None) -> None:
        self._status_topic = status_topic
        self._changed = threading.Condition()
        self._connected = False
        self._refusal: str | None = None
        self._published: set[int] = set()
        self._acknowledged: set[int] = set()
        # MQTT 3.1.1 is what every broker speaks, also the embedded one of the demo.
        self._client = Client(CallbackAPIVersion.VERSION2, gateway, clean_session=False, protocol=MQTTv311)
        self._client.will_set(status_topic, _OFFLINE, qos=1, retain=True)
        self._client.reconnect_delay_set(1, 1)
        if credentials is not None:
            self._client.username_pw_set(*credentials)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish

    def open(self, host: str, port: int) -> None:
        """Connect, waiting for a broker that is still starting; EnvironmentFailed if there is none."""
        self._client.connect_async(host, port, keepalive=15)
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._connected or self._refusal is not None, CONNECT_PATIENCE_S)
            if not self._connected:
                problem = self._refusal or f"{host}:{port} cannot be reached ({CONNECT_PATIENCE_S:.0f} s tried)"
                raise EnvironmentFailed("broker", problem)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Hand a message over; without a connection it is kept and sent after the next one."""
        message = self._client.publish(topic, payload, qos=1, retain=retain)
        with self._changed:
            self._published.add(message.mid)

    def finish(self) -> None:
        """Return when the broker has acknowledged every message; EnvironmentFailed when it stops doing so.

        The status says so too, since a last will is sent only after a broken connection.
        """
        self.publish(self._status_topic, _OFFLINE, retain=True)
        with self._changed:
            while waiting := len(self._published - self._acknowledged):
                if not self._changed.wait(ACKNOWLEDGE_PATIENCE_S):
                    raise EnvironmentFailed("broker", f"{waiting} messages are not acknowledged")

    def stop(self) -> None:
        """Disconnect and end the network thread, whatever the state of the connection."""
        # Without the disconnect paho's thread would go on for as long as a message is not acknowledged.
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: Client, _data: Any, _flags: ConnectFlags, code: ReasonCode, _properties: Properties | None
    ) -> None:
        with self._changed:
            if code.is_failure:
                self._refusal = f"connection refused: {code}"
            else:
                self._connected = True
            self._changed.notify_all()
        if not code.is_failure:
            client.publish(self._status_topic, _ONLINE, qos=1, retain=True)

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, _code: ReasonCode, _properties: Properties | None
    ) -> None:
        with self._changed:
            self._acknowledged.add(mid)
            self._changed.notify_all()


def publish_day(
    day: DemoDay, gateway: str, link: Link, host: str, port: int, speed: float, begin_s: float | None = None
) -> str:
    """Publish all messages of a gateway at their time; the line that tells what was done.

    `begin_s`: when the show began or begins, by the wall clock [s since 1970]; now if None.
    """
    started_s = time.monotonic() + (0.0 if begin_s is None else begin_s - time.time())
    readings = 0
    messages = day.messages(gateway)
    try:
        # A gateway that is lost is not connected either: it turns up with its first message.
        _sleep_until(started_s + messages[0][0] / speed)
        link.open(host, port)
        for offset_s, topic, payload in messages:
            _sleep_until(started_s + offset_s / speed)
            link.publish(topic, payload)
            readings += sum(map(len, decode(topic, payload, day.end_ms)))
        link.finish()
    finally:
        link.stop()
    return f"{gateway}: {len(messages)} messages, {readings} readings published"


def _sleep_until(instant_s: float) -> None:
    time.sleep(max(0.0, instant_s - time.monotonic()))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gateways.publish", description="One gateway of a scripted day.")
    parser.add_argument("--scenario", choices=["demo"], default="demo")
    parser.add_argument("--gateway", help="which gateway to be; --list names them")
    parser.add_argument("--list", action="store_true", help="print the gateways of the scenario and end")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--username", help="name at the broker, with --password-file")
    parser.add_argument("--password-file", type=Path, help="a file whose first line is the password")
    parser.add_argument("--seed", type=int, default=1, help="decides noise and treatment arms (default 1)")
    parser.add_argument("--speed", type=float, default=1.0, help="2 takes half the time (default 1: about 20 s)")
    parser.add_argument("--begin", type=float, help="when the show begins [s since 1970], now without it")
    return parser.parse_args(argv)


def _credentials(arguments: argparse.Namespace) -> tuple[str, str] | None:
    if arguments.username is None:
        return None
    path: Path | None = arguments.password_file
    if path is None:
        raise BadInput("a user name needs --password-file", key="--username", value=arguments.username)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise BadInput(f"cannot be read: {exc.strerror}", file=str(path)) from exc
    return arguments.username, lines[0] if lines else ""


def _run(arguments: argparse.Namespace) -> str:
    day = scenario(arguments.seed, DEMO_START_MS)
    if arguments.list:
        return "\n".join(day.gateways)
    gateway: str | None = arguments.gateway
    if gateway is None or gateway not in day.sites:
        raise BadInput(f"not a gateway of the scenario ({', '.join(day.gateways)})", key="--gateway", value=gateway)
    if not arguments.speed > 0:
        raise BadInput("a speed is more than 0", key="--speed", value=arguments.speed)
    link = Link(gateway, day.topic(gateway, "status"), _credentials(arguments))
    host, port, speed, begin_s = arguments.host, arguments.port, arguments.speed, arguments.begin
    return publish_day(day, gateway, link, host, port, speed, begin_s)


def main(argv: list[str] | None = None) -> int:
    """Be one gateway; the exit code."""
    try:
        print(_run(_arguments(argv)))
    except ColdchainError as exc:
        print(exc, file=sys.stderr)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
