"""The demo as `make demo` runs it, the service killed in mid-day: real broker, gateways, mail server and report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pypdf import PdfReader


@pytest.mark.parametrize(
    ("option", "said"), [("--kill", "service ended by signal 9"), ("--embedded", "on the embedded broker")]
)
def test_the_demo_day_tells_its_four_incidents_also_after_a_kill_and_without_mosquitto(
    tmp_path: Path, option: str, said: str
) -> None:
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "coldchain.cli", "demo", "--out", str(out), option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert said in done.stdout
    assert "nothing lost" in done.stdout

    events = json.loads(_coldchain("events", "--json", "--settings", str(out / "settings.toml")))
    supported = {(event["limit"], event["reason"]) for event in events if event["supported"]}
    withdrawn = {event["reason"] for event in events if not event["supported"]}
    assert ("comparator-02:below-0", "limit") in supported  # the gel packs of shipment 2
    assert any(limit.endswith("above-8-single") for limit, _ in supported)  # the open door in Lyon
    assert withdrawn == {"data_missing"}  # the lost gateway of shipment 3, until it uploads
    assert len({event["id"] for event in events}) == len(events)

    text = "".join(page.extract_text() for page in PdfReader(out / "report.pdf").pages)
    assert "Stability impact report" in text
    assert list((out / "mail" / "new").iterdir())


def _coldchain(*arguments: str) -> str:
    command = [sys.executable, "-m", "coldchain.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
