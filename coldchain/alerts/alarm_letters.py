"""Alarms in words: what operators get by MQTT and by e-mail. Nothing in them tells kits, batches or products."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid5

import orjson

from coldchain.alarms import Change, Kind, Notice
from coldchain.alerts.cards import NAMESPACE
from coldchain.alerts.compose import role_topic
from coldchain.instant import iso
from coldchain.ledger.entries import Alert
from coldchain.settings import Alerts

_WHAT = {
    Kind.DISK_FILLING: "the disk of the ledger fills up",
    Kind.DISK_FULL: "the disk of the ledger is full",
    Kind.LEDGER: "the ledger takes no commits",
    Kind.BROKER: "the broker is not connected",
    Kind.EMAIL: "e-mail is not delivered",
    Kind.GATEWAY: "gateways are offline",
    Kind.GATEWAY_ALARM: "gateways report trouble",
    Kind.PROJECTION: "the time-series store stands still",
    Kind.SERVICE: "the service is offline",
}
_DO = {
    Kind.DISK_FILLING: "Gateways keep their backlog back; live data are stored. Make room on the disk.",
    Kind.DISK_FULL: "Nothing is stored or acknowledged; it waits in the broker and in the gateways. Make room on the "
    "disk: the service goes on by itself.",
    Kind.LEDGER: "Nothing is acknowledged; it waits in the broker and in the gateways. The service goes on by itself "
    "once the ledger can be written.",
    Kind.BROKER: "No reading arrives. Look at the broker and the network; the service connects again by itself.",
    Kind.EMAIL: "Alerts by e-mail wait. Look at the mail server and the addresses; they are sent again by themselves.",
    Kind.GATEWAY: "No reading of their loggers arrives; they keep them. Look at their power and network.",
    Kind.GATEWAY_ALARM: "Look at the gateway: what it reports stands below.",
    Kind.PROJECTION: "Nothing is lost, dashboards are late. Look at the time-series store.",
    Kind.SERVICE: "Nothing is stored or judged; readings wait in the broker. Start the service and read its log.",
}

_OTHER_WAY = {Kind.BROKER: "email", Kind.EMAIL: "mqtt", Kind.SERVICE: "email"}
"""How a trouble of the way itself is told."""


def alarm_letters(notice: Notice, recipients: Alerts, *, by_email: bool) -> Iterator[Alert]:
    """One row for each way and recipient; none of a way that is the trouble itself, if there is another.

    The key depends on the notice and the recipient alone: however often it is delivered, it is known as one.
    """
    identity = str(
        uuid5(
            NAMESPACE, "\n".join((notice.kind, *notice.subjects, notice.change, f"{notice.since_ms}/{notice.number}"))
        )
    )
    addresses = recipients.email.get(recipients.operator_role, ()) if by_email else ()
    only = _OTHER_WAY.get(notice.kind) if addresses else None
    subject = _subject(notice)
    if only != "email":
        body = orjson.dumps(_document(notice, identity)).decode()
        topic = role_topic(recipients.operator_role)
        yield Alert(_key(identity, "mqtt", topic), "mqtt", topic, subject, body, ())
    if only != "mqtt":
        text = "\n".join(_lines(notice, identity))
        for address in addresses:
            yield Alert(_key(identity, "email", address), "email", address, subject, text, ())


def _key(identity: str, channel: str, recipient: str) -> str:
    return str(uuid5(NAMESPACE, f"{identity}\n{channel}\n{recipient}"))


def _subject(notice: Notice) -> str:
    word = {Change.RAISED: "ALARM", Change.STANDS: "ALARM STANDS", Change.ENDED: "works again"}[notice.change]
    subjects = f" ({len(notice.subjects)})" if len(notice.subjects) > 1 else "".join(f" ({s})" for s in notice.subjects)
    return f"coldchain: {word}: {_WHAT[notice.kind]}{subjects}"


def _document(notice: Notice, identity: str) -> dict[str, object]:
    return {
        "id": identity,
        "kind": notice.kind,
        "state": notice.change,
        "subjects": notice.subjects,
        "since": iso(notice.since_ms),
        "at": iso(notice.at_ms),
        "action": "" if notice.change is Change.ENDED else _DO[notice.kind],
        "details": notice.details,
    }


def _lines(notice: Notice, identity: str) -> Iterator[str]:
    has_ended = notice.change is Change.ENDED
    yield f"It works again. It was: {_WHAT[notice.kind]}." if has_ended else f"{_WHAT[notice.kind].capitalize()}."
    if not has_ended:
        yield _DO[notice.kind]
    yield ""
    yield f"Since:    {iso(notice.since_ms)}"
    yield f"{'Until' if has_ended else 'Now'}:".ljust(10) + iso(notice.at_ms)
    for subject in notice.subjects:
        yield f"Gateway:  {subject}"
    for detail in notice.details:
        yield f"Detail:   {detail}"
    yield ""
    yield f"Alarm {identity}"
