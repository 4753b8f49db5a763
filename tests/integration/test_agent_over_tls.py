"""The real agent at the shipped broker over TLS, with a password or a certificate, to a receipt of the real service."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from coldchain.ledger import queries
from coldchain.ledger.ledger import Ledger
from processes import ServiceProcess, eventually
from service_values import PAST_REGISTRY, START_MS
from shipped_broker import WAYS, ShippedBroker, password_of


def settings(folder: Path, broker: ShippedBroker, way: str) -> Path:
    own = broker.certificates / "clients" / "basel" / "gw-1"
    (folder / "password").write_text(password_of("basel/gw-1"), encoding="utf-8")
    credentials = {
        "password": 'password_file = "password"',
        "certificate": f'cert_file = "{own}.pem"\nkey_file = "{own}.key"',
    }
    path = folder / "gateway.toml"
    path.write_text(
        f'site = "basel"\ngateway = "gw-1"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port_of(way)}\n'
        f'ca_file = "{broker.certificates / "ca.pem"}"\n{credentials[way]}\n[spool]\npath = "spool.db"\n'
        '[[source]]\nkind = "simulated"\nname = "sim"\nloggers = ["lg-1"]\nevery_s = 1\n',
        encoding="utf-8",
    )
    return path


def agent(*words: str) -> list[str]:
    return [sys.executable, "-m", "gateways.agent.cli", *words]


@pytest.mark.parametrize("way", WAYS)
def test_readings_of_the_agent_are_receipted_over_tls(tmp_path: Path, way: str) -> None:
    with ExitStack() as stack:
        receipted_over_tls(tmp_path, way, stack)


def receipted_over_tls(tmp_path: Path, way: str, stack: ExitStack) -> None:
    broker = ShippedBroker(tmp_path / "broker")
    stack.callback(broker.stop)
    service = ServiceProcess(tmp_path, broker.port_of(way), broker.settings(tmp_path, way))
    with Ledger.open(service.ledger) as ledger:
        ledger.register("registry.toml", PAST_REGISTRY, "ann", START_MS)
    service.start()
    stack.callback(service.kill)
    path = settings(tmp_path, broker, way)
    gateway = subprocess.Popen(agent("run", "--settings", str(path)), stderr=subprocess.PIPE, text=True)
    stack.callback(gateway.kill)

    def stored() -> int:
        with queries.reading(service.ledger) as connection:
            return queries.status(connection).readings

    eventually(lambda: stored() >= 3)

    def pending() -> int:
        told = subprocess.run(agent("status", "--json", "--settings", str(path)), capture_output=True, check=True)
        return sum(int(channel["pending"]) for channel in json.loads(told.stdout)["channels"])

    eventually(lambda: pending() == 0)
    gateway.terminate()
    _, said = gateway.communicate(timeout=20)
    assert gateway.returncode == 0, said
    assert service.stop() == 0
