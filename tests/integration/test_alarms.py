"""Silence is an alarm: a part of the system stops, and operators are told by the real broker and a real mail server.

The bounds are seconds here instead of minutes; that the right ones are in force is tested in tests/test_alarms.py.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

import processes
from coldchain.ledger import queries
from coldchain.ledger.ledger import Ledger
from coldchain.settings import load_settings
from coldchain.timeseries import local_file
from coldchain.timeseries.opening import file_of
from processes import Heard, Inbox, Mosquitto, ServiceProcess, eventually, free_port, listening, publish
from scraping import scraped
from service_values import PAST_REGISTRY, START_MS, payload, topic

MakeService = Callable[..., ServiceProcess]

OPERATOR = "coldchain/v1/alerts/operator"
STATUS = "coldchain/v1/basel/gw-1/status"
HOT = (topic(), payload(0, *[9000] * 15))
QUICK = "[alarms]\nledger_after_s = 1\nbroker_after_s = 1\nemail_after_s = 1\ngateway_after_s = 1\n"
STALL = "[service]\nstall_after_s = 600\n"


def mail(port: int, *, role: str = "operator") -> str:
    return (
        f'[alerts.email]\n{role} = ["{role}@example.org"]\n'
        f'[smtp]\nhost = "127.0.0.1"\nport = {port}\nsender = "coldchain@example.org"\nstarttls = false\n'
    )


def messages_in(service: ServiceProcess, ledger: Path | None = None) -> int:
    with queries.reading(ledger or service.ledger) as connection:
        return queries.status(connection).messages


def told(heard: list[Heard], kind: str) -> list[str]:
    return [document["state"] for _, document in heard if document["kind"] == kind]


def subjects(inbox: Inbox, kind: str) -> list[str]:
    return [letter["Subject"] for letter in inbox.letters if kind in letter["Subject"]]


def tell(port: int, body: bytes, where: str = STATUS) -> None:
    """A status, retained as a gateway's is."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.publish(where, body, qos=1, retain=True).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def test_a_gateway_that_goes_offline_is_told_and_that_it_is_back(
    mosquitto: Mosquitto, make_service: MakeService, inbox: Inbox, mail_port: int
) -> None:
    inbox.start()
    service = make_service(QUICK + mail(mail_port))
    service.start()
    with listening(mosquitto.port, OPERATOR) as heard:
        gateway = Client(CallbackAPIVersion.VERSION2)
        gateway.will_set(STATUS, b'{"online":false}', qos=1, retain=True)
        gateway.connect("127.0.0.1", mosquitto.port)
        gateway.loop_start()
        gateway.publish(STATUS, b'{"online":true}', qos=1, retain=True).wait_for_publish(10)
        publish(mosquitto.port, HOT)
        eventually(lambda: messages_in(service) == 1)
        assert heard == []
        lost = gateway.socket()
        assert lost is not None
        gateway.loop_stop()
        lost.close()  # its power is gone: the broker sends its last will
        eventually(lambda: told(heard, "gateway_offline") == ["raised"])
        assert heard[0].document["subjects"] == ["basel/gw-1"]
        eventually(lambda: subjects(inbox, "gateways") == ["coldchain: ALARM: gateways are offline (basel/gw-1)"])
        tell(mosquitto.port, b'{"online":true}')
        eventually(lambda: told(heard, "gateway_offline") == ["raised", "ended"])
    assert messages_in(service) == 1, "a status is neither kept nor rejected"


def test_a_gateway_that_was_offline_before_the_start_is_told_and_one_that_is_no_more_is_not(
    mosquitto: Mosquitto, make_service: MakeService
) -> None:
    tell(mosquitto.port, b'{"online":false}')
    tell(mosquitto.port, b'{"online":false}', "coldchain/v1/basel/gw-2/status")
    tell(mosquitto.port, b"", "coldchain/v1/basel/gw-2/status")
    tell(mosquitto.port, b"not a status", "coldchain/v1/basel/gw-3/status")
    service = make_service(QUICK)
    with listening(mosquitto.port, OPERATOR) as heard:
        service.start()
        eventually(lambda: told(heard, "gateway_offline") == ["raised"])
        assert heard[0].document["subjects"] == ["basel/gw-1"]
        assert "status of a gateway not understood" in service.log()
        tell(mosquitto.port, b"")
        eventually(lambda: told(heard, "gateway_offline") == ["raised", "ended"])
        service.kill()
        tell(mosquitto.port, b'{"online":false}')
        service.start()
        eventually(lambda: told(heard, "gateway_offline") == ["raised", "ended", "raised"])


