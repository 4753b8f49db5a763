"""How long one waits for `coldchain --help`, and for a service that begins with an empty ledger.

`python -m benchmarks.start` prints these figures alone.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import raw_publisher
from benchmarks.fleet import START_MS, write_rules
from benchmarks.harness import Figure
from benchmarks.ingest import mosquitto
from benchmarks.peers.processes import cpu_seconds
from coldchain.ledger.ledger import Ledger
from coldchain.readings import ReadingBatch
from gateways.encoders import json_columns

HELPS = 11
STARTS, STARTS_OF_A_SHARE = 5, 3
HELP_GOAL_MS, READY_GOAL_S = 150, 2
GIVE_UP_S = 60.0
TOPIC = "coldchain/v1/basel/gw-1/lg-1/readings"
LEDGER = "coldchain.db"
COLDCHAIN = (sys.executable, "-m", "coldchain")


def measure(share: int = 1) -> list[Figure]:
    """Medians: of help over bare Python, in turns, and of service starts; fewer of these with a `share`."""
    service_start_s()  # compiles kernels, if nobody has yet
    starts = [service_start_s() for _ in range(STARTS if share == 1 else STARTS_OF_A_SHARE)]
    ready_s, ready_cpu_s = np.median(starts, axis=0).tolist()
    wall_ms, cpu_ms = help_beyond_python_ms()
    return [
        Figure("coldchain --help, beyond python -c pass", wall_ms, "ms", goal=HELP_GOAL_MS),
        Figure("CPU time of coldchain --help, beyond python -c pass", cpu_ms, "ms", goal=None),
        Figure("coldchain run until it is ready, empty ledger", ready_s, "s", goal=READY_GOAL_S),
        Figure("CPU time of coldchain run until it is ready", ready_cpu_s, "s", goal=None),
    ]


def help_beyond_python_ms() -> tuple[float, float]:
    """The medians of what help takes longer than a Python that does nothing, one after the other: wall and CPU time."""
    bare, helped = (sys.executable, "-c", "pass"), (*COLDCHAIN, "--help")
    for command in (bare, helped):
        _seconds(command)
    beyond = [np.subtract(_seconds(helped), _seconds(bare)) for _ in range(HELPS)]
    wall_ms, cpu_ms = (1000 * np.median(beyond, axis=0)).tolist()
    return wall_ms, cpu_ms


def _seconds(command: Sequence[str]) -> tuple[float, float]:
    """Wall and CPU time of a process."""
    began, used = time.perf_counter(), _cpu_of_children_s()
    done = subprocess.run(command, check=True, capture_output=True)
    took = time.perf_counter() - began, _cpu_of_children_s() - used
    assert bool(done.stdout) == (command[-1] == "--help")
    return took


def _cpu_of_children_s() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def service_start_s() -> tuple[float, float]:
    """From the command to the moment when the service tells its supervisor that it is ready: wall and CPU time [s].

    What it is sent then has to be in its ledger.
    """
    with tempfile.TemporaryDirectory() as name, mosquitto(Path(name)) as port:
        folder = Path(name)
        write_rules(folder)
        began = time.perf_counter()
        with service(folder, port) as pid:
            took = time.perf_counter() - began, cpu_seconds(pid)
            batch = ReadingBatch("lg-1", "1", np.array([START_MS]), np.array([5_000], np.int32), boot=1, seq=0)
            raw_publisher.started(port, [raw_publisher.message(1, TOPIC, json_columns(batch))]).join()
        with Ledger.open(folder / LEDGER) as ledger:
            (stored,) = ledger.load_batches()
        assert (stored.at_ms.tolist(), stored.temperature_mc.tolist()) == ([START_MS], [5_000])
    return took


@contextlib.contextmanager
def service(folder: Path, port: int, more_settings: str = "") -> Iterator[int]:
    """`coldchain run` in a folder with rules, as a process by its id, once it says that it is ready; it ends well."""
    (folder / "settings.toml").write_text(
        f'[mqtt]\nport = {port}\n[ledger]\npath = "{LEDGER}"\n[rules]\ndir = "rules"\n{more_settings}', encoding="utf-8"
    )
    command = [*COLDCHAIN, "run", "--settings", str(folder / "settings.toml")]
    environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify")}
    supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    supervisor.bind(environment["NOTIFY_SOCKET"])
    supervisor.settimeout(GIVE_UP_S)
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            with supervisor:  # closed once it has heard enough: one that does not listen would hold the service up
                while b"READY=1" not in supervisor.recv(4096):
                    pass
            yield process.pid
        finally:
            process.terminate()
    assert process.returncode == 0


if __name__ == "__main__":
    from benchmarks.__main__ import show

    show(measure())
