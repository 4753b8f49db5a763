"""What passes the gate behind the decoders can be stored and judged."""

import dataclasses

import numpy as np
import pytest

from coldchain.ledger.entries import unstorable
from coldchain.readings import ReadingBatch
from ledger_values import batch


def test_an_ordinary_batch_passes() -> None:
    assert unstorable(batch()) is None


def test_an_empty_batch_passes() -> None:
    assert unstorable(batch().select(np.zeros(3, np.bool_))) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logger", ""),
        ("logger", "x" * 201),
        ("logger", "lg-\ud800"),
        ("channel", "a\x00b"),
        ("seq", 2**63),
        ("boot", -1),
        ("at_ms", np.array([0, 1, 2**62], np.int64)),
        ("at_ms", np.array([-1, 0, 1], np.int64)),
        ("at_ms", np.array([0.0, 1.0, 2.0])),
        ("at_ms", np.array([0, 1], np.int64)),
        ("temperature_mc", np.array([1, 2, 3], np.int64)),
    ],
)
def test_what_no_column_can_hold_is_stopped_before_it(field: str, value: object) -> None:
    hostile: ReadingBatch = dataclasses.replace(batch(), **{field: value})  # type: ignore[arg-type]  # that is the point
    assert unstorable(hostile)
