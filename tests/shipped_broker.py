"""A real Mosquitto with exactly the shipped file, and clients that come to it with a password or a certificate.

What is put in place: the two folders that the file names, its two ports (on loopback), and the user it runs as.
Nothing else differs; a control leaves out the one line that it is about.
"""

from __future__ import annotations

import getpass
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from processes import eventually, free_port

SHIPPED = Path(__file__).parents[1] / "deploy" / "mosquitto"
USERS = ("coldchain-service", "supply-manager", "operator", "watch", "basel/gw-1", "basel/gw-2")
WAYS = ("password", "certificate")


def make_certificates(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the shipped script."""
    command = [str(SHIPPED / "make_certificates.sh"), str(folder), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


class ShippedBroker:
    """The broker of a small site. `port` is where clients with a password go, `certificate_port` the others."""

    def __init__(self, folder: Path, without: Sequence[str] = ()) -> None:
        self.etc, self._lib = folder / "etc", folder / "lib"
        self.certificates = self.etc / "certs"
        self.port, self.certificate_port = free_port(), free_port()
        self.etc.mkdir(parents=True)
        self._lib.mkdir()
        passwords = self.etc / "passwords"
        passwords.touch(0o600)
        for user in USERS:
            subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, password_of(user)], check=True)
        made = [make_certificates(self.certificates, "broker", "localhost", "127.0.0.1")]
        made += [make_certificates(self.certificates, "client", user) for user in USERS]
        assert [each.stderr for each in made] == [""] * len(made)
        shutil.copy(SHIPPED / "acl", self.etc / "acl")
        text = (SHIPPED / "mosquitto.conf").read_text(encoding="utf-8")
        for shipped, here in (
            ("/etc/mosquitto/", f"{self.etc}/"),
            ("/var/lib/mosquitto/", f"{self._lib}/"),
            ("listener 8883\n", f"listener {self.port} 127.0.0.1\n"),
            ("listener 8884\n", f"listener {self.certificate_port} 127.0.0.1\n"),
        ):
            assert shipped in text
            text = text.replace(shipped, here)
        lines = [line for line in text.splitlines() if line.split(" ")[0] not in without]
        self._conf = folder / "mosquitto.conf"
        self._conf.write_text("\n".join((f"user {getpass.getuser()}", *lines, "")), encoding="utf-8")
        self._log = folder / "mosquitto.log"
        self.start()

    def start(self) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        assert program is not None, "these tests need mosquitto"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(self._conf)], stdout=log, stderr=log)
        eventually(lambda: self._listens(self.port) and self._listens(self.certificate_port))

    def _listens(self, port: int) -> bool:
        assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def save(self) -> None:
        """What it does by itself every `autosave_interval` seconds."""
        saved = self._lib / "mosquitto.db"
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        self._process.send_signal(signal.SIGUSR1)
        eventually(lambda: saved.exists() and saved.stat().st_mtime_ns > before)

    def port_of(self, way: str) -> int:
        return {"password": self.port, "certificate": self.certificate_port}[way]

    def settings(self, folder: Path, way: str, user: str = "coldchain-service") -> str:
        """Keys of `[mqtt]` by which the service comes to this broker; they follow the port."""
        ca = f'client_id = "coldchain-service"\nca_file = "{self.certificates / "ca.pem"}"\n'
        if way == "certificate":
            own = self.certificates / "clients" / user
            return f'{ca}cert_file = "{own}.pem"\nkey_file = "{own}.key"\n'
        (folder / "mqtt-password").write_text(password_of(user), encoding="utf-8")
        return f'{ca}username = "{user}"\npassword_file = "mqtt-password"\n'


def password_of(user: str) -> str:
    return f"password of {user}"


class Connection:
    """A client that notes what it is told. MQTT 5 if not told otherwise: there a broker says why it refuses."""

    def __init__(
        self,
        broker: ShippedBroker,
        user: str | None,
        topic: str | None = None,
        *,
        way: str = "password",
        client_id: str = "",
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
        keepalive: int = 60,
        acknowledges: bool = True,
    ) -> None:
        self.answers: list[ReasonCode] = []
        self.published: dict[int, ReasonCode] = {}
        self.heard: list[tuple[str, bytes]] = []
        self.ready = False
        self.losses = 0
        self.keepalive_s: int | None = None
        clean = None if protocol == MQTTProtocolVersion.MQTTv5 else True
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=clean,
            protocol=protocol,
            manual_ack=not acknowledges,
        )
        own = broker.certificates / "clients" / (user or "nobody")
        has_certificate = way == "certificate" and user is not None
        self.client.tls_set(
            str(broker.certificates / "ca.pem"),
            f"{own}.pem" if has_certificate else None,
            f"{own}.key" if has_certificate else None,
        )
        if way == "password" and user is not None:
            self.client.username_pw_set(user, password_of(user))
        self._topic = topic
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_subscribe = lambda *_: setattr(self, "ready", True)
        self.client.on_publish = lambda _c, _d, mid, reason, _p: self.published.update({mid: reason})
        self.client.on_message = lambda _c, _d, message: self.heard.append((message.topic, bytes(message.payload)))
        self.client.connect("127.0.0.1", broker.port_of(way), keepalive)
        self.client.loop_start()
        eventually(lambda: self.ready or self.losses > 0 or any(answer.is_failure for answer in self.answers))

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: ReasonCode, properties: Any) -> None:
        self.answers.append(reason)
        self.keepalive_s = getattr(properties, "ServerKeepAlive", None)
        if self._topic is None:
            self.ready = not reason.is_failure
        else:
            client.subscribe(self._topic, qos=1)

    def _on_disconnect(self, *_: Any) -> None:
        self.losses += 1

    def publish(self, topic: str, body: bytes | None = None) -> bool:
        """Whether the broker takes a message on this topic."""
        info = self.client.publish(topic, topic.encode() if body is None else body, qos=1)
        eventually(lambda: info.mid in self.published)
        return not self.published[info.mid].is_failure

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
