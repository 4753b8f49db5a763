"""The lines of a run as tables of words: `show` prints them, `record` writes them into docs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.harness import ROUNDS, Absent, Curve, Figure, Found, Peer, Row, by_goal


class Table(NamedTuple):
    """Words in rows. `numeric`: the headings of columns that are flush right."""

    title: str
    caption: str
    headings: tuple[str, ...]
    numeric: frozenset[str]
    rows: list[tuple[str, ...]]


def tables(found: Sequence[Found]) -> list[Table]:
    """Those that have a line, each line in the order of the goals."""
    lines = by_goal(found)
    made = (
        _of_goals([one for one in lines if isinstance(one, Row | Figure | Absent)]),
        _of_curves([one for one in lines if isinstance(one, Curve)]),
        _of_peers([one for one in lines if isinstance(one, Peer)]),
    )
    return [table for table in made if table.rows]


def _of_goals(lines: Sequence[Row | Figure | Absent]) -> Table:
    return Table(
        "Goals, and what stands beside them",
        "in brackets: readings of a round; a rate is per CPU-second unless it says otherwise; a ratio above 1: ours is "
        f"faster, the median of {ROUNDS} rounds or fewer (lowest to highest)",
        ("", "what", "ours", "reference", "ratio", "goal", "met"),
        frozenset({"ours", "ratio", "goal"}),
        [(one.goal_id or "", *_cells(one)) for one in lines],
    )


def _cells(one: Row | Figure | Absent) -> tuple[str, ...]:
    if isinstance(one, Row):
        return (
            f"{one.job} ({one.items:,})",
            per_second(one.ours_per_s),
            f"{one.reference}: {per_second(one.reference_per_s)}",
            f"{number(one.ratio)} ({number(one.lowest)} to {number(one.highest)})",
            "" if one.goal is None else f"at least {number(one.goal)}",
            _met(one.is_met),
        )
    if isinstance(one, Figure):
        bound = "at least" if one.is_least else "at most"
        goal = "" if one.goal is None else f"{bound} {number(one.goal)} {one.unit}"
        return one.what, f"{number(one.value)} {one.unit}", "", "", goal, _met(one.is_met)
    return one.what, "not measured", one.why, "", "", ""


def _of_curves(curves: Sequence[Curve]) -> Table:
    return Table(
        "Scaling: the cost of one thing against the number of another",
        "",
        ("", "what", "against", "at: cost"),
        frozenset(),
        [
            (
                curve.goal_id or "",
                f"{curve.what}, {curve.unit}",
                curve.against,
                ", ".join(f"{size:,.0f}: {number(cost)}" for size, cost in curve.points),
            )
            for curve in curves
        ],
    )


def _of_peers(peers: Sequence[Peer]) -> Table:
    first = peers[0] if peers else None
    scenarios = tuple(first.right) if first else ()
    return Table(
        "Peers: the same messages, the same rule, and whether the answer is right",
        "readings per CPU-second of what is counted, clean data in order; lines of code, ours of the rules file; then "
        f"on how many of {first.kits if first else 0} kits time above 8 degC, known and unknown time are right to the "
        "ms and MKT to 1e-7 degC, by what befalls the messages",
        ("", "by", "counted", "readings", "ours / its", "lines", *scenarios),
        frozenset({"readings", "ours / its", "lines", *scenarios}),
        [
            (
                peer.goal_id or "",
                peer.name,
                peer.counted,
                per_second(peer.readings_per_s),
                number(first.readings_per_s / peer.readings_per_s),
                str(peer.lines),
                *(str(count) for count in peer.right.values()),
            )
            for peer in peers
            if first
        ],
    )


def markdown(table: Table) -> str:
    """A table as Markdown, with a heading and its caption."""
    rule = ("--:" if heading in table.numeric else "---" for heading in table.headings)
    lines = [" | ".join(row) for row in (table.headings, tuple(rule), *(map(_escaped, row) for row in table.rows))]
    caption = f"\n{table.caption[:1].upper()}{table.caption[1:]}.\n" if table.caption else ""
    return f"## {table.title}\n{caption}\n" + "".join(f"| {line} |\n" for line in lines)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;")


def per_second(count: float) -> str:
    """A rate in few letters."""
    return f"{count / 1e6:.3g} M/s" if count >= 1e5 else f"{number(count)} /s"


def number(value: float) -> str:
    """A number to three digits, or to a whole one."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _met(is_met: bool | None) -> str:
    return {None: "", True: "met", False: "MISSED"}[is_met]
