"""P5: a million malformed payloads; none uncaught, none wrongly accepted or refused, the raw bytes of all kept."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from coldchain import pipeline
from coldchain.broker import Arrived
from coldchain.errors import RejectedPayload
from coldchain.incoming import received
from coldchain.ledger import queries
from coldchain.ledger.ledger import Ledger
from coldchain.profiles import load_profiles
from coldchain.registry import parse_registry
from faults import second_parser
from faults.account import Account
from faults.book import Book
from faults.foreign import FOREIGN
from faults.mutations import LOGGER, TOPIC, Mutant
from faults.sizes import Size
from gateways.decoders import decode
from service_values import PAST_REGISTRY, START_MS, written_settings

PROCESSES = 2
PORTION = 20_000


class Found(NamedTuple):
    """Of one portion: payloads, how many were read, disagreements of the two parsers and uncaught exceptions."""

    payloads: int
    accepted: int
    differing: list[tuple[str, str, str]]
    uncaught: list[tuple[str, str]]

    def plus(self, other: Found) -> Found:
        return Found(
            self.payloads + other.payloads,
            self.accepted + other.accepted,
            self.differing + other.differing,
            self.uncaught + other.uncaught,
        )


def opinion(payload: bytes) -> second_parser.Read | None:
    """What the project reads in a payload, None if it refuses it."""
    try:
        (batch,) = decode(TOPIC, payload, START_MS)
    except RejectedPayload:
        return None
    assert batch.logger == LOGGER
    faults = tuple(sorted(batch.faults.items()))
    at_ms, mc = tuple(batch.at_ms.tolist()), tuple(batch.temperature_mc.tolist())
    return second_parser.Read(batch.channel, batch.boot, batch.seq, at_ms, mc, faults)


def lenient(payload: bytes) -> second_parser.Read | None:
    """A reader as many are written: whatever `json.loads` makes of it, NaN and the last of two keys included."""
    try:
        document = json.loads(payload)
        mc = tuple(int(value) for value in document["mc"])
        at_ms = tuple(int(document["t0"]) + number * int(document.get("every", 1)) for number in range(len(mc)))
        channel = str(document.get("channel", "1"))
        return second_parser.Read(channel, document.get("boot"), document.get("seq"), at_ms, mc, ())
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError):
        return None


def compare(seed: int, count: int, reader: Callable[[bytes], second_parser.Read | None] = opinion) -> Found:
    """Let both parsers read so many payloads."""
    stream = Mutant(seed)
    accepted, differing, uncaught = 0, [], []
    for _ in range(count):
        payload = stream.next()
        try:
            ours = reader(payload)
        except Exception as exc:  # noqa: BLE001 (which is what is counted)
            uncaught.append((payload.hex(), repr(exc)))
            continue
        theirs = second_parser.read(payload, LOGGER)
        accepted += theirs is not None
        if ours != theirs:
            differing.append((payload.hex(), repr(ours), repr(theirs)))
    return Found(count, accepted, differing, uncaught)


def _portion(seed_and_count: tuple[int, int]) -> Found:
    return compare(*seed_and_count)


def test_no_malformed_native_payload_is_uncaught_wrongly_accepted_or_wrongly_refused(
    size: Size, chance: random.Random, book: Book
) -> None:
    portions: list[tuple[int, int]] = []
    while sum(count for _, count in portions) < size.payloads:
        portions.append((chance.randrange(2**31), min(PORTION, size.payloads // PROCESSES)))
    total = Found(0, 0, [], [])
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")  # this process has threads by now
    with context.Pool(PROCESSES) as pool:
        for found in pool.imap_unordered(_portion, portions):
            total = total.plus(found)
            book.step(total.payloads, size.payloads)
    rate = total.payloads / (time.monotonic() - began)
    account = Account(uncaught=len(total.uncaught))
    for hexed, ours, theirs in total.differing[:8]:
        account.wrong.append(f"{hexed[:600]}: read as {ours[:200]}, by the second parser as {theirs[:200]}")
    account.wrong += [f"{bytes.fromhex(hexed)!r}: {problem}" for hexed, problem in total.uncaught[:8]]
    note = f"{total.accepted} rightly read, the rest rightly refused; {rate:.0f} a second in {PROCESSES} processes"
    if account.wrong:
        note = f"{len(total.differing)} differ: " + "; ".join(account.wrong)
    book.promise("P5", "malformed native payloads, two parsers", total.payloads, "payloads", account, note)


def test_control_a_lenient_reader_is_caught_by_the_second_parser(size: Size, chance: random.Random, book: Book) -> None:
    count = min(size.payloads, PORTION)
    found = compare(chance.randrange(2**31), count, lenient)
    account = Account(lost=len(found.differing), uncaught=len(found.uncaught))
    note = f"{len(found.differing)} payloads read wrongly"
    book.control("P5", "a lenient reader", count, "payloads", account, fails=bool(found.differing), note=note)


def test_no_malformed_foreign_payload_is_uncaught(size: Size, chance: random.Random, book: Book) -> None:
    account = Account()
    count = size.payloads // 10
    for number in range(count):
        topic, valid = chance.choice(FOREIGN)
        payload = foreign_mutant(valid, chance)
        try:
            received(Arrived(START_MS, topic, payload))
        except Exception as exc:  # noqa: BLE001 (which is what is counted)
            account.uncaught += 1
            account.wrong.append(f"{topic} {payload!r}: {exc!r}")
        if number % PORTION == 0:
            book.step(number, count)
    families = len({topic for topic, _ in FOREIGN})
    book.promise("P5", f"malformed payloads of {families} foreign topics", count, "payloads", account)


def foreign_mutant(valid: bytes, chance: random.Random) -> bytes:
    """A foreign payload with some bytes and, if it is JSON, some values changed."""
    data = bytearray(valid)
    if valid[:1] in (b"{", b"[") and chance.random() < 0.6:
        document = json.loads(valid)
        _change(document, chance)
        data = bytearray(json.dumps(document).encode())
    for _ in range(chance.choice((0, 1, 1, 3))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                del data[at:]
            case 1 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 2:
                data[at:at] = bytes([chance.randrange(256)])
            case 3 if at < len(data):
                del data[at]
            case _:
                data[at:at] = data[at : at + 9]
    return bytes(data)


def _change(document: Any, chance: random.Random) -> None:
    odd: tuple[Any, ...] = (
        None,
        True,
        -1,
        1e300,
        10**30,
        327.67,
        "",
        "x" * 300,
        "\ud83d",
        [],
        {},
        [[]],
        "2026-13-01",
        "1e400",
        "\x00",
    )
    keys: list[Any] = list(document) if isinstance(document, dict) else list(range(len(document)))
    if not keys:
        return
    key = chance.choice(keys)
    if isinstance(document[key], dict | list) and chance.random() < 0.8:
        _change(document[key], chance)
    else:
        document[key] = chance.choice(odd)


def test_the_raw_bytes_of_malformed_payloads_are_in_the_ledger(
    tmp_path: Path, size: Size, chance: random.Random, book: Book
) -> None:
    stream = Mutant(chance.randrange(2**31))
    payloads = [stream.next() for _ in range(size.stored_payloads)]
    account = Account()
    rules = written_settings(tmp_path).parent / "rules"
    with Ledger.open(tmp_path / "coldchain.db") as ledger:
        registry = parse_registry([("registry.toml", PAST_REGISTRY)])
        state, _ = pipeline.start(registry, load_profiles(rules), now_ms=START_MS)
        for first in range(0, len(payloads), 100):
            messages = [received(Arrived(START_MS, TOPIC, payload)) for payload in payloads[first : first + 100]]
            step = pipeline.step(state, [batch for each in messages for batch in each.batches], START_MS)
            ledger.save(messages, step, (), START_MS)
            pipeline.adopt(state, step)
        account.wrong += ledger.audit_verify().problems
    with queries.reading(tmp_path / "coldchain.db") as connection:
        kept = [bytes(row[0]) for row in connection.execute("SELECT payload FROM message ORDER BY id")]
    account.lost = sum(a != b for a, b in zip(kept, payloads, strict=True))
    book.promise("P5", "raw bytes kept in the ledger", len(payloads), "payloads", account)
