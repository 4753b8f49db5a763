"""The command line as a person types it, and the smallest registry it can be given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RULES = Path(__file__).parents[1] / "rules"

_ONE_KIT = """\
[[logger]]
id = "lg-1"
logging_interval = "{interval}"
[[place]]
id = "{place}"
kind = "storage"
[[monitoring]]
place = "{place}"
logger = "lg-1"
from = {monitored_from}
[[kit]]
id = "K-1"
batch = "B1"
trial = "T1"
profile = "mab-017"
[[custody]]
kits = ["K-1"]
place = "{place}"
from = {kept_from}
to = {kept_to}
"""


def one_kit_registry(*, interval: str, place: str, monitored_from: str, kept_from: str, kept_to: str) -> str:
    """Kit K-1 at a place that logger lg-1 watches; instants as TOML writes them."""
    return _ONE_KIT.format(
        interval=interval, place=place, monitored_from=monitored_from, kept_from=kept_from, kept_to=kept_to
    )


COLD_ROOM = one_kit_registry(
    interval="10min",
    place="cold-room",
    monitored_from="2026-04-03T00:00:00Z",
    kept_from="2026-04-03T08:00:00Z",
    kept_to="2026-04-03T10:00:00Z",
)
"""Kit K-1 for two hours of a morning, at a logger that measures every ten minutes."""


def coldchain(*arguments: str | Path, expect: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run one command in a process of its own; it ends with the expected code and never with a traceback."""
    command = [sys.executable, "-m", "coldchain.cli", *map(str, arguments)]
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False
    )
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done
