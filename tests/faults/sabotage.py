"""What a test does to a service before it runs: the protections that a control takes away, and death at a chosen step.

Every function changes the process that it runs in, which is a service that ends with its test.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from paho.mqtt.client import Client

from coldchain import broker as broker_module
from coldchain import history, incoming, writer
from coldchain import service as service_module
from coldchain.broker import Broker
from coldchain.ledger.ledger import Ledger
from coldchain.pipeline import Step
from coldchain.service import Service, run, system_clock
from coldchain.settings import load_settings

_clock: Callable[[], int] = system_clock


def serve(settings: Path, acts: list[dict[str, Any]]) -> int:
    """Run a service after these acts; its exit code."""
    for act in acts:
        arguments = dict(act)
        globals()[arguments.pop("do")](**arguments)
    return run(load_settings(settings), clock=lambda: _clock())


def main() -> None:
    """`python -c "from faults.sabotage import main; main()" SETTINGS ACTS`: the same from a cold start."""
    raise SystemExit(serve(Path(sys.argv[1]), json.loads(sys.argv[2])))


def quick() -> None:
    """Look at the outbox and at other processes at once, not once a second: the same steps in less time."""
    service_module.POLL_S = 0.02
    service_module.TURN_S = 0.01


def patience(keepalive_s: int) -> None:
    """Notice a dead connection sooner, where a test has no minute to wait."""
    broker_module.KEEPALIVE_S = keepalive_s
    broker_module.LONGEST_PAUSE_S = 2.0


def clock(offset_file: str = "", started_ms: int | None = None, faster: int = 1, from_ms: int | None = None) -> None:
    """A clock that is off by what stands in a file [ms], or runs faster from an instant on."""
    global _clock
    if from_ms is not None:
        assert started_ms is not None
        began, real = started_ms, from_ms
        _clock = lambda: real + (system_clock() - began) * faster  # noqa: E731
        return
    path = Path(offset_file)
    _clock = lambda: system_clock() + int(path.read_text() or "0")  # noqa: E731


def impatient() -> None:
    """Wait a tenth of a second for a locked ledger, not half a minute."""
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def connected(*args: Any, **named: Any) -> sqlite3.Connection:
        return connect(*args, **{**named, "timeout": 0.1})

    sqlite3.connect = connected  # type: ignore[assignment]


def acknowledges_first() -> None:
    """Acknowledge what has arrived before it is committed."""
    take = Service.take

    def careless(self: Service) -> None:
        arrived = list(self._broker.arrived)
        if arrived:
            self._broker.acknowledge(len(arrived))
            self._broker.arrived = arrived
            kept = self._broker.acknowledge
            self._broker.acknowledge = lambda count: _forget(self._broker, count)  # type: ignore[method-assign]
            try:
                take(self)
            finally:
                self._broker.acknowledge = kept  # type: ignore[method-assign]
            return
        take(self)

    Service.take = careless  # type: ignore[method-assign]


def _forget(broker: Broker, count: int) -> None:
    broker.arrived = broker.arrived[count:]


def acknowledges_failures() -> None:
    """Acknowledge although the store has failed, and go on with the next."""
    store = Service._store

    def careless(self: Service, *what: Any) -> bool:
        store(self, *what)
        return True

    Service._store = careless  # type: ignore[assignment,method-assign]
    writer.RETRY_S = 0.0


def slow_machine(seconds: float) -> None:
    """Take so long over every message that is read: one flood is then too much for any service that reads it all."""
    heard = incoming.heard

    def slow(*what: Any) -> Any:
        time.sleep(seconds)
        return heard(*what)

    incoming.heard = slow  # type: ignore[assignment]


def alerts_apart() -> None:
    """Write what has to be told in a transaction of its own, after the events."""
    save = Ledger.save

    def careless(self: Ledger, messages: Any, step: Step, alerts: Any, now_ms: int, **more: Any) -> int:
        position = save(self, messages, step, (), now_ms, **more)
        if alerts:
            save(self, (), Step(), alerts, now_ms)
        return position

    Ledger.save = careless  # type: ignore[method-assign]


def believes_every_time() -> None:
    """Take every device time for what it says."""
    history.is_verified = lambda batch, _logger: np.ones(len(batch), np.bool_)  # type: ignore[assignment]


def die_at_publish_of(topic: str) -> None:
    """Die by SIGKILL just before something is published on a topic."""
    publish = Client.publish

    def deadly(self: Client, where: str, *args: Any, **named: Any) -> Any:
        if where == topic:
            os.kill(os.getpid(), signal.SIGKILL)
        return publish(self, where, *args, **named)

    Client.publish = deadly  # type: ignore[assignment,method-assign]


def leaks(copies: int) -> None:
    """Keep every payload for ever."""
    kept: list[bytes] = []
    take = Service.take

    def careless(self: Service) -> None:
        kept.extend(bytes(bytearray(each.payload)) for each in self._broker.arrived for _ in range(copies))
        take(self)

    Service.take = careless  # type: ignore[method-assign]


def die_at_step(step: int = 0, log: str = "") -> None:
    """Number every step that changes something durable or visible; die by SIGKILL just before number `step`.

    Steps: every writing SQL statement of the ledger's connection and every commit, every acknowledgement and
    publication, every file that is made durable or renamed. Names go into `log` if there is one.
    """
    count = 0
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if log else -1

    def note(name: str) -> None:
        nonlocal count
        count += 1
        if out >= 0:
            os.write(out, f"{name}\n".encode())
        if count == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(owner: Any, name: str, label: str) -> None:
        act = getattr(owner, name)

        def noted(*args: Any, **named: Any) -> Any:
            note(label)
            return act(*args, **named)

        setattr(owner, name, noted)

    def traced(sql: str) -> None:
        words = sql.split(maxsplit=3)
        if words and words[0] in {"BEGIN", "COMMIT", "ROLLBACK", "INSERT", "UPDATE", "DELETE", "CREATE"}:
            note(" ".join(words[:3]) if words[0] in {"INSERT", "DELETE"} else " ".join(words[:2]))

    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def connected(database: Any, *args: Any, **named: Any) -> sqlite3.Connection:
        connection = connect(database, *args, **named)
        if Path(str(database)).name == "coldchain.db":
            connection.set_trace_callback(traced)
        return connection

    sqlite3.connect = connected  # type: ignore[assignment]
    before(Broker, "acknowledge", "acknowledge")
    before(Client, "publish", "publish")
    before(Broker, "close", "disconnect")
    before(os, "fsync", "fsync")
    before(Path, "replace", "rename")
