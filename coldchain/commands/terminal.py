"""What commands share: words and colours of verdicts, progress on a terminal, options that are instants or zones."""

from __future__ import annotations

import getpass
import sys
import time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from coldchain.errors import BadInput
from coldchain.instant import instant_ms

VERDICT_STYLE = {"within_label": "green", "within_allowance": "yellow", "indeterminate": "magenta", "outside": "red"}


def now_ms() -> int:
    """The clock of a command [ms UTC]."""
    return time.time_ns() // 1_000_000


def who() -> str:
    """The operating system's name of the person at the keyboard, for the audit entry."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def instant(text: str | None, option: str) -> int | None:
    """The instant given to an option, None if none was; BadInput names the option."""
    if text is None:
        return None
    try:
        return instant_ms(text)
    except ValueError as exc:
        raise BadInput(str(exc), key=option, value=text) from exc


def zone(name: str | None) -> ZoneInfo | None:
    """The time zone of that IANA name, None if none was given."""
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise BadInput("no such time zone: write an IANA name such as Europe/Zurich", key="--zone", value=name) from exc


def progress() -> Progress:
    """Progress on stderr, only where a person watches."""
    columns = SpinnerColumn(), TextColumn("{task.description} {task.completed}"), TimeElapsedColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def print_json(document: Any) -> None:
    """One JSON document on stdout and nothing else."""
    sys.stdout.flush()
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def verdict_text(verdict: str, known_ms: int) -> str:
    """A verdict in its colour; where nothing is known at all it says so."""
    style = VERDICT_STYLE[verdict]
    return f"[{style}]{verdict}[/]" + ("" if known_ms else " (no data)")
