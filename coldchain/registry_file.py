"""Registry files: tables of loggers, places, monitoring, trials, kits and custody, as TOML or as CSV for large ones."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from coldchain import toml_source
from coldchain.duration import DurationMs, duration_ms
from coldchain.errors import BadInput
from coldchain.instant import InstantMs
from coldchain.model import (
    CustodySegment,
    Kit,
    Logger,
    Monitoring,
    OpeningBalance,
    Place,
    Stage,
    Trial,
    VersionChoice,
    VersionRule,
)

TABLES = ("logger", "place", "monitoring", "trial", "kit", "custody", "repack")


class SourceFile(NamedTuple):
    """A registry file as it was read: its name decides the format (`.csv`, else TOML) and a CSV's table."""

    name: str
    text: str


def _opening(value: object) -> tuple[OpeningBalance, ...]:
    """Balances by limit id: a duration text for times, a whole number for events."""
    balances = []
    for limit_id, amount in _table(value, 'opening balances are a table such as { "above-8-accumulated" = "10h" }'):
        is_count = isinstance(amount, int) and not isinstance(amount, bool) and amount >= 0
        balances.append(OpeningBalance(limit_id, amount if is_count else duration_ms(amount), is_count))
    return tuple(sorted(balances))


def _pins(value: object) -> tuple[tuple[str, int], ...]:
    """Versions by profile name."""
    what = 'pinned versions are a table such as { "mab-017" = 2 }'
    pins = _table(value, what)
    for name, version in pins:
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise ValueError(f"{name} = {version!r} is no version, a whole number from 1: {what}")
    return tuple(sorted(pins))


def _table(value: object, what: str) -> list[tuple[str, Any]]:
    """The entries of a table, which a CSV cell holds as JSON."""
    if isinstance(value, str):
        value = json.loads(value) if value.strip() else {}
    if not isinstance(value, dict):
        raise ValueError(what)
    return list(value.items())


def _names(value: object) -> object:
    return tuple(value.split()) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Id = Annotated[str, Field(pattern=r"^[^\s/+#\x00-\x1f]{1,64}$")]
