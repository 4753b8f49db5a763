"""Ticks and the watchdog. A tick only wakes the loop; what it does then is a sweep over everything known."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC
from queue import SimpleQueue

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from coldchain.supervisor import Supervisor

STALLED_EXIT_CODE = 3


def start_ticks(every_s: int) -> tuple[BackgroundScheduler, SimpleQueue[None]]:
    """A running scheduler and the queue that it puts one tick into every `every_s` seconds.

    The job touches nothing else, so it cannot fail; and a tick that is late or missing costs nothing but time, because
    the sweep looks at the present, not at the tick.
    """
    ticks: SimpleQueue[None] = SimpleQueue()
    scheduler = BackgroundScheduler(
        timezone=UTC,
        jobstores={"default": MemoryJobStore()},
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
    )
    scheduler.add_job(ticks.put, "interval", seconds=every_s, args=(None,), id="silence")
    scheduler.start()
    return scheduler, ticks


def end_process(stalled_s: float) -> None:
    """End the process at once: a loop that stands still would look alive to everybody else."""
    os.write(2, f"coldchain: the loop stood still for {stalled_s:.0f} s; ending, to be started again\n".encode())
    os._exit(STALLED_EXIT_CODE)


class Watchdog:
    """Ends the process when nobody has said `beat` for too long, by a clock that no one can set.

    The same beat feeds the supervisor, which ends the process from outside should this thread hang as well.
    """

    def __init__(
        self,
        stall_after_s: float,
        end: Callable[[float], None] = end_process,
        supervisor: Supervisor | None = None,
    ) -> None:
        self._stall_after_s, self._end, self._supervisor = stall_after_s, end, supervisor or Supervisor()
        self._deadline = time.monotonic() + stall_after_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self.beat()
        self._thread.start()

    def beat(self) -> None:
        """Say that the loop is alive."""
        self._deadline = time.monotonic() + self._stall_after_s
        self._supervisor.feed()

    def allow(self, seconds: float) -> None:
        """Say that the next beat may take this long: rebuilding the state from a large ledger does."""
        self._deadline = time.monotonic() + max(seconds, self._stall_after_s)
        self._supervisor.allow(seconds)

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(min(1.0, self._stall_after_s / 4)):
            late_s = time.monotonic() - self._deadline
            if late_s > 0:
                self._end(self._stall_after_s + late_s)
                return
