"""Where a fault test writes down what it found, and what fails it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from faults.account import Account
from faults.figures import Figure
from faults.running import Service

MakeService = Callable[..., Service]


@dataclass
class Book:
    """Where a test writes what it found; `step` tells whoever watches how far it is."""

    path: Path | None
    name: str
    seed: int
    began: float = field(default_factory=time.monotonic)

    def step(self, done: int, of: int) -> None:
        self._write(json.dumps({"step": self.name, "done": done, "of": of}))

    def promise(self, promise: str, what: str, count: int, unit: str, account: Account, note: str = "") -> None:
        """A scenario that must have lost nothing: fails the test if it has."""
        found = self._figure(promise, what, count, unit, account, account.is_clean, note or "; ".join(account.wrong))
        self._enter(found)
        assert account.is_clean, account

    def control(
        self, promise: str, what: str, count: int, unit: str, account: Account, *, fails: bool, note: str = ""
    ) -> None:
        """A control: without its protection something must be wrong, or the scenario proves nothing."""
        found = self._figure(promise, what, count, unit, account, fails, note, is_control=True)
        self._enter(found)
        assert fails, f"the control did not fail: {account}"

    def _figure(
        self,
        promise: str,
        what: str,
        count: int,
        unit: str,
        account: Account,
        is_good: bool,
        note: str,
        *,
        is_control: bool = False,
    ) -> Figure:
        seconds = round(time.monotonic() - self.began, 1)
        lost, doubled, uncaught = account.lost, account.doubled, account.uncaught
        return Figure(
            promise, what, count, unit, lost, doubled, uncaught, self.seed, seconds, is_good, is_control, note
        )

    def _enter(self, figure: Figure) -> None:
        kind = "control: " if figure.is_control else ""
        print(
            f"{figure.promise} {kind}{figure.what}: {figure.count} {figure.unit}, {figure.lost} lost, "
            f"{figure.doubled} doubled, {figure.uncaught} uncaught, {figure.seconds} s {figure.note}"
        )
        self._write(figure.line())

    def _write(self, line: str) -> None:
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
