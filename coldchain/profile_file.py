"""The file of a stability profile: its tables and keys, what each may hold, and the JSON Schema of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from coldchain.duration import DurationMs
from coldchain.model import Kind, Severity

DEFAULT_ACTIVATION_ENERGY_J_MOL = 83_144.62618
"""Gives a = 10 000 K with R = 8.314462618 J/mol/K; a convention (Haynes 1971), not a property of a product."""

MEASURES = {
    "accumulated": Kind.ACCUMULATED,
    "single_event": Kind.SINGLE_EVENT,
    "events": Kind.EVENTS,
    "mkt_window": Kind.MKT,
    "unknown_accumulated": Kind.UNKNOWN_ACCUMULATED,
    "unknown_single": Kind.UNKNOWN_SINGLE,
}
LOWEST_LIMIT_C, HIGHEST_LIMIT_C, MILLI_DEGREE_C = Decimal("-273.15"), Decimal(1000), Decimal("0.001")


def _milli(value: object) -> int:
    """Milli-degC of a temperature as written; refuses more decimals than a milli-degree holds."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("not a temperature: write a number of degC such as 8.0")
    temperature_c = Decimal(value)
    # bounds before decimals: a number with an exponent of a million would overflow the arithmetic
    if temperature_c.is_nan() or not LOWEST_LIMIT_C <= temperature_c <= HIGHEST_LIMIT_C:
        raise ValueError("not a temperature a product can have (-273.15 to 1000 degC)")
    if temperature_c % MILLI_DEGREE_C:
        raise ValueError("more than three decimals: limits are exact to 0.001 degC, such as 8.0 or 8.004")
    return int(temperature_c * 1000)


def _plain(text: str) -> str:
    if not text.strip() or any(ord(character) < 32 for character in text):
        raise ValueError("empty, or with control characters: write one line of text")
    return text


def _severity(value: object) -> Severity:
    if not isinstance(value, str) or value not in list(Severity):
        raise ValueError('no such severity: write "quarantine" or "warn"')
    return Severity(value)


def _exact(value: object) -> object:
    """A whole number serves where a decimal does."""
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _longer_than_nothing(window_ms: int) -> int:
    if not window_ms:
        raise ValueError('a window has a length: write a duration longer than 0, such as "24h"')
    return window_ms


MilliDegC = Annotated[int, BeforeValidator(_milli), WithJsonSchema({"type": "number", "maximum": 1000})]
Duration = Annotated[DurationMs, WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,9}(ms|s|min|h|d)$"})]
Window = Annotated[Duration, AfterValidator(_longer_than_nothing)]
Text = Annotated[str, AfterValidator(_plain), Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Share = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(gt=0, le=1),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1}),
]
Energy = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(gt=0, le=1_000_000),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000}),
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class StagesTable(_Table):
    """How much of a budget each stage may use up before there is an early warning."""

    model_config = ConfigDict(title="stages", json_schema_extra={"minProperties": 1})
    depot: Duration | None = Field(None, description="in depots")
    transit: Duration | None = Field(None, description="on the way between them")
    site: Duration | None = Field(None, description="at sites")
    patient: Duration | None = Field(None, description="with the patient")


class LimitTable(_Table):
    """One limit: exactly one measure; accumulated, single_event and events with exactly one bound."""

    model_config = ConfigDict(
        title="limit", json_schema_extra={"oneOf": [{"required": [measure]} for measure in MEASURES]}
    )
    id: Name = Field(description="unique in the file; events, reports and opening balances refer to it")
    source: Text = Field(description="document, section and table of this very value")
    severity: Annotated[Severity, BeforeValidator(_severity)] = Field(
        Severity.QUARANTINE, description="quarantine puts the kit on hold, warn only shows"
    )
    above_c: MilliDegC | None = Field(None, description="degC; out of range is hotter than this, never exactly this")
    below_c: MilliDegC | None = Field(None, description="degC; out of range is colder than this, never exactly this")
    outside_c: tuple[MilliDegC, MilliDegC] | None = Field(
        None, strict=False, description="[low, high] degC; both sides, one shared budget"
    )
    accumulated: Duration | None = Field(None, description="all time out of range over the kit's life")
    stages: StagesTable | None = Field(
        None, description='accumulated only: what each stage may use up, { depot = "24h", transit = "12h" }'
    )
    single_event: Duration | None = Field(None, description="one stretch out of range")
    events: Annotated[int, Field(ge=0)] | None = Field(None, description="how many stretches out of range")
    mkt_window: Window | None = Field(None, description="trailing window of the mean kinetic temperature")
    mkt_max_c: MilliDegC | None = Field(None, description="degC; the highest MKT over a window")
    min_coverage: Share = Field(Decimal("0.9"), description="share of the window that must be known")
    unknown_accumulated: Duration | None = Field(None, description="time without data, all together")
    unknown_single: Duration | None = Field(None, description="time without data, in one stretch")


class SourceTable(_Table):
    """The stability document that the whole profile rests on."""

    model_config = ConfigDict(title="source")
    document: Text = Field(description="number or name of the document")
    version: Text = Field(description="its version")


class ApprovalTable(_Table):
    """Two people: who wrote the profile and who read it against the document."""

    model_config = ConfigDict(title="approval")
    author: Text = Field(description="who wrote this version")
    approver: Text = Field(description="who checked and approved it; somebody else")
    approved_at: AwareDatetime = Field(description="when, with a zone")


class ProfileTable(_Table):
    """A stability profile: the reviewed limits of one product."""

    model_config = ConfigDict(title="stability profile")
    profile: Name = Field(description="the name that kits are registered with")
    version: Annotated[int, Field(ge=1)] = Field(description="goes up with every change")
    title: Text = Field(description="what people read: product, presentation, condition")
    effective_from: AwareDatetime = Field(description="from when the version holds, with a zone")
    label_low_c: MilliDegC | None = Field(None, description="degC; low end of the labelled range, itself inside")
    label_high_c: MilliDegC | None = Field(None, description="degC; high end of the labelled range, itself inside")
    activation_energy_j_mol: Energy = Field(
        Decimal(str(DEFAULT_ACTIVATION_ENERGY_J_MOL)), description="J/mol, for the mean kinetic temperature"
    )
    source: SourceTable = Field(description="a table [source]: the stability document that the whole profile rests on")
    approval: ApprovalTable = Field(description="a table [approval]: author, approver, approved_at")
    limit: Annotated[tuple[LimitTable, ...], Field(min_length=1, strict=False)] = Field(
        description="a table [[limit]] for each limit, at least one on unknown time"
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a file, for editors and other tools; what it cannot say, `profile_mistakes` checks besides."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | ProfileTable.model_json_schema()
