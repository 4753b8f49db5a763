"""One logger, streamed by a gateway and downloaded as a file: equal readings are one, differing ones conflict, and the
download fills the gaps - in a replay and in the ledger alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coldchain.instant import instant_ms, iso
from command_line import COLD_ROOM, RULES, coldchain

START_MS = instant_ms("2026-04-03T08:00:00Z")
STEP_MS = 600_000

STREAMED = {1: 5.0, 2: 5.1, 3: 5.2, 9: 5.4, 10: 5.5, 11: 5.6, 12: 5.7}
"""Ten minutes of the logger's life, and its temperature; the line was down from 4 to 8."""

DOWNLOADED = STREAMED | {4: 5.3, 5: 5.3, 6: 5.4, 7: 5.4, 8: 5.4}


def senml(temperatures: dict[int, float]) -> list[dict[str, Any]]:
    """One pack a reading, as a gateway sends them."""
    return [
        {
            "received_at": iso(START_MS + i * STEP_MS + 2000),
            "topic": "senml/basel",
            "payload": [{"n": "lg-1", "u": "Cel", "t": (START_MS + i * STEP_MS) // 1000, "v": c}],
        }
        for i, c in temperatures.items()
    ]


def hobo(temperatures: dict[int, float]) -> str:
    """The logger's own export, an hour east of UTC and in degF."""
    head = '"#","Date Time, GMT+01:00","Temp, \N{DEGREE SIGN}F (LGR S/N: 20024354)"\n'
    rows = (
        f"{i},{iso(START_MS + i * STEP_MS + 3_600_000)[:16].replace('T', ' ')},{c * 1.8 + 32:.3f}\n"
        for i, c in sorted(temperatures.items())
    )
    return head + "".join(rows)


@pytest.fixture
def case(tmp_path: Path) -> Path:
    (tmp_path / "registry.toml").write_text(COLD_ROOM)
    (tmp_path / "stream.ndjson").write_text("".join(json.dumps(line) + "\n" for line in senml(STREAMED)))
    (tmp_path / "download.csv").write_text(hobo(DOWNLOADED), encoding="utf-8")
    (tmp_path / "other.csv").write_text(hobo(DOWNLOADED | {2: 9.9}), encoding="utf-8")
    return tmp_path


def replayed(case: Path, *inputs: str, logger: bool = True) -> Any:
    files = [case / name for name in inputs]
    named = ("--logger", "lg-1") if logger else ()
    options = ("--registry", case / "registry.toml", "--rules", RULES, "--json")
    return json.loads(coldchain("replay", *files, *options, *named).stdout)


def test_a_download_fills_the_gap_of_the_stream_and_its_equal_readings_are_one(case: Path) -> None:
    stream, both = replayed(case, "stream.ndjson", logger=False), replayed(case, "stream.ndjson", "download.csv")
    assert (stream["inputs"]["readings"], stream["kits"][0]["unknown_ms"]) == (7, 5 * STEP_MS)
    assert {key: both["inputs"][key] for key in ("readings", "duplicates", "conflicts")} == {
        "readings": 12,
        "duplicates": 7,
        "conflicts": 0,
    }
    (kit,) = both["kits"]
    assert (kit["known_ms"], kit["unknown_ms"], kit["findings"]) == (12 * STEP_MS, 0, [])
    assert kit == replayed(case, "download.csv")["kits"][0]


def test_a_download_that_differs_is_a_conflict_of_the_kit(case: Path) -> None:
    found = replayed(case, "other.csv", "stream.ndjson")
    assert found["inputs"]["conflicts"] == 1
    (kit,) = found["kits"]
    at_ms = START_MS + 2 * STEP_MS
    assert kit["findings"] == [f"conflict:lg-1/1@{at_ms}"]
    assert (kit["min_c"], kit["max_c"]) == (5.0, 9.9)
    assert ("data-integrity", "data_integrity", at_ms) in [
        (event["limit"], event["reason"], event["breached_at_ms"]) for event in found["events"]
    ]