def test_what_a_gateway_reports_of_itself_is_told(mosquitto: Mosquitto, make_service: MakeService) -> None:
    service = make_service(QUICK)
    service.start()
    with listening(mosquitto.port, OPERATOR) as heard:
        alarm = b'{"alarm":"disk_full","since":1772359200000,"problem":"4 readings are dropped"}'
        tell(mosquitto.port, b'{"online":true,"alarms":[%s]}' % alarm)
        eventually(lambda: told(heard, "gateway_alarm") == ["raised"])
        assert heard[0].document["details"] == ["basel/gw-1 disk_full: 4 readings are dropped"]
        tell(mosquitto.port, b'{"online":false}')
        eventually(lambda: told(heard, "gateway_offline") == ["raised"])
        assert told(heard, "gateway_alarm") == ["raised"], "a gateway that is gone has not mended anything"
        tell(mosquitto.port, b'{"online":true,"alarms":[]}')
        eventually(lambda: told(heard, "gateway_alarm") == ["raised", "ended"])


def test_a_broker_that_is_gone_is_told_by_mail(
    mosquitto: Mosquitto, make_service: MakeService, inbox: Inbox, mail_port: int
) -> None:
    inbox.start()
    service = make_service(QUICK + mail(mail_port))
    service.start()
    mosquitto.stop()
    eventually(lambda: len(inbox.letters) == 1)
    assert subjects(inbox, "broker") == ["coldchain: ALARM: the broker is not connected"]
    mosquitto.start()
    eventually(lambda: len(inbox.letters) == 2, 60)
    assert subjects(inbox, "broker")[1] == "coldchain: works again: the broker is not connected"


def test_a_mail_server_that_is_gone_is_told_by_the_broker(
    mosquitto: Mosquitto, make_service: MakeService, inbox: Inbox, mail_port: int
) -> None:
    service = make_service(QUICK + mail(mail_port, role="site"))
    service.start()
    with listening(mosquitto.port, OPERATOR) as heard:
        publish(mosquitto.port, HOT)  # an excursion, of which the site has to be told
        eventually(lambda: told(heard, "email_failing") == ["raised"])
        assert "refused" in heard[0].document["details"][0]
        inbox.start()
        eventually(lambda: told(heard, "email_failing") == ["raised", "ended"])
    assert [letter["To"] for letter in inbox.letters] == ["site@example.org"]


