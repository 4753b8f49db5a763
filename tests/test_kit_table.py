"""Kits in little memory answer like a dictionary of kits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.kit_table import KitIds, per_kit

ids = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs"]), min_size=1, max_size=9)


@given(st.dictionaries(ids, st.sampled_from(["a", "b", "c"]), max_size=20), ids)
def test_values_by_kit_are_those_of_the_dictionary_in_the_order_of_the_ids(values: dict[str, str], other: str) -> None:
    table = per_kit(values)
    assert list(table.items()) == sorted(values.items())
    assert len(table.values_of_codes) == len(set(values.values()))
    assert table.get(other) == values.get(other)


def test_a_kit_without_a_value_has_the_default_and_without_one_there_is_none() -> None:
    table = per_kit({"K-2": "b"}, np.array([b"K-1", b"K-2"]), default=str)
    assert dict(table) == {"K-1": "", "K-2": "b"}
    with pytest.raises(KeyError):
        per_kit({"K-2": 1}, np.array([b"K-1"]))


def test_what_a_kit_shares_is_held_once_and_named_when_asked_for() -> None:
    table = per_kit({"K-1": ("K-1", 5), "K-2": ("K-2", 5)}, shared=lambda v: ("", v[1]), named=lambda v, k: (k, v[1]))
    assert table.values_of_codes == (("", 5),)
    assert table["K-2"] == ("K-2", 5)


def test_ids_are_a_sequence_that_compares_by_its_text() -> None:
    everything = np.array([b"K-1", b"K-2", b"K-3"])
    some = KitIds(everything, np.array([0, 2], np.int32))
    assert (len(some), some[0], some[-1], list(some), list(some[1:])) == (2, "K-1", "K-3", ["K-1", "K-3"], ["K-3"])
    assert some == ("K-1", "K-3")
    assert some == KitIds(np.array([b"K-1", b"K-3"]), np.array([0, 1], np.int32))
    assert some != ("K-1",)
    assert "K-3" in some
    assert "K-2" not in some
    assert repr(some) == "('K-1', 'K-3')"
