"""Judging: what a kit's history means by its stability profile (SEMANTICS sections 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from coldchain import exposure
from coldchain.exposure import GAS_CONSTANT_J_MOL_K, Totals
from coldchain.history import Record
from coldchain.model import Assessment, Kind, LimitFinding, Severity, StageUse, Verdict
from coldchain.profiles import Limit, StabilityProfile
from coldchain.stages import NO_STAYS, Stays
from coldchain.tally import Tally, advance, begin, measures

_UNKNOWN_KINDS = (Kind.UNKNOWN_ACCUMULATED, Kind.UNKNOWN_SINGLE)
_WITH_OPENING = (Kind.ACCUMULATED, Kind.EVENTS, Kind.UNKNOWN_ACCUMULATED)


def can_have_opening(limit: Limit) -> bool:
    """Whether a balance already spent can be carried into this limit: totals and counts, not single events."""
    return limit.kind in _WITH_OPENING


def judge(
    profile: StabilityProfile,
    record: Record | None,
    opening: Mapping[str, int],
    custody_problems: tuple[str, ...] = (),
    stays: Stays = NO_STAYS,
) -> Assessment:
    """The assessment of one kit record; None (no custody at all) is indeterminate.

    `opening`: balances already spent by limit id, ms or a count. `stays`: when the kit was in which stage.
    """
    if record is None or record.history is None:
        return assess(profile, None, opening, custody_problems)
    counted = measures(profile, opening)
    whole = advance(begin(counted, record.history.start_ms), counted, record, stays)
    return assess(profile, whole, opening, custody_problems)


def assess(
    profile: StabilityProfile,
    tally: Tally | None,
    opening: Mapping[str, int],
    custody_problems: tuple[str, ...] = (),
) -> Assessment:
    """What the tally of a kit's whole record means; None (no custody at all) is indeterminate."""
    head = profile.name, profile.version, profile.sha256
    if tally is None:
        unspent = tuple(_unspent(limit, opening.get(limit.id, 0)) for limit in profile.limits)
        return Assessment(*head, Verdict.INDETERMINATE, limits=unspent, custody_problems=custody_problems)
    facts = exposure.totals_of(tally.totals)
    findings = _findings(profile, tally, facts, opening)
    runs = exposure.excursions_of(tally.above, tally.below, profile.label_low_mc, profile.label_high_mc)
    mkt_c = None
    if not profile.is_frozen:
        rates_k = (energy / GAS_CONSTANT_J_MOL_K for energy in profile.activation_energies_j_mol)
        mkt_c = exposure.highest(
            [exposure.mkt_of(sums, facts.known_ms, a_k) for sums, a_k in zip(tally.sums, rates_k, strict=True)]
        )
    return Assessment(
        *head,
        verdict=_verdict(findings, has_excursion=bool(runs), has_conflict=bool(tally.conflicts)),
        start_ms=tally.start_ms,
        as_of_ms=tally.as_of_ms,
        known_ms=facts.known_ms,
        unknown_ms=facts.unknown_ms,
        longest_unknown_ms=facts.longest_unknown_ms,
        min_mc=facts.min_mc,
        max_mc=facts.max_mc,
        mean_c=facts.mean_c,
        mkt_c=mkt_c,
        limits=findings,
        excursions=runs,
        conflicts=tally.conflicts,
        custody_problems=custody_problems,
    )


def _findings(
    profile: StabilityProfile, tally: Tally, facts: Totals, opening: Mapping[str, int]
) -> tuple[LimitFinding, ...]:
    """The finding of every limit, each from its row of the tally."""
    rows, shares = iter(tally.limits.tolist()), iter(tally.shares.tolist())
    windows = zip(tally.windows, tally.peak_weights.tolist(), strict=True)
    findings = []
    for limit in profile.limits:
        if limit.kind is Kind.MKT:
            window, peak_weight = next(windows)
            found = exposure.trailing_mkt_of(window, peak_weight, limit.activation_energy_j_mol / GAS_CONSTANT_J_MOL_K)
            findings.append(_finding(limit, peak_c=found.peak_c, breached_at_ms=found.breached_at_ms))
        else:
            stages = tuple(StageUse(*share, exposure.out_of_range_of(next(shares)).total_ms) for share in limit.stages)
            findings.append(_counted(limit, next(rows), stages, tally.start_ms, facts, opening.get(limit.id, 0)))
    return tuple(findings)


