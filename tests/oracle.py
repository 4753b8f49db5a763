"""What the exposure semantics say about a data set, computed slowly: the second opinion for everything fast.

Plain Python, nothing shared with the package, no numbers but int, Fraction and Decimal. Every kit's time is cut into
elementary pieces at every instant at which anything may change; the rest is loops over those pieces. All intervals
are half-open on the left, `(start, end]`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

Table = dict[str, Any]
Channel = tuple[str, str]
Parts = list[tuple[int, int, int]]  # (start_ms, end_ms, rate): time that counts against a limit, `rate` times

FOREVER_MS = 2**62
CLOCK_TOLERANCE_MS = 5 * 60_000
OLDEST_TRUSTED_MS = 1_356_998_400_000  # 2013-01-01T00:00:00Z: a clock that shows less was reset
LOWEST_MC, HIGHEST_MC = -273_150, 1_000_000
DEFAULT_ACTIVATION_ENERGY_J_MOL = Decimal("83144.62618")
GAS_CONSTANT = Decimal("8.314462618")
FIFTY_DIGITS = Context(prec=50, Emin=MIN_EMIN, Emax=MAX_EMAX)
STAGES = ["depot", "transit", "site", "patient"]
STAGE_OF_KIND = {"shipper": "transit", "patient_home": "patient"}
UNIT_MS = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


class Item(NamedTuple):
    """One reading (or fault: no temperature) as it arrived; `received_ms` is None for a line of a file."""

    logger: str
    channel: str
    at_ms: int
    temperature_mc: int | None
    received_ms: int | None


class Interval(NamedTuple):
    """What one instant of a channel stands for: `(start_ms, at_ms]`, unknown if a fault, uncalibrated or blocked."""

    start_ms: int
    at_ms: int
    temperatures_mc: frozenset[int]  # empty: a fault; several: a conflict
    known: bool


class Watch(NamedTuple):
    """One interval of one channel; only what is inside monitoring and custody, `(from_ms, to_ms]`, counts."""

    channel: Channel
    interval: Interval
    from_ms: int
    to_ms: int


class Stay(NamedTuple):
    """A custody segment; an open end is `FOREVER_MS`."""

    from_ms: int
    to_ms: int
    place: str


class Piece(NamedTuple):
    """Time in which nothing changes, and what the loggers say of it; no temperatures: unknown."""

    start_ms: int
    end_ms: int
    temperatures_mc: list[int]


class History(NamedTuple):
    """Everything known about one kit. No custody at all: no start, no end, no pieces."""

    start_ms: int | None
    as_of_ms: int | None
    pieces: list[Piece]
    reading_instants: list[int]
    conflicts: list[tuple[int, str, str]]
    custody_findings: list[str]
    stages: list[tuple[Stay, str | None]]  # every stay with the stage of its place


def replay(registry: Table, profiles: list[Table], items: Iterable[Item], as_of_ms: int | None = None) -> Table:
    """Answer `replay --json` for these items: inputs (as far as items show them), kits, events (without ids)."""
    loggers = {table["id"]: table for table in registry.get("logger", [])}
    readings, inputs = sort_items(list(items), loggers)
    intervals = {key: channel_intervals(loggers[key[0]], found) for key, found in readings.items()}
    kits, events = [], []
    for kit in sorted(registry.get("kit", []), key=lambda table: str(table["id"])):
        profile = judging_profile(kit, registry, profiles)
        kit = {**kit, "opening": opening_of(registry, kit)}
        report, breaches = judge(kit, profile, kit_history(registry, intervals, kit["id"], as_of_ms))
        kits.append(report)
        for limit_id, reason, at_ms in sorted(breaches):
            events.append({"kit": kit["id"], "limit": limit_id, "reason": reason, "breached_at_ms": at_ms})
    return {"inputs": inputs, "kits": kits, "events": events}


def sort_items(items: list[Item], loggers: dict[str, Table]) -> tuple[dict[Channel, dict[int, set[int]]], Table]:
    """Count every item in its class, and keep what is judged: channel -> instant -> temperatures (none: a fault)."""
    judged, unverified, strangers = set(), set(), set()
    for item in items:
        mc = item.temperature_mc
        if mc is not None and not LOWEST_MC <= mc <= HIGHEST_MC:
            mc = None
        row = (item.logger, item.channel, item.at_ms, mc)
        if item.logger not in loggers:
            strangers.add(row)
        elif time_is_verified(item, loggers[item.logger]):
            judged.add(row)
        else:
            unverified.add(row)
    unverified -= judged  # one delivery whose clock can be believed is enough
    kept: dict[Channel, dict[int, set[int]]] = {}
    for logger, channel, at_ms, mc in judged:
        found = kept.setdefault((logger, channel), {}).setdefault(at_ms, set())
        if mc is not None:
            found.add(mc)
    faults = sum(mc is None for _, _, _, mc in judged)
    inputs = {
        "readings": len(judged) - faults,
        "duplicates": len(items) - len(judged) - len(unverified) - len(strangers),
        "conflicts": sum(len(found) > 1 for instants in kept.values() for found in instants.values()),
        "faults": faults,
        "unverified_time": len(unverified),
        "unknown_logger": len(strangers),
    }
    return kept, inputs


def time_is_verified(item: Item, logger: Table) -> bool:
    """Say whether the device's clock can be believed."""
    too_late = item.received_ms is not None and item.at_ms > item.received_ms + CLOCK_TOLERANCE_MS
    too_early = "registered_at" in logger and item.at_ms < instant_ms(logger["registered_at"])
    return not too_late and not too_early and item.at_ms >= OLDEST_TRUSTED_MS


