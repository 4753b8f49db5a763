"""A warmed-up parent of services: an interpreter that has imported and compiled everything, and forks on demand.

A start costs milliseconds, not seconds; what is forked is a real process with threads and sockets of its own, which a
real SIGKILL ends. The parent has one thread only, so a fork copies nothing half done.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from coldchain.errors import ColdchainError

ROOT = Path(__file__).parents[2]

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    "OPENBLAS_NUM_THREADS": "1",  # a pool of threads would be there before the first fork
    "OMP_NUM_THREADS": "1",
}


class Zygote:
    """The parent process, as the tests hold it."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", "from faults.zygote import main; main()"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=ENVIRONMENT
        )
        self._lock = threading.Lock()
        assert self._answer() == {"threads": 1}

    def fork(self, settings: Path, log: Path, sabotage: list[dict[str, Any]]) -> int:
        """Start a service; its process id."""
        pid: int = self._ask(do="fork", settings=str(settings), log=str(log), sabotage=sabotage)["pid"]
        return pid

    def reap(self, pid: int, *, wait: bool) -> int | None:
        """The exit code of a service (-9 after SIGKILL), None if it runs on."""
        code: int | None = self._ask(do="reap", pid=pid, wait=wait)["code"]
        return code

    def close(self) -> None:
        """End it and every service that it has left."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def _ask(self, **what: Any) -> dict[str, Any]:
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
            return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the parent of the services has died"
        answer: dict[str, Any] = json.loads(line)
        return answer


def main() -> None:
    """Be that parent: commands on stdin, answers on stdout, until stdin ends."""
    _warm_up()
    gc.freeze()
    alive: set[int] = set()
    threads = len(list(Path("/proc/self/task").iterdir()))
    print(json.dumps({"threads": threads}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "fork":
            pid = os.fork()
            if pid == 0:
                _serve(asked)
            alive.add(pid)
            answer: dict[str, Any] = {"pid": pid}
        else:
            found, status = os.waitpid(asked["pid"], 0 if asked["wait"] else os.WNOHANG)
            alive.discard(found)
            answer = {"code": os.waitstatus_to_exitcode(status) if found else None}
        print(json.dumps(answer), flush=True)
    for pid in alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _warm_up() -> None:
    """Import all that a service uses, and run every kernel once so that it is compiled or read from its cache."""
    import apscheduler.triggers.interval
    import paho.mqtt.client

    import faults.sabotage  # noqa: F401
    from coldchain import pipeline
    from coldchain.profiles import load_profiles
    from coldchain.registry import parse_registry
    from faults.fleet import Fleet

    del apscheduler, paho
    fleet = Fleet(loggers=2, seed=1)
    with fleet.rules_folder() as rules:
        registry = parse_registry([("registry.toml", fleet.registry())])
        pipeline.replay(
            [batch for message in fleet.messages(20) for batch in message.batches()], registry, load_profiles(rules)
        )


def _serve(asked: dict[str, Any]) -> None:
    """Be one service; never returns."""
    code = 70
    try:
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.close(nothing)
        from faults import sabotage

        code = sabotage.serve(Path(asked["settings"]), asked["sabotage"])
    except ColdchainError as exc:  # as the command line does
        sys.stderr.write(f"coldchain: {exc}\n")
        sys.stderr.flush()
        code = exc.exit_code
    except BaseException:  # noqa: BLE001 (this process is only this service, and its end is what is looked at)
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)
