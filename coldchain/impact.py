"""What changed rules would have meant for past kits: which verdicts change, and by which limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coldchain import pipeline, rulebook
from coldchain.model import Assessment
from coldchain.pipeline import NONE_LOST, LostReadings
from coldchain.readings import ReadingBatch
from coldchain.registry import Registry
from coldchain.rulebook import Rules


@dataclass(frozen=True, slots=True)
class Change:
    """Kits of one fate whose assessment changes. `broken`, `mended`: limits that only the new, the old rules break."""

    kits: tuple[str, ...]
    before: Assessment
    after: Assessment
    broken: tuple[str, ...]
    mended: tuple[str, ...]

    @property
    def changes_verdict(self) -> bool:
        """Whether the verdict itself changes, not only the limits behind it."""
        return self.before.verdict is not self.after.verdict


@dataclass(frozen=True, slots=True)
class Impact:
    """`kits`: how many the changed rules judge; `changes`: those whom they judge differently, by their first kit.

    `kept`: how many kits of the changed products another version judges, because their trial is set to it.
    """

    kits: int
    changes: tuple[Change, ...]
    kept: int


def impact(
    batches: Sequence[ReadingBatch],
    registry: Registry,
    present: Rules,
    proposed: Rules,
    *,
    now_ms: int = 0,
    as_of_ms: int | None = None,
    is_live: bool = False,
    lost: LostReadings = NONE_LOST,
) -> Impact:
    """Judge every kit group that changed rules reach by the present and by the proposed rules, each once."""
    old, new = pipeline.rules(registry, present), pipeline.rules(registry, proposed)
    reached = [group_id for group_id in registry.groups if old[group_id] != new[group_id]]
    few = registry.narrowed(_representatives(registry, reached))
    mine = [batch for batch in batches if batch.key in few.channels]
    before, after = (
        pipeline.start(few, profiles, mine, now_ms=now_ms, as_of_ms=as_of_ms, is_live=is_live, lost=lost)[1].assessments
        for profiles in (present, proposed)
    )
    changes = []
    for group_id in reached:
        one, other = before[group_id], after[group_id]
        was, will_be = ({limit for limit, _, _ in assessment.breaches} for assessment in (one, other))
        if one.verdict is not other.verdict or was != will_be:
            kits = tuple(registry.groups[group_id].kits)
            changes.append(Change(kits, one, other, tuple(sorted(will_be - was)), tuple(sorted(was - will_be))))
    count = sum(len(registry.groups[group_id].kits) for group_id in reached)
    kept = _of_changed_products(registry, present, proposed) - count
    return Impact(count, tuple(sorted(changes, key=lambda change: change.kits)), kept)


def _of_changed_products(registry: Registry, present: Rules, proposed: Rules) -> int:
    """How many kits are of a product, or in a blind group with one, whose newest version changes."""
    was, will_be = rulebook.of(present).newest, rulebook.of(proposed).newest
    changed = {name for name in will_be if was.get(name) != will_be[name]}
    blind = {group for group, names in registry.profiles_in.items() if changed.intersection(names)}
    return sum(
        kit.blind_group in blind if kit.blind_group else kit.profile in changed for kit in registry.kits.values()
    )


def _representatives(registry: Registry, group_ids: Sequence[str]) -> Iterable[str]:
    """One kit for each group and profile: the same groups, whatever the number of their kits."""
    kits = ((group_id, kit) for group_id in group_ids for kit in registry.groups[group_id].kits)
    return {(group_id, registry.kits[kit].profile): kit for group_id, kit in kits}.values()
