"""72 hours of a fleet, accelerated by the injected clock: memory and file descriptors stay where they are."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from coldchain.service import system_clock
from faults.account import Account, settle
from faults.book import Book, MakeService
from faults.fleet import Sent
from faults.running import Act
from faults.senders import come_to_rest, gateways
from faults.sizes import SHORT, Size
from processes import Mosquitto
from service_values import MINUTE_MS, START_MS

EVERY_MIN, IN_A_MESSAGE = 5, 12
HOUR_MS = 60 * MINUTE_MS
GATEWAYS = 10

GROWS_AT_MOST = 0.05
GROWS_AT_MOST_BYTES = 8 * 2**20
"""What memory may grow by between two thirds of the time: pages of a heap come and go."""

MORE_FILES_AT_MOST = 2
SETTINGS = "[service]\nkeep_days = 1\nsilence_every_s = 1\ncheckpoint_every_s = 10\n"


class Weighed(NamedTuple):
    at_s: float
    bytes: int
    files: int


def registry(fleet: int) -> str:
    parts = []
    for number in range(fleet):
        parts.append(
            f'[[logger]]\nid = "lg-{number}"\nlogging_interval = "{EVERY_MIN}min"\ngap_after = "3h"\n'
            f'[[place]]\nid = "place-{number}"\nkind = "storage"\n'
            f'[[monitoring]]\nplace = "place-{number}"\nlogger = "lg-{number}"\nfrom = 2026-03-01T00:00:00Z\n'
            f'[[kit]]\nid = "K-{number}"\nbatch = "B22"\ntrial = "TRIAL-7"\nprofile = "mab-017"\n'
            f'[[custody]]\nkits = ["K-{number}"]\nplace = "place-{number}"\nfrom = 2026-03-01T10:00:00Z\n'
        )
    return "".join(parts)


def traffic(fleet: int, hours: int, chance: random.Random) -> Iterator[tuple[int, Sent]]:
    """(simulated instant, message): every logger sends once an hour what it measured in it."""
    number = 0
    for hour in range(hours):
        for logger in range(fleet):
            due_ms = START_MS + (hour + 1) * HOUR_MS + logger * HOUR_MS // fleet
            first = hour * IN_A_MESSAGE + 1
            level = 9000 if chance.random() < 0.002 else 5000
            document = {
                "v": 1,
                "logger": f"lg-{logger}",
                "channel": "1",
                "boot": 1,
                "seq": first,
                "t0": START_MS + hour * HOUR_MS,
                "every": EVERY_MIN * MINUTE_MS,
                "mc": [level + chance.randint(-900, 900) for _ in range(IN_A_MESSAGE)],
            }
            body = json.dumps(document).encode()
            yield (
                due_ms,
                Sent(number, f"gw-{logger % GATEWAYS}", f"lg-{logger}", 1, first, first + IN_A_MESSAGE - 1, body),
            )
            number += 1


def weigh(pid: int, at_s: float) -> Weighed:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return Weighed(at_s, pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path(f"/proc/{pid}/fd").iterdir())))


def grown(weighed: list[Weighed], lasts_s: float) -> tuple[int, int, int]:
    """By how much memory [bytes] and open files of the last third exceed those of the second; and the memory then."""
    second = [each for each in weighed if lasts_s / 3 <= each.at_s < 2 * lasts_s / 3]
    last = [each for each in weighed if each.at_s >= 2 * lasts_s / 3]
    before = max(each.bytes for each in second)
    return (
        max(each.bytes for each in last) - before,
        max(each.files for each in last) - max(each.files for each in second),
        before,
    )


def is_flat(weighed: list[Weighed], lasts_s: float) -> bool:
    more_bytes, more_files, before = grown(weighed, lasts_s)
    return more_bytes <= max(GROWS_AT_MOST * before, GROWS_AT_MOST_BYTES) and more_files <= MORE_FILES_AT_MOST


def a_long_time(
    folder: Path,
    make_service: MakeService,
    broker: Mosquitto,
    chance: random.Random,
    size: Size,
    book: Book,
    *acts: Act,
) -> tuple[list[Weighed], float, Account]:
    service = make_service(registry(size.fleet), SETTINGS)
    lasts_s = size.fleet_hours * 3600 / size.faster
    weighed: list[Weighed] = []
    began, began_ms = time.monotonic(), system_clock()
    clock: Act = {"do": "clock", "started_ms": began_ms, "from_ms": START_MS, "faster": size.faster}
    service.start(clock, *acts)
    service.connected()
    due_next = 0.0
    with gateways(broker.port, folder / "journal.ndjson") as sender:
        for due_ms, one in traffic(size.fleet, size.fleet_hours, chance):
            due_s = (due_ms - START_MS) / 1000 / size.faster
            while (now_s := time.monotonic() - began) < due_s:
                time.sleep(min(0.05, due_s - now_s))
            sender.publish(one)
            if now_s >= due_next:
                weighed.append(weigh(service.pid, now_s))
                due_next = now_s + lasts_s / 200
                book.step(round(now_s), round(lasts_s))
        lasts_s = max(lasts_s, time.monotonic() - began)
        come_to_rest(service, sender)
        # custody that is open is judged up to a clock that has gone on: only readings are compared here
        account = settle(service, sender.published.values(), sender.promised(), judged=False)
    return weighed, lasts_s, account


def told(weighed: list[Weighed], lasts_s: float) -> str:
    more_bytes, more_files, before = grown(weighed, lasts_s)
    return (
        f"memory {before / 2**20:.0f} MiB, {more_bytes / 2**20:+.1f} MiB in the last third; "
        f"{weighed[-1].files} files, {more_files:+d}"
    )


def test_the_memory_and_the_open_files_of_a_long_run_stay_flat(
    tmp_path: Path, mosquitto: Mosquitto, make_service: MakeService, size: Size, chance: random.Random, book: Book
) -> None:
    weighed, lasts_s, account = a_long_time(tmp_path, make_service, mosquitto, chance, size, book)
    if not is_flat(weighed, lasts_s):
        account.wrong.append("it grows")
    note = f"{size.fleet} loggers, {size.faster} times faster; {account.messages} messages, {told(weighed, lasts_s)}"
    if account.wrong:
        note += "; " + "; ".join(account.wrong)
    book.promise("long run", "accelerated by the injected clock", size.fleet_hours, "h", account, note)


def test_control_a_leaking_service_is_caught(
    tmp_path: Path, mosquitto: Mosquitto, make_service: MakeService, chance: random.Random, book: Book
) -> None:
    # enough that the last third leaks several times what is allowed
    copies = 5 * GROWS_AT_MOST_BYTES // (SHORT.fleet * SHORT.fleet_hours // 3 * 250)
    leaks: Act = {"do": "leaks", "copies": copies}
    weighed, lasts_s, account = a_long_time(tmp_path, make_service, mosquitto, chance, SHORT, book, leaks)
    fails = not is_flat(weighed, lasts_s)
    book.control(
        "long run", "a service that leaks", SHORT.fleet_hours, "h", account, fails=fails, note=told(weighed, lasts_s)
    )


@pytest.fixture(autouse=True)
def _only_linux() -> None:
    assert Path("/proc/self/statm").exists(), "this test reads /proc"