def _counted(
    limit: Limit, row: list[int], stages: tuple[StageUse, ...], start_ms: int, facts: Totals, opening: int
) -> LimitFinding:
    """The finding of a limit on time, runs or unknown time; only a total of time out of range has `stages`."""
    found = exposure.out_of_range_of(row)
    match limit.kind:
        case Kind.UNKNOWN_SINGLE:
            return _finding(limit, facts.longest_unknown_ms, breached_at_ms=found.single_breach_ms)
        case Kind.UNKNOWN_ACCUMULATED:
            return _spent(limit, opening, facts.unknown_ms, start_ms, found.total_breach_ms)
        case Kind.EVENTS:
            return _spent(limit, opening, found.runs, start_ms, found.events_breach_ms)
        case Kind.SINGLE_EVENT:
            left_ms = limit.allowed - found.open_run_ms
            return _finding(
                limit,
                found.longest_run_ms,
                worst_case_used=found.worst_longest_run_ms,
                breached_at_ms=found.single_breach_ms,
                exhausted_in_ms=left_ms if found.sides_now and found.single_breach_ms is None else None,
            )
    finding = _spent(limit, opening, found.total_ms, start_ms, found.total_breach_ms)
    is_running_out = found.sides_now and finding.breached_at_ms is None
    return replace(
        finding,
        worst_case_used=opening + found.worst_total_ms,
        exhausted_in_ms=(limit.allowed - finding.used) // found.sides_now if is_running_out else None,
        stages=stages,
    )


def _unspent(limit: Limit, opening: int) -> LimitFinding:
    """A finding without any history: only the opening balance is used, which was spent in no stage that is known."""
    has_worst_case = limit.kind in (Kind.ACCUMULATED, Kind.SINGLE_EVENT)
    finding = _finding(limit, opening, worst_case_used=opening if has_worst_case else None)
    return replace(finding, stages=tuple(StageUse(*share, 0) for share in limit.stages))


def _spent(limit: Limit, opening: int, amount: int, start_ms: int, breached_at_ms: int | None) -> LimitFinding:
    """A finding that carries an opening balance; a balance beyond the limit is a breach from the start."""
    return _finding(limit, opening + amount, breached_at_ms=start_ms if opening > limit.allowed else breached_at_ms)


def _finding(
    limit: Limit,
    used: int = 0,
    *,
    worst_case_used: int | None = None,
    peak_c: float | None = None,
    breached_at_ms: int | None = None,
    exhausted_in_ms: int | None = None,
) -> LimitFinding:
    reached: list[int] = []
    if used and breached_at_ms is None:
        reached = [share for share in limit.warn_at if 0 < share * limit.allowed <= 100 * used]
    return LimitFinding(
        limit.id,
        limit.kind,
        limit.severity,
        limit.allowed,
        used,
        worst_case_used,
        peak_c,
        breached_at_ms,
        max(reached, default=None),
        exhausted_in_ms,
    )


def _verdict(findings: Sequence[LimitFinding], *, has_excursion: bool, has_conflict: bool) -> Verdict:
    """The worst that holds. An unknown limit makes a kit indeterminate whatever its severity."""
    breached = [finding for finding in findings if finding.breached_at_ms is not None]
    if any(f.kind not in _UNKNOWN_KINDS and f.severity is Severity.QUARANTINE for f in breached):
        return Verdict.OUTSIDE
    if has_conflict or any(f.kind in _UNKNOWN_KINDS for f in breached):
        return Verdict.INDETERMINATE
    return Verdict.WITHIN_ALLOWANCE if has_excursion else Verdict.WITHIN_LABEL