Sites = Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")], ...], BeforeValidator(_names)]
Opening = Annotated[tuple[OpeningBalance, ...], BeforeValidator(_opening)]
Pins = Annotated[tuple[tuple[str, int], ...], BeforeValidator(_pins)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Interval(_Row):
    from_ms: InstantMs = Field(alias="from")
    to_ms: InstantMs | None = Field(alias="to", default=None)

    @model_validator(mode="after")
    def _forwards(self) -> _Interval:
        if self.to_ms is not None and self.to_ms <= self.from_ms:
            raise ValueError("ends before it begins: to must be later than from")
        return self


class LoggerRow(_Row):
    id: Id
    logging_interval: Annotated[DurationMs, Field(gt=0)]
    gap_after: DurationMs | None = None
    calibrated_from: InstantMs | None = None
    calibrated_until: InstantMs | None = None
    registered_at: InstantMs | None = None
    blocked: bool = False
    sites: Sites = ()

    @model_validator(mode="after")
    def _gap_is_longer(self) -> LoggerRow:
        if self.gap_after is not None and self.gap_after < self.logging_interval:
            raise ValueError("gap_after is shorter than logging_interval: every reading would follow a gap")
        since, until = self.calibrated_from, self.calibrated_until
        if since is not None and until is not None and until <= since:
            raise ValueError("calibrated_until must be later than calibrated_from")
        return self

    def value(self) -> Logger:
        gap_ms = 2 * self.logging_interval if self.gap_after is None else self.gap_after
        return Logger(
            self.id,
            self.logging_interval,
            gap_ms,
            self.calibrated_from,
            self.calibrated_until,
            self.registered_at,
            self.blocked,
            self.sites,
        )


STAGE_OF_KIND = {"shipper": Stage.TRANSIT, "patient_home": Stage.PATIENT}
"""The stage of places of these kinds that state none; other kinds may be of any stage, so they are of none."""


class PlaceRow(_Row):
    id: Id
    kind: Id
    stage: Stage | None = None

    def value(self) -> Place:
        return Place(self.id, self.kind, self.stage or STAGE_OF_KIND.get(self.kind))


class MonitoringRow(_Interval):
    place: Id
    logger: Id
    channel: Id = "1"

    def value(self) -> Monitoring:
        return Monitoring(self.place, self.logger, self.channel, self.from_ms, self.to_ms)


class TrialRow(_Row):
    id: Annotated[str, Field(min_length=1)]
    versions: VersionRule = VersionRule.NEWEST
    profile_version: Pins = ()

    def value(self) -> Trial:
        return Trial(self.id, VersionChoice(self.versions, self.profile_version))


class KitRow(_Row):
    id: Id
    batch: str
    trial: str
    profile: str
    blind_group: str | None = None
    opening: Opening = ()

    def value(self) -> Kit:
        return Kit(self.id, self.batch, self.trial, self.profile, self.blind_group, self.opening)


class CustodyRow(_Interval):
    kits: Annotated[tuple[Id, ...], BeforeValidator(_names), Field(min_length=1)]
    place: Id

    def value(self) -> CustodySegment:
        return CustodySegment(self.place, self.from_ms, self.to_ms)


class RepackRow(_Row):
    """Kits that were made of others at an instant: one split into several, several packed into one."""

    kits: Annotated[tuple[Id, ...], BeforeValidator(_names), Field(min_length=1)]
    of: Annotated[tuple[Id, ...], BeforeValidator(_names), Field(min_length=1)]
    at: InstantMs


AnyRow = LoggerRow | PlaceRow | MonitoringRow | TrialRow | KitRow | CustodyRow | RepackRow
_ROWS: dict[str, type[AnyRow]] = dict(
    zip(TABLES, (LoggerRow, PlaceRow, MonitoringRow, TrialRow, KitRow, CustodyRow, RepackRow), strict=True)
)


class PlacedRow(NamedTuple):
    """A row with where it stands, so that a later check can point at it."""

    source: SourceFile
    table: str
    number: int
    row: AnyRow
    csv_line: int | None = None

    def wrong(self, key: str, value: object, problem: str) -> BadInput:
        """The error for `key` of this row, with file and line."""
        line = self.csv_line or toml_source.locate(self.source.text, (self.table, self.number, key))
        return BadInput(problem, file=self.source.name, line=line, key=f"{self.table}.{key}", value=value)


def read(path: str | Path) -> SourceFile:
    """The text of a registry file; BadInput if it cannot be read."""
    try:
        return SourceFile(str(path), Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"cannot be read: {exc}", file=str(path)) from exc


def rows(sources: Sequence[SourceFile]) -> Iterator[PlacedRow]:
    """Every row of every file, validated; BadInput names file, line, key and value."""
    for source in sources:
        yield from _csv_rows(source) if source.name.endswith(".csv") else _toml_rows(source)


def _toml_rows(source: SourceFile) -> Iterator[PlacedRow]:
    document = toml_source.parse(source.text, source.name)
    for table, entries in document.items():
        line = toml_source.locate(source.text, (table, 0))
        if table not in _ROWS:
            raise BadInput(f"unknown table; there are {', '.join(TABLES)}", file=source.name, line=line, key=table)
        if not isinstance(entries, list):
            raise BadInput(f"write [[{table}]], one table a row", file=source.name, line=line, key=table)
        for number, entry in enumerate(entries):
            try:
                yield PlacedRow(source, table, number, _ROWS[table].model_validate(entry))
            except ValidationError as exc:
                raise toml_source.refuse(exc, source.text, source.name, (table, number)) from exc


def _csv_rows(source: SourceFile) -> Iterator[PlacedRow]:
    word = re.split(r"[-_. ]", Path(source.name).stem.lower())[-1]
    table = next((t for t in TABLES if word in (t, t + "s")), None)
    if table is None:
        raise BadInput(
            f"the name of a CSV file ends in its table: {', '.join(t + '.csv' for t in TABLES)}", file=source.name
        )
    reader = csv.DictReader(io.StringIO(source.text, newline=""), strict=True, restkey="")
    try:
        for number, cells in enumerate(reader):
            filled: dict[str, Any] = {key: cell for key, cell in cells.items() if cell not in ("", None)}
            if "kit" in filled:
                filled["kits"] = filled.pop("kit")
            try:
                yield PlacedRow(source, table, number, _ROWS[table].model_validate(filled), reader.reader.line_num)
            except ValidationError as exc:
                first = exc.errors()[0]
                key = ".".join(str(part) for part in first["loc"])
                value = first["input"] if isinstance(first["input"], str) else None
                problem = first["msg"].removeprefix("Value error, ")
                raise BadInput(problem, file=source.name, line=reader.reader.line_num, key=key, value=value) from exc
    except csv.Error as exc:
        raise BadInput(f"not valid CSV: {exc}", file=source.name, line=reader.reader.line_num) from exc
