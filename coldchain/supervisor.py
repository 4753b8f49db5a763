"""The supervisor that started this process: what systemd is told by its datagram protocol, sd_notify(3).

Without a supervisor there is nobody to tell, and nothing happens.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

FED_EVERY_S = 1.0


class Supervisor:
    """Where notifications go. Only the beat of the loop feeds it, so a loop that hangs starves it."""

    def __init__(self, address: str = "", watchdog_us: int = 0) -> None:
        self._address = address
        self._watchdog_us, self._is_patient, self._feed_at_s = watchdog_us, False, 0.0

    @classmethod
    def of_process(cls, environment: Mapping[str, str] = os.environ) -> Supervisor:
        """The one that the environment names: NOTIFY_SOCKET, and WATCHDOG_USEC if it asks to be fed."""
        asked_us = environment.get("WATCHDOG_USEC", "")
        return cls(environment.get("NOTIFY_SOCKET", ""), int(asked_us) if asked_us.isdecimal() else 0)

    def ready(self) -> None:
        """The start is over: from now on the supervisor waits to be fed."""
        self._tell("READY=1")

    def feed(self) -> None:
        """The loop has come round; told once a second."""
        now_s = time.monotonic()
        if now_s < self._feed_at_s and not self._is_patient:
            return
        self._feed_at_s = now_s + FED_EVERY_S
        if self._is_patient and self._watchdog_us:
            self._tell(f"WATCHDOG_USEC={self._watchdog_us}")
        self._is_patient = False
        self._tell("WATCHDOG=1")

    def allow(self, seconds: float) -> None:
        """The next step may take this long: counting a large ledger again does, at the start and after a change."""
        self._is_patient = True
        self._tell(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")
        if self._watchdog_us:
            self._tell(f"WATCHDOG_USEC={max(int(seconds * 1e6), self._watchdog_us)}")

    def stopping(self) -> None:
        """The process is about to end, because it was asked to."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the abstract namespace of Linux, whose names begin with a zero byte.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
                to.settimeout(1.0)
                to.sendto(state.encode(), address)
        except OSError:
            return  # a supervisor that is gone or deaf must not end what it supervises; it judges by what it hears
