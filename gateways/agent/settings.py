"""Settings of the gateway agent, as values; `settings_file` reads them from TOML."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from gateways.decoders.mapping_rules import Mapping
from gateways.files import Mapping as FileMapping
from gateways.files import Order

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Mqtt:
    """The broker. The user name and the client id are always `site/gateway`."""

    host: str
    port: int = 8883
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """The spool: its file, its greatest size, and the free space [bytes] that the disk is to keep."""

    path: Path
    max_bytes: int = 1024 * MIB
    keep_free_bytes: int = 256 * MIB


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast and how often is published.

    Parameters
    ----------
    backlog_per_s : readings of the backlog a second, at most
    backlog_in_flight, live_in_flight : messages that may wait for a receipt, at most
    batch : readings in a message of the backlog, at most
    retry_s, longest_retry_s : after which a message without a receipt is published again; doubled each time up to the
        longest [s]
    """

    backlog_per_s: int = 2000
    backlog_in_flight: int = 20
    live_in_flight: int = 1000
    batch: int = 500
    retry_s: float = 30.0
    longest_retry_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A folder into which a logger's software drops files.

    Every file is of `logger`, or, where that is None, of the logger that `serials` names for the serial number in it.
    """

    name: str
    folder: Path
    logger: str | None
    serials: tuple[tuple[str, str], ...]
    zone: ZoneInfo | None
    order: Order | None
    mapping: FileMapping | None
    every_s: float
    settle_s: float


@dataclass(frozen=True, slots=True)
class HttpSource:
    """A logger or gateway that answers JSON; `is_stamped`: its readings carry the time of our clock."""

    name: str
    logger: str
    host: str
    port: int
    target: str
    is_https: bool
    ca_file: Path | None
    authorization_file: Path | None
    mapping: Mapping
    is_stamped: bool
    every_s: float
    timeout_s: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class SimulatedSource:
    """Invented loggers: the same seed gives the same course of temperature."""

    name: str
    loggers: tuple[str, ...]
    seed: int
    every_s: float


SourceSettings = FolderSource | HttpSource | SimulatedSource


@dataclass(frozen=True, slots=True)
class LoggerMeta:
    """What is known of a logger, published for the service; None where it is not stated."""

    logger: str
    serial: str | None = None
    interval_s: int | None = None
    calibration_due: date | None = None
    firmware: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a settings file states."""

    file: str
    site: str
    gateway: str
    mqtt: Mqtt
    store: Store
    pace: Pace
    sources: tuple[SourceSettings, ...]
    loggers: tuple[LoggerMeta, ...] = field(default=())
    status_every_s: float = 60.0
    log: Literal["info", "warning"] = "info"

    @property
    def topic(self) -> str:
        """What all topics of this gateway begin with."""
        return f"coldchain/v1/{self.site}/{self.gateway}"
