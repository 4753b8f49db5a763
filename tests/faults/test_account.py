"""The account itself: what is lost, doubled, strange or untold does not escape it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from coldchain.ledger.entries import Message
from coldchain.ledger.ledger import Ledger
from coldchain.pipeline import Step
from faults.account import Account, settle
from faults.book import MakeService
from faults.fleet import LATER_MS, Fleet, Sent
from faults.running import Service
from ledger_values import event


@pytest.fixture
def sent() -> list[Sent]:
    return list(Fleet(2, 1, at_once=2).messages(20))


@pytest.fixture
def service(make_service: MakeService) -> Service:
    return make_service(Fleet(2, 1).registry())


def store(service: Service, sent: Sequence[Sent], step: Step | None = None) -> None:
    """Write messages into the ledger as if every reading in them were new, without judging any."""
    messages = [Message(LATER_MS, one.topic, one.payload, one.batches()) for one in sent]
    fresh = tuple(batch for message in messages for batch in message.batches)
    with Ledger.open(service.ledger) as ledger:
        ledger.save(messages, step or Step(fresh=fresh), (), LATER_MS)


def account(service: Service, sent: Sequence[Sent], promised: Sequence[Sent]) -> Account:
    return settle(service, sent, {one.number for one in promised}, judged=False)


def test_all_that_was_promised_and_stored_once_is_a_clean_account(service: Service, sent: list[Sent]) -> None:
    store(service, sent)
    assert account(service, sent, sent).is_clean


def test_a_promised_message_that_is_not_stored_is_lost_and_one_without_a_promise_is_not(
    service: Service, sent: list[Sent]
) -> None:
    store(service, sent[1:])
    assert account(service, sent, sent[1:]).is_clean
    found = account(service, sent, sent)
    assert (found.lost, len(found.wrong)) == (sent[0].last - sent[0].first + 1, 1)


def test_a_reading_that_is_stored_twice_is_doubled(service: Service, sent: list[Sent]) -> None:
    store(service, [*sent, sent[3]])
    assert account(service, sent, sent).doubled == sent[3].last - sent[3].first + 1


def test_a_reading_that_nobody_sent_is_strange(service: Service, sent: list[Sent]) -> None:
    store(service, sent)
    assert account(service, sent[:-1], sent[:-1]).wrong


def test_an_event_without_an_alert_is_untold_and_one_that_no_reading_supports_is_wrong(
    service: Service, sent: list[Sent]
) -> None:
    store(service, sent)
    store(service, (), Step(events=(event(kit="K-lg-0-a"),)))
    found = settle(service, sent, set())
    assert any("without an alert" in line for line in found.wrong)
    assert any("an uncrashed life does not have" in line for line in found.wrong)


def test_verdicts_that_were_never_written_differ_from_an_uncrashed_life(service: Service, sent: list[Sent]) -> None:
    store(service, sent)
    assert any("verdicts differ" in line for line in settle(service, sent, set()).wrong)


def test_an_end_that_nobody_asked_for_is_uncaught(service: Service, tmp_path: Path, sent: list[Sent]) -> None:
    (tmp_path / "service-0" / "rules" / "mab-017.toml").write_text("no rules", encoding="utf-8")
    service.start()
    assert service.ended(wait=True) == 2
    assert account(service, sent, ()).uncaught == 1
