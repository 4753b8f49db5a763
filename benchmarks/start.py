"""How long one waits for `coldchain --help`, and for a service that begins with an empty ledger.

`python -m benchmarks.start` prints these figures alone.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import raw_publisher
from benchmarks.fleet import START_MS, TEMPLATE
from benchmarks.harness import Figure
from benchmarks.ingest import mosquitto
from coldchain.ledger.ledger import Ledger
from coldchain.readings import ReadingBatch
from gateways.encoders import json_columns

HELPS, STARTS = 11, 5
HELP_GOAL_MS, READY_GOAL_S = 150, 2
GIVE_UP_S = 60.0
TOPIC = "coldchain/v1/basel/gw-1/lg-1/readings"
COLDCHAIN = (sys.executable, "-m", "coldchain")


def measure(share: int = 1) -> list[Figure]:
    """Medians: of help over bare Python, in turns, and of service starts; fewer of these with a `share`."""
    starts = [service_start_s() for _ in range(STARTS if share == 1 else 2)]
    return [
        Figure("coldchain --help, beyond python -c pass", help_beyond_python_ms(), "ms", goal=HELP_GOAL_MS),
        Figure("coldchain run until it is ready, empty ledger", median(starts), "s", goal=READY_GOAL_S),
    ]


def help_beyond_python_ms() -> float:
    """The median of what help takes longer than a Python that does nothing, each pair one after the other."""
    bare, helped = (sys.executable, "-c", "pass"), (*COLDCHAIN, "--help")
    for command in (bare, helped):
        _seconds(command)
    return 1000 * median(_seconds(helped) - _seconds(bare) for _ in range(HELPS))


def _seconds(command: Sequence[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True)
    took = time.perf_counter() - began
    assert bool(done.stdout) == (command[-1] == "--help")
    return took


def service_start_s() -> float:
    """From the command to the moment when the service tells its supervisor that it is ready [s].

    What it is sent then has to be in its ledger.
    """
    with (
        tempfile.TemporaryDirectory() as name,
        mosquitto(Path(name)) as port,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor,
    ):
        folder = Path(name)
        supervisor.bind(str(folder / "notify"))
        supervisor.settimeout(GIVE_UP_S)
        command = [*COLDCHAIN, "run", "--settings", str(_settings(folder, port))]
        environment = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify")}
        began = time.perf_counter()
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as service:
            while b"READY=1" not in supervisor.recv(4096):
                pass
            took = time.perf_counter() - began
            batch = ReadingBatch("lg-1", "1", np.array([START_MS]), np.array([5_000], np.int32), boot=1, seq=0)
            raw_publisher.started(port, [raw_publisher.message(1, TOPIC, json_columns(batch))]).join()
            service.terminate()
        assert service.returncode == 0
        with Ledger.open(folder / "coldchain.db") as ledger:
            (stored,) = ledger.load_batches()
        assert (stored.at_ms.tolist(), stored.temperature_mc.tolist()) == ([START_MS], [5_000])
    return took


def _settings(folder: Path, port: int) -> Path:
    (folder / "rules").mkdir()
    (folder / "rules" / TEMPLATE.name).write_bytes(TEMPLATE.read_bytes())
    path = folder / "settings.toml"
    path.write_text(
        f'[mqtt]\nport = {port}\n[ledger]\npath = "coldchain.db"\n[rules]\ndir = "rules"\n', encoding="utf-8"
    )
    return path


if __name__ == "__main__":
    from benchmarks.__main__ import show

    show(measure())
