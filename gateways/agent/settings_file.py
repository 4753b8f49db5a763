"""The settings file: TOML, checked by hand, every mistake one line with file, line, key and value."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from coldchain.errors import BadInput
from gateways.agent.settings import (
    MIB,
    LoggerMeta,
    Mqtt,
    Pace,
    Settings,
    Store,
)
from gateways.agent.source_keys import LEVEL, file_in, seconds, source
from gateways.decoders.toml_table import Table, one_of, positive, text
from gateways.decoders.values import MAX_READINGS

SMALLEST_MIB = 16
_RESERVED = {"alerts", "events", "service"}
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
    file = file_in(path.parent)
    site, gateway = top.take("site", _site), top.take("gateway", LEVEL)
    settings = Settings(
        file=str(path),
        site=site,
        gateway=gateway,
        mqtt=_mqtt(top.table("mqtt"), file),
        store=_store(top.table("spool"), file),
        pace=_pace(top),
        sources=tuple(source(one, number, file) for number, one in enumerate(top.tables("source"), start=1)),
        loggers=tuple(map(_meta, top.tables("logger"))),
        status_every_s=top.take("status_every_s", seconds, 60.0),
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
        retry_s=table.take("retry_s", seconds, usual.retry_s),
        longest_retry_s=table.take("longest_retry_s", seconds, usual.longest_retry_s),
    )
    table.end()
    if pace.batch > MAX_READINGS:
        raise table.refuse("batch", f"a message holds at most {MAX_READINGS} readings", pace.batch)
    return pace


def _meta(table: Table) -> LoggerMeta:
    meta = LoggerMeta(
        logger=table.take("id", LEVEL),
        serial=table.maybe("serial", text),
        interval_s=table.maybe("interval_s", positive),
        calibration_due=table.maybe("calibration_due", _date),
        firmware=table.maybe("firmware", text),
    )
    table.end()
    return meta


def _site(value: object) -> str:
    if value in _RESERVED:
        raise ValueError("this name is taken by the service's own topics")
    return LEVEL(value)


def _spool_mib(value: object) -> int:
    if positive(value) < SMALLEST_MIB:
        raise ValueError(f"must be at least {SMALLEST_MIB}")
    return positive(value)


def _port(value: object) -> int:
    if positive(value) > 65535:
        raise ValueError("must be a port, 1 to 65535")
    return positive(value)


def _date(value: object) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError("must be a date, such as 2027-01-31")
    return value


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
