"""E-mail is handed to a real mail server; what fails comes back as a result, never as an exception."""

import socket
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from coldchain.alerts.deliver import letter, open_email
from coldchain.ledger.entries import Delivery, OutboxRow
from coldchain.settings import Smtp

NOW_MS = 1_772_359_205_000
ROW = OutboxRow(7, "11111111-2222-3333-4444-555555555555", "email", "qp@example.org", "stop\nnow", "8 °C\n", NOW_MS, 0)


class Inbox:
    """Keeps what arrives; refuses the addresses it is told to."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.refused: set[str] = set()

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        if address in self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        self.letters.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def smtp(inbox: Inbox) -> Iterator[Smtp]:
    controller = Controller(inbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield Smtp(host="127.0.0.1", port=controller.port, sender="coldchain@example.org", starttls=False)
    controller.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def sent(smtp: Smtp, *rows: OutboxRow) -> list[Delivery]:
    channel = open_email(smtp, lambda: NOW_MS)
    for row in rows:
        channel.rows.put(row)
    results = [channel.results.get(timeout=10) for _ in rows]
    channel.close(timeout_s=5)
    assert not channel.thread.is_alive()
    return results


def test_a_row_arrives_as_plain_text_with_its_key_as_message_id(smtp: Smtp, inbox: Inbox) -> None:
    assert sent(smtp, ROW) == [Delivery(7, NOW_MS, "")]
    (found,) = inbox.letters
    assert found["Message-ID"] == "<11111111-2222-3333-4444-555555555555@example.org>"
    assert (found["To"], found["Subject"]) == ("qp@example.org", "stop now")
    assert found.get_content_type() == "text/plain"
    assert found.get_content().strip() == "8 °C"


def test_a_refused_address_is_a_result_and_the_next_row_is_still_sent(smtp: Smtp, inbox: Inbox) -> None:
    inbox.refused = {"gone@example.org"}
    gone = OutboxRow(8, "k", "email", "gone@example.org", "s", "b", NOW_MS, 0)
    first, second = sent(smtp, gone, ROW)
    assert (first.outbox_id, second.outbox_id) == (8, 7)
    assert "550" in first.error
    assert (second.error, len(inbox.letters)) == ("", 1)


def test_a_dead_mail_server_is_a_result() -> None:
    (result,) = sent(Smtp(host="127.0.0.1", port=free_port(), sender="a@b.c", starttls=False), ROW)
    assert "refused" in result.error


def test_a_server_without_encryption_gets_nothing_once_encryption_is_demanded(smtp: Smtp, inbox: Inbox) -> None:
    (result,) = sent(smtp.model_copy(update={"starttls": True}), ROW)
    assert "STARTTLS" in result.error
    assert inbox.letters == []


def test_a_letter_sent_twice_is_recognised_by_its_message_id() -> None:
    first, again = letter("a@b.c", ROW), letter("a@b.c", ROW)
    assert first.as_bytes() == again.as_bytes()
