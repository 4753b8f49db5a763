"""E-mail: a thread of its own, so that a slow or dead mail server never holds up a reading.

It gets rows by one queue and gives results back by another; only the ledger's writer touches the ledger.
"""

from __future__ import annotations

import smtplib
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from queue import SimpleQueue

from coldchain.ledger.entries import Delivery, OutboxRow
from coldchain.settings import Smtp

TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class EmailChannel:
    """The thread that sends, the rows it is given, and what became of them."""

    rows: SimpleQueue[OutboxRow | None]
    results: SimpleQueue[Delivery]
    thread: threading.Thread

    def close(self, timeout_s: float) -> None:
        """Let it finish what it has begun; what is left stays in the outbox."""
        self.rows.put(None)
        self.thread.join(timeout_s)


def open_email(smtp: Smtp, clock: Callable[[], int]) -> EmailChannel:
    """Start the thread that sends through one mail server."""
    rows: SimpleQueue[OutboxRow | None] = SimpleQueue()
    results: SimpleQueue[Delivery] = SimpleQueue()

    def work() -> None:
        while (row := rows.get()) is not None:
            error = ""
            try:
                send(smtp, row)
            except (smtplib.SMTPException, OSError) as exc:
                error = " ".join(str(exc).split()) or type(exc).__name__
            results.put(Delivery(row.id, clock(), error))

    thread = threading.Thread(target=work, name="email", daemon=True)
    thread.start()
    return EmailChannel(rows, results, thread)


def send(smtp: Smtp, row: OutboxRow) -> None:
    """Hand one row to the mail server; raises SMTPException or OSError if it does not take it."""
    with smtplib.SMTP(smtp.host, smtp.port, timeout=TIMEOUT_S) as server:
        if smtp.starttls:
            server.starttls(context=ssl.create_default_context())
        if smtp.username and smtp.password_file is not None:
            server.login(smtp.username, smtp.password_file.read_text(encoding="utf-8").strip())
        server.send_message(letter(smtp.sender, row))


def letter(sender: str, row: OutboxRow) -> EmailMessage:
    """The e-mail of one row. Its Message-ID is the idempotency key: a mail sent twice is recognised as one."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = row.recipient
    message["Subject"] = " ".join(row.subject.split())
    message["Date"] = format_datetime(datetime.fromtimestamp(row.created_ms / 1000, UTC))
    message["Message-ID"] = f"<{row.key}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(row.body)
    return message
