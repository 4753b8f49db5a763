"""A million kits in little memory: their ids in one array, and what many of them share said once.

Kits come in lots: the same batch, trial, profile and route for dozens to thousands. So a kit costs its id and one
number that points at what it shares; the objects are made when somebody asks for one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.bytes_]
Positions = NDArray[np.int32]

V = TypeVar("V")


class PerKit(Mapping[str, V], Generic[V]):
    """A value for each kit id, with equal values held once. `ids`: sorted, UTF-8; `codes` int32[n] point at `values`.

    `named` makes a kit's own value of a shared one and the kit's id.
    """

    def __init__(
        self, ids: Ids, codes: Positions, values: Sequence[V], named: Callable[[V, str], V] = lambda value, _: value
    ) -> None:
        self.ids, self.codes, self.values_of_codes, self._named = ids, codes, values, named

    def __getitem__(self, kit: str) -> V:
        position = self.position(kit)
        return self._named(self.values_of_codes[self.codes[position]], kit)

    def __iter__(self) -> Iterator[str]:
        return (kit.decode() for kit in self.ids.tolist())

    def __len__(self) -> int:
        return len(self.ids)

    def position(self, kit: str) -> int:
        """Where a kit stands among the ids; KeyError if it does not."""
        wanted = kit.encode()
        position = int(np.searchsorted(self.ids, np.bytes_(wanted)))
        if position == len(self.ids) or self.ids[position] != wanted:
            raise KeyError(kit)
        return position


class KitIds(Sequence[str]):
    """Some of the ids of a table, in order."""

    __slots__ = ("_ids", "_positions")

    def __init__(self, ids: Ids, positions: Positions) -> None:
        self._ids, self._positions = ids, positions

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return KitIds(self._ids, self._positions[index])
        return bytes(self._ids[self._positions[index]]).decode()

    def __iter__(self) -> Iterator[str]:
        return (kit.decode() for kit in self._ids[self._positions].tolist())

    def __len__(self) -> int:
        return len(self._positions)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, KitIds):
            return np.array_equal(self._ids[self._positions], other._ids[other._positions])
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]  # compared by text with any sequence, so no hash of its own fits all

    def __repr__(self) -> str:
        return repr(tuple(self))


def per_kit(
    values: Mapping[str, V],
    ids: Ids | None = None,
    shared: Callable[[V], V] = lambda value: value,
    named: Callable[[V, str], V] = lambda value, _: value,
    default: Callable[[], V] | None = None,
) -> PerKit[V]:
    """The compact form of a mapping by kit id, over these `ids` or its own. `shared`: a kit's value without its id.

    A kit that the mapping does not name has what `default` makes.
    """
    if ids is None:
        ids = np.sort(np.array([kit.encode() for kit in values], np.bytes_))
    codes = np.empty(len(ids), np.int32)
    code_of: dict[Hashable, int] = {}
    found: list[V] = []
    for position, kit in enumerate(ids.tolist()):
        name = kit.decode()
        common = shared(default() if default is not None and name not in values else values[name])
        code = code_of.setdefault(common, len(found))
        if code == len(found):
            found.append(common)
        codes[position] = code
    return PerKit(ids, codes, tuple(found), named)
