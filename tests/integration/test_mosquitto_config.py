"""The broker settings that are shipped: who gets in, who may say what, how much is kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from coldchain.ledger import queries
from coldchain.ledger.ledger import Ledger
from processes import ServiceProcess, eventually
from service_values import MINUTE_MS, PAST_REGISTRY, START_MS, payload, topic, written_settings
from shipped_broker import USERS, WAYS, Connection, ShippedBroker, make_certificates

MakeBroker = Callable[..., ShippedBroker]
MakeService = Callable[[ShippedBroker, str], ServiceProcess]

READINGS = topic()
"""Where basel/gw-1 publishes."""


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[MakeBroker]:
    """Makes the shipped broker, without the lines that a control is about; it ends with the test however that ends."""
    made: list[ShippedBroker] = []

    def make(without: Sequence[str] = ()) -> ShippedBroker:
        made.append(ShippedBroker(tmp_path / "broker", without))
        return made[-1]

    yield make
    for broker in made:
        broker.stop()


@pytest.fixture
def shipped(make_broker: MakeBroker) -> ShippedBroker:
    return make_broker()


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[MakeService]:
    """Makes the real service, not started yet, with a ledger that knows the registry."""
    made: list[ServiceProcess] = []

    def make(broker: ShippedBroker, way: str) -> ServiceProcess:
        folder = tmp_path / "service"
        folder.mkdir()
        service = ServiceProcess(folder, broker.port_of(way), broker.settings(folder, way))
        made.append(service)
        with Ledger.open(service.ledger) as ledger:
            ledger.register("registry.toml", PAST_REGISTRY, "ann", START_MS)
        return service

    yield make
    for service in made:
        if service.process.poll() is None:
            service.kill()


def messages_in(service: ServiceProcess) -> int:
    with queries.reading(service.ledger) as connection:
        return queries.status(connection).messages


def refused_run(folder: Path, port: int, more: str) -> str:
    """The last line of a `coldchain run` that must fail because of its environment."""
    settings = written_settings(folder, port, more)
    command = [sys.executable, "-m", "coldchain.cli", "run", "--settings", str(settings)]
    found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert found.returncode == 3, found.stderr
    assert "Traceback" not in found.stderr
    told = [line for line in found.stderr.splitlines() if line.startswith("coldchain: ")]
    assert len(told) == 1
    return told[0]


@pytest.mark.parametrize("way", WAYS)
def test_the_service_and_a_gateway_meet_over_tls_with_a_password_and_with_a_certificate(
    make_service: MakeService, shipped: ShippedBroker, way: str
) -> None:
    service = make_service(shipped, way)
    service.start()
    gateway = Connection(shipped, "basel/gw-1", way=way)
    role = Connection(shipped, "supply-manager", "coldchain/v1/alerts/supply-manager", way=way)
    assert gateway.publish(READINGS, payload(0, *[9000] * 15))
    eventually(lambda: len(role.heard) == 1)
    assert messages_in(service) == 1
    assert service.stop() == 0
    gateway.close()
    role.close()


def test_a_refusal_at_the_start_is_one_line_that_says_why(tmp_path: Path, shipped: ShippedBroker) -> None:
    def with_certificate(own: Path, ca: Path = shipped.certificates / "ca.pem") -> str:
        return f'ca_file = "{ca}"\ncert_file = "{own}.pem"\nkey_file = "{own}.key"\n'

    other = tmp_path / "other"
    make_certificates(other, "broker", "localhost", "127.0.0.1")
    make_certificates(other, "client", "coldchain-service")
    expired = expired_certificate(shipped.certificates, tmp_path / "expired")
    password = shipped.settings(tmp_path, "password")
    wrong = password.replace("mqtt-password", "wrong-password")
    (tmp_path / "wrong-password").write_text("guessed", encoding="utf-8")
    own = shipped.certificates / "clients" / "coldchain-service"
    ca = f'ca_file = "{shipped.certificates / "ca.pem"}"\n'
    at, certificate_at = shipped.port, shipped.certificate_port
    for port, more, said in (
        (at, wrong, "refuses the connection: Not authorized"),
        (at, ca, "refuses the connection: Not authorized"),
        (at, password.replace(str(shipped.certificates), str(other)), "certificate verify failed"),
        (at, f'host = "127.0.0.2"\n{password}', "cannot be reached"),
        (at, 'username = "coldchain-service"\npassword_file = "mqtt-password"\n', "closes the connection"),
        (certificate_at, ca, "does it take clients without a certificate?"),
        (certificate_at, password, "does it take clients without a certificate?"),
        (certificate_at, with_certificate(expired), f"is {expired}.pem a certificate that it accepts"),
        (certificate_at, with_certificate(other / "clients" / "coldchain-service"), "a certificate that it accepts"),
        (certificate_at, with_certificate(own, other / "ca.pem"), "certificate verify failed"),
    ):
        assert said in refused_run(tmp_path, port, more), (more, said)


def expired_certificate(certificates: Path, to: Path) -> Path:
    """A certificate of the service by the right authority, valid for a day of the year 2020."""
    key, csr = f"{to}.key", f"{to}.csr"
    config = str(certificates / "authority" / "openssl.cnf")
    ask = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-config", config, "-keyout", key, "-out", csr]
    subprocess.run([*ask, "-subj", "/CN=coldchain-service"], check=True, capture_output=True)
    sign = ["openssl", "ca", "-batch", "-notext", "-config", config, "-in", csr, "-out", f"{to}.pem"]
    dates = ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"]
    subprocess.run([*sign, *dates], check=True, capture_output=True)
    return to


def test_a_revoked_gateway_stays_outside_and_the_others_do_not(shipped: ShippedBroker) -> None:
    assert make_certificates(shipped.certificates, "revoke", "basel/gw-1").returncode == 0
    shipped.stop()
    shipped.start()
    revoked = Connection(shipped, "basel/gw-1", way="certificate")
    assert not revoked.ready
    revoked.close()
    other = Connection(shipped, "basel/gw-2", way="certificate")
    assert other.publish(READINGS.replace("gw-1", "gw-2"))
    other.close()


@pytest.mark.parametrize("way", WAYS)
def test_nobody_gets_in_without_a_name(shipped: ShippedBroker, way: str) -> None:
    nobody = Connection(shipped, None, way=way)
    assert not nobody.ready
    nobody.close()


@pytest.mark.parametrize("way", WAYS)
def test_each_says_only_what_is_theirs_to_say(shipped: ShippedBroker, way: str) -> None:
    connections = {user: Connection(shipped, user, way=way) for user in USERS}
    for user, where, may in (
        ("basel/gw-1", "coldchain/v1/basel/gw-1/lg-1/readings", True),
        ("basel/gw-1", "coldchain/v1/basel/gw-1/lg-1/meta", True),
        ("basel/gw-1", "coldchain/v1/basel/gw-1/status", True),
        ("basel/gw-1", "coldchain/v1/basel/gw-1/receipt", False),
        ("basel/gw-1", "coldchain/v1/basel/gw-2/lg-1/readings", False),
        ("basel/gw-1", "coldchain/v1/basel/gw-2/status", False),
        ("basel/gw-1", "coldchain/v1/zug/gw-1/lg-1/readings", False),
        ("basel/gw-1", "coldchain/v1/alerts/supply-manager", False),
        ("basel/gw-1", "coldchain/v1/alerts/operator", False),
        ("basel/gw-1", "coldchain/v1/events/quarantine", False),
        ("basel/gw-1", "coldchain/v1/service/status", False),
        ("supply-manager", "coldchain/v1/alerts/supply-manager", False),
        ("supply-manager", "coldchain/v1/basel/gw-1/lg-1/readings", False),
        ("operator", "coldchain/v1/service/status", False),
        ("operator", "coldchain/v1/alerts/operator", False),
        ("watch", "coldchain/v1/service/status", False),
        ("coldchain-service", "coldchain/v1/alerts/supply-manager", True),
        ("coldchain-service", "coldchain/v1/alerts/operator", True),
        ("coldchain-service", "coldchain/v1/events/quarantine", True),
        ("coldchain-service", "coldchain/v1/service/status", True),
        ("coldchain-service", "coldchain/v1/basel/gw-1/receipt", True),
        ("coldchain-service", "coldchain/v1/basel/gw-1/lg-1/readings", False),
        ("coldchain-service", "coldchain/v1/basel/gw-1/status", False),
    ):
        assert connections[user].publish(where) is may, (user, where)
    for connection in connections.values():
        connection.close()


def test_the_service_hears_all_gateways_and_a_role_hears_only_its_own_alerts(shipped: ShippedBroker) -> None:
    service = Connection(shipped, "coldchain-service", "coldchain/v1/+/+/+/readings")
    role = Connection(shipped, "supply-manager", "coldchain/v1/#")
    operator = Connection(shipped, "operator", "coldchain/v1/#")
    watch = Connection(shipped, "watch", "coldchain/v1/#")
    gateways = [Connection(shipped, user) for user in ("basel/gw-1", "basel/gw-2")]
    topics = ["coldchain/v1/basel/gw-1/lg-1/readings", "coldchain/v1/basel/gw-2/lg-1/readings"]
    for gateway, where in zip(gateways, topics, strict=True):
        gateway.publish(where)
    for where in ("alerts/qp", "alerts/supply-manager", "alerts/operator", "service/status"):
        service.publish(f"coldchain/v1/{where}")
    eventually(lambda: len(service.heard) == 2 and len(role.heard) == len(watch.heard) == 1)
    eventually(lambda: len(operator.heard) == 2)
    assert [where for where, _ in service.heard] == topics
    assert [where for where, _ in role.heard] == ["coldchain/v1/alerts/supply-manager"]
    assert [where for where, _ in operator.heard] == ["coldchain/v1/alerts/operator", "coldchain/v1/service/status"]
    assert [where for where, _ in watch.heard] == ["coldchain/v1/service/status"]
    for connection in (service, role, operator, watch, *gateways):
        connection.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_client_id_of_somebody_else_does_not_take_over_their_session(shipped: ShippedBroker, way: str) -> None:
    service = Connection(shipped, "coldchain-service", "coldchain/v1/+/+/+/readings", client_id="coldchain-service")
    thief = Connection(shipped, "basel/gw-1", way=way, client_id="coldchain-service")
    assert thief.publish(READINGS)
    eventually(lambda: len(service.heard) == 1)
    assert (len(service.answers), service.losses) == (1, 0)
    thief.close()
    service.close()


def test_control_without_the_line_a_thief_takes_over_the_session(make_broker: MakeBroker) -> None:
    broker = make_broker(["use_username_as_clientid"])
    service = Connection(broker, "coldchain-service", "coldchain/v1/+/+/+/readings", client_id="coldchain-service")
    thief = Connection(broker, "basel/gw-1", client_id="coldchain-service")
    eventually(lambda: service.losses > 0)
    thief.close()
    service.close()


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311])
def test_a_message_above_the_limit_reaches_nobody_and_the_next_one_does(
    shipped: ShippedBroker, protocol: MQTTProtocolVersion
) -> None:
    service = Connection(shipped, "coldchain-service", "coldchain/v1/+/+/+/readings")
    flooder = Connection(shipped, "basel/gw-1", protocol=protocol)
    flooder.client.publish(READINGS, bytes(1_100_000), qos=1)
    eventually(lambda: flooder.losses > 0)
    flooder.close()
    other = Connection(shipped, "basel/gw-2")
    assert other.publish(READINGS.replace("gw-1", "gw-2"), b"next")
    eventually(lambda: len(service.heard) == 1)
    assert service.heard[0][1] == b"next"
    assert service.losses == 0
    other.close()
    service.close()


def test_control_without_the_line_the_message_reaches_the_service(make_broker: MakeBroker) -> None:
    broker = make_broker(["max_packet_size"])
    service = Connection(broker, "coldchain-service", "coldchain/v1/+/+/+/readings")
    flooder = Connection(broker, "basel/gw-1")
    assert flooder.publish(READINGS, bytes(1_100_000))
    eventually(lambda: len(service.heard) == 1)
    flooder.close()
    service.close()


def test_a_gateway_that_publishes_with_qos_2_is_sent_away(shipped: ShippedBroker) -> None:
    gateway = Connection(shipped, "basel/gw-1", protocol=MQTTProtocolVersion.MQTTv311)
    gateway.client.publish(READINGS, b"twice the trouble", qos=2)
    eventually(lambda: gateway.losses > 0)
    gateway.close()


def test_a_gateway_that_wants_to_be_missed_after_ten_minutes_only_is_told_otherwise(shipped: ShippedBroker) -> None:
    gateway = Connection(shipped, "basel/gw-1", keepalive=600)
    assert gateway.keepalive_s == 60
    gateway.close()


@pytest.mark.parametrize(
    ("without", "under_way"),
    [pytest.param((), 1000, id="shipped"), pytest.param(("max_inflight_messages",), 20, id="control: the default")],
)
def test_a_commit_may_take_a_thousand_messages(
    make_broker: MakeBroker, without: tuple[str, ...], under_way: int
) -> None:
    broker = make_broker(without)
    everything = "coldchain/v1/+/+/+/readings"
    service = Connection(broker, "coldchain-service", everything, acknowledges=False, client_id="coldchain-service")
    send(broker, range(1_100))
    eventually(lambda: len(service.heard) >= under_way)
    service.client.publish("coldchain/v1/service/status", b"{}", qos=1).wait_for_publish(10)  # a round trip later
    assert len(service.heard) == under_way
    service.close()


WAITING = 2_500
"""More than the default queue of 1 000, and than what is under way beside it."""


@pytest.mark.parametrize(
    ("without", "arrive"),
    [
        pytest.param((), True, id="shipped"),
        pytest.param(("max_queued_messages",), False, id="control: the default queue"),
    ],
)
def test_what_waits_for_an_absent_service_all_arrives(
    make_broker: MakeBroker, make_service: MakeService, without: tuple[str, ...], arrive: bool
) -> None:
    broker = make_broker(without)
    service = make_service(broker, "password")
    service.start()
    assert service.stop() == 0
    send(broker, range(WAITING))
    service.start()
    # It comes after everything that waits, and again should a queue that is still full have dropped it.
    last = Connection(broker, "basel/gw-1")
    while not has_minute(service, WAITING):
        last.publish(READINGS, payload(WAITING, 5000))
    last.close()
    assert (readings_in(service) == WAITING + 1) is arrive
    assert service.stop() == 0


def has_minute(service: ServiceProcess, minute: int) -> bool:
    with queries.reading(service.ledger) as connection:
        return any(START_MS + minute * MINUTE_MS in batch.at_ms for batch in queries.batches(connection))


def readings_in(service: ServiceProcess) -> int:
    with queries.reading(service.ledger) as connection:
        return queries.status(connection).readings


def send(broker: ShippedBroker, minutes: range) -> None:
    gateway = Connection(broker, "basel/gw-1")
    pending = [gateway.client.publish(READINGS, payload(minute, 5000), qos=1) for minute in minutes]
    eventually(lambda: len(gateway.published) >= len(pending), 60)
    assert not any(reason.is_failure for reason in gateway.published.values())
    gateway.close()


@pytest.mark.parametrize("end", ["stop", "kill after a save"])
@pytest.mark.parametrize(
    ("without", "arrived"),
    [
        pytest.param((), 20, id="shipped"),
        pytest.param(("persistence",), 0, id="control: nothing on disk"),
    ],
)
def test_what_waits_survives_a_restart_of_the_broker(
    make_broker: MakeBroker, make_service: MakeService, end: str, without: tuple[str, ...], arrived: int
) -> None:
    broker = make_broker(without)
    service = make_service(broker, "certificate")
    service.start()
    assert service.stop() == 0
    send(broker, range(20))
    if end == "stop":
        broker.stop()
    else:
        if not without:
            broker.save()
        broker.kill()
    broker.start()
    service.start()
    last = Connection(broker, "basel/gw-1")
    last.publish(READINGS, payload(30, 5000))
    last.close()
    eventually(lambda: messages_in(service) == arrived + 1)
    assert service.stop() == 0
