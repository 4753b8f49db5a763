"""The outbox at work: what is due goes to the broker or the mail thread, what became of it goes into the ledger.

Delivery is at least once: a row is due until its success is on disk. A dead broker or mail server holds up nothing.
"""

from __future__ import annotations

import time
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
        self._email_since_s: dict[int, float] = {}
        self.email_error = ""

    def record(self) -> bool:
        """Write down what became of deliveries, and whether there was anything; EnvironmentFailed keeps it for the next
        time."""
        self._results += self._broker.deliveries
        self._broker.deliveries = []
        if self._email is not None:
            sent = drain(self._email.results)
            self._results += sent
            for delivery in sent:
                self.email_error = delivery.error
                if not delivery.error:
                    self._email_since_s.pop(delivery.outbox_id, None)
        if not self._results:
            return False
        self._ledger.record_deliveries(self._results)
        for delivery in self._results:
            self._under_way.discard(delivery.outbox_id)
            if delivery.error:
                log.warning("alert not delivered", outbox_id=delivery.outbox_id, error=delivery.error)
        self._results = []
        return True

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
                self._email_since_s.setdefault(row.id, time.monotonic())
                self._email.rows.put(row)

    @property
    def email_waiting_since_s(self) -> float | None:
        """Since when [monotonic s] this process has tried in vain to deliver the oldest e-mail. Any thread may ask."""
        return min(list(self._email_since_s.values()), default=None)


def drain(queue: SimpleQueue[_T]) -> list[_T]:
    """Everything that is in a queue now."""
    return [queue.get_nowait() for _ in range(queue.qsize())]
