"""Alarms by e-mail are tried until the server takes them, and never pile up without end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from coldchain.alerts.alarm_mail import MOST_WAITING, AlarmMail
from coldchain.ledger.entries import Alert
from coldchain.settings import Smtp
from processes import Inbox, eventually, free_port

NOW_MS = 1_772_359_205_000


def alarm(number: int = 0) -> Alert:
    return Alert(f"key-{number}", "email", "ops@example.org", f"alarm {number}", "the disk is full", ())


@pytest.fixture
def server() -> Iterator[tuple[Inbox, Smtp]]:
    port = free_port()
    inbox = Inbox(port)
    yield inbox, Smtp(host="127.0.0.1", port=port, sender="coldchain@example.org", starttls=False)
    inbox.stop()


def test_an_alarm_waits_for_a_mail_server_that_is_down_and_arrives_once(server: tuple[Inbox, Smtp]) -> None:
    inbox, smtp = server
    mail, began_s = AlarmMail(smtp, lambda: NOW_MS), time.monotonic()
    mail.post(alarm(), NOW_MS)
    now_s = began_s + 1

    def turned(*, error: bool) -> bool:
        mail.turn(now_s)
        return bool(mail.error) is error

    eventually(lambda: turned(error=True))
    waiting_s = mail.waiting_since_s
    assert waiting_s is not None
    assert began_s <= waiting_s <= now_s
    inbox.start()
    now_s += 1.9
    mail.turn(now_s)
    assert inbox.letters == [], "two seconds have not passed"
    now_s += 0.2
    eventually(lambda: turned(error=False))
    assert mail.waiting_since_s is None
    assert [letter["Message-ID"] for letter in inbox.letters] == ["<key-0@example.org>"]
    mail.close(5)


def test_beyond_a_thousand_the_oldest_is_dropped(server: tuple[Inbox, Smtp]) -> None:
    inbox, smtp = server
    mail = AlarmMail(smtp, lambda: NOW_MS)
    for number in range(MOST_WAITING + 5):
        mail.post(alarm(number), NOW_MS)
    inbox.start()
    mail.turn(time.monotonic())
    eventually(lambda: len(inbox.letters) == MOST_WAITING, 60)
    assert inbox.letters[0]["Subject"] == "alarm 5"
    mail.close(5)
