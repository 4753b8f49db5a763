"""Split and repack: kits that are made of other kits take their whole past, and everything spent, with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import replace

from coldchain.model import CustodySegment, Kit, OpeningBalance, end_ms
from coldchain.registry_file import PlacedRow, RepackRow

Route = tuple[CustodySegment, ...]


def derive(
    repacks: Sequence[tuple[PlacedRow, RepackRow]], kits: MutableMapping[str, Kit], routes: MutableMapping[str, Route]
) -> None:
    """Give every kit that was made of others their custody up to that instant, and the most that any had spent.

    `kits`, `routes`: of every kit by id, an empty route for one that was nowhere; they are changed in place.

    A kit made of several was in all of their places: where these differ the worst counts, as for any overlap. Raises
    BadInput for kits that are not registered, made twice, made of themselves or of a kit that was nowhere yet, and
    for custody that begins before the kit was made.
    """
    made: dict[str, int] = {}
    for placed, row in sorted(repacks, key=lambda repack: repack[1].at):
        for key, names in (("kits", row.kits), ("of", row.of)):
            for name in names:
                if name not in kits:
                    raise placed.wrong(key, name, "is not registered")
        for kit in row.kits:
            if kit in made or kit in row.of:
                raise placed.wrong("kits", kit, "is made twice" if kit in made else "is made of itself")
            if routes[kit] and routes[kit][0].from_ms < row.at:
                raise placed.wrong("at", row.at, f"{kit} has custody before this instant, at which it is made")
            made[kit] = row.at
        for source in row.of:
            if not routes[source] or routes[source][0].from_ms >= row.at or made.get(source, row.at - 1) >= row.at:
                raise placed.wrong("of", source, "was nowhere before this instant: its past is not known")
        past = tuple(segment for source in row.of for segment in _until(routes[source], row.at))
        for kit in row.kits:
            routes[kit] = tuple(sorted({*past, *routes[kit]}, key=lambda s: (s.from_ms, end_ms(s), s.place)))
            balances = [kits[kit].opening, *(kits[source].opening for source in row.of)]
            kits[kit] = replace(kits[kit], opening=_most(balance for one in balances for balance in one))


def _until(route: Route, at_ms: int) -> Iterator[CustodySegment]:
    for segment in route:
        if segment.from_ms < at_ms:
            yield replace(segment, to_ms=min(end_ms(segment), at_ms))


def _most(balances: Iterable[OpeningBalance]) -> tuple[OpeningBalance, ...]:
    """Of each limit the largest balance."""
    most: dict[str, OpeningBalance] = {}
    for balance in balances:
        most[balance.limit] = max(balance, most.get(balance.limit, balance))
    return tuple(sorted(most.values()))
