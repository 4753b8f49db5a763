"""The ledger's disk is full, or somebody else holds the ledger: nothing is lost, and all resumes alone."""

from __future__ import annotations

import fcntl
import random
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import processes
from coldchain.errors import EnvironmentFailed
from faults.account import Account, settle
from faults.book import Book, MakeService
from faults.fleet import Fleet
from faults.running import Service
from faults.senders import Gateways, come_to_rest, gateways
from faults.sizes import Size
from processes import Mosquitto, eventually
from service_values import UNGUARDED

BY_GUARD, BY_DISK = "[ledger]\nalarm_percent = 80\nstop_percent = 95\n", UNGUARDED
BURST = 40


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """2 MiB, and no more until a test gives it room."""
    with processes.small_disk(tmp_path / "disk", mib=2) as found:
        yield found


def give_room(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)


def failing(service: Service) -> bool:
    return "ledger failed" in service.log()


def fill(service: Service, sender: Gateways, fleet: Fleet, most: int) -> None:
    """Publish until the ledger takes no more, then some more."""
    messages = fleet.messages(most + BURST)
    published = 0
    while not failing(service):
        assert published < most, "the disk did not fill"
        sender.publish(*(next(messages) for _ in range(40)))
        published += 40
        time.sleep(0.1)
    sender.publish(*(next(messages) for _ in range(BURST)))


@pytest.mark.parametrize(("what", "more"), [("stopped by its guard", BY_GUARD), ("refused by the disk", BY_DISK)])
def test_a_full_disk_stops_the_acknowledgements_and_nothing_else(
    tmp_path: Path,
    mosquitto: Mosquitto,
    make_service: MakeService,
    small_disk: Path,
    chance: random.Random,
    book: Book,
    what: str,
    more: str,
) -> None:
    most = 3000
    fleet = Fleet(Fleet.loggers_for(most), chance.randrange(2**31))
    log = tmp_path / "service.log"
    service = make_service(fleet.registry(), more, folder=small_disk / "service", log=log)
    service.start()
    service.connected()
    with gateways(mosquitto.port, tmp_path / "journal.ndjson") as sender:
        fill(service, sender, fleet, most)
        time.sleep(1.0)
        at_full = len(sender.receipted)
        is_alive = service.ended() is None
        # what was receipted is there although the disk is full
        service.kill()
        service.start()
        time.sleep(1.0)
        give_room(small_disk)
        if service.ended() is not None:  # it may refuse to start on a full disk; a supervisor starts it again
            assert service.ended() == EnvironmentFailed.exit_code
            assert "stood still" not in service.log()
            service.expected_ends.add(EnvironmentFailed.exit_code)
            service.start()
        service.connected()
        come_to_rest(service, sender)
        account = settle(service, sender.published.values(), sender.promised())
        account.uncaught += not is_alive
        waited = len(sender.published) - at_full
    note = f"{waited} of {account.messages} messages waited for room; killed and started again meanwhile"
    book.promise("disk full", f"2 MiB, {what}", waited, "messages", account, note)


def test_a_full_disk_is_over_once_there_is_room_without_any_restart(
    tmp_path: Path, mosquitto: Mosquitto, make_service: MakeService, small_disk: Path, chance: random.Random, book: Book
) -> None:
    most = 3000
    fleet = Fleet(Fleet.loggers_for(most), chance.randrange(2**31))
    service = make_service(fleet.registry(), BY_DISK, folder=small_disk / "service", log=tmp_path / "service.log")
    service.start()
    service.connected()
    with gateways(mosquitto.port, tmp_path / "journal.ndjson") as sender:
        fill(service, sender, fleet, most)
        time.sleep(1.0)
        give_room(small_disk)
        began = time.monotonic()
        eventually(sender.settled, 60)
        resumed_s = time.monotonic() - began
        come_to_rest(service, sender)
        account = settle(service, sender.published.values(), sender.promised())
    note = f"all stored {resumed_s:.1f} s later, by itself; {account.messages} messages"
    assert service.starts == 1
    book.promise("disk full", "2 MiB, room again", 1, "time", account, note)


def test_control_acknowledging_although_the_store_failed_loses_readings(
    tmp_path: Path, mosquitto: Mosquitto, make_service: MakeService, small_disk: Path, chance: random.Random, book: Book
) -> None:
    most = 3000
    fleet = Fleet(Fleet.loggers_for(most), chance.randrange(2**31))
    service = make_service(fleet.registry(), BY_DISK, folder=small_disk / "service", log=tmp_path / "service.log")
    service.start({"do": "acknowledges_failures"})
    service.connected()
    with gateways(mosquitto.port, tmp_path / "journal.ndjson", forgets=True) as sender:
        fill(service, sender, fleet, most)
        time.sleep(1.0)
        give_room(small_disk)
        come_to_rest(service, sender)
        account = settle(service, sender.published.values(), sender.promised())
    book.control("disk full", "acknowledges on a store error", 1, "time", account, fails=account.lost > 0)


def hold_database(ledger: Path, seconds: float) -> None:
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
        other.execute("ROLLBACK")


def hold_write_lock(ledger: Path, seconds: float) -> None:
    with Path(f"{ledger}.lock").open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        time.sleep(seconds)


@pytest.mark.parametrize(("what", "hold"), [("BEGIN EXCLUSIVE", hold_database), ("the lock file", hold_write_lock)])
def test_a_ledger_that_somebody_else_holds_is_waited_for(
    tmp_path: Path,
    mosquitto: Mosquitto,
    make_service: MakeService,
    size: Size,
    chance: random.Random,
    book: Book,
    what: str,
    hold: object,
) -> None:
    assert callable(hold)
    count = 200
    fleet = Fleet(Fleet.loggers_for(count), chance.randrange(2**31))
    service = make_service(fleet.registry())
    service.start()
    service.connected()
    messages = fleet.messages(count)
    with gateways(mosquitto.port, tmp_path / "journal.ndjson") as sender:
        sender.publish(*(next(messages) for _ in range(50)))
        holder = threading.Thread(target=hold, args=(service.ledger, size.locked_s))
        holder.start()
        time.sleep(0.1)
        sender.publish(*messages, pause_s=size.locked_s / 400)
        holder.join()
        is_alive = service.ended() is None
        come_to_rest(service, sender)
        account = settle(service, sender.published.values(), sender.promised())
        account.uncaught += not is_alive
    note = f"{account.messages} messages"
    book.promise("locked", f"ledger held by another process: {what}", round(size.locked_s), "s", account, note)


def test_control_acknowledging_although_the_ledger_is_locked_loses_readings(
    tmp_path: Path, mosquitto: Mosquitto, make_service: MakeService, chance: random.Random, book: Book
) -> None:
    fleet = Fleet(Fleet.loggers_for(100), chance.randrange(2**31))
    service = make_service(fleet.registry())
    service.start({"do": "acknowledges_failures"}, {"do": "impatient"})
    service.connected()
    with gateways(mosquitto.port, tmp_path / "journal.ndjson", forgets=True) as sender:
        holder = threading.Thread(target=hold_database, args=(service.ledger, 1.0))
        holder.start()
        time.sleep(0.1)
        sender.publish(*fleet.messages(100))
        holder.join()
        come_to_rest(service, sender)
        account: Account = settle(service, sender.published.values(), sender.promised())
    book.control("locked", "acknowledges on a store error", 1, "s", account, fails=account.lost > 0)
