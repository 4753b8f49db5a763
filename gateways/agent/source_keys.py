"""The keys of a `[[source]]` in the settings file."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateways.agent.settings import FolderSource, HttpSource, SimulatedSource, SourceSettings
from gateways.decoders import mapping_file
from gateways.decoders.documents import MAX_PAYLOAD_BYTES
from gateways.decoders.toml_table import Table, matching, one_of, positive, several, text
from gateways.files import ORDERS
from gateways.files import load as load_file_mapping

LEVEL = matching(re.compile(r"[a-z0-9-]{1,64}", re.ASCII), "lower-case letters, digits and hyphens")
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::(?P<port>\d{1,5}))?(?P<target>/[!-~]*)?"
)


def source(table: Table, number: int, file: Callable[[Any], Path]) -> SourceSettings:
    """One source; `number` is its place in the file, which names it if nothing else does."""
    kind = table.take("kind", one_of(("folder", "http", "simulated")))
    name = table.take("name", LEVEL, f"{kind}-{number}")
    if kind == "folder":
        return _folder(table, name, file)
    if kind == "http":
        return _http(table, name, file)
    loggers = table.take("loggers", several(LEVEL))
    found = SimulatedSource(name, loggers, table.take("seed", positive, 1), table.take("every_s", seconds, 60.0))
    table.end()
    return found


def _folder(table: Table, name: str, file: Callable[[Any], Path]) -> FolderSource:
    logger = table.maybe("logger", LEVEL)
    serials = table.maybe("serials", _serials) or ()
    if (logger is None) == (not serials):
        raise table.refuse("logger", "give either logger, or serials: whose files lie in the folder")
    mapping = table.maybe("mapping", file)
    found = FolderSource(
        name=name,
        folder=table.take("folder", file),
        logger=logger,
        serials=serials,
        zone=table.maybe("zone", _zone),
        order=table.maybe("date_order", one_of(ORDERS)),
        mapping=None if mapping is None else load_file_mapping(mapping),
        every_s=table.take("every_s", seconds, 10.0),
        settle_s=table.take("settle_s", seconds, 10.0),
    )
    table.end()
    return found


def _http(table: Table, name: str, file: Callable[[Any], Path]) -> HttpSource:
    url = table.take("url", _url)
    times = table.raw("time") or [{"clock": "received"}]
    is_stamped = all(isinstance(one, dict) and one.get("clock") == "received" for one in times)
    if not is_stamped and any(isinstance(one, dict) and one.get("clock") == "received" for one in times):
        raise table.refuse("time", 'clock = "received" excludes other clocks: a reading has one clock')
    mapping = table.under(
        {
            "name": "http",
            "topics": ["poll/+"],
            "logger": {"topic_level": 2},
            "time": times,
            "reading": table.raw("reading") or [],
            "sentinel": table.raw("sentinel") or [],
        }
    )
    found = HttpSource(
        name=name,
        logger=table.take("logger", LEVEL),
        host=url["host"].strip("[]"),
        port=int(url["port"] or (443 if url["scheme"] == "https" else 80)),
        target=url["target"] or "/",
        is_https=url["scheme"] == "https",
        ca_file=table.maybe("ca_file", file),
        authorization_file=table.maybe("authorization_file", file),
        mapping=mapping_file.from_table(mapping),
        is_stamped=is_stamped,
        every_s=table.take("every_s", seconds, 60.0),
        timeout_s=table.take("timeout_s", seconds, 10.0),
        max_bytes=table.take("max_bytes", positive, MAX_PAYLOAD_BYTES),
    )
    table.end()
    return found


def file_in(folder: Path) -> Callable[[Any], Path]:
    """Reads a file name relative to a folder."""
    return lambda value: folder / text(value)


def seconds(value: object) -> float:
    """The value as a duration [s]."""
    if not isinstance(value, int | Decimal) or isinstance(value, bool) or not 0 < value <= 86_400:
        raise ValueError("must be a number of seconds, more than 0 and at most 86400")
    return float(value)


def _zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(text(value))
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise ValueError("no such time zone: an IANA name such as Europe/Zurich") from exc


def _serials(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not value:
        raise ValueError('must be a table: serials = { "20012345" = "lg-1001" }')
    return tuple((serial, LEVEL(logger)) for serial, logger in value.items())


def _url(value: object) -> re.Match[str]:
    match = _URL.fullmatch(text(value))
    if match is None or int(match["port"] or 80) > 65535:
        raise ValueError("must be a plain address, such as http://192.168.1.20/api/readings, without a password in it")
    return match
