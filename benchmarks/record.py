"""What a full run leaves in `docs`: every line as JSON with date, machine and versions, as tables and drawings."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from benchmarks import chart, scaling_chart
from benchmarks.harness import Absent, Curve, Figure, Found, Peer, Row
from benchmarks.peers import node_red, processes
from benchmarks.tables import markdown, tables

DOCS = Path(__file__).parents[1] / "docs"
PACKAGES = ("numpy", "numba", "orjson", "cbor2", "paho-mqtt", "pandas", "polars", "duckdb", "bytewax")
KINDS: dict[str, type[Found]] = {"races": Row, "figures": Figure, "peers": Peer, "curves": Curve, "absent": Absent}


def write(found: Sequence[Found], load_before: float, folder: Path = DOCS) -> None:
    """Write `benchmarks.json`, `benchmarks.svg`, `scaling.svg` and `benchmark-results.md`.

    `load_before`: how many wanted the processor at the start.
    """
    document = describe(found, load_before)
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    (folder / "benchmarks.json").write_bytes(orjson.dumps(document, option=options))
    machine = document["machine"]
    subtitle = (
        f"{document['date'][:10]}, {machine['processor']}, {machine['cores']} cores, load before {load_before:.1f}"
    )
    (folder / "benchmarks.svg").write_text(chart.svg(found, subtitle) + "\n", encoding="utf-8")
    parts = [
        f"# Results of a run\n\nWritten by `make bench`, {subtitle}. [benchmarks.md](benchmarks.md) says of what.\n"
    ]
    parts += [markdown(table) for table in tables(found)]
    (folder / "benchmark-results.md").write_text("\n".join(parts), encoding="utf-8")
    curves = [one for one in found if isinstance(one, Curve)]
    (folder / "scaling.svg").write_text(scaling_chart.svg(curves, subtitle) + "\n", encoding="utf-8")


def describe(found: Sequence[Found], load_before: float) -> dict[str, Any]:
    """The document: when, where, with what, and every line."""
    lines = {name: [_with_verdict(one) for one in found if isinstance(one, kind)] for name, kind in KINDS.items()}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _said(["git", "-C", str(DOCS), "describe", "--always", "--dirty"]),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gib": _memory_gib(),
            "load_before": round(load_before, 1),
        },
        "python": platform.python_version(),
        "versions": versions(),
        **lines,
    }


def _with_verdict(one: Found) -> dict[str, Any]:
    # more than four digits of a time on a shared machine are noise
    line = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in asdict(one).items()}
    if isinstance(one, Row | Figure):
        line["is_met"] = one.is_met
    return line


def versions() -> dict[str, str | None]:
    """Of everything that is compared; None: not installed."""
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    found["mosquitto"] = _said(["mosquitto", "-h"])
    found["influxdb"] = _said(["influxd", "version"])
    found["node"] = _said(["node", "--version"])
    package_file = node_red.INSTALLED.parent / "package.json"
    found["node-red"] = orjson.loads(package_file.read_bytes())["version"] if package_file.exists() else None
    return found


def _said(command: list[str]) -> str | None:
    """The first line that a program prints; some end with an error code after their help."""
    found = processes.program(command[0])
    if found is None:
        return None
    said = subprocess.run([found, *command[1:]], check=False, capture_output=True, text=True)
    return said.stdout.partition("\n")[0].strip() or None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
