"""Who may do what with a ledger at the same time: flocks on files beside it, gone with the process that held them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coldchain.errors import EnvironmentFailed


def open_lock(path: Path, suffix: str) -> int:
    """The file of one lock, open; closing it lets go."""
    return os.open(f"{path}.{suffix}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)


@contextmanager
def writing(lock: int) -> Iterator[None]:
    """Hold the lock of one write transaction, waiting for it."""
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Say that the ledger is open: it must not be replaced meanwhile."""
    with _held(path, "in-use", fcntl.LOCK_SH, "is being restored"):
        yield


@contextmanager
def being_replaced(path: Path) -> Iterator[None]:
    """Say that the ledger is being replaced: nobody may have it open."""
    with _held(path, "in-use", fcntl.LOCK_EX, "is in use: stop the service and every command first"):
        yield


@contextmanager
def only_service(path: Path) -> Iterator[None]:
    """Say that this process serves the ledger: two would only rebuild each other's state for ever."""
    with _held(path, "service", fcntl.LOCK_EX, "another coldchain service runs on it"):
        yield


@contextmanager
def _held(path: Path, suffix: str, how: int, otherwise: str) -> Iterator[None]:
    try:
        lock = open_lock(path, suffix)
    except OSError as exc:
        raise EnvironmentFailed(f"ledger {path}", str(exc)) from exc
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(lock)
        raise EnvironmentFailed(f"ledger {path}", otherwise) from exc
    try:
        yield
    finally:
        os.close(lock)
