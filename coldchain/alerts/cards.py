"""Cards: what one cause means for the kits it stops, in words for blinded and for unblinded readers.

One card per cause, not per kit: the same place, the same step, the same kind of evidence. A blinded reader is told
which kits to stop, where and since when, and nothing that tells products apart: the same bytes whichever arm a kit
is in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from coldchain.instant import iso
from coldchain.model import AT_STAGE, EarlyWarning, QuarantineEvent, Reason, Stage
from coldchain.registry import Registry

NAMESPACE = UUID("0d8e2f64-7a0e-5b0c-9a38-3c1f5f7b2e11")

NOWHERE = "an unknown place"

KITS_PER_CARD = 1000
"""So that a card never outgrows what a broker takes as one message."""

_WHAT = {
    Reason.LIMIT: "Temperature excursion",
    Reason.DATA_MISSING: "Temperature record incomplete",
    Reason.DATA_INTEGRITY: "Temperature records contradict each other",
}
_STOP = (
    "Do not ship, dispense or use these kits. Set them apart at their storage temperature and wait for the decision "
    "of the Qualified Person."
)
_RENEWED = "Later data support the hold on these kits again. They stay on hold until the Qualified Person decides."
_UNSUPPORTED = (
    "Later data no longer support the hold on these kits. They stay on hold until the Qualified Person decides."
)


@dataclass(frozen=True, slots=True)
class Card:
    """One message to a person. `details` are for unblinded readers only."""

    id: str
    kind: str
    kits: tuple[str, ...]
    place: str
    elsewhere: tuple[tuple[str, str], ...]
    breached_at_ms: int | None
    detected_at_ms: int
    action: str
    details: tuple[str, ...]
    causes: tuple[tuple[str, int], ...]


def quarantine_cards(events: Iterable[QuarantineEvent], registry: Registry, now_ms: int) -> Iterator[Card]:
    """One card for each place and kind of evidence among the events of one step."""
    by_cause: dict[tuple[str, str, Reason], list[QuarantineEvent]] = defaultdict(list)
    for event in events:
        kind = "quarantine" if event.revision == 1 else "quarantine_renewed"
        kind = kind if event.supported else "quarantine_unsupported"
        by_cause[kind, place_at(registry, event.kit, event.breached_at_ms), event.reason].append(event)
    for (kind, place, reason), group in sorted(by_cause.items()):
        by_kit: dict[str, list[QuarantineEvent]] = defaultdict(list)
        for event in group:
            by_kit[event.kit].append(event)
        for kits in _portions(sorted(by_kit)):
            told = [event for kit in kits for event in by_kit[kit]]
            what = _WHAT[reason]
            yield _card(
                kind,
                kits,
                place,
                _elsewhere(registry, kits, place, now_ms),
                min(event.breached_at_ms for event in told),
                min(event.detected_at_ms for event in told),
                {
                    "quarantine": f"{what} at {place}. {_STOP}",
                    "quarantine_renewed": f"{what} at {place}. {_RENEWED}",
                    "quarantine_unsupported": f"{what} at {place}. {_UNSUPPORTED}",
                }[kind],
                tuple(_event_detail(event, registry) for event in told),
                tuple((event.id, event.revision) for event in told),
            )


def warning_cards(warnings: Iterable[EarlyWarning], registry: Registry, now_ms: int) -> Iterator[Card]:
    """One card for each place, limit and share among the early warnings of one step; for unblinded readers only."""
    by_cause: dict[tuple[str, str, int], dict[str, EarlyWarning]] = defaultdict(dict)
    for warning in warnings:
        place = place_at(registry, warning.kit, now_ms)
        by_cause[place, warning.limit, warning.share][warning.kit] = warning
    for (place, limit, share), by_kit in sorted(by_cause.items()):
        for kits in _portions(sorted(by_kit)):
            yield _card(
                "early_warning",
                kits,
                place,
                (),
                None,
                now_ms,
                _warning(limit, share, place, next(iter(by_kit.values())).stage),
                tuple(
                    f"{kit}: {limit}, batch {_batch(registry, kit)}, {_rules_file(by_kit[kit].profile_sha256)}"
                    for kit in kits
                ),
                tuple((by_kit[kit].id, 1) for kit in kits),
            )


def _warning(limit: str, share: int, place: str, stage: Stage | None) -> str:
    if stage is None:
        return f"{share} % of {limit} is used up at {place}. Check the place before the kits have to be stopped."
    budget, _, _ = limit.partition(AT_STAGE)
    return (
        f"More than the share of the stage {stage} is used up: {budget}, kits now at {place}. No kit has to be stopped "
        f"for that, but less is left for what is still to come. Find out what happened in the stage {stage}."
    )


def place_at(registry: Registry, kit: str, at_ms: int) -> str:
    """Where a kit was at an instant, by its custody: before the first segment where it began."""
    route = registry.custody.get(kit, ())
    begun = [segment for segment in route if segment.from_ms <= at_ms] or list(route[:1])
    return begun[-1].place if begun else NOWHERE


def _elsewhere(registry: Registry, kits: Iterable[str], place: str, now_ms: int) -> tuple[tuple[str, str], ...]:
    """The kits that have moved on since: whoever acts has to find them where they are."""
    now_at = [(kit, place_at(registry, kit, now_ms)) for kit in kits]
    return tuple((kit, where) for kit, where in now_at if where != place)


def _card(
    kind: str,
    kits: Sequence[str],
    place: str,
    elsewhere: tuple[tuple[str, str], ...],
    breached_at_ms: int | None,
    detected_at_ms: int,
    action: str,
    details: tuple[str, ...],
    causes: tuple[tuple[str, int], ...],
) -> Card:
    told_of = "\n".join(sorted(f"{cause}/{revision}" for cause, revision in causes))
    identity = str(uuid5(NAMESPACE, f"{kind}\n{told_of}"))
    return Card(identity, kind, tuple(kits), place, elsewhere, breached_at_ms, detected_at_ms, action, details, causes)


def _portions(kits: Sequence[str]) -> Iterator[Sequence[str]]:
    return (kits[first : first + KITS_PER_CARD] for first in range(0, len(kits), KITS_PER_CARD))


def _event_detail(event: QuarantineEvent, registry: Registry) -> str:
    rule = event.profile if event.profile_version is None else f"{event.profile} version {event.profile_version}"
    batch, since = _batch(registry, event.kit), iso(event.breached_at_ms)
    told = f"{event.kit}: {event.limit} of {rule}, batch {batch}, since {since}, {event.id} revision {event.revision}"
    return f"{told}, {_rules_file(event.profile_sha256)}"


def _rules_file(sha256: str | None) -> str:
    return f"rules SHA-256 {sha256 or 'not kept'}"


def _batch(registry: Registry, kit: str) -> str:
    known = registry.kits.get(kit)
    return known.batch if known else "unknown"