def channel_intervals(logger: Table, temperatures: dict[int, set[int]]) -> list[Interval]:
    """Apply the preceding-interval rule to one channel, in the order of its instants."""
    logging_interval_ms = duration_ms(logger["logging_interval"])
    gap_after_ms = duration_ms(logger["gap_after"]) if "gap_after" in logger else 2 * logging_interval_ms
    calibrated_after = instant_ms(logger["calibrated_from"]) if "calibrated_from" in logger else -FOREVER_MS
    calibrated_until = end_ms(logger, "calibrated_until")
    result = []
    previous: int | None = None
    for at_ms, found in sorted(temperatures.items()):
        start_ms = at_ms - logging_interval_ms
        if previous is not None:
            start_ms = previous if at_ms - previous <= gap_after_ms else max(previous, start_ms)
        usable = calibrated_after < at_ms <= calibrated_until and not logger.get("blocked", False)
        result.append(Interval(start_ms, at_ms, frozenset(found), usable and bool(found)))
        previous = at_ms
    return result


def kit_history(
    registry: Table, intervals: dict[Channel, list[Interval]], kit_id: str, given_as_of_ms: int | None
) -> History:
    """Lay the envelopes of the kit's places end to end, and cut them into pieces."""
    stays = stays_of(registry, kit_id, FOREVER_MS)
    if not stays:
        return History(None, None, [], [], [], ["custody_missing"], [])
    start_ms, last = stays[0].from_ms, max(stays, key=lambda stay: (stay.to_ms, stay.from_ms, stay.place))
    watches = [watch for stay in stays for watch in watches_of(registry, intervals, stay)]
    as_of_ms = last.to_ms
    if given_as_of_ms is not None:
        as_of_ms = max(start_ms, min(given_as_of_ms, last.to_ms))
    elif as_of_ms == FOREVER_MS:
        known = [min(w.interval.at_ms, w.to_ms) for w in watches_of(registry, intervals, last) if w.interval.known]
        as_of_ms = max(known, default=last.from_ms)

    seen = [(w.interval, w.from_ms, w.to_ms) for w in watches if w.interval.known]
    covers = [(max(i.start_ms, from_ms), min(i.at_ms, to_ms), i.temperatures_mc) for i, from_ms, to_ms in seen]
    changes = {instant for begin, end, _ in covers for instant in (begin, end) if start_ms < instant < as_of_ms}
    pieces = []
    for left, right in pairwise(sorted({start_ms, as_of_ms} | changes)):
        found = [mc for begin, end, values in covers if begin <= left and right <= end for mc in values]
        pieces.append(Piece(left, right, found))

    inside = [w for w in watches if w.from_ms < w.interval.at_ms <= min(w.to_ms, as_of_ms)]
    instants = sorted({w.interval.at_ms for w in inside if w.interval.known})
    conflicts = sorted({(w.interval.at_ms, *w.channel) for w in inside if len(w.interval.temperatures_mc) > 1})
    stage_at = {table["id"]: stage_of(table) for table in registry.get("place", [])}
    stages = [(stay, stage_at.get(stay.place)) for stay in stays]
    return History(start_ms, as_of_ms, pieces, instants, conflicts, custody_findings(stays, as_of_ms), stages)


