"""Logger files: what readings does a file from a data logger hold? The family is told by content, not by name."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

from coldchain.errors import BadInput
from gateways.files import berlinger, csv_table, elitech, text_table
from gateways.files.clock import ORDERS, Order
from gateways.files.csv_table import Declared
from gateways.files.logger_file import DaySummary, LoggerFile
from gateways.files.mapping import ChannelColumn, Mapping, TimeColumns, built_in, dump, load, parse

__all__ = [
    "ORDERS",
    "ChannelColumn",
    "DaySummary",
    "Declared",
    "LoggerFile",
    "Mapping",
    "Order",
    "TimeColumns",
    "built_in",
    "dump",
    "load",
    "parse",
    "read_logger_content",
    "read_logger_file",
]


def read_logger_file(
    path: Path,
    *,
    logger: str,
    zone: ZoneInfo | None,
    mapping: Mapping | None = None,
    order: Order | None = None,
    repeats_in_order: bool = False,
) -> LoggerFile:
    """The readings and the vendor's summary in a logger's file.

    Parameters
    ----------
    path : the file as it came from the device
    logger : the registry's id of the device, which the readings are to carry
    zone : the time zone of the device's clock, as the operator declares it; None where the file must say so itself
    mapping : how to read a text export; None for the known families
    order : of day, month and year in a text export, as the operator declares it
    repeats_in_order : see `gateways.files.clock.Clock`

    Raises
    ------
    BadInput : unreadable, of no known family, a malformed row, or a time that names no one instant
    """
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise BadInput(f"cannot be read: {exc.strerror}", file=str(path)) from exc
    declared = Declared(zone, order, repeats_in_order)
    return read_logger_content(content, file=str(path), logger=logger, declared=declared, mapping=mapping)


def read_logger_content(
    content: bytes, *, file: str, logger: str, declared: Declared, mapping: Mapping | None = None
) -> LoggerFile:
    """The same of bytes that are at hand already; `file` names them in errors."""
    if mapping is not None:
        return csv_table.read(content, file=file, logger=logger, mapping=mapping, declared=declared)
    if berlinger.recognises(content):
        return berlinger.read(content, file=file, logger=logger, zone=declared.zone)
    if elitech.recognises(content):
        return elitech.read(content, file=file, logger=logger, declared=declared)
    text = text_table.decode(content, file)
    for known in built_in():
        table = csv_table.find(text.content, known, file)
        if table is not None:
            return csv_table.read_table(
                table, text, content, file=file, logger=logger, mapping=known, declared=declared
            )
    families = ", ".join((berlinger.FAMILY_TITLE, elitech.FAMILY_TITLE, *(each.title for each in built_in())))
    raise BadInput(f"not a logger file of a known family ({families}); for any other make a mapping", file=file)
