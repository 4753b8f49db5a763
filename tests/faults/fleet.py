"""What gateways of a test measure and send: loggers, kits and messages that one seed decides."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from coldchain.readings import ReadingBatch
from gateways.decoders import decode
from service_values import MINUTE_MS, RULES, START_MS

LONGEST = 5
"""Readings in one message, at most."""

MINUTES = 450
"""Of one logger; the custody of its kits lasts 480."""

LATER_MS = START_MS + 600 * MINUTE_MS
"""After everything has been measured."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One message: its number, where it goes, what it holds, and which sequence numbers are in it."""

    number: int
    gateway: str
    logger: str
    boot: int
    first: int
    last: int
    payload: bytes

    @property
    def topic(self) -> str:
        return f"coldchain/v1/basel/{self.gateway}/{self.logger}/readings"

    def batches(self) -> tuple[ReadingBatch, ...]:
        """What the service must find in it."""
        return decode(self.topic, self.payload, LATER_MS)


class Fleet:
    """Loggers with one place and two kits each; a few at a time are active, until their kits' custody nearly ends."""

    def __init__(self, loggers: int, seed: int, *, at_once: int = 8, gateways: int = 2) -> None:
        self.loggers = [f"lg-{number}" for number in range(loggers)]
        self._chance = random.Random(seed)  # noqa: S311 (no secret)
        self._at_once, self._gateways = at_once, gateways

    @staticmethod
    def loggers_for(messages: int) -> int:
        """How many loggers that many messages need."""
        return 8 + messages * LONGEST // MINUTES + 1

    def registry(self) -> str:
        """All of them, with custody that has ended, so that silence up to the present does not count."""
        parts = []
        for logger in self.loggers:
            place, kits = f"place-{logger}", [f"K-{logger}-a", f"K-{logger}-b"]
            parts.append(f'[[logger]]\nid = "{logger}"\nlogging_interval = "1min"\n')
            parts.append(f'[[place]]\nid = "{place}"\nkind = "storage"\n')
            parts.append(f'[[monitoring]]\nplace = "{place}"\nlogger = "{logger}"\nfrom = 2026-03-01T00:00:00Z\n')
            parts += [f'[[kit]]\nid = "{kit}"\nbatch = "B22"\ntrial = "TRIAL-7"\nprofile = "mab-017"\n' for kit in kits]
            parts.append(
                f'[[custody]]\nkits = {json.dumps(kits)}\nplace = "{place}"\n'
                "from = 2026-03-01T10:00:00Z\nto = 2026-03-01T18:00:00Z\n"
            )
        return "".join(parts)

    @contextmanager
    def rules_folder(self) -> Iterator[Path]:
        with TemporaryDirectory() as folder:
            (Path(folder) / "mab-017.toml").write_text(RULES, encoding="utf-8")
            yield Path(folder)

    def messages(self, count: int) -> Iterator[Sent]:
        """The next messages, neighbours out of order now and then; each holds 1 to 5 readings."""
        waiting: list[Sent] = []
        waiting_for = iter(self.loggers)
        active = [(logger, 0, 5000) for _, logger in zip(range(self._at_once), waiting_for, strict=False)]
        for number in range(count):
            which = self._chance.randrange(len(active))
            logger, minute, level = active[which]
            readings = min(self._chance.randint(1, LONGEST), MINUTES - minute)
            if self._chance.random() < 0.15:
                level = self._chance.choice((1000, 4000, 5000, 5000, 8000, 9000, 26_000))
            mc = [
                None if self._chance.random() < 0.01 else level + self._chance.randint(-50, 50) for _ in range(readings)
            ]
            document = {
                "v": 1,
                "logger": logger,
                "channel": "1",
                "boot": 3,
                "seq": minute + 1,
                "t0": START_MS + minute * MINUTE_MS,
                "every": MINUTE_MS,
                "mc": mc,
            }
            gateway = f"gw-{int(logger.removeprefix('lg-')) % self._gateways}"
            body = json.dumps(document).encode()
            waiting.append(Sent(number, gateway, logger, 3, minute + 1, minute + readings, body))
            minute += readings
            active[which] = (logger, minute, level) if minute < MINUTES else (next(waiting_for), 0, 5000)
            while len(waiting) > self._chance.randint(0, 4):
                yield waiting.pop(self._chance.randrange(len(waiting)))
        yield from waiting
