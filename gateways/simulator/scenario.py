"""A scripted day: what is registered, what the loggers recorded, and which gateway uploads what, when."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from coldchain.model import CustodySegment, Kit, Logger, Monitoring, Place
from coldchain.readings import ReadingBatch
from gateways.encoders import cbor_columns, json_columns

_MINUTE_MS = 60_000


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
    return "\n".join(
        [
            "# The registry of a simulated day; trials, kits and products are invented.",
            *_rows("logger", (_logger(logger) for logger in day.loggers)),
            *_rows("place", ({"id": place.id, "kind": place.kind} for place in day.places)),
            *_rows("monitoring", (_monitoring(entry) for entry in day.monitoring)),
            *_rows("kit", (_kit(kit) for kit in day.kits)),
            *_rows("custody", _custody(day.custody)),
            "",
        ]
    )


def _rows(table: str, rows: Iterator[dict[str, str | list[str] | datetime]]) -> Iterator[str]:
    for row in rows:
        yield f"\n[[{table}]]"
        for key, value in row.items():
            # A quoted JSON text, and a list of them, is written the same in TOML.
            written = f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else json.dumps(value)
            yield f"{key} = {written}"


def _logger(logger: Logger) -> dict[str, str | list[str] | datetime]:
    row: dict[str, str | list[str] | datetime] = {
        "id": logger.id,
        "logging_interval": f"{logger.logging_interval_ms // _MINUTE_MS}min",
        "gap_after": f"{logger.gap_after_ms // _MINUTE_MS}min",
    }
    if logger.calibrated_from_ms is not None:
        row["calibrated_from"] = _instant(logger.calibrated_from_ms)
    if logger.calibrated_until_ms is not None:
        row["calibrated_until"] = _instant(logger.calibrated_until_ms)
    return row


def _monitoring(entry: Monitoring) -> dict[str, str | list[str] | datetime]:
    return {"place": entry.place, "logger": entry.logger, "channel": entry.channel, **_span(entry.from_ms, entry.to_ms)}


def _kit(kit: Kit) -> dict[str, str | list[str] | datetime]:
    row: dict[str, str | list[str] | datetime] = {
        "id": kit.id,
        "batch": kit.batch,
        "trial": kit.trial,
        "profile": kit.profile,
    }
    return row if kit.blind_group is None else row | {"blind_group": kit.blind_group}


def _custody(custody: Mapping[str, tuple[CustodySegment, ...]]) -> Iterator[dict[str, str | list[str] | datetime]]:
    """One row for all the kits that share a segment."""
    kits: dict[CustodySegment, list[str]] = defaultdict(list)
    for kit, segments in custody.items():
        for segment in segments:
            kits[segment].append(kit)
    for segment, together in kits.items():
        yield {"kits": together, "place": segment.place, **_span(segment.from_ms, segment.to_ms)}


def _span(from_ms: int, to_ms: int | None) -> dict[str, datetime]:
    return {"from": _instant(from_ms)} | ({} if to_ms is None else {"to": _instant(to_ms)})


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
