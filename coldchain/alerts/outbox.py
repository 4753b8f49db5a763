"""The outbox at work: what is due goes to the broker or the mail thread, what became of it goes into the ledger.

Delivery is at least once: a row is due until its success is on disk. A dead broker or mail server holds up nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

import structlog

from coldchain.alerts.deliver import EmailChannel
from coldchain.broker import Broker
from coldchain.ledger.entries import Delivery
from coldchain.ledger.ledger import Ledger

log = structlog.get_logger()

_T = TypeVar("_T")


class Outbox:
    """Delivers the rows of a ledger. Without an `email` channel its rows wait until a mail server is configured."""

    def __init__(self, ledger: Ledger, broker: Broker, email: EmailChannel | None, clock: Callable[[], int]) -> None:
        self._ledger, self._broker, self._email, self._clock = ledger, broker, email, clock
        self._under_way: set[int] = set()
        self._results: list[Delivery] = []

    def record(self) -> None:
        """Write down what became of deliveries; EnvironmentFailed keeps them for the next time."""
        self._results += self._broker.deliveries
        self._broker.deliveries = []
        if self._email is not None:
            self._results += drain(self._email.results)
        if not self._results:
            return
        self._ledger.record_deliveries(self._results)
        for delivery in self._results:
            self._under_way.discard(delivery.outbox_id)
            if delivery.error:
                log.warning("alert not delivered", outbox_id=delivery.outbox_id, error=delivery.error)
        self._results = []

    def hand_on(self) -> None:
        """Start the delivery of every row that is due and not under way."""
        if self._email is not None and not self._email.thread.is_alive():
            raise RuntimeError("the e-mail thread has died")
        for row in self._ledger.due_alerts(self._clock()):
            if row.id in self._under_way:
                continue
            if row.channel == "mqtt" and self._broker.is_linked:
                self._under_way.add(row.id)
                self._broker.publish(row)
            elif row.channel == "email" and self._email is not None:
                self._under_way.add(row.id)
                self._email.rows.put(row)


def drain(queue: SimpleQueue[_T]) -> list[_T]:
    """Everything that is in a queue now."""
    return [queue.get_nowait() for _ in range(queue.qsize())]
