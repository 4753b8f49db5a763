"""Which rows go into the outbox: every event to the event topic, every card to every role and address.

Keys depend on the causes and the recipient alone, so the same alert has the same key however often it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from uuid import uuid5

import orjson

from coldchain.alerts.cards import NAMESPACE, Card, place_at, quarantine_cards, warning_cards
from coldchain.instant import iso
from coldchain.ledger.entries import Alert
from coldchain.model import EarlyWarning, QuarantineEvent
from coldchain.registry import Registry
from coldchain.settings import Alerts

EVENT_TOPIC = "coldchain/v1/events/quarantine"


def role_topic(role: str) -> str:
    """Where the alerts of a role are published."""
    return f"coldchain/v1/alerts/{role}"


def compose(
    events: Iterable[QuarantineEvent],
    warnings: Iterable[EarlyWarning],
    registry: Registry,
    recipients: Alerts,
    *,
    known: Mapping[str, Mapping[str, QuarantineEvent]],
    by_email: bool,
    now_ms: int,
) -> tuple[Alert, ...]:
    """What has to be told to whom because of the events and early warnings of one step.

    `known`: each kit's events by id as they were before the step. A revision that only moves the breach instant goes
    to the event topic; people get a card when an event is raised, loses its support or regains it, or a backlog that
    arrives in a hundred parts would send them a hundred letters.
    An early warning speaks of a budget, so only the unblinded roles get it. `by_email`: a mail server is configured.
    """
    events = tuple(events)
    cards = tuple(quarantine_cards((event for event in events if _is_news(event, known)), registry, now_ms))
    unblinded_only = tuple(warning_cards(warnings, registry, now_ms))
    found = [_event_alert(event, registry) for event in events]
    for role in recipients.mqtt_roles:
        unblinded = role in recipients.unblinded_roles
        for card in cards + unblinded_only if unblinded else cards:
            body = orjson.dumps(_document(card, unblinded)).decode()
            found.append(_alert(card, "mqtt", role_topic(role), _subject(card), body))
    if by_email:
        for role, addresses in recipients.email.items():
            unblinded = role in recipients.unblinded_roles
            for card in cards + unblinded_only if unblinded else cards:
                text = "\n".join(_lines(card, unblinded))
                found.extend(_alert(card, "email", address, _subject(card), text) for address in addresses)
    return tuple(found)


def _is_news(event: QuarantineEvent, known: Mapping[str, Mapping[str, QuarantineEvent]]) -> bool:
    before = known.get(event.kit, {}).get(event.id)
    return before is None or before.supported != event.supported


def _event_alert(event: QuarantineEvent, registry: Registry) -> Alert:
    document = {
        "id": event.id,
        "kit": event.kit,
        "place": place_at(registry, event.kit, event.breached_at_ms),
        "breached_at_ms": event.breached_at_ms,
        "detected_at_ms": event.detected_at_ms,
        "revision": event.revision,
        "supported": event.supported,
    }
    key = str(uuid5(NAMESPACE, f"{event.id}/{event.revision}\nmqtt\n{EVENT_TOPIC}"))
    body = orjson.dumps(document).decode()
    return Alert(key, "mqtt", EVENT_TOPIC, "quarantine event", body, ((event.id, event.revision),))


def _alert(card: Card, channel: str, recipient: str, subject: str, body: str) -> Alert:
    key = str(uuid5(NAMESPACE, f"{card.id}\n{channel}\n{recipient}"))
    return Alert(key, channel, recipient, subject, body, card.causes)


def _document(card: Card, unblinded: bool) -> dict[str, object]:
    document: dict[str, object] = {
        "id": card.id,
        "kind": card.kind,
        "kits": card.kits,
        "place": card.place,
        "elsewhere": dict(card.elsewhere),
        "breached_at": None if card.breached_at_ms is None else iso(card.breached_at_ms),
        "detected_at": iso(card.detected_at_ms),
        "action": card.action,
    }
    return document | {"details": card.details} if unblinded else document


def _subject(card: Card) -> str:
    count = "1 kit" if len(card.kits) == 1 else f"{len(card.kits)} kits"
    what = {
        "quarantine": f"STOP {count}",
        "quarantine_renewed": f"{count} on hold again by later data",
        "quarantine_unsupported": f"{count} on hold again by later data",
        "early_warning": f"early warning for {count}",
    }[card.kind]
    return f"coldchain: {what} at {card.place}"


def _lines(card: Card, unblinded: bool) -> Iterator[str]:
    moved = dict(card.elsewhere)
    yield card.action
    yield ""
    yield f"Place:    {card.place}"
    if card.breached_at_ms is not None:
        yield f"Since:    {iso(card.breached_at_ms)}"
    yield f"Detected: {iso(card.detected_at_ms)}"
    yield f"Kits:     {len(card.kits)}"
    for kit in card.kits:
        yield f"  {kit}, now at {moved[kit]}" if kit in moved else f"  {kit}"
    if unblinded:
        yield ""
        yield "Details (unblinded, do not forward):"
        for detail in card.details:
            yield f"  {detail}"
    yield ""
    yield f"Alert {card.id}"
