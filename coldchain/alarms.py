"""Alarms: when operators are told that something does not work, that it still does not, and that it works again.

A trouble is told once when it has lasted as long as its kind allows, again at regular intervals while it stands, and
once more when it ends. Time comes in: durations by a clock that no one can set, words by the clock on the wall.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What can be in trouble."""

    DISK_FILLING = "disk_filling"
    DISK_FULL = "disk_full"
    LEDGER = "ledger_failing"
    BROKER = "broker_lost"
    EMAIL = "email_failing"
    GATEWAY = "gateway_offline"
    GATEWAY_ALARM = "gateway_alarm"
    PROJECTION = "projection_stalled"
    SERVICE = "service_offline"


class Change(StrEnum):
    """What there is to tell of a trouble."""

    RAISED = "raised"
    STANDS = "stands"
    ENDED = "ended"


class Key(NamedTuple):
    """One trouble: its kind, and of which gateway where there are several."""

    kind: Kind
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that does not work at the moment of looking. `since_s`: since when [monotonic s], if that is known."""

    kind: Kind
    subject: str = ""
    detail: str = ""
    since_s: float | None = None

    @property
    def key(self) -> Key:
        """Which trouble it is, however often it is seen."""
        return Key(self.kind, self.subject)


@dataclass(frozen=True, slots=True)
class Standing:
    """A trouble that has been seen and has not ended: how often it was told, and when it will be told next."""

    trouble: Trouble
    since_s: float
    since_ms: int
    tell_at_s: float
    told: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """What operators are told: one change of one kind of trouble, of all its subjects at once."""

    kind: Kind
    change: Change
    subjects: tuple[str, ...]
    since_ms: int
    at_ms: int
    number: int
    details: tuple[str, ...]


Standings = Mapping[Key, Standing]


def step(
    standing: Standings,
    seen: Iterable[Trouble],
    after_s: Mapping[Kind, float],
    repeat_every_s: float,
    now_s: float,
    now_ms: int,
) -> tuple[dict[Key, Standing], tuple[Notice, ...]]:
    """What stands after looking once more, and what has to be told of it.

    `after_s`: how long a trouble of each kind may last before it is told; at once if it is not listed. What stood, was
    told and is not seen any more has ended; what was never told ends in silence.
    """
    found: dict[Key, Standing] = {}
    changes: list[tuple[Change, Standing]] = []
    for trouble in seen:
        before = standing.get(trouble.key)
        if before is None:
            since_s = now_s if trouble.since_s is None else min(trouble.since_s, now_s)
            since_ms = now_ms - round((now_s - since_s) * 1000)
            before = Standing(trouble, since_s, since_ms, since_s + after_s.get(trouble.kind, 0.0))
        now = replace(before, trouble=trouble)
        if now_s >= now.tell_at_s:
            changes.append((Change.STANDS if now.told else Change.RAISED, now))
            now = replace(now, told=now.told + 1, tell_at_s=now_s + repeat_every_s)
        found[trouble.key] = now
    changes += [(Change.ENDED, was) for key, was in standing.items() if was.told and key not in found]
    return found, _joined(changes, now_ms)


def _joined(changes: Iterable[tuple[Change, Standing]], now_ms: int) -> tuple[Notice, ...]:
    """One notice for all subjects of a kind: a power cut takes a hundred gateways, and sends one letter."""
    by_kind: dict[tuple[Kind, Change], list[Standing]] = defaultdict(list)
    for change, standing in changes:
        by_kind[standing.trouble.kind, change].append(standing)
    return tuple(
        Notice(
            kind,
            change,
            tuple(sorted(each.trouble.subject for each in group if each.trouble.subject)),
            min(each.since_ms for each in group),
            now_ms,
            max(each.told for each in group) + 1,
            tuple(dict.fromkeys(each.trouble.detail for each in group if each.trouble.detail)),
        )
        for (kind, change), group in sorted(by_kind.items())
    )
