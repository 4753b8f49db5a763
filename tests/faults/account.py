"""The account at the end: what was promised against what is in the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from coldchain import pipeline
from coldchain.ledger import queries
from coldchain.ledger.ledger import Ledger
from coldchain.profiles import load_profiles
from coldchain.registry import parse_registry
from faults.fleet import Sent
from faults.running import Service


@dataclass
class Account:
    """What became of everything that was promised. `wrong`: one line for each other thing that is not as it must be."""

    messages: int = 0
    readings: int = 0
    events: int = 0
    lost: int = 0
    doubled: int = 0
    uncaught: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.uncaught or self.wrong)


def settle(
    service: Service, published: Iterable[Sent], promised: set[int], *, judged: bool = True, raw: bool = True
) -> Account:
    """Compare the ledger with what was sent: no reading or event lost or doubled, all as in a life without a crash.

    Not `judged`: where a life without a crash does not judge the same, only readings and chains are compared. Not
    `raw`: where a gateway makes messages of its own from what was measured.
    """
    sent = list(published)
    found = Account(messages=len(sent), uncaught=service.uncaught)
    with queries.reading(service.ledger) as connection:
        stored = Counter(
            (batch.logger, at, mc)
            for batch in queries.batches(connection)
            for at, mc in zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True)
        )
        kept = {payload for (payload,) in connection.execute("SELECT payload FROM message")}
        noted = queries.assessments(connection)
        untold = _untold(connection)
        unsent = queries.undelivered(connection)
    wanted: dict[int, list[tuple[str, int, int]]] = {
        one.number: [
            (batch.logger, at, mc)
            for batch in one.batches()
            for at, mc in zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True)
        ]
        for one in sent
    }
    due = {reading for number in promised for reading in wanted[number]}
    known = {reading for readings in wanted.values() for reading in readings}
    found.readings = len(due)
    found.lost = len(due - stored.keys())
    found.doubled = sum(count - 1 for count in stored.values())
    if strange := stored.keys() - known:
        found.wrong.append(f"{len(strange)} readings that nobody sent")
    if raw and (missing := sum(one.payload not in kept for one in sent if one.number in promised)):
        found.wrong.append(f"the raw bytes of {missing} messages are not kept")
    arrived = [batch for one in sent if set(wanted[one.number]) <= stored.keys() for batch in one.batches()]
    if judged:
        _compare_with_a_life_without_crash(service, arrived, noted, found)
    with Ledger.open(service.ledger) as ledger:
        found.wrong += ledger.audit_verify().problems
    if untold:
        found.wrong.append(f"{untold} events without an alert for every channel")
    if unsent:
        found.wrong.append(f"{unsent} alerts are not delivered")
    return found


def _untold(connection: Any) -> int:
    """Revisions of events that nothing in the outbox tells of."""
    return int(
        connection.execute(
            "SELECT count(*) FROM event_revision AS r WHERE NOT EXISTS (SELECT 1 FROM outbox_cause AS c "
            "WHERE c.cause_id = r.event_id AND c.revision = r.revision)"
        ).fetchone()[0]
    )


def _compare_with_a_life_without_crash(
    service: Service, arrived: list[Any], noted: dict[str, dict[str, Any]], found: Account
) -> None:
    with Ledger.open(service.ledger) as ledger:
        events = ledger.load_events()
        files = ledger.current_registry_files()
    registry = parse_registry([(file.name, file.content) for file in files])
    uncrashed = pipeline.replay(arrived, registry, load_profiles(service.settings.parent / "rules"))
    expected = {(e.id, e.breached_at_ms) for of_kit in uncrashed.events.values() for e in of_kit.values()}
    supported = [(event.id, event.breached_at_ms) for event in events if event.supported]
    found.events = len(expected)
    found.doubled += len(events) - len({(event.kit, event.limit) for event in events})
    if missing := expected - set(supported):
        found.lost += len(missing)
        found.wrong.append(f"{len(missing)} events are not in the ledger, such as {sorted(missing)[0]}")
    if more := set(supported) - expected:
        found.wrong.append(f"{len(more)} events that an uncrashed life does not have, such as {sorted(more)[0]}")
    verdicts = {group: (told["verdict"], breaches(told["limits"])) for group, told in noted.items()}
    others = {
        group: (str(a.verdict), [(limit.limit_id, limit.breached_at_ms) for limit in a.limits])
        for group, a in uncrashed.assessments.items()
    }
    differing = [group for group in verdicts.keys() | others.keys() if verdicts.get(group) != others.get(group)]
    if differing:
        found.wrong.append(f"{len(differing)} verdicts differ from an uncrashed life")


def breaches(limits: Iterable[dict[str, Any]]) -> list[tuple[str, int | None]]:
    return [(limit["limit_id"], limit["breached_at_ms"]) for limit in limits]