def stage_of(place: Table) -> str | None:
    """Say which stage of the way to the patient a place is part of; None: of no stage."""
    return place.get("stage", STAGE_OF_KIND.get(place["kind"]))


def stays_of(registry: Table, kit_id: str, until_ms: int) -> list[Stay]:
    """Where a kit was up to an instant; before it was made, where the kits were that it was made of."""
    stays = {
        Stay(instant_ms(table["from"]), min(end_ms(table), until_ms), table["place"])
        for table in registry.get("custody", [])
        if kit_id in table["kits"] and instant_ms(table["from"]) < until_ms
    }
    for table in registry.get("repack", []):
        if kit_id in table["kits"]:
            for source in table["of"]:
                stays |= set(stays_of(registry, source, min(until_ms, instant_ms(table["at"]))))
    return sorted(stays)


def opening_of(registry: Table, kit: Table) -> Table:
    """What a kit had spent before all custody: of every limit the most that it or any kit it was made of had."""
    sources = {source for table in registry.get("repack", []) if kit["id"] in table["kits"] for source in table["of"]}
    spent = dict(kit.get("opening", {}))
    for other in registry["kit"]:
        if other["id"] in sources:
            for limit_id, amount in opening_of(registry, other).items():
                spent[limit_id] = max(spent.get(limit_id, amount), amount, key=balance)
    return spent


def balance(amount: Any) -> int:
    return amount if isinstance(amount, int) else duration_ms(amount)


def watches_of(registry: Table, intervals: dict[Channel, list[Interval]], stay: Stay) -> list[Watch]:
    """Find every interval that shows the stay's place during the stay, at least in part."""
    watches = []
    for table in registry.get("monitoring", []):
        channel = (table["logger"], table.get("channel", "1"))
        from_ms, to_ms = max(stay.from_ms, instant_ms(table["from"])), min(stay.to_ms, end_ms(table))
        for interval in intervals.get(channel, []):
            if table["place"] == stay.place and max(from_ms, interval.start_ms) < min(to_ms, interval.at_ms):
                watches.append(Watch(channel, interval, from_ms, to_ms))
    return watches


def custody_findings(stays: list[Stay], as_of_ms: int) -> list[str]:
    """Name gaps and overlaps of the custody that begin inside the history."""
    found = []
    covered_until = stays[0].to_ms
    for number, stay in enumerate(stays):
        if stay.from_ms > covered_until:
            found.append((covered_until, f"custody_gap@{covered_until}"))
        covered_until = max(covered_until, stay.to_ms)
        for earlier in stays[:number]:
            if earlier.to_ms > stay.from_ms:
                found.append((stay.from_ms, f"custody_overlap:{earlier.place}+{stay.place}@{stay.from_ms}"))
    return [text for at_ms, text in sorted(found) if at_ms < as_of_ms]


def judging_profile(kit: Table, registry: Table, profiles: list[Table]) -> Table:
    """Find the profile of a kit, or make the composite of its blinded group: the same for all kits of the group."""
    newest = {table["profile"]: table for table in sorted(profiles, key=lambda table: int(table["version"]))}
    group = kit.get("blind_group")
    if group is None:
        members = [newest[kit["profile"]]]
    else:
        names = {other["profile"] for other in registry["kit"] if other.get("blind_group") == group}
        members = [newest[name] for name in sorted(names)]
    limits = []
    for member in members:
        with localcontext(FIFTY_DIGITS):
            a_k = Decimal(member.get("activation_energy_j_mol", DEFAULT_ACTIVATION_ENERGY_J_MOL)) / GAS_CONSTANT
        prefix = "" if group is None else f"{member['profile']}:"
        own = {"a_k": a_k, "is_frozen": member.get("label_high_c", 1) <= 0}
        limits += [{**limit, **own, "id": prefix + limit["id"]} for limit in member["limit"]]
    return {
        "profile": kit["profile"] if group is None else group,
        "version": members[0]["version"] if group is None else None,
        "label_low_c": max((m["label_low_c"] for m in members if "label_low_c" in m), default=None),
        "label_high_c": min((m["label_high_c"] for m in members if "label_high_c" in m), default=None),
        "a_k": {limit["a_k"] for limit in limits},
        "limit": limits,
    }


