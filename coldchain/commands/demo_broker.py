"""A private broker on loopback for the demo: Mosquitto, or an embedded one where none can be installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from coldchain.commands.terminal import who
from coldchain.errors import EnvironmentFailed

STARTS_WITHIN_S = 15.0

MOSQUITTO_CONF = """\
listener {port} 127.0.0.1
user {user}
allow_anonymous true
persistence true
persistence_location {folder}/
max_inflight_messages 1000
max_queued_messages 1000000
set_tcp_nodelay true
"""

EMBEDDED_CONF = """\
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


def free_port() -> int:
    """A port on loopback that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PrivateBroker(NamedTuple):
    """A broker that runs: where, what it is, and the version of MQTT it speaks."""

    port: int
    name: str
    protocol: str


def start_broker(stack: ExitStack, out: Path, *, embedded: bool) -> PrivateBroker:
    """Start a broker that ends with `stack`: the embedded one if told so or if there is no Mosquitto."""
    port = free_port()
    # Debian puts mosquitto where only root looks
    mosquitto = shutil.which("mosquitto", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if mosquitto and not embedded:
        conf = out / "mosquitto.conf"
        conf.write_text(MOSQUITTO_CONF.format(port=port, folder=out.resolve(), user=who()))
        command, name, protocol = [mosquitto, "-c", str(conf)], "a private Mosquitto", "5"
    else:
        conf = out / "embedded-broker.yaml"
        conf.write_text(EMBEDDED_CONF.format(port=port))
        command = [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(conf)]
        name, protocol = "the embedded broker", "3.1.1"
    with (out / "broker.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    stack.callback(process.wait, 10)
    stack.callback(process.terminate)
    give_up_s = time.monotonic() + STARTS_WITHIN_S
    while process.poll() is None and time.monotonic() < give_up_s:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return PrivateBroker(port, name, protocol)
        time.sleep(0.05)
    raise EnvironmentFailed("broker", f"did not start; see {out / 'broker.log'}")
