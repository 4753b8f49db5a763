"""`make faults`: every scenario with its full numbers, in lanes, and docs/fault-report.md about what was found.

`python -m faults.command [--seed N] [--short] [--report FILE]`; exit code 1 if a promise is broken or a control did not
fail.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from faults import figures
from faults.figures import Figure
from faults.page import page

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "docs" / "fault-report.md"

LANES = (
    (
        "test_p1_kills.py",
        "test_p4_every_step.py",
        "test_p2_broker.py",
        "test_p2_agent.py",
        "test_clock.py",
        "test_store.py",
    ),
    ("test_long_run.py", "test_network.py", "test_p3_any_order.py", "test_p5_malformed.py"),
)
"""What runs beside what: the long waits of the second beside the work of the first."""

ALONE = ("test_flood.py",)
"""What measures delays, after everything else."""

PROMISES = {"P1", "P2", "P3", "P4", "P5", "disk full", "locked", "network", "clock", "long run", "flood"}


@dataclass(slots=True)
class Lane:
    """One pytest process and where it writes what it finds."""

    process: subprocess.Popen[bytes]
    found: Path
    log: Path


def main() -> int:
    """Run everything; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m faults.command", description="The fault tests and their report.")
    parser.add_argument("--seed", type=int, help="of everything random, to repeat a run")
    parser.add_argument("--short", action="store_true", help="the amounts of `make test`")
    parser.add_argument("--report", type=Path, default=REPORT, help="the page to write")
    arguments = parser.parse_args()
    console, began, at = Console(), time.monotonic(), datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        lanes: list[Lane] = []
        found: list[Figure] = []
        try:
            for number, together in enumerate((LANES, (ALONE,))):
                started = [start(Path(folder) / f"{number}-{n}", files, arguments) for n, files in enumerate(together)]
                lanes += started
                found += watch(started, console)
        finally:
            for lane in lanes:
                if lane.process.poll() is None:
                    lane.process.send_signal(signal.SIGINT)  # so that it ends its brokers and services
                    lane.process.wait(30)
        failed = [lane for lane in lanes if lane.process.returncode]
        for lane in failed:
            console.print(lane.log.read_text(encoding="utf-8", errors="replace")[-6000:], markup=False, highlight=False)
    problems = [f"{figure.promise}: {figure.what}" for figure in found if not figure.is_good]
    problems += [
        f"{promise}: no figures" for promise in sorted(PROMISES - {f.promise for f in found if not f.is_control})
    ]
    problems += ["a test failed, see above"] * bool(failed)
    text = page(found, problems, about(at, time.monotonic() - began, is_short=arguments.short))
    arguments.report.write_text(text, encoding="utf-8")
    verdict(console, found, problems)
    return 1 if problems else 0


def start(folder: Path, files: tuple[str, ...], arguments: argparse.Namespace) -> Lane:
    """Start the tests of some files, one after the other."""
    folder.mkdir()
    found, log = folder / "figures.ndjson", folder / "pytest.log"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={folder / 'tmp'}"]
    command += [] if arguments.short else ["--full"]
    command += [] if arguments.seed is None else ["--seed", str(arguments.seed)]
    command += ["--figures", str(found), *(f"tests/faults/{file}" for file in files)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT)
    return Lane(process, found, log)


def watch(lanes: list[Lane], console: Console) -> list[Figure]:
    """Show how far the lanes are until they end; what they found."""
    seen: list[Figure] = []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bars = [progress.add_task(f"lane {number + 1}", total=None) for number in range(len(lanes))]
        while True:
            running = [lane for lane in lanes if lane.process.poll() is None]
            for lane, bar in zip(lanes, bars, strict=True):
                if step := figures.last_step(lane.found):
                    progress.update(bar, description=step.name, completed=step.done, total=step.of)
            found = [figure for lane in lanes for figure in figures.read(lane.found)]
            for figure in found:
                if figure not in seen:
                    seen.append(figure)
                    console.print(line(figure), markup=False, highlight=False, soft_wrap=True)
            if not running:
                return seen
            time.sleep(0.5)


def line(figure: Figure) -> str:
    mark = ("fails as it must" if figure.is_control else "ok") if figure.is_good else "NOT GOOD"
    what = f"{figure.promise}{' control' if figure.is_control else ''}: {figure.what}"
    return (
        f"{what}: {figure.count} {figure.unit}, {figure.lost} lost, {figure.doubled} duplicated, "
        f"{figure.uncaught} uncaught, seed {figure.seed}, {figure.seconds:.0f} s: {mark}"
    )


def verdict(console: Console, found: list[Figure], problems: list[str]) -> None:
    promises = [figure for figure in found if not figure.is_control]
    lost, doubled, uncaught = (sum(getattr(f, key) for f in promises) for key in ("lost", "doubled", "uncaught"))
    console.print(f"{lost} lost, {doubled} duplicated events, {uncaught} uncaught", style="bold")
    for problem in problems:
        console.print(f"faults: {problem}", style="red", markup=False)


def about(at: datetime, seconds: float, *, is_short: bool) -> dict[str, str]:
    """When, of what, on what, with what."""
    return {
        "Date": f"{at:%Y-%m-%d %H:%M} UTC, {seconds / 60:.0f} min",
        "Amount": "short, as in `make test`" if is_short else "full",
        "Commit": commit(),
        "Machine": f"{cpu()}, {os.cpu_count()} cores, {memory_gib():.0f} GiB, {platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "Mosquitto": mosquitto(),
        "paho-mqtt": importlib.metadata.version("paho-mqtt"),
    }


def commit() -> str:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return "unknown (no git)"
    said = [
        subprocess.run([git, *words], cwd=ROOT, check=False, capture_output=True, text=True).stdout.strip()
        for words in (
            ("rev-parse", "--short=12", "HEAD"),
            ("status", "--porcelain", "--", ".", ":!docs/fault-report.md"),
        )
    ]
    return said[0] + (" with changes" if said[1] else "")


def cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line for line in info.read_text(encoding="utf-8").splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    return names[0].partition(":")[2].strip() if names else platform.machine()


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def mosquitto() -> str:
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        return "none"
    said = subprocess.run([program, "-h"], check=False, capture_output=True, text=True).stdout
    return said.splitlines()[0].removeprefix("mosquitto version ") if said else "unknown"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # the lanes have been ended with what they had started; the report stays as it was