def judge(kit: Table, profile: Table, history: History) -> tuple[Table, list[tuple[str, str, int]]]:
    """Judge one kit: its report, and what quarantines it as (limit id, reason, breached_at_ms)."""
    known = [piece for piece in history.pieces if piece.temperatures_mc]
    hot = [(max(piece.temperatures_mc), piece.end_ms - piece.start_ms) for piece in known]
    known_ms = sum(ms for _, ms in hot)
    unknown = [end - start for start, end in unknown_stretches(history.pieces)]
    is_frozen = profile["label_high_c"] is not None and profile["label_high_c"] <= 0
    mkts = [mkt_c(hot, a_k) for a_k in profile["a_k"]] if hot and not is_frozen else []
    excursions = excursions_of(profile, history.pieces)

    limits = [judge_limit(limit, kit.get("opening", {}).get(limit["id"]), history) for limit in profile["limit"]]
    breaches = [("data-integrity", "data_integrity", at_ms) for at_ms, _, _ in history.conflicts[:1]]
    verdict = "within_allowance" if excursions else "within_label"
    if history.conflicts or history.start_ms is None:
        verdict = "indeterminate"
    for limit, finding in zip(profile["limit"], limits, strict=True):
        if finding["breached_at_ms"] is None:
            continue
        reason = "data_missing" if finding["kind"].startswith("unknown") else "limit"
        quarantines = limit.get("severity", "quarantine") == "quarantine"
        if quarantines:
            breaches.append((finding["id"], reason, finding["breached_at_ms"]))
        if reason == "limit" and quarantines:
            verdict = "outside"
        elif reason == "data_missing" and verdict != "outside":
            verdict = "indeterminate"
    report = {
        "kit": kit["id"],
        "verdict": verdict,
        "profile": profile["profile"],
        "profile_version": profile["version"],
        "as_of_ms": history.as_of_ms,
        "known_ms": known_ms,
        "unknown_ms": sum(unknown),
        "longest_unknown_ms": max(unknown, default=0),
        "min_c": min(min(piece.temperatures_mc) for piece in known) / 1000 if known else None,
        "max_c": max(mc for mc, _ in hot) / 1000 if known else None,
        "mean_c": float(Fraction(sum(mc * ms for mc, ms in hot), known_ms * 1000)) if hot else None,
        "mkt_c": float(max(mkts)) if mkts else None,
        "limits": limits,
        "excursions": excursions,
        "findings": [f"conflict:{logger}/{channel}@{at_ms}" for at_ms, logger, channel in history.conflicts]
        + history.custody_findings,
    }
    return report, breaches


