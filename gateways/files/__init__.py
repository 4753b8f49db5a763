"""Logger files: what readings does a file from a data logger hold? The family is told by content, not by name."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from coldchain.errors import BadInput
from gateways.files import berlinger
from gateways.files.logger_file import DaySummary, LoggerFile

__all__ = ["DaySummary", "LoggerFile", "read_logger_file"]


def read_logger_file(path: Path, *, logger: str, zone: ZoneInfo | None) -> LoggerFile:
    """The readings and the vendor's summary in a logger's file.

    Parameters
    ----------
    path : the file as it came from the device
    logger : the registry's id of the device, which the readings are to carry
    zone : the time zone of the device's clock, as the operator declares it; None where the file must say so itself

    Raises
    ------
    BadInput : unreadable, of no known family, a malformed row, or a time that names no one instant
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise BadInput(f"cannot be read: {exc.strerror}", file=str(path)) from exc
    if berlinger.recognises(content):
        return berlinger.read(content, file=str(path), logger=logger, zone=zone)
    raise BadInput(f"not a logger file of a known family ({berlinger.FAMILY_TITLE})", file=str(path))