def test_a_locked_ledger_is_told_by_mail_although_the_loop_hangs_on_it(
    mosquitto: Mosquitto, make_service: MakeService, inbox: Inbox, mail_port: int
) -> None:
    inbox.start()
    service = make_service(QUICK + STALL + mail(mail_port))
    service.start()
    with listening(mosquitto.port, OPERATOR) as heard:
        with Path(f"{service.ledger}.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            publish(mosquitto.port, HOT)
            eventually(lambda: len(inbox.letters) == 1)
            assert subjects(inbox, "ledger") == ["coldchain: ALARM: the ledger takes no commits"]
            assert "a commit does not come back" in inbox.letters[0].get_content()
            assert messages_in(service) == 0
        eventually(lambda: told(heard, "ledger_failing") == ["raised", "ended"])
        eventually(lambda: len(inbox.letters) == 2)
    assert messages_in(service) == 1


def test_a_projection_that_stands_still_is_told(mosquitto: Mosquitto, make_service: MakeService) -> None:
    service = make_service("[alarms]\nprojection_after_s = 2\n")
    service.start()
    settings = load_settings(service.settings, {})
    with listening(mosquitto.port, OPERATOR) as heard:
        with local_file.projecting(file_of(settings), waiting=True):  # as a command that hangs would hold it
            eventually(lambda: told(heard, "projection_stalled") == ["raised"])
        eventually(lambda: told(heard, "projection_stalled") == ["raised", "ended"])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    with processes.small_disk(tmp_path / "disk", mib=8) as found:
        yield found


def fill(folder: Path, percent: int) -> None:
    size = int(8 * 2**20 * percent / 100)
    others = sum(path.stat().st_blocks * 512 for path in folder.iterdir() if path.name != "filler")
    with (folder / "filler").open("wb") as filler:
        filler.write(bytes(size - others))


@pytest.mark.parametrize(
    ("stop_percent", "stops"),
    [pytest.param(95, True, id="stops at 95"), pytest.param(100, False, id="control: would go on to the last byte")],
)
def test_a_disk_that_fills_is_told_then_nothing_is_taken_and_it_goes_on_alone(
    mosquitto: Mosquitto, make_service: MakeService, small_disk: Path, stop_percent: int, stops: bool
) -> None:
    ledger, port = small_disk / "coldchain.db", free_port()
    with Ledger.open(ledger) as opened:
        opened.register("registry.toml", PAST_REGISTRY, "ann", START_MS)
    service = make_service(
        f'{QUICK}[ledger]\npath = "{ledger}"\nstop_percent = {stop_percent}\n[metrics]\nport = {port}\n', registry=None
    )
    service.start()
    with listening(mosquitto.port, OPERATOR) as heard:
        fill(small_disk, 85)
        eventually(lambda: told(heard, "disk_filling") == ["raised"])
        publish(mosquitto.port, HOT)
        eventually(lambda: messages_in(service, ledger) == 1)
        assert scraped(port)["coldchain_alarms,kind=disk_filling"] == 1
        fill(small_disk, 97)
        assert 96 < scraped_percent(port, 96) < 99
        publish(mosquitto.port, (topic(), payload(20, 5000)))
        if stops:
            eventually(lambda: told(heard, "disk_full") == ["raised"] and told(heard, "ledger_failing") == ["raised"])
            assert messages_in(service, ledger) == 1
            os.truncate(small_disk / "filler", 0)
        eventually(lambda: messages_in(service, ledger) == 2)
        os.truncate(small_disk / "filler", 0)
        eventually(lambda: told(heard, "disk_filling") == ["raised", "ended"])
        assert told(heard, "disk_full") == (["raised", "ended"] if stops else [])
    assert service.process.poll() is None


def test_a_disk_without_a_free_page_is_told_and_the_service_lives_through_it(
    mosquitto: Mosquitto, make_service: MakeService, small_disk: Path, inbox: Inbox, mail_port: int
) -> None:
    inbox.start()
    ledger = small_disk / "coldchain.db"
    with Ledger.open(ledger) as opened:
        opened.register("registry.toml", PAST_REGISTRY, "ann", START_MS)
    unguarded = f'[ledger]\npath = "{ledger}"\nalarm_percent = 100\nstop_percent = 100\n'
    service = make_service(QUICK + unguarded + mail(mail_port), registry=None)
    service.start()
    with listening(mosquitto.port, OPERATOR) as heard:
        fill_to_the_last_page(small_disk)
        publish(mosquitto.port, *[(topic(), payload(20 * n, *[5000 + n] * 20)) for n in range(200)])
        eventually(lambda: "raised" in told(heard, "ledger_failing"))
        assert "full" in next(d["details"][0] for _, d in heard if d["kind"] == "ledger_failing")
        assert messages_in(service, ledger) < 200
        eventually(lambda: bool(subjects(inbox, "ledger takes no commits")))
        (small_disk / "filler").unlink()
        eventually(lambda: messages_in(service, ledger) == 200)
        eventually(lambda: told(heard, "ledger_failing")[-1] == "ended")
    assert service.process.poll() is None
    assert service.stop() == 0


def fill_to_the_last_page(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(4096)):
            pass
    os.truncate(folder / "filler", (folder / "filler").stat().st_size - 4096)


def scraped_percent(port: int, at_least: float) -> float:
    eventually(lambda: scraped(port)["coldchain_disk_used_percent"] >= at_least)
    return scraped(port)["coldchain_disk_used_percent"]


SERVICE_STATUS = "coldchain/v1/service/status"

HANGS = """
import time
from coldchain.service import Service
Service.take = lambda self: time.sleep(3600) if self._broker.arrived else None
"""

QUICK_KEEPALIVE = """
import coldchain.broker
coldchain.broker.KEEPALIVE_S = 5
"""


def test_a_service_that_ends_in_whatever_way_is_offline_for_those_who_watch(
    mosquitto: Mosquitto, make_service: MakeService
) -> None:
    service = make_service("[service]\nstall_after_s = 2\n")
    with listening(mosquitto.port, SERVICE_STATUS) as heard:

        def said(*online: bool) -> bool:
            return [document["online"] for _, document in heard] == list(online)

        service.start()
        eventually(lambda: said(True))
        assert service.stop() == 0
        eventually(lambda: said(True, False))
        service.start()
        service.kill()
        eventually(lambda: said(True, False, True, False))
        service.start(prelude=HANGS)
        publish(mosquitto.port, HOT)
        assert service.process.wait(20) == 3
        eventually(lambda: said(True, False, True, False, True, False))


def test_a_machine_that_freezes_is_offline_after_one_and_a_half_keepalives(
    mosquitto: Mosquitto, make_service: MakeService
) -> None:
    service = make_service()
    with listening(mosquitto.port, SERVICE_STATUS) as heard:
        service.start(prelude=QUICK_KEEPALIVE)
        eventually(lambda: len(heard) == 1)
        os.kill(service.process.pid, 19)  # SIGSTOP: nothing more comes, and nothing is closed
        eventually(lambda: len(heard) == 2, 5 * 1.5 + 10)
    assert json.dumps(heard[1].document) == '{"online": false}'