def judge_limit(limit: Table, opening: str | int | None, history: History) -> Table:
    """Say how much of one limit is used, and when it was breached."""
    if "mkt_window" in limit:
        return judge_mkt(limit, history)
    if "events" in limit:
        return judge_events(limit, int(opening or 0), history)
    kind = next(k for k in ("accumulated", "single_event", "unknown_accumulated", "unknown_single") if k in limit)
    allowed_ms = duration_ms(limit[kind])
    before_ms = duration_ms(str(opening)) if opening is not None and kind.endswith("accumulated") else 0
    pieces, unknown = history.pieces, unknown_stretches(history.pieces)
    # Each group counts from nothing (or from the opening balance): one group in total, or one for every single run.
    groups: list[Parts] = {
        "unknown_accumulated": [[(start, end, 1) for start, end in unknown]],
        "unknown_single": [[(start, end, 1)] for start, end in unknown],
        "accumulated": [[(p.start_ms, p.end_ms, sides_out(limit, p)) for p in pieces if sides_out(limit, p)]],
        "single_event": [[(p.start_ms, p.end_ms, 1) for p in run] for run in runs_of(limit, pieces)],
    }[kind]
    used = [before_ms + sum((end - start) * rate for start, end, rate in group) for group in groups]
    worst = [ms + touching_ms(group, unknown) for ms, group in zip(used, groups, strict=True)]
    breaches = [reached_ms(group, before_ms, allowed_ms, history.start_ms) for group in groups]
    finding = {"id": limit["id"], "kind": kind, "used_ms": max(used, default=0)}
    if not kind.startswith("unknown"):
        finding["worst_case_used_ms"] = max(worst, default=0)
    finding["allowed_ms"] = allowed_ms
    if kind == "accumulated":
        finding["remaining_ms"] = max(0, allowed_ms - max(used))
    finding["breached_at_ms"] = next((at_ms for at_ms in breaches if at_ms is not None), None)
    if "stages" in limit:
        shares = limit["stages"]
        finding["stages"] = [
            {"stage": s, "used_ms": used_in_stage_ms(limit, s, history), "allowed_ms": duration_ms(shares[s])}
            for s in STAGES
            if s in shares
        ]
    return finding


def used_in_stage_ms(limit: Table, stage: str, history: History) -> int:
    """Add up what is out of range while the kit is at any place of a stage; no instant counts for two stays."""
    used = 0
    stays = [stay for stay, of in history.stages if of == stage]
    changes = {instant for stay in stays for instant in (stay.from_ms, stay.to_ms)}
    for piece in history.pieces:
        cuts = sorted({piece.start_ms, piece.end_ms} | {c for c in changes if piece.start_ms < c < piece.end_ms})
        for left, right in pairwise(cuts):
            if any(stay.from_ms <= left and right <= stay.to_ms for stay in stays):
                used += (right - left) * sides_out(limit, piece)
    return used


def reached_ms(parts: Parts, before_ms: int, allowed_ms: int, start_ms: int | None) -> int | None:
    """Find the instant at which the parts reach the allowance on their way past it."""
    if before_ms > allowed_ms:
        return start_ms
    for start, end, rate in parts:
        if before_ms + (end - start) * rate > allowed_ms:
            return start + (allowed_ms - before_ms) // rate
        before_ms += (end - start) * rate
    return None


def touching_ms(parts: Parts, unknown: list[tuple[int, int]]) -> int:
    """Add up the unknown stretches that begin where a part ends or end where one begins: the worst case's extra."""
    starts, ends = {part[0] for part in parts}, {part[1] for part in parts}
    return sum(end - start for start, end in unknown if start in ends or end in starts)


def judge_events(limit: Table, before: int, history: History) -> Table:
    """Count the runs; the first one too many breaches the limit where it begins."""
    starts = [history.start_ms] * before + [run[0].start_ms for run in runs_of(limit, history.pieces)]
    allowed = limit["events"]
    first = starts[allowed] if len(starts) > allowed else None
    return {"id": limit["id"], "kind": "events", "count": len(starts), "allowed": allowed, "breached_at_ms": first}


def judge_mkt(limit: Table, history: History) -> Table:
    """Find the highest MKT of the windows that end at a reading, begin in custody and are covered well enough."""
    window_ms, highest_c = duration_ms(limit["mkt_window"]), Decimal(limit["mkt_max_c"])
    min_coverage = Fraction(limit.get("min_coverage", Decimal("0.9")))
    found: list[tuple[int, Decimal]] = []
    for t in history.reading_instants:
        clipped = [(p.temperatures_mc, min(p.end_ms, t) - max(p.start_ms, t - window_ms)) for p in history.pieces]
        parts = [(max(temperatures_mc), ms) for temperatures_mc, ms in clipped if temperatures_mc and ms > 0]
        covered = Fraction(sum(ms for _, ms in parts), window_ms)
        begins_in_custody = t - window_ms >= history.pieces[0].start_ms
        if parts and begins_in_custody and covered >= min_coverage and not limit["is_frozen"]:
            found.append((t, mkt_c(parts, limit["a_k"])))
    # Fifty digits leave a constant temperature within 1e-40 of itself: less than that is rounding, not heat.
    too_warm = [t for t, value in found if value - highest_c > Decimal("1e-30")]
    return {
        "id": limit["id"],
        "kind": "mkt",
        "peak_c": float(max(value for _, value in found)) if found else None,
        "allowed_c": float(highest_c),
        "indeterminate": not found,
        "breached_at_ms": min(too_warm, default=None),
    }


