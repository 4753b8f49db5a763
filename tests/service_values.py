"""What a service under test is told: a registry, rules, settings, messages."""

import json
from pathlib import Path

from coldchain.settings import Settings, load_settings

START_MS = 1_772_359_200_000
"""2026-03-01T10:00:00Z"""

MINUTE_MS = 60_000

REGISTRY = """
[[logger]]
id = "lg-1"
logging_interval = "1min"
[[place]]
id = "basel-cold-2"
kind = "storage"
[[monitoring]]
place = "basel-cold-2"
logger = "lg-1"
from = 2026-03-01T00:00:00Z
[[kit]]
id = "K-0001"
batch = "B22"
trial = "TRIAL-7"
profile = "mab-017"
[[custody]]
kits = ["K-0001"]
place = "basel-cold-2"
from = 2026-03-01T10:00:00Z
"""

PAST_REGISTRY = REGISTRY + "to = 2026-03-01T18:00:00Z\n"
"""The kit's custody has ended, so that silence up to the present does not count."""

RULES = """
profile = "mab-017"
version = 1
title = "mAb 017, vial, 2-8 degC"
effective_from = 2026-01-01T00:00:00Z
label_low_c = 2.0
label_high_c = 8.0
[source]
document = "STAB-0042"
version = "4"
[approval]
author = "qa-author"
approver = "qa-approver"
approved_at = 2025-12-20T09:00:00Z
[[limit]]
id = "above-8"
above_c = 8.0
accumulated = "10min"
source = "STAB-0042, section 5.2"
[[limit]]
id = "unknown"
unknown_accumulated = "24h"
source = "STAB-0042, section 5.3"
"""


UNGUARDED = "[ledger]\nalarm_percent = 100\nstop_percent = 100\n"
"""Tests run on whatever disk there is; those of the guard state what they need."""


def written_settings(folder: Path, port: int = 1883, more: str = "") -> Path:
    """A settings file with rules beside it."""
    more += "" if "[ledger]" in more else f"\n{UNGUARDED}"
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules" / "mab-017.toml").write_text(RULES, encoding="utf-8")
    path = folder / "settings.toml"
    path.write_text(f"[mqtt]\nport = {port}\n{more}", encoding="utf-8")
    return path


def settings_in(folder: Path, port: int = 1883, more: str = "") -> Settings:
    return load_settings(written_settings(folder, port, more), {})


def topic(logger: str = "lg-1") -> str:
    return f"coldchain/v1/basel/gw-1/{logger}/readings"


def payload(minute: int, *mc: int, logger: str = "lg-1", **more: int) -> bytes:
    """A native payload: one reading a minute, the first `minute` minutes after the start; `more`: `boot` and `seq`."""
    document = {"v": 1, "logger": logger, "t0": START_MS + minute * MINUTE_MS, "every": MINUTE_MS, "mc": mc, **more}
    return json.dumps(document).encode()
