"""What a person sees before a logger file is put into the ledger: what was understood, and what it would change."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from coldchain import exposure
from coldchain.commands.reconciliation import Reconciliation
from coldchain.instant import iso
from coldchain.readings import FAULT_MC, ReadingBatch
from gateways.files import LoggerFile

VENDORS_CUT_MC = 100
"""Vendors cut their figures to 0.1 degC: a difference up to that says nothing."""

_INTERVALS_SHOWN = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def understood(console: Console, found: LoggerFile) -> None:
    """Count, span, extremes, intervals, the vendor's own figures beside ours, and the reader's notes."""
    _say(console, f"{found.family}, serial {found.serial or 'not stated'}, SHA-256 {found.sha256}")
    for batch in found.batches:
        _channel(console, batch, found)
    for note in found.notes:
        _say(console, f"note: {note}")


def beside_the_ledger(console: Console, channel: str, numbers: Reconciliation) -> None:
    """How the file's readings and the stored ones of the same channel go together."""
    if numbers.repeated:
        _say(console, f"channel {channel}: {numbers.repeated} rows repeat another row of the file")
    if numbers.unverified:
        _say(console, f"channel {channel}: {numbers.unverified} rows have an impossible time: kept, not judged")
    if not numbers.stored:
        _say(console, f"channel {channel}: the ledger has nothing of it yet; {numbers.new} are new")
    else:
        _say(
            console,
            f"channel {channel}: the ledger has {numbers.stored} of it; {numbers.equal} of the file are equal to "
            f"stored ones, {numbers.new} are new",
        )
    if numbers.conflicts:
        first = iso(numbers.conflicts[0].at_ms)
        text = f"{len(numbers.conflicts)} conflicts: another temperature at the same instant, first {first}"
        _say(console, f"channel {channel}: {text}; both are kept and the kits concerned are held")
    if numbers.gaps:
        before, after = (timedelta(milliseconds=ms) for ms in numbers.unknown_ms)
        text = f"fills {numbers.filled} of {numbers.gaps} gaps in the stored readings; unknown time in them"
        _say(console, f"channel {channel}: {text} {before} before, {after} after")


def _channel(console: Console, batch: ReadingBatch, found: LoggerFile) -> None:
    valid = batch.temperature_mc != FAULT_MC
    _say(console, f"channel {batch.channel}: {int(valid.sum())} readings, {int((~valid).sum())} faults")
    reasons = Counter(batch.faults.values())
    if reasons:
        _say(console, "faults: " + ", ".join(f"{count} x {reason}" for reason, count in reasons.most_common(5)))
    if not valid.any():
        return
    first_ms, last_ms = int(batch.at_ms.min()), int(batch.at_ms.max())
    _say(console, f"first {iso(first_ms)}, last {iso(last_ms)}")
    if found.zone is not None:
        _say(console, f"local {_local(first_ms, found.zone)} to {_local(last_ms, found.zone)} ({found.zone})")
    _say(console, f"intervals: {_intervals(batch)}")
    console.print(_figures(batch.temperature_mc[valid] / 1000, found))


def _intervals(batch: ReadingBatch) -> str:
    minutes, counts = np.unique(np.diff(np.unique(batch.at_ms)) / 60_000, return_counts=True)
    kinds = sorted(zip(minutes.tolist(), counts.tolist(), strict=True), key=lambda kind: (-kind[1], kind[0]))
    shown = [f"{count} x {interval:g} min" for interval, count in kinds[:_INTERVALS_SHOWN]]
    rest = kinds[_INTERVALS_SHOWN:]
    if rest:
        longest = max(interval for interval, _ in rest)
        shown.append(f"{sum(count for _, count in rest)} of {len(rest)} other lengths up to {longest:g} min")
    return ", ".join(shown) or "none"


def _figures(ours_c: np.ndarray[tuple[int], np.dtype[np.float64]], found: LoggerFile) -> Table:
    energy_kj = found.vendor.get("activation_energy_kj_mol")
    mkt = (
        exposure.mean_kinetic_temperature(ours_c)
        if energy_kj is None
        else exposure.mean_kinetic_temperature(ours_c, activation_energy_j_mol=energy_kj * 1000)
    )
    figures = {"min_c": ours_c.min(), "max_c": ours_c.max(), "mean_c": ours_c.mean(), "mkt_c": mkt}
    table = Table("degC", "ours", "vendor's", "", box=SIMPLE_HEAD)
    for name, value in figures.items():
        # A vendor's figure is of the whole file, which is a channel's only where there is one.
        vendor = found.vendor.get(name) if len(found.batches) == 1 else None
        differs = vendor is not None and abs(round(float(value) * 1000) - round(vendor * 1000)) > VENDORS_CUT_MC
        table.add_row(
            name.removesuffix("_c"),
            f"{value:.3f}",
            "not stated" if vendor is None else f"{vendor:g}",
            "[red]differs by more than 0.1 K[/]" if differs else "",
        )
    return table


def _local(at_ms: int, zone: tzinfo) -> str:
    return f"{(_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone):%Y-%m-%d %H:%M:%S}"


def _say(console: Console, text: str) -> None:
    """A line as it stands: what a file says is neither markup nor wrapped."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
