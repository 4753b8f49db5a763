"""The page that `make faults` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from faults.figures import Figure

HEAD = """# Fault report

Written by `make faults`; do not edit. What each scenario does and proves: [faults.md](faults.md).
"""

FOOT = """
Lost: readings or events that were promised and are not in the ledger. Duplicated: readings or events that are in it
twice. Uncaught: ends of the service that nobody asked for, and exceptions that nobody caught. Each control takes one
protection away and must fail; without that its promise would prove nothing.
"""


def page(found: Sequence[Figure], problems: Sequence[str], about: Mapping[str, str]) -> str:
    """The report as Markdown."""
    promises = [figure for figure in found if not figure.is_control]
    controls = [figure for figure in found if figure.is_control]
    lost, doubled, uncaught = (sum(getattr(f, key) for f in promises) for key in ("lost", "doubled", "uncaught"))
    outcome = "Every promise held and every control failed as it must." if not problems else "**Not good:**"
    parts = [HEAD]
    parts += [f"- {name}: {value}" for name, value in about.items()]
    parts += ["", f"**{lost} lost, {doubled} duplicated events, {uncaught} uncaught.** {outcome}"]
    parts += [f"- {problem}" for problem in problems]
    parts += ["", "## Promises", "", *table(promises, "Found")]
    parts += ["", "## Controls", "", *table(controls, "What went wrong")]
    return "\n".join(parts) + "\n" + FOOT


def table(figures: Iterable[Figure], last: str) -> Iterable[str]:
    """One row for each figure."""
    yield f"| Promise | What was done | How many | Lost | Duplicated | Uncaught | Seed | Seconds | | {last} |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---|---|"
    for f in figures:
        mark = ("fails as it must" if f.is_control else "holds") if f.is_good else "**NOT GOOD**"
        note = f.note.replace("|", "\\|").replace("\n", " ")[:400]
        yield (
            f"| {f.promise} | {f.what} | {f.count:,} {f.unit} | {f.lost} | {f.doubled} | {f.uncaught} | {f.seed} | "
            f"{f.seconds:.0f} | {mark} | {note} |"
        )
