"""A scripted day: what is registered, what the loggers recorded, and which gateway uploads what, when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coldchain.model import CustodySegment, Kit, Logger, Monitoring, Place
from coldchain.readings import ReadingBatch
from gateways.encoders import cbor_columns, json_columns
from gateways.simulator import registry_tables
from gateways.simulator.registry_tables import Tables


@dataclass(frozen=True, slots=True)
class Upload:
    """One message: a gateway publishes readings `offset_s` after the start of the show [s of wall time]."""

    gateway: str
    offset_s: float
    batch: ReadingBatch
    as_cbor: bool = False


@dataclass(frozen=True, slots=True)
class DemoDay:
    """A day from midnight to midnight UTC, `(start_ms, end_ms]`.

    `sites`: the site of each gateway, by gateway id. `custody`: by kit id. `recordings`: all that each logger
    measured, by logger id, uploaded or not.
    """

    start_ms: int
    end_ms: int
    sites: Mapping[str, str]
    loggers: tuple[Logger, ...]
    places: tuple[Place, ...]
    monitoring: tuple[Monitoring, ...]
    kits: tuple[Kit, ...]
    custody: Mapping[str, tuple[CustodySegment, ...]]
    recordings: Mapping[str, ReadingBatch]
    uploads: tuple[Upload, ...]

    @property
    def gateways(self) -> tuple[str, ...]:
        return tuple(sorted(self.sites))

    def topic(self, gateway: str, *below: str) -> str:
        """A topic below a gateway's own, where alone it may write."""
        return "/".join(("coldchain/v1", self.sites[gateway], gateway, *below))

    def messages(self, gateway: str) -> list[tuple[float, str, bytes]]:
        """What a gateway publishes, in order: offset [s of wall time], topic, payload."""
        return [
            (
                upload.offset_s,
                self.topic(gateway, upload.batch.logger, "readings"),
                cbor_columns(upload.batch) if upload.as_cbor else json_columns(upload.batch),
            )
            for upload in sorted(self.uploads, key=lambda upload: (upload.offset_s, upload.batch.logger))
            if upload.gateway == gateway
        ]


def registry_toml(day: DemoDay) -> str:
    """The day's loggers, places, monitoring, kits and custody as a registry file."""
    custody = registry_tables.custody_rows(day.custody)
    return registry_tables.as_toml(Tables(day.loggers, day.places, day.monitoring, day.kits, custody))
