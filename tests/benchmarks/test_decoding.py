"""The contestants of the decoding benchmark must find the same columns, or their times mean nothing."""

from __future__ import annotations

import pytest

from benchmarks import decoding

FORMATS = decoding.formats(messages=2)


@pytest.mark.parametrize("one", FORMATS, ids=[one.job for one in FORMATS])
def test_every_format_gives_the_same_columns_as_a_plain_script(one: decoding.Format) -> None:
    assert decoding.assert_agree(one, decoding.known_nodes()) == 2 * decoding.READINGS


def test_a_script_that_reads_something_else_is_noticed() -> None:
    def late(payload: bytes) -> decoding.Columns:
        at, mc = decoding.columns_script(payload)
        return at + 1, mc

    with pytest.raises(AssertionError):
        decoding.assert_agree(FORMATS[0]._replace(script=late), {})
