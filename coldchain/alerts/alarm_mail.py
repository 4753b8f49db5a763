"""E-mail of alarms: past the ledger and its outbox, which may be in trouble themselves, and tried until it is taken."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from coldchain.alerts.deliver import open_email
from coldchain.alerts.outbox import drain
from coldchain.ledger.entries import Alert, OutboxRow
from coldchain.settings import Smtp

LONGEST_PAUSE_S = 300.0

MOST_WAITING = 1000

log = structlog.get_logger()


@dataclass(slots=True)
class _Letter:
    row: OutboxRow
    posted_s: float
    try_at_s: float | None
    """None while the mail thread has it."""
    pause_s: float = 2.0


class AlarmMail:
    """A mail thread of its own: a thousand alerts in front of an alarm do not delay it. Use it from one thread."""

    def __init__(self, smtp: Smtp, clock: Callable[[], int]) -> None:
        self._channel = open_email(smtp, clock)
        self._letters: dict[int, _Letter] = {}
        self._next = 1
        self.error = ""

    def post(self, letter: Alert, at_ms: int) -> None:
        """Send a letter as soon as the server takes it. Beyond 1 000 the oldest is dropped, and the log says so."""
        while len(self._letters) >= MOST_WAITING:
            dropped = self._letters.pop(min(self._letters))
            log.error("too many alarms wait for the mail server: dropped", subject=dropped.row.subject)
        row = OutboxRow(self._next, letter.key, "email", letter.recipient, letter.subject, letter.body, at_ms, 0)
        now_s = time.monotonic()
        self._letters[self._next] = _Letter(row, now_s, now_s)
        self._next += 1

    def turn(self, now_s: float) -> None:
        """Take note of what was sent, and try again what was not: after 2, 4, 8 ... 300 seconds."""
        for result in drain(self._channel.results):
            letter = self._letters.get(result.outbox_id)
            self.error = result.error
            if letter is None:
                continue
            if not result.error:
                del self._letters[result.outbox_id]
                continue
            log.warning("alarm not delivered by e-mail", recipient=letter.row.recipient, error=result.error)
            letter.try_at_s, letter.pause_s = now_s + letter.pause_s, min(2 * letter.pause_s, LONGEST_PAUSE_S)
        for letter in self._letters.values():
            if letter.try_at_s is not None and now_s >= letter.try_at_s:
                letter.try_at_s = None
                self._channel.rows.put(letter.row)

    @property
    def waiting_since_s(self) -> float | None:
        """Since when [monotonic s] the oldest letter that is not delivered waits."""
        return min((letter.posted_s for letter in self._letters.values()), default=None)

    def close(self, timeout_s: float) -> None:
        """Let the thread finish what it has begun."""
        self._channel.close(timeout_s)
