"""The settings file: TOML, checked by hand, every mistake one line with file, line, key and value."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from coldchain.errors import BadInput
from gateways.agent.settings import (
    MIB,
    FolderSource,
    HttpSource,
    LoggerMeta,
    Mqtt,
    Pace,
    Settings,
    SimulatedSource,
    SourceSettings,
    Store,
)
from gateways.decoders import mapping_file
from gateways.decoders.documents import MAX_PAYLOAD_BYTES
from gateways.decoders.native import MAX_READINGS
from gateways.decoders.toml_table import Table, matching, one_of, positive, several, text
from gateways.files import ORDERS
from gateways.files import load as load_file_mapping

SMALLEST_MIB = 16
_LEVEL = matching(re.compile(r"[a-z0-9-]{1,64}", re.ASCII), "lower-case letters, digits and hyphens")
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::(?P<port>\d{1,5}))?(?P<target>/[!-~]*)?"
)
_RESERVED = {"alerts", "events"}
"""Sites of these names would open the service's own topics at the broker."""


def load(path: Path) -> Settings:
    """The settings in a file; BadInput names the first mistake."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"cannot be read: {exc}", file=str(path)) from exc
    return parse(content, path)


def parse(content: str, path: Path) -> Settings:
    """The settings that a text states; file names in it are relative to the folder of `path`."""
    try:
        written = tomllib.loads(content, parse_float=Decimal)
    except tomllib.TOMLDecodeError as exc:
        raise BadInput(f"not valid TOML: {exc}", file=str(path)) from exc
    try:
        return _settings(Table(written, str(path), ""), path)
    except BadInput as exc:
        if exc.file != str(path) or exc.key is None:
            raise
        raise BadInput(
            exc.problem, file=exc.file, line=_line(content, exc.key), key=exc.key, value=exc.value
        ) from exc.__cause__


def _settings(top: Table, path: Path) -> Settings:
    file = _file(path.parent)
    site, gateway = top.take("site", _site), top.take("gateway", _LEVEL)
    settings = Settings(
        file=str(path),
        site=site,
        gateway=gateway,
        mqtt=_mqtt(top.table("mqtt"), file),
        store=_store(top.table("spool"), file),
        pace=_pace(top),
        sources=tuple(_source(one, number, file) for number, one in enumerate(top.tables("source"), start=1)),
        loggers=tuple(map(_meta, top.tables("logger"))),
        status_every_s=top.take("status_every_s", _seconds, 60.0),
        log=top.take("log", one_of(("info", "warning")), "info"),
    )
    top.end()
    if not settings.sources:
        raise top.refuse("source", "is missing: at least one [[source]] says where readings come from")
    _all_different(top, "logger", [one.logger for one in settings.loggers])
    _all_different(top, "source", [one.name for one in settings.sources])
    return settings


def _all_different(top: Table, key: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise top.refuse(key, f"two are named {name!r}")


def _mqtt(table: Table, file: Callable[[Any], Path]) -> Mqtt:
    mqtt = Mqtt(
        host=table.take("host", text),
        port=table.take("port", _port, 8883),
        password_file=table.maybe("password_file", file),
        ca_file=table.maybe("ca_file", file),
        cert_file=table.maybe("cert_file", file),
        key_file=table.maybe("key_file", file),
    )
    table.end()
    if (mqtt.cert_file is None) != (mqtt.key_file is None):
        raise table.refuse("cert_file", "cert_file and key_file belong together")
    if mqtt.cert_file is not None and mqtt.ca_file is None:
        raise table.refuse("ca_file", "is missing: a client certificate goes with TLS, and TLS with ca_file")
    return mqtt


def _store(table: Table, file: Callable[[Any], Path]) -> Store:
    store = Store(
        path=table.take("path", file),
        max_bytes=MIB * table.take("max_mib", _spool_mib, 1024),
        keep_free_bytes=MIB * table.take("keep_free_mib", positive, 256),
    )
    table.end()
    return store


def _pace(top: Table) -> Pace:
    if not top.has("sending"):
        return Pace()
    table, usual = top.table("sending"), Pace()
    pace = Pace(
        backlog_per_s=table.take("backlog_per_s", positive, usual.backlog_per_s),
        backlog_in_flight=table.take("backlog_in_flight", positive, usual.backlog_in_flight),
        live_in_flight=table.take("live_in_flight", positive, usual.live_in_flight),
        batch=table.take("batch", positive, usual.batch),
        retry_s=table.take("retry_s", _seconds, usual.retry_s),
        longest_retry_s=table.take("longest_retry_s", _seconds, usual.longest_retry_s),
    )
    table.end()
    if pace.batch > MAX_READINGS:
        raise table.refuse("batch", f"a message holds at most {MAX_READINGS} readings", pace.batch)
    return pace


def _source(table: Table, number: int, file: Callable[[Any], Path]) -> SourceSettings:
    kind = table.take("kind", one_of(("folder", "http", "simulated")))
    name = table.take("name", _LEVEL, f"{kind}-{number}")
    if kind == "folder":
        return _folder(table, name, file)
    if kind == "http":
        return _http(table, name, file)
    loggers = table.take("loggers", several(_LEVEL))
    found = SimulatedSource(name, loggers, table.take("seed", positive, 1), table.take("every_s", _seconds, 60.0))
    table.end()
    return found


def _folder(table: Table, name: str, file: Callable[[Any], Path]) -> FolderSource:
    logger = table.maybe("logger", _LEVEL)
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
        every_s=table.take("every_s", _seconds, 10.0),
        settle_s=table.take("settle_s", _seconds, 10.0),
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
        logger=table.take("logger", _LEVEL),
        host=url["host"].strip("[]"),
        port=int(url["port"] or (443 if url["scheme"] == "https" else 80)),
        target=url["target"] or "/",
        is_https=url["scheme"] == "https",
        ca_file=table.maybe("ca_file", file),
        authorization_file=table.maybe("authorization_file", file),
        mapping=mapping_file.from_table(mapping),
        is_stamped=is_stamped,
        every_s=table.take("every_s", _seconds, 60.0),
        timeout_s=table.take("timeout_s", _seconds, 10.0),
        max_bytes=table.take("max_bytes", positive, MAX_PAYLOAD_BYTES),
    )
    table.end()
    return found


def _meta(table: Table) -> LoggerMeta:
    meta = LoggerMeta(
        logger=table.take("id", _LEVEL),
        serial=table.maybe("serial", text),
        interval_s=table.maybe("interval_s", positive),
        calibration_due=table.maybe("calibration_due", _date),
        firmware=table.maybe("firmware", text),
    )
    table.end()
    return meta


def _file(folder: Path) -> Callable[[Any], Path]:
    return lambda value: folder / text(value)


def _site(value: object) -> str:
    if value in _RESERVED:
        raise ValueError("this name is taken by the service's own topics")
    return _LEVEL(value)


def _spool_mib(value: object) -> int:
    if positive(value) < SMALLEST_MIB:
        raise ValueError(f"must be at least {SMALLEST_MIB}")
    return positive(value)


def _port(value: object) -> int:
    if positive(value) > 65535:
        raise ValueError("must be a port, 1 to 65535")
    return positive(value)


def _seconds(value: object) -> float:
    if not isinstance(value, int | Decimal) or isinstance(value, bool) or not 0 < value <= 86_400:
        raise ValueError("must be a number of seconds, more than 0 and at most 86400")
    return float(value)


def _zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(text(value))
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise ValueError("no such time zone: an IANA name such as Europe/Zurich") from exc


def _date(value: object) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError("must be a date, such as 2027-01-31")
    return value


def _serials(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not value:
        raise ValueError('must be a table: serials = { "20012345" = "lg-1001" }')
    return tuple((serial, _LEVEL(logger)) for serial, logger in value.items())


def _url(value: object) -> re.Match[str]:
    match = _URL.fullmatch(text(value))
    if match is None or int(match["port"] or 80) > 65535:
        raise ValueError("must be a plain address, such as http://192.168.1.20/api/readings, without a password in it")
    return match


def _line(content: str, key: str) -> int | None:
    """The line on which a key such as `source[2].url` stands; that of its table if the key is missing."""
    *tables, last = key.split(".")
    found, start = None, 0
    lines = content.splitlines()
    for table in tables:
        name, _, number = table.removesuffix("]").partition("[")
        heads = [
            i for i in range(start, len(lines)) if re.match(rf"\s*\[+\s*([\w.-]+\.)?{re.escape(name)}\s*\]", lines[i])
        ]
        position = int(number or 1) - 1
        if position >= len(heads):
            break
        start = found = heads[position]
    name = last.partition("[")[0]
    for i in range(start, len(lines)):
        if re.match(rf"\s*\[+\s*([\w.-]+\.)?{re.escape(name)}\s*\]", lines[i]):
            return i + 1
        if i > start and found is not None and re.match(r"\s*\[", lines[i]):
            break
        is_inside = found is not None or not any(re.match(r"\s*\[", line) for line in lines[:i])
        if is_inside and re.match(rf'\s*"?{re.escape(name)}"?\s*=', lines[i]):
            return i + 1
    return None if found is None else found + 1
