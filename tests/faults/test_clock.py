"""The machine's clock jumps while readings arrive: nothing is lost, and nothing unproven is judged as in range."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coldchain import pipeline
from coldchain.ledger import queries
from coldchain.ledger.ledger import Ledger
from coldchain.model import Assessment, Verdict
from coldchain.profiles import load_profiles
from coldchain.readings import ReadingBatch
from coldchain.registry import parse_registry
from coldchain.service import system_clock
from faults.account import Account, settle
from faults.book import Book, MakeService
from faults.fleet import Fleet
from faults.running import Act, Service
from faults.senders import come_to_rest, gateways
from faults.sizes import Size
from faults.test_p4_every_step import message
from processes import Mosquitto, eventually

HOUR_MS = 3_600_000
IN_2100_MS = 4_102_444_800_000
MESSAGES_EACH = 40


def jumps(chance: random.Random, count: int) -> list[tuple[str, int]]:
    """(what, by how much the clock is off then [ms]); each kind in turn, and right again at the end."""
    now_ms = system_clock()
    kinds = [
        ("an hour on", HOUR_MS),
        ("an hour back", -HOUR_MS),
        ("to 1970", 60_000 - now_ms),
        ("to 2100", IN_2100_MS - now_ms),
    ]
    found = [kinds[number % 4] for number in range(count)]
    chance.shuffle(found)
    return [*found, ("right again", 0)]


def judged(ledger: Path, batches: Iterable[ReadingBatch], rules: Path) -> dict[str, Assessment]:
    with Ledger.open(ledger) as opened:
        files = opened.current_registry_files()
    registry = parse_registry([(file.name, file.content) for file in files])
    return pipeline.replay(list(batches), registry, load_profiles(rules)).assessments


def compare(service: Service, account: Account, sent: Iterable[Any]) -> int:
    """The verdicts against the ledger's own readings, and against those of a clock that never jumped.

    The documented difference: what arrived while the clock said 1970 is kept, but its device time cannot be believed
    then, so that time is unknown. Returns how many kit groups differ so.
    """
    rules = service.settings.parent / "rules"
    with queries.reading(service.ledger) as connection:
        stored = list(queries.batches(connection))
        noted = queries.assessments(connection)
    replayed = judged(service.ledger, stored, rules)
    differing = [group for group in noted if noted[group]["verdict"] != str(replayed[group].verdict)]
    if differing:
        account.wrong.append(f"{len(differing)} verdicts are not those of a replay of the ledger")
    true = judged(service.ledger, (batch for one in sent for batch in one.batches()), rules)
    better = (Verdict.WITHIN_LABEL, Verdict.WITHIN_ALLOWANCE)
    for group, found in replayed.items():
        if found.known_ms > true[group].known_ms:
            account.wrong.append(f"{group}: more is known than with a clock that never jumped")
        if found.verdict in better and true[group].verdict == Verdict.OUTSIDE and not found.unknown_ms:
            account.wrong.append(f"{group}: within by mistake")
    return sum(found.known_ms < true[group].known_ms for group, found in replayed.items())


def test_jumps_of_the_clock_lose_nothing_and_judge_nothing_in_range_by_mistake(
    tmp_path: Path, mosquitto: Mosquitto, make_service: MakeService, size: Size, chance: random.Random, book: Book
) -> None:
    planned = jumps(chance, size.jumps)
    count = len(planned) * MESSAGES_EACH
    fleet = Fleet(Fleet.loggers_for(count), chance.randrange(2**31))
    service = make_service(fleet.registry(), "[service]\nsilence_every_s = 1\n")
    offset = tmp_path / "offset.txt"
    offset.write_text("0", encoding="ascii")
    clock: Act = {"do": "clock", "offset_file": str(offset)}
    service.start(clock)
    service.connected()
    messages = fleet.messages(count)
    with gateways(mosquitto.port, tmp_path / "journal.ndjson") as sender:
        for number, (_, off_ms) in enumerate(planned):
            now = [next(messages) for _ in range(MESSAGES_EACH)]
            publisher = threading.Thread(target=lambda now=now: sender.publish(*now, pause_s=0.02))
            publisher.start()
            offset.with_suffix(".new").write_text(str(off_ms), encoding="ascii")
            offset.with_suffix(".new").replace(offset)
            publisher.join()
            if chance.random() < 0.3:
                service.kill()
                service.start(clock)
                service.connected()
            book.step(number + 1, len(planned))
        come_to_rest(service, sender)
        account = settle(service, sender.published.values(), sender.promised(), judged=False)
        differing = compare(service, account, sender.published.values())
    note = f"{account.messages} messages; in {differing} kit groups time is unknown, because it arrived in 1970"
    note = "; ".join([note, *account.wrong])
    book.promise("clock", "+1 h, -1 h, 1970, 2100, under load", len(planned), "jumps", account, note)


def test_an_alert_written_by_a_clock_of_2100_leaves_once_the_clock_is_right(
    tmp_path: Path, mosquitto: Mosquitto, make_service: MakeService, book: Book
) -> None:
    fleet = Fleet(1, 1)
    service = make_service(fleet.registry())
    offset = tmp_path / "offset.txt"
    offset.write_text(str(IN_2100_MS - system_clock()), encoding="ascii")
    clock: Act = {"do": "clock", "offset_file": str(offset)}
    service.start(clock, {"do": "die_at_publish_of", "topic": "coldchain/v1/events/quarantine"})
    service.connected()
    with gateways(mosquitto.port, tmp_path / "journal.ndjson") as sender:
        sender.publish(message(0, "lg-0", 1, *[9000] * 15))
        eventually(lambda: service.ended() is not None)
        offset.write_text("0", encoding="ascii")
        service.start(clock)
        service.connected()
        come_to_rest(service, sender, 10)
        account = settle(service, sender.published.values(), sender.promised())
    book.promise("clock", "alert written in 2100, clock right again", 1, "alert", account)


def test_control_believing_every_device_time_is_seen(
    tmp_path: Path, mosquitto: Mosquitto, make_service: MakeService, chance: random.Random, book: Book
) -> None:
    """Without the check of device times, what came while the clock said 1970 would count as known."""
    fleet = Fleet(2, chance.randrange(2**31))
    service = make_service(fleet.registry())
    offset = tmp_path / "offset.txt"
    offset.write_text(str(60_000 - system_clock()), encoding="ascii")
    service.start({"do": "clock", "offset_file": str(offset)}, {"do": "believes_every_time"})
    service.connected()
    with gateways(mosquitto.port, tmp_path / "journal.ndjson") as sender:
        sender.publish(*fleet.messages(60))
        come_to_rest(service, sender)
        account = settle(service, sender.published.values(), sender.promised(), judged=False)
        compare(service, account, sender.published.values())
    book.control(
        "clock",
        "believes every device time",
        1,
        "jump",
        account,
        fails=bool(account.wrong),
        note="; ".join(account.wrong),
    )
