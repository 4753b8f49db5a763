"""The errors of the house: few classes, their data as attributes, one line when shown to a person."""

from __future__ import annotations


class ColdchainError(Exception):
    """Any failure that a user is told about in one line."""

    exit_code = 1


class BadInput(ColdchainError):
    """A file, a line, a key or a value that a person wrote is not usable as it stands."""

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        file: str | None = None,
        line: int | None = None,
        key: str | None = None,
        value: object | None = None,
    ) -> None:
        self.problem, self.file, self.line, self.key, self.value = problem, file, line, key, value
        super().__init__(str(self))

    def __str__(self) -> str:
        where = [self.file or ""] + ([str(self.line)] if self.line is not None else [])
        what = self.key or ""
        if self.value is not None:
            what += f" = {self.value!r}" if what else repr(self.value)
        return ": ".join(part for part in (":".join(filter(None, where)), what, self.problem) if part)


class EnvironmentFailed(ColdchainError):
    """The broker, the store or the disk does not do its part."""

    exit_code = 3

    def __init__(self, part: str, problem: str) -> None:
        self.part, self.problem = part, problem
        super().__init__(f"{part}: {problem}")


class RejectedPayload(ColdchainError):
    """A message that no decoder can turn into readings; it is kept with this reason."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}" if detail else reason)