def mkt_c(weighted: Iterable[tuple[int | Decimal, int | Decimal]], a_k: Decimal) -> Decimal:
    """Mean kinetic temperature [degC] of (milli-degC, weight) pairs, by the formula of Haynes."""
    with localcontext(FIFTY_DIGITS):
        weighted = list(weighted)
        mean_rate = sum(weight * rate(mc, a_k) for mc, weight in weighted) / sum(weight for _, weight in weighted)
        kelvin = -a_k / Decimal(mean_rate).ln() if mean_rate else Decimal(0)
        return kelvin - Decimal("273.15")


@lru_cache(maxsize=10_000)
def rate(mc: int | Decimal, a_k: Decimal) -> Decimal:
    """exp(-a/T); nothing moves at absolute zero."""
    with localcontext(FIFTY_DIGITS):
        kelvin = Decimal(mc) / 1000 + Decimal("273.15")
        return (-a_k / kelvin).exp() if kelvin else Decimal(0)


def sides_out(limit: Table, piece: Piece) -> int:
    """Count on how many sides a piece is known to be out of a limit's range: 0 or 1, for `outside_c` up to 2."""
    low_c, high_c = limit.get("outside_c", (limit.get("below_c"), limit.get("above_c")))
    above = high_c is not None and any(mc > Decimal(high_c) * 1000 for mc in piece.temperatures_mc)
    below = low_c is not None and any(mc < Decimal(low_c) * 1000 for mc in piece.temperatures_mc)
    return above + below


def runs_of(limit: Table, pieces: list[Piece]) -> list[list[Piece]]:
    """Group the out-of-range pieces into runs: known time in range ends a run, unknown time does not."""
    runs: list[list[Piece]] = []
    is_open = False
    for piece in pieces:
        if not piece.temperatures_mc:
            continue
        if sides_out(limit, piece):
            runs += [] if is_open else [[]]
            runs[-1].append(piece)
        is_open = sides_out(limit, piece) > 0
    return runs


def unknown_stretches(pieces: list[Piece]) -> list[tuple[int, int]]:
    """List the unknown pieces; no two are neighbours, because a piece ends only where known time begins or ends."""
    return [(piece.start_ms, piece.end_ms) for piece in pieces if not piece.temperatures_mc]


def excursions_of(profile: Table, pieces: list[Piece]) -> list[Table]:
    """List the runs outside the label range, each from its first to its last out-of-range piece."""
    found = []
    for side, bound_c in (("above", profile["label_high_c"]), ("below", profile["label_low_c"])):
        for run in runs_of({f"{side}_c": bound_c}, pieces):
            is_over = any(piece.temperatures_mc and piece.start_ms >= run[-1].end_ms for piece in pieces)
            temperatures_mc = [mc for piece in run for mc in piece.temperatures_mc]
            excursion = {
                "side": side,
                "bound_c": float(bound_c),
                "start_ms": run[0].start_ms,
                "end_ms": run[-1].end_ms if is_over else None,
                "out_of_range_ms": sum(p.end_ms - p.start_ms for p in run),
                "extreme_c": (max if side == "above" else min)(temperatures_mc) / 1000,
            }
            found.append(excursion)
    return sorted(found, key=lambda excursion: (excursion["start_ms"], excursion["side"]))


def duration_ms(text: str) -> int:
    unit = text.lstrip("0123456789")
    return int(text.removesuffix(unit)) * UNIT_MS[unit]


def instant_ms(when: datetime) -> int:
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def end_ms(table: Table, key: str = "to") -> int:
    return instant_ms(table[key]) if key in table else FOREVER_MS
