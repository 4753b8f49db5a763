"""A ledger in a folder of its own, and the values that go into it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from coldchain.ledger.ledger import Ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "coldchain.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(path) as opened:
        yield opened
