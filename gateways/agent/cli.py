"""`coldchain-gateway`: run the agent, or look at its spool.

Exit codes: 0 done, 1 an unexpected end, 2 a mistake in settings or arguments, 3 broker, spool or disk.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from coldchain.errors import ColdchainError, EnvironmentFailed
from gateways.agent import settings_file
from gateways.agent.agent import Agent
from gateways.agent.flow import Now
from gateways.agent.settings import FolderSource, HttpSource, Settings, SourceSettings
from gateways.agent.sources import Source
from gateways.agent.sources.folder import Folder
from gateways.agent.sources.http import Http
from gateways.agent.sources.simulated import Simulated
from gateways.agent.spool import Spool
from gateways.agent.status import look

log = logging.getLogger("coldchain-gateway")


def now() -> Now:
    """The present instant by both clocks."""
    return Now(time.monotonic(), now_ms())


def now_ms() -> int:
    """The wall clock [ms UTC]."""
    return time.time_ns() // 1_000_000


def open_spool(settings: Settings) -> tuple[Spool, str]:
    """The spool, and what was wrong with the file before it, if anything.

    A damaged file is moved aside, never deleted, and a new one begun: the site must not stay without a gateway.
    """
    path = settings.store.path

    def opened() -> Spool:
        return Spool(
            settings.store,
            settings.site,
            settings.gateway,
            now_ms,
            secrets.randbits,
            lambda: shutil.disk_usage(path.parent).free,
        )

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return opened(), ""
        except sqlite3.OperationalError as exc:  # no damage: the disk is full, or rights are missing
            raise EnvironmentFailed("spool", f"{path}: {exc}") from exc
        except sqlite3.DatabaseError as exc:
            aside = path.with_name(f"{path.name}.damaged-{now_ms()}-{secrets.token_hex(4)}")
            for ending in ("-wal", "-shm", ""):
                if (part := path.with_name(path.name + ending)).exists():
                    part.rename(aside.with_name(aside.name + ending))
            return opened(), f"the spool was damaged ({exc}) and is kept as {aside}; readings in it were not published"
    except OSError as exc:
        raise EnvironmentFailed("spool", f"{path}: {exc.strerror}") from exc


def source_of(settings: SourceSettings, spool: Spool) -> Source:
    """The source that settings describe, with what it remembers."""
    match settings:
        case FolderSource():
            return Folder(settings, spool.memory(settings.name), time.monotonic)
        case HttpSource():
            return Http(settings, spool.memory(settings.name), now_ms)
        case _:
            return Simulated(settings, now_ms)


def run(settings: Settings) -> None:
    """Be the gateway until SIGTERM or SIGINT."""
    level = logging.INFO if settings.log == "info" else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(message)s", stream=sys.stderr)
    spool, damage = open_spool(settings)
    try:
        agent = Agent(settings, spool, now)
        agent.alarms.set("spool_damaged", damage)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: agent.stop())
        log.info("%s/%s: %d readings pending", settings.site, settings.gateway, spool.counts.pending)
        agent.run([source_of(one, spool) for one in settings.sources])
        log.info("stopped; %d readings pending", spool.counts.pending)
    finally:
        spool.close()


def requeue(settings: Settings) -> int:
    """Give what the service had refused another try; how many readings."""
    spool, damage = open_spool(settings)
    try:
        if damage:
            raise EnvironmentFailed("spool", damage)
        return spool.requeue()
    finally:
        spool.close()


def status(settings: Settings, *, as_json: bool) -> str:
    """What the spool holds and what the agent said last."""
    found = look(settings.store.path)
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() if as_json else "\n".join(_lines(found))


def _lines(found: dict[str, Any]) -> list[str]:
    said = found["status"]
    lines = []
    if said is None:
        lines.append("the agent has said nothing yet")
    else:
        offset = said["clock_offset"]
        shown = "not known yet" if offset is None else f"{offset / 1000:+.1f} s"
        lines.append(f"{'running' if said['online'] else 'stopped'} at {_iso(said['at'])}, clock offset {shown}")
        lines += [f"ALARM {one['alarm']} since {_iso(one['since'])}: {one['problem']}" for one in said["alarms"]]
    for one in found["channels"]:
        kept = f", measured {_iso(one['oldest'])} to {_iso(one['newest'])}" if one["pending"] else ""
        lines.append(f"{one['logger']} channel {one['channel']}: {one['pending']} readings pending{kept}")
    for one in found["dropped"]:
        numbers, span = f"{one['from']} to {one['to']}", f"{_iso(one['first'])} to {_iso(one['last'])}"
        lines.append(f"{one['logger']} channel {one['channel']}: DROPPED {numbers}, measured {span}")
    for one in found["refused"]:
        lines.append(f"{one['logger']} channel {one['channel']}: {one['readings']} readings REFUSED: {one['reason']}")
    return lines


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="coldchain-gateway", description="Reads loggers, keeps every reading, publishes until it is receipted."
    )
    parser.add_argument("--version", action="version", version=f"coldchain-gateway {version('coldchain')}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("run", "be the gateway"),
        ("check", "read the settings and say what is wrong with them"),
        ("requeue", "publish again what the service had refused; the agent must be stopped"),
        ("status", "what the spool holds and what the agent said last"),
    ):
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument("--settings", type=Path, required=True, help="settings file (TOML)")
        if name == "status":
            command.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    arguments = _arguments(argv)
    try:
        settings = settings_file.load(arguments.settings)
        if arguments.command == "run":
            run(settings)
        elif arguments.command == "requeue":
            print(f"{requeue(settings)} readings are to be published again")
        elif arguments.command == "status":
            print(status(settings, as_json=arguments.json))
        else:
            print(f"{settings.file}: {len(settings.sources)} sources, {settings.site}/{settings.gateway}")
    except ColdchainError as exc:
        print(f"coldchain-gateway: {exc}", file=sys.stderr)
        return exc.exit_code
    except BrokenPipeError:  # `| head`: whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
