"""The contestants of the decoding benchmark must find the same columns, or their times mean nothing."""

from __future__ import annotations

import pytest

from benchmarks import decoding
from benchmarks.decoding_scripts import Columns, json_columns

CONTESTS = [decoding.contest(one, readings, messages=2) for one in decoding.FORMATS for readings in one.sizes]


@pytest.mark.parametrize("one", CONTESTS, ids=[one.job for one in CONTESTS])
def test_every_format_gives_the_same_columns_as_the_plain_scripts(one: decoding.Contest) -> None:
    readings = int(one.job.split(", ")[-1].split()[0])
    assert decoding.assert_agree(one, decoding.known_nodes()) == 2 * readings


def test_a_script_that_reads_something_else_is_noticed() -> None:
    def late(payload: bytes) -> Columns:
        at, mc = json_columns(payload)
        return at + 1, mc

    with pytest.raises(AssertionError):
        decoding.assert_agree(CONTESTS[0]._replace(scripts={"late": late}), {})


def test_goals_are_of_long_messages_only() -> None:
    columns = decoding.FORMATS[0]
    assert not decoding.contest(columns, 1, messages=1).goals
    assert decoding.contest(columns, 100, messages=1).goals == {decoding.PLAIN: decoding.NOT_SLOWER}
