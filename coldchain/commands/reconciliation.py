"""What would a downloaded file add to what the ledger has of the same logger? Numbers for a person, before asking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coldchain import history
from coldchain.history import EMPTY, Series
from coldchain.model import Conflict, Logger
from coldchain.readings import FAULT_MC, Milliseconds, ReadingBatch


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A file's channel beside the ledger's.

    `stored`: readings and faults that the ledger has. Of the file: `repeated` inside it, `equal` to stored ones, `new`,
    `unverified` (an impossible device time: kept, not judged). `conflicts`: instants at which temperatures would
    differ that do not yet. `gaps`: stretches between stored readings longer than the logger's gap; `filled` of them
    the file leaves none of; `unknown_ms` in them, before and after.
    """

    stored: int
    repeated: int
    equal: int
    new: int
    unverified: int
    conflicts: tuple[Conflict, ...]
    gaps: int
    filled: int
    unknown_ms: tuple[int, int]


def reconcile(batch: ReadingBatch, stored: Series, logger: Logger) -> Reconciliation:
    """Compare a file's channel with the stored series of that channel."""
    verified = history.is_verified(batch, logger)
    at, mc = batch.at_ms[verified], batch.temperature_mc[verified]
    merged, new = history.merge(stored, at, mc)
    alone, once = history.merge(EMPTY, at, mc)
    before = set(history.channel_record(batch.key, stored, logger).conflicts)
    conflicts = (c for c in history.channel_record(batch.key, merged, logger).conflicts if c not in before)
    was, now = _known(stored), _known(merged)
    starts = np.flatnonzero(np.diff(was) > logger.gap_after_ms)
    left = [_unknown_ms(now[(now >= was[i]) & (now <= was[i + 1])], logger) for i in starts.tolist()]
    return Reconciliation(
        stored=len(stored),
        repeated=len(at) - int(once.sum()),
        equal=len(alone) - int(new.sum()),
        new=int(new.sum()),
        unverified=int((~verified).sum()),
        conflicts=tuple(conflicts),
        gaps=len(starts),
        filled=left.count(0),
        unknown_ms=(_unknown_ms(was, logger), sum(left)),
    )


def _known(series: Series) -> Milliseconds:
    return np.unique(series.at_ms[series.temperature_mc != FAULT_MC])


def _unknown_ms(at_ms: Milliseconds, logger: Logger) -> int:
    """Unknown time between the first and the last of these instants, by the preceding-interval rule."""
    steps = np.diff(at_ms)
    return int((steps[steps > logger.gap_after_ms] - logger.logging_interval_ms).sum())
