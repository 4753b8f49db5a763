"""A folder into which a logger's software drops files: each one is read once, and nothing in it is ever lost."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from coldchain.errors import BadInput
from coldchain.readings import ReadingBatch
from gateways.agent.settings import MIB, FolderSource
from gateways.agent.sources import Taken
from gateways.files import Declared, LoggerFile, read_logger_content
from gateways.simulator.recorder import parts, piece

LARGEST_BYTES = 64 * MIB
AT_ONCE = 10_000
"""Readings that are handed over at once. A crash in mid-file means that it is read again from its beginning."""

UNREADABLE = "unreadable"
_SHA, _FILE = "sha256:", "file:"


@dataclass(slots=True)
class _Look:
    """A file as it was last seen: size and time of change, since when they stand [s, monotonic], whether it is done."""

    mark: tuple[int, int]
    since_s: float
    is_done: bool = False


class Folder:
    """Files stay where they are; those that cannot be read are moved into `unreadable/`, the reason beside them."""

    def __init__(self, settings: FolderSource, memory: Mapping[str, str], clock_s: Callable[[], float]) -> None:
        self.name, self.every_s = settings.name, settings.every_s
        self._settings, self._memory, self._clock_s = settings, dict(memory), clock_s
        self._declared = Declared(settings.zone, settings.order)
        self._looks: dict[str, _Look] = {}

    def take(self) -> Iterator[Taken]:
        """The new readings, file by file, the oldest first."""
        problem = ""
        try:
            settled = self._settled()
        except OSError as exc:
            yield Taken(problem=f"{self._settings.folder} cannot be read: {exc.strerror}")
            return
        for path in settled:
            look = self._looks[path.name]
            try:
                content = self._content(path, look)
            except OSError as exc:
                problem = f"{_shown(path)} cannot be read: {exc.strerror}"
                continue
            if content is None:
                continue
            digest = hashlib.sha256(content).hexdigest()
            if _SHA + digest not in self._memory:
                try:
                    taken = self._read(path, content, digest)
                except BadInput as exc:
                    problem = self._put_aside(path, digest, str(exc)) or problem
                    look.is_done = True
                    continue
                yield from _pieces(taken)
                self._memory.update(taken.memory)
            look.is_done = True
        yield Taken(problem=problem or self._unreadable())

    def _settled(self) -> list[Path]:
        """Files that nobody has written to for a while: what is still being written is left for later."""
        now_s, settled = self._clock_s(), []
        found: dict[str, _Look] = {}
        with os.scandir(self._settings.folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.is_file():
                    continue
                status = entry.stat()
                mark = status.st_size, status.st_mtime_ns
                look = self._looks.get(entry.name)
                if look is None or look.mark != mark:
                    look = _Look(mark, now_s)
                found[entry.name] = look
                if not look.is_done and now_s - look.since_s >= self._settings.settle_s:
                    settled.append((status.st_mtime_ns, Path(entry.path)))
        self._looks = found
        return [path for _, path in sorted(settled)]

    def _content(self, path: Path, look: _Look) -> bytes | None:
        """The bytes of a file; None if somebody wrote to it meanwhile."""
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
            status = os.fstat(file.fileno())
        return content if (status.st_size, status.st_mtime_ns) == look.mark else None

    def _read(self, path: Path, content: bytes, digest: str) -> Taken:
        if len(content) > LARGEST_BYTES:
            raise BadInput(f"more than {LARGEST_BYTES // MIB} MiB", file=_shown(path))
        try:
            found = read_logger_content(
                content,
                file=_shown(path),
                logger=self._settings.logger or "unknown",
                declared=self._declared,
                mapping=self._settings.mapping,
            )
        except BadInput:
            raise
        except Exception as exc:  # one file must not keep all others from being read; it is kept and reported
            raise BadInput(f"its reader failed: {type(exc).__name__}: {exc}", file=_shown(path)) from exc
        batches = [replace(batch, logger=self._logger(found, path)) for batch in found.batches]
        for batch in batches:
            if not (1 <= len(batch.channel) <= 64 and batch.channel.isprintable() and "/" not in batch.channel):
                raise BadInput(
                    "no name for a channel on the wire", file=_shown(path), key="channel", value=batch.channel
                )
        known = json.loads(self._memory.get(_FILE + _shown(path.name), "{}"))
        memory = {
            _SHA + digest: "",
            _FILE + _shown(path.name): json.dumps({one.channel: _fingerprint(one) for one in batches}),
        }
        return Taken(tuple(_new(batch, known.get(batch.channel)) for batch in batches), memory=memory)

    def _logger(self, found: LoggerFile, path: Path) -> str:
        if self._settings.logger is not None:
            return self._settings.logger
        for serial, logger in self._settings.serials:
            if serial == found.serial:
                return logger
        raise BadInput(
            "`serials` names no logger for it", file=_shown(path), key="serial", value=found.serial or "none"
        )

    def _put_aside(self, path: Path, digest: str, reason: str) -> str:
        """Move a file out of the way; what went wrong with that, if anything."""
        aside = path.parent / UNREADABLE
        try:
            aside.mkdir(exist_ok=True)
            # The hash keeps two files of one name apart.
            kept = aside / f"{digest[:12]}-{path.name}"
            kept.with_name(kept.name + ".reason").write_text(reason + "\n", encoding="utf-8")
            path.rename(kept)
        except OSError as exc:
            return f"{reason}; it cannot be moved to {aside}: {exc.strerror}"
        return ""

    def _unreadable(self) -> str:
        """The files that wait for a person to look at them."""
        aside = self._settings.folder / UNREADABLE
        try:
            reasons = sorted(aside.glob("*.reason"))
            if not reasons:
                return ""
            return f"{len(reasons)} files in {aside}, such as {reasons[0].read_text(encoding='utf-8').strip()[:300]}"
        except OSError as exc:
            return f"{aside} cannot be read: {exc.strerror}"


def _shown(path: str | Path) -> str:
    """A path as text that every message and the spool can hold, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _pieces(taken: Taken) -> Iterator[Taken]:
    """The same, a bounded number of readings at once; what is to be remembered comes with the last of them."""
    if sum(map(len, taken.batches)) <= AT_ONCE:
        yield taken
        return
    for batch in taken.batches:
        for part in parts(batch, AT_ONCE):
            yield Taken((part,))
    yield Taken(memory=taken.memory)


def _fingerprint(batch: ReadingBatch) -> list[object]:
    """How many readings there are, and the hash of them all."""
    return [len(batch), hashlib.sha256(batch.at_ms.tobytes() + batch.temperature_mc.tobytes()).hexdigest()]


def _new(batch: ReadingBatch, known: list[object] | None) -> ReadingBatch:
    """What a file holds beyond its earlier version, where it is that version and more; else all of it."""
    if known is None or not isinstance(known[0], int) or known[0] > len(batch):
        return batch
    before = piece(batch, 0, known[0])
    return piece(batch, known[0], len(batch)) if _fingerprint(before) == known else batch
