"""Commits: whether the ledger takes any, and since when it does not. The loop writes it down, other threads read it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from coldchain.disk import DiskGuard
from coldchain.errors import EnvironmentFailed


class Commits:
    """The gate in front of every commit: shut while the disk is too full."""

    def __init__(self, guard: DiskGuard | None = None) -> None:
        self._guard = guard
        self._failing_since_s: float | None = None
        self._began_s: float | None = None
        self.error = ""

    @contextmanager
    def one(self) -> Iterator[None]:
        """Around one commit: EnvironmentFailed if the disk has no room for it, and note what becomes of it."""
        self._began_s = time.monotonic()
        try:
            self.check_room()
            yield
        except EnvironmentFailed as failed:
            self.error = str(failed)
            if self._failing_since_s is None:
                self._failing_since_s = self._began_s
            raise
        else:
            self._failing_since_s, self.error = None, ""
        finally:
            self._began_s = None

    def check_room(self) -> None:
        """EnvironmentFailed if the disk has no room for anything more."""
        if self._guard is not None:
            self._guard.check()

    @property
    def is_holding(self) -> bool:
        """Whether gateways shall keep their backlog back, because the disk fills."""
        return self._guard is not None and self._guard.is_holding

    @property
    def waiting_since_s(self) -> float | None:
        """Since when [monotonic s] the ledger has taken no commit that was asked of it, a hanging one included."""
        failing, began = self._failing_since_s, self._began_s
        return began if failing is None else failing
