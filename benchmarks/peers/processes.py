"""Programs that a peer needs beside this process: started on a free port of this machine, watched, and ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
START_WITHIN_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class NoAnswer(RuntimeError):
    """A program does not start, or does not answer as it should."""


def program(name: str) -> str | None:
    """Where a program is; None: not installed."""
    return shutil.which(name, path=PATH)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads so far [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


@contextlib.contextmanager
def running(
    command: Sequence[str], folder: Path, is_ready: Callable[[], bool], environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """A process by its id, once it is ready; what it says is in `output.log` of its folder."""
    with (
        (folder / "output.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env={**os.environ, **(environment or {})}) as one,
    ):
        try:
            give_up = time.monotonic() + START_WITHIN_S
            while not is_ready():
                if one.poll() is not None or time.monotonic() > give_up:
                    said = (folder / "output.log").read_text(encoding="utf-8", errors="replace")
                    raise NoAnswer(f"{command[0]} does not start: {said[-500:]}")
                time.sleep(0.05)
            yield one.pid
        finally:
            one.terminate()
            try:
                one.wait(10)
            except subprocess.TimeoutExpired:
                one.kill()
