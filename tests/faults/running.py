"""A service under test: a process that can be killed, over a ledger that can be asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from coldchain.ledger import queries, senders
from coldchain.ledger.ledger import Ledger
from faults.zygote import ENVIRONMENT, Zygote
from processes import eventually
from service_values import START_MS, written_settings

Act = dict[str, Any]


class Service:
    """`coldchain run` as a process: forked from the zygote or started cold."""

    def __init__(
        self, folder: Path, port: int, zygote: Zygote, registry: str, more: str = "", log: Path | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.ledger, self.settings = folder / "coldchain.db", written_settings(folder, port, more)
        self.starts = 0
        self._zygote, self._log = zygote, log or folder / "service.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._from = 0
        self._ended: int | None = None
        self.ends: Counter[int] = Counter()
        self.expected_ends = {0, -9}
        with Ledger.open(self.ledger) as ledger:
            ledger.register("registry.toml", registry, "ann", START_MS)

    def start(self, *acts: Act, cold: bool = False) -> None:
        """Start it, without waiting until it is connected."""
        assert not self._pid or self.ended() is not None, "it runs"
        self._from = self._log.stat().st_size if self._log.exists() else 0
        self.starts += 1
        self._process, self._ended = None, None
        if not cold:
            self._pid = self._zygote.fork(self.settings, self._log, list(acts))
            return
        code = "from faults.sabotage import main; main()" if acts else "from coldchain.cli import main; main()"
        more = [str(self.settings), json.dumps(acts)] if acts else ["run", "--settings", str(self.settings)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, *more], stdout=log, stderr=log, env=ENVIRONMENT
            )
        self._pid = self._process.pid

    def connected(self, within_s: float = 30.0) -> None:
        """Wait until it is connected, or has ended."""
        eventually(lambda: "broker connected" in self.log() or self.ended() is not None, within_s)

    @property
    def pid(self) -> int:
        return self._pid

    def log(self, *, whole: bool = False) -> str:
        """What it has said since its last start."""
        if not self._log.exists():
            return ""
        with self._log.open("rb") as file:
            file.seek(0 if whole else self._from)
            return file.read().decode("utf-8", "replace")

    def ended(self, *, wait: bool = False) -> int | None:
        """Its exit code, None while it runs."""
        if self._ended is None and self._pid:
            if self._process is None:
                self._ended = self._zygote.reap(self._pid, wait=wait)
            else:
                self._ended = self._process.wait(30) if wait else self._process.poll()
            if self._ended is not None:
                self.ends[self._ended] += 1
        return self._ended

    def kill(self) -> None:
        """SIGKILL, if it has not ended before."""
        if self.ended() is None:
            os.kill(self._pid, signal.SIGKILL)
            self.ended(wait=True)

    def stop(self, within_s: float = 20.0) -> int:
        """SIGTERM; its exit code."""
        os.kill(self._pid, signal.SIGTERM)
        eventually(lambda: self.ended() is not None, within_s)
        code = self.ended()
        assert code is not None
        return code

    @property
    def uncaught(self) -> int:
        """Ends that nobody asked for, and exceptions that nobody caught."""
        unasked = sum(count for code, count in self.ends.items() if code not in self.expected_ends)
        return max(unasked, self.log(whole=True).count("Traceback (most recent call last)"))

    def readings(self) -> int:
        with queries.reading(self.ledger) as connection:
            return int(connection.execute("SELECT coalesce(sum(n), 0) FROM reading_block").fetchone()[0])

    def pending(self) -> int:
        """Alerts to deliver, and messages that are stored and wait to be read."""
        with queries.reading(self.ledger) as connection:
            return queries.undelivered(connection) + senders.count_waiting(connection)
