"""Quarantine events: software puts a kit on hold and keeps the evidence current; only people let a kit go.

One event per kit and limit. Its id depends only on (kit, profile or group, version, limit), so replaying everything
changes nothing (SEMANTICS section 5).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from uuid import UUID, uuid5

from coldchain.model import Assessment, EarlyWarning, QuarantineEvent

_NAMESPACE = UUID("6f2c1d1e-6d0f-5c58-9d3a-9b8f6b1f7a10")


def event_id(kit: str, profile: str, version: int | None, limit: str) -> str:
    """The same id whenever and wherever this limit of this profile is breached by this kit."""
    return str(uuid5(_NAMESPACE, "\x1f".join((kit, profile, str(version), limit))))


def events_of(kit: str, assessment: Assessment, detected_at_ms: int) -> Iterator[QuarantineEvent]:
    """The events an assessment supports for one kit, in the order of the profile."""
    for limit, reason, breached_at_ms in assessment.breaches:
        yield QuarantineEvent(
            id=event_id(kit, assessment.profile, assessment.profile_version, limit),
            kit=kit,
            limit=limit,
            reason=reason,
            breached_at_ms=breached_at_ms,
            detected_at_ms=detected_at_ms,
            profile=assessment.profile,
            profile_version=assessment.profile_version,
            profile_sha256=assessment.profile_sha256,
        )


def revise(
    known: Mapping[str, QuarantineEvent], kit: str, assessment: Assessment, now_ms: int
) -> Iterator[QuarantineEvent]:
    """What an assessment changes among a kit's events: raised, revised, or no longer supported - never removed.

    `known`: the kit's events so far by id. Events of another profile version are not touched: they stand as evidence
    of what was judged then. A revision names the file it was judged by; another file alone is no new evidence.
    """
    supported = {event.id: event for event in events_of(kit, assessment, now_ms)}
    for new in supported.values():
        old = known.get(new.id)
        if old is None:
            yield new
        elif not old.supported or old.breached_at_ms != new.breached_at_ms:
            yield replace(new, detected_at_ms=old.detected_at_ms, revision=old.revision + 1)
    for old in known.values():
        if _is_same_rule(old, assessment) and old.supported and old.id not in supported:
            sha256 = assessment.profile_sha256
            yield replace(old, supported=False, revision=old.revision + 1, profile_sha256=sha256)


def _is_same_rule(event: QuarantineEvent, assessment: Assessment) -> bool:
    """Whether an event was raised by the rules of an assessment; a composite has no version, only its hash."""
    if (event.profile, event.profile_version) != (assessment.profile, assessment.profile_version):
        return False
    return event.profile_version is not None or event.profile_sha256 in (None, assessment.profile_sha256)


def early_warnings(known: Collection[str], kits: Iterable[str], assessment: Assessment) -> Iterator[EarlyWarning]:
    """The early warnings that hold and were not given before. `known`: ids of those given."""
    for limit, share in assessment.warned:
        for kit in kits:
            warning_id = event_id(kit, assessment.profile, assessment.profile_version, f"{limit}@{share}%")
            if warning_id not in known:
                yield EarlyWarning(warning_id, kit, limit, share, assessment.profile_sha256)
