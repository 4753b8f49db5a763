"""What a new version of a stability profile changes, in the words of the field, and whether it is stricter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from coldchain import limit_words
from coldchain.instant import iso
from coldchain.model import Severity, Stage
from coldchain.profiles import Limit, StabilityProfile
from coldchain.redundancy import covers

NO_LIMIT = "no limit"
NO_SHARE = "no share"


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `effect`: stricter, looser, different (kits may fare better or worse), or empty (none on kits)."""

    limit: str | None
    subject: str
    before: str
    after: str
    effect: str = ""

    def __str__(self) -> str:
        text = f"{self.subject}: {self.before} -> {self.after}" + (f", {self.effect}" if self.effect else "")
        return f"{text} ({self.limit})" if self.limit else text


def changes(before: StabilityProfile, after: StabilityProfile) -> list[Change]:
    """Every difference between two profiles that a reviewer has to see, limits in the order of the new profile."""
    return [*_head(before, after), *_limits(before, after)]


def _head(before: StabilityProfile, after: StabilityProfile) -> Iterator[Change]:
    plain = (
        ("profile", before.name, after.name, ""),
        ("version", str(before.version), str(after.version), ""),
        ("title", before.title, after.title, ""),
        ("effective from", iso(before.effective_from_ms), iso(after.effective_from_ms), ""),
        ("label range", limit_words.label(before), limit_words.label(after), _label_effect(before, after)),
        ("activation energy", _energies(before), _energies(after), "different"),
        ("stability document", _document(before), _document(after), ""),
        ("author", before.author, after.author, ""),
        ("approver", before.approver, after.approver, ""),
        ("approved at", iso(before.approved_at_ms), iso(after.approved_at_ms), ""),
    )
    for subject, old, new, effect in plain:
        if old != new:
            yield Change(None, subject, old, new, effect)


def _limits(before: StabilityProfile, after: StabilityProfile) -> Iterator[Change]:
    partners = _partners(before, after)
    for limit in after.limits:
        if limit.id in partners:
            yield from _limit(partners[limit.id], limit)
        else:
            yield Change(limit.id, limit_words.subject(limit), NO_LIMIT, limit_words.allowed(limit), "stricter")
    kept = {limit.id for limit in partners.values()}
    for limit in before.limits:
        if limit.id not in kept:
            yield Change(limit.id, limit_words.subject(limit), limit_words.allowed(limit), NO_LIMIT, "looser")


def _partners(before: StabilityProfile, after: StabilityProfile) -> dict[str, Limit]:
    """The former limit of each present id: that of the same id and kind, else the one that measures the same."""
    old = {limit.id: limit for limit in before.limits}
    found = {limit.id: old[limit.id] for limit in after.limits if limit.id in old and old[limit.id].kind is limit.kind}
    left = {limit_words.subject(limit): limit for limit in before.limits if limit not in found.values()}
    for limit in after.limits:
        if limit.id not in found and limit_words.subject(limit) in left:
            found[limit.id] = left.pop(limit_words.subject(limit))
    return found


def _limit(old: Limit, new: Limit) -> Iterator[Change]:
    subject = limit_words.subject(new)
    if old.id != new.id:
        yield Change(new.id, f"{subject}, id", old.id, new.id)
    if limit_words.bound(old) != limit_words.bound(new):
        before, after = f"{limit_words.bound(old)}", limit_words.bound(new)
        yield Change(new.id, f"{subject}, bound", before, after, _effect(covers(new, old), covers(old, new)))
    if old.window_ms != new.window_ms:
        yield Change(
            new.id, f"{subject}, window", limit_words.time(old.window_ms), limit_words.time(new.window_ms), "different"
        )
    if old.allowed != new.allowed:
        effect = "stricter" if new.allowed < old.allowed else "looser"
        yield Change(new.id, subject, limit_words.allowed(old), limit_words.allowed(new), effect)
    yield from _stages(old, new, subject)
    if old.min_coverage != new.min_coverage:
        effect = "stricter" if new.min_coverage < old.min_coverage else "looser"
        yield Change(new.id, f"{subject}, least coverage", str(old.min_coverage), str(new.min_coverage), effect)
    if old.severity is not new.severity:
        effect = "stricter" if new.severity is Severity.QUARANTINE else "looser"
        yield Change(new.id, f"{subject}, severity", old.severity, new.severity, effect)
    if old.source != new.source:
        yield Change(new.id, f"{subject}, source", old.source, new.source)


def _stages(old: Limit, new: Limit, subject: str) -> Iterator[Change]:
    """Shares of stages decide over warnings alone: no effect on kits."""
    before, after = dict(old.stages), dict(new.stages)
    for stage in Stage:
        if before.get(stage) != after.get(stage):
            texts = (NO_SHARE if s is None else limit_words.time(s) for s in (before.get(stage), after.get(stage)))
            yield Change(new.id, f"{subject}, share of {stage}", *texts)


def _effect(is_stricter: bool, is_looser: bool) -> str:
    if is_stricter == is_looser:
        return "different"
    return "stricter" if is_stricter else "looser"


def _label_effect(before: StabilityProfile, after: StabilityProfile) -> str:
    return _effect(_is_inside(after, before), _is_inside(before, after))


def _is_inside(one: StabilityProfile, other: StabilityProfile) -> bool:
    """Whether the label range of `one` lies inside that of `other`."""
    low = other.label_low_mc is None or (one.label_low_mc is not None and one.label_low_mc >= other.label_low_mc)
    high = other.label_high_mc is None or (one.label_high_mc is not None and one.label_high_mc <= other.label_high_mc)
    return low and high


def _energies(profile: StabilityProfile) -> str:
    return ", ".join(f"{energy / 1000:.6g} kJ/mol" for energy in profile.activation_energies_j_mol)


def _document(profile: StabilityProfile) -> str:
    return f"{profile.document} version {profile.document_version}"
