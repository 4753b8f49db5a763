"""Reports that several tests read."""

from __future__ import annotations

import pytest

from coldchain.report import Report
from report.cases import Case


@pytest.fixture(scope="session")
def excursion() -> Report:
    """One kit with an exceeded single event, an exceeded MKT, a gap and faults."""
    return Case().report()
