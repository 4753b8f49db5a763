"""The parts of a fault test: a service that can be killed, gateways that keep a journal, and the account at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from coldchain import pipeline
from coldchain.ledger import queries, senders
from coldchain.ledger.ledger import Ledger
from coldchain.profiles import load_profiles
from coldchain.registry import parse_registry
from faults.fleet import Sent
from faults.zygote import ENVIRONMENT, Zygote
from processes import Mosquitto, eventually
from service_values import START_MS, written_settings

Act = dict[str, Any]


class Service:
    """`coldchain run` as a process: forked from the zygote or started cold."""

    def __init__(
        self, folder: Path, port: int, zygote: Zygote, registry: str, more: str = "", log: Path | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.ledger, self.settings = folder / "coldchain.db", written_settings(folder, port, more)
        self.starts = 0
        self._zygote, self._log = zygote, log or folder / "service.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._from = 0
        self._ended: int | None = None
        self.ends: Counter[int] = Counter()
        self.expected_ends = {0, -9}
        with Ledger.open(self.ledger) as ledger:
            ledger.register("registry.toml", registry, "ann", START_MS)

    def start(self, *acts: Act, cold: bool = False) -> None:
        """Start it, without waiting until it is connected."""
        assert not self._pid or self.ended() is not None, "it runs"
        self._from = self._log.stat().st_size if self._log.exists() else 0
        self.starts += 1
        self._process, self._ended = None, None
        if not cold:
            self._pid = self._zygote.fork(self.settings, self._log, list(acts))
            return
        code = "from faults.sabotage import main; main()" if acts else "from coldchain.cli import main; main()"
        more = [str(self.settings), json.dumps(acts)] if acts else ["run", "--settings", str(self.settings)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, *more], stdout=log, stderr=log, env=ENVIRONMENT
            )
        self._pid = self._process.pid

    def connected(self, within_s: float = 30.0) -> None:
        """Wait until it is connected, or has ended."""
        eventually(lambda: "broker connected" in self.log() or self.ended() is not None, within_s)

    @property
    def pid(self) -> int:
        return self._pid

    def log(self, *, whole: bool = False) -> str:
        """What it has said since its last start."""
        if not self._log.exists():
            return ""
        with self._log.open("rb") as file:
            file.seek(0 if whole else self._from)
            return file.read().decode("utf-8", "replace")

    def ended(self, *, wait: bool = False) -> int | None:
        """Its exit code, None while it runs."""
        if self._ended is None and self._pid:
            if self._process is None:
                self._ended = self._zygote.reap(self._pid, wait=wait)
            else:
                self._ended = self._process.wait(30) if wait else self._process.poll()
            if self._ended is not None:
                self.ends[self._ended] += 1
        return self._ended

    def kill(self) -> None:
        """SIGKILL, if it has not ended before."""
        if self.ended() is None:
            os.kill(self._pid, signal.SIGKILL)
            self.ended(wait=True)

    def stop(self, within_s: float = 20.0) -> int:
        """SIGTERM; its exit code."""
        os.kill(self._pid, signal.SIGTERM)
        eventually(lambda: self.ended() is not None, within_s)
        code = self.ended()
        assert code is not None
        return code

    @property
    def uncaught(self) -> int:
        """Ends that nobody asked for, and exceptions that nobody caught."""
        unasked = sum(count for code, count in self.ends.items() if code not in self.expected_ends)
        return max(unasked, self.log(whole=True).count("Traceback (most recent call last)"))

    def readings(self) -> int:
        with queries.reading(self.ledger) as connection:
            return int(connection.execute("SELECT coalesce(sum(n), 0) FROM reading_block").fetchone()[0])

    def pending(self) -> int:
        """Alerts to deliver, and messages that are stored and wait to be read."""
        with queries.reading(self.ledger) as connection:
            return queries.undelivered(connection) + senders.count_waiting(connection)


class Gateways:
    """Publishers after the contract of receipts, and a journal of all they did, which is what the account goes by.

    A message is kept until a receipt covers it, and published again if none comes for a while; with `forgets` it is
    gone once the broker has taken it: what a gateway must not do.
    """

    AGAIN_S = 3.0

    def __init__(self, port: int, journal: Path, *, forgets: bool = False, client_id: str = "gateways") -> None:
        self._port, self._forgets = port, forgets
        self._journal = journal.open("a", encoding="utf-8", buffering=1)
        self._lock = threading.RLock()
        self._kept: dict[int, Sent] = {}
        self._unreceipted: dict[int, Sent] = {}
        self._published_at: dict[int, float] = {}
        self._mids: dict[int, int] = {}
        self._answered: set[int] = set()
        self.receipts, self.qos = 0, 1
        self.published: dict[int, Sent] = {}
        self.taken: set[int] = set()
        self.receipted: set[int] = set()
        self.refused: list[dict[str, Any]] = []
        self.holds = False
        self._stopped = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id, clean_session=False)
        self._client.max_inflight_messages_set(1000)
        self._client.max_queued_messages_set(0)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("coldchain/v1/basel/+/receipt", 1)
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port, keepalive=10)
        self._client.loop_start()
        self._again = threading.Thread(target=self._publish_again, daemon=True)
        self._again.start()

    def publish(self, *messages: Sent, pause_s: float = 0.0) -> None:
        """Hand messages over, each for the first time."""
        for one in messages:
            with self._lock:
                self._kept[one.number] = self._unreceipted[one.number] = one
                self.published[one.number] = one
                self._note("published", one.number)
            self._send(one)
            if pause_s:
                time.sleep(pause_s)

    def repeat(self, *messages: Sent) -> None:
        """Send messages once more, as a device does that has not heard the answer."""
        for one in messages:
            self._send(one)

    def settled(self) -> bool:
        """Whether everything published is promised: receipted, or by gateways that forget, taken by the broker."""
        with self._lock:
            return self.promised() >= self.published.keys()

    def promised(self) -> set[int]:
        """The messages that must not be lost."""
        with self._lock:
            return self.taken | self.receipted if self._forgets else set(self.receipted)

    def close(self) -> None:
        self._stopped.set()
        self._again.join()
        self._client.disconnect()
        self._client.loop_stop()
        self._journal.close()

    def _send(self, one: Sent) -> None:
        # not under the lock: the client has one of its own, which its callbacks hold
        mid = self._client.publish(one.topic, one.payload, qos=self.qos).mid
        with self._lock:
            self._published_at[one.number] = time.monotonic()
            if mid in self._answered:
                self._answered.discard(mid)
                self._take(one.number)
            else:
                self._mids[mid] = one.number

    def _take(self, number: int) -> None:
        if number not in self.taken:
            self.taken.add(number)
            self._note("taken", number)
        if self._forgets:
            self._kept.pop(number, None)

    def _note(self, what: str, number: int) -> None:
        self._journal.write(f'{{"{what}":{number}}}\n')

    def _on_publish(self, _client: Client, _data: Any, mid: int, *_: Any) -> None:
        with self._lock:
            number = self._mids.pop(mid, None)
            if number is None:
                self._answered.add(mid)  # before `publish` returned
            else:
                self._take(number)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        receipt = json.loads(message.payload)
        gateway = message.topic.split("/")[3]
        again: list[Sent] = []
        with self._lock:
            self.receipts += 1
            self.holds = receipt["hold"]
            self.refused += receipt["refused"]
            for entry in receipt["stored"]:
                ranges = [(entry["first"], entry["seq"]), *map(tuple, entry["above"])]
                self._strike_off(gateway, entry["logger"], entry["boot"], ranges)
            for entry in receipt["resend"] if not self._forgets else ():
                again += [
                    one
                    for one in self._kept.values()
                    if (one.gateway, one.logger, one.boot) == (gateway, entry["logger"], entry["boot"])
                    and one.first <= entry["to"]
                    and one.last >= entry["from"]
                    and time.monotonic() - self._published_at.get(one.number, 0.0) > 1.0
                ]
        for one in again:
            self._send(one)

    def _strike_off(self, gateway: str, logger: str, boot: int, ranges: Iterable[tuple[int, int]]) -> None:
        covered = list(ranges)
        for number, one in list(self._unreceipted.items()):
            if (one.gateway, one.logger, one.boot) == (gateway, logger, boot) and any(
                first <= one.first and one.last <= last for first, last in covered
            ):
                del self._unreceipted[number]
                self._kept.pop(number, None)
                self.receipted.add(number)
                self._note("receipted", number)

    def _publish_again(self) -> None:
        while not self._stopped.wait(0.5):
            if self._forgets or self.holds:
                continue
            with self._lock:
                due = [
                    one
                    for number, one in self._kept.items()
                    if time.monotonic() - self._published_at.get(number, time.monotonic()) > self.AGAIN_S
                ]
            for one in due[:500]:
                self._send(one)


@contextmanager
def gateways(port: int, journal: Path, **more: Any) -> Iterator[Gateways]:
    found = Gateways(port, journal, **more)
    try:
        yield found
    finally:
        found.close()


@dataclass
class Account:
    """What became of everything that was promised. `wrong`: one line for each other thing that is not as it must be."""

    messages: int = 0
    readings: int = 0
    events: int = 0
    lost: int = 0
    doubled: int = 0
    uncaught: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.uncaught or self.wrong)


def promised_in(journal: Path, word: str) -> set[int]:
    """The numbers of the messages that a journal says something of."""
    lines = (json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines())
    return {line[word] for line in lines if word in line}


def settle(service: Service, published: Iterable[Sent], promised: set[int], *, judged: bool = True) -> Account:
    """Compare the ledger with what was sent: no reading or event lost or doubled, all as in a life without a crash.

    Not `judged`: where a life without a crash does not judge the same, only readings and chains are compared.
    """
    sent = list(published)
    found = Account(messages=len(sent), uncaught=service.uncaught)
    with queries.reading(service.ledger) as connection:
        stored = Counter(
            (batch.logger, at, mc)
            for batch in queries.batches(connection)
            for at, mc in zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True)
        )
        raw = {payload for (payload,) in connection.execute("SELECT payload FROM message")}
        noted = queries.assessments(connection)
        untold = _untold(connection)
        unsent = queries.undelivered(connection)
    wanted: dict[int, list[tuple[str, int, int]]] = {
        one.number: [
            (batch.logger, at, mc)
            for batch in one.batches()
            for at, mc in zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True)
        ]
        for one in sent
    }
    due = {reading for number in promised for reading in wanted[number]}
    known = {reading for readings in wanted.values() for reading in readings}
    found.readings = len(due)
    found.lost = len(due - stored.keys())
    found.doubled = sum(count - 1 for count in stored.values())
    if strange := stored.keys() - known:
        found.wrong.append(f"{len(strange)} readings that nobody sent")
    if missing := sum(one.payload not in raw for one in sent if one.number in promised):
        found.wrong.append(f"the raw bytes of {missing} messages are not kept")
    arrived = [batch for one in sent if set(wanted[one.number]) <= stored.keys() for batch in one.batches()]
    if judged:
        _compare_with_a_life_without_crash(service, arrived, noted, found)
    with Ledger.open(service.ledger) as ledger:
        found.wrong += ledger.audit_verify().problems
    if untold:
        found.wrong.append(f"{untold} events without an alert for every channel")
    if unsent:
        found.wrong.append(f"{unsent} alerts are not delivered")
    return found


def _untold(connection: Any) -> int:
    """Revisions of events that nothing in the outbox tells of."""
    return int(
        connection.execute(
            "SELECT count(*) FROM event_revision AS r WHERE NOT EXISTS (SELECT 1 FROM outbox_cause AS c "
            "WHERE c.cause_id = r.event_id AND c.revision = r.revision)"
        ).fetchone()[0]
    )


def _compare_with_a_life_without_crash(
    service: Service, arrived: list[Any], noted: dict[str, dict[str, Any]], found: Account
) -> None:
    with Ledger.open(service.ledger) as ledger:
        events = ledger.load_events()
        files = ledger.current_registry_files()
    registry = parse_registry([(file.name, file.content) for file in files])
    uncrashed = pipeline.replay(arrived, registry, load_profiles(service.settings.parent / "rules"))
    expected = {(e.id, e.breached_at_ms) for of_kit in uncrashed.events.values() for e in of_kit.values()}
    supported = [(event.id, event.breached_at_ms) for event in events if event.supported]
    found.events = len(expected)
    found.doubled += len(events) - len({(event.kit, event.limit) for event in events})
    if missing := expected - set(supported):
        found.lost += len(missing)
        found.wrong.append(f"{len(missing)} events are not in the ledger, such as {sorted(missing)[0]}")
    if more := set(supported) - expected:
        found.wrong.append(f"{len(more)} events that an uncrashed life does not have, such as {sorted(more)[0]}")
    verdicts = {group: (told["verdict"], breaches(told["limits"])) for group, told in noted.items()}
    others = {
        group: (str(a.verdict), [(limit.limit_id, limit.breached_at_ms) for limit in a.limits])
        for group, a in uncrashed.assessments.items()
    }
    differing = [group for group in verdicts.keys() | others.keys() if verdicts.get(group) != others.get(group)]
    if differing:
        found.wrong.append(f"{len(differing)} verdicts differ from an uncrashed life")


def breaches(limits: Iterable[dict[str, Any]]) -> list[tuple[str, int | None]]:
    return [(limit["limit_id"], limit["breached_at_ms"]) for limit in limits]


def come_to_rest(service: Service, sender: Gateways, within_s: float = 120.0) -> None:
    """Wait until the service has taken all that will come, and end it."""
    try:
        eventually(lambda: sender.settled() and service.pending() == 0, within_s)
    except AssertionError:
        print("it did not settle: the account tells")
    eventually_still(service)
    service.stop()


def eventually_still(service: Service) -> None:
    """Wait until no reading has come for half a second."""
    before, since = service.readings(), time.monotonic()
    until = since + 120
    while time.monotonic() - since < 0.5 and time.monotonic() < until:
        time.sleep(0.1)
        if (now := service.readings()) != before:
            before, since = now, time.monotonic()


def forget_session(port: int, *client_ids: str) -> None:
    """Let the broker forget what it keeps for clients that will not come back."""
    for client_id in client_ids:
        client = Client(CallbackAPIVersion.VERSION2, client_id, clean_session=True)
        done = threading.Event()
        client.on_connect = lambda *_, done=done: done.set()
        client.connect("127.0.0.1", port)
        client.loop_start()
        assert done.wait(10)
        client.disconnect()
        client.loop_stop()


SHIPPED = Path(__file__).parents[2] / "deploy" / "mosquitto" / "mosquitto.conf"


class StoringBroker(Mosquitto):
    """Mosquitto with what the shipped file says of persistence, queues and packets; without TLS and passwords."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        said = [line.split() for line in SHIPPED.read_text(encoding="utf-8").splitlines() if line[:1].isalpha()]
        kept = {
            words[0]: words[1] for words in said if words[0].startswith(("persistence", "autosave", "max_", "set_tcp"))
        }
        del kept["max_qos"]  # belongs to its listeners
        assert {"persistence", "autosave_interval", "max_queued_messages", "max_inflight_messages"} <= kept.keys()
        kept["persistence_location"] = f"{folder}/"
        super().__init__(folder, "allow_anonymous true\n" + "".join(f"{key} {value}\n" for key, value in kept.items()))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)
