"""Settings of the service: one TOML file and the environment, checked once, frozen afterwards.

A key `KEY` of `[SECTION]` can also be given as `COLDCHAIN_<SECTION>_<KEY>`, which wins over the file: as it stands
for a key that holds text, as a TOML value (`8883`, `true`, `["qp"]`) for any other. Empty text clears a file name.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from coldchain import toml_source
from coldchain.errors import BadInput

ENVIRONMENT_PREFIX = "COLDCHAIN"

_ADDRESS = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[^\s<>\"{}|\\^`]+")
_SERVER = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")
_ROLE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def _only_qos_1(value: object) -> object:
    if value != 1 or value is True:
        raise ValueError(
            "only QoS 1 is safe here: QoS 0 promises nothing, QoS 2 loses or stalls messages; leave it out"
        )
    return value


def _role(value: object) -> object:
    if not isinstance(value, str) or not _ROLE.fullmatch(value):
        raise ValueError("a role is lower-case letters, digits and single hyphens, such as supply-manager")
    return value


def _address(value: object) -> object:
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise ValueError("must be one plain e-mail address, such as qp@example.org")
    return value


def _uri_template(value: object) -> object:
    if not isinstance(value, str) or value.count("{id}") != 1 or not _URI.fullmatch(value.replace("{id}", "1")):
        raise ValueError("must be an absolute URI with {id} once, such as https://id.example.org/8004/4000001{id}")
    return value


def _file(value: object) -> object:
    return None if value == "" else Path(value) if isinstance(value, str) else value


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Role = Annotated[str, BeforeValidator(_role)]
Address = Annotated[str, BeforeValidator(_address)]
Roles = Annotated[tuple[Role, ...], BeforeValidator(_tuple)]
Addresses = Annotated[tuple[Address, ...], BeforeValidator(_tuple)]
Topics = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_tuple), Field(min_length=1)]
SomeFile = Annotated[Path, BeforeValidator(_file)]
UriTemplate = Annotated[str, BeforeValidator(_uri_template)]
OptionalFile = Annotated[Path | None, BeforeValidator(_file)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[int, Field(ge=1, le=3600)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Mqtt(_Section):
    """Where the broker is. `max_inflight`: how many messages may wait for one commit. `protocol`: of MQTT.

    `status_topics`: where gateways say that they are there; `service_status`: where the service does. Empty: nowhere.
    """

    host: str = Field(default="127.0.0.1", min_length=1)
    port: Port = 1883
    username: str = ""
    password_file: OptionalFile = None
    ca_file: OptionalFile = None
    cert_file: OptionalFile = None
    key_file: OptionalFile = None
    protocol: Literal["5", "3.1.1"] = "5"
    client_id: str = Field(default="coldchain-service", min_length=1)
    topics: Topics = ("coldchain/v1/+/+/+/readings",)
    status_topics: Annotated[tuple[str, ...], BeforeValidator(_tuple)] = ("coldchain/v1/+/+/status",)
    service_status: str = "coldchain/v1/service/status"
    max_inflight: Annotated[int, Field(ge=1, le=65535)] = 1000
    qos: Annotated[int, BeforeValidator(_only_qos_1)] = 1

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file belong together: give both or none")
        return self


class LedgerFile(_Section):
    """Where the ledger is: a local disk, never a network file system.

    How full that disk may be [%]: from `alarm_percent` on operators are told and gateways asked to keep their backlog,
    from `stop_percent` on nothing is stored or acknowledged.
    """

    path: SomeFile = Path("coldchain.db")
    alarm_percent: Annotated[int, Field(ge=1, le=100)] = 80
    stop_percent: Annotated[int, Field(ge=1, le=100)] = 95

    @model_validator(mode="after")
    def _alarm_before_stop(self) -> Self:
        if self.alarm_percent > self.stop_percent:
            raise ValueError("alarm_percent must not be above stop_percent")
        return self


class Rules(_Section):
    """Where the stability profiles are."""

    dir: SomeFile = Path("rules")


class Gateways(_Section):
    """`mappings`: a folder of own mapping profiles beside the built-in ones; one of the same name replaces that.

    `messages_per_s`, `burst`: how many messages of one gateway are read at once; what is beyond that is stored and
    waits, so that a flood from one does not delay the others.
    """

    mappings: OptionalFile = None
    messages_per_s: Annotated[int, Field(ge=1, le=100_000)] = 100
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 2000


class Timeseries(_Section):
    """Where the projection is kept: an empty `url` means the embedded file beside the ledger, else an InfluxDB server.

    `raw_days`: how long readings stay in it, 0 for ever; hours stay for ever and so does evidence. `nightly_hour_utc`:
    when it is reconciled with the ledger. `timeout_s`: of one request.
    """

    url: str = ""
    org: str = ""
    bucket: str = "coldchain"
    token_file: OptionalFile = None
    timeout_s: Annotated[int, Field(ge=1, le=300)] = 10
    raw_days: Annotated[int, Field(ge=0, le=36_525)] = 1_827
    nightly_hour_utc: Annotated[int, Field(ge=0, le=23)] = 2

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.url and not _SERVER.fullmatch(self.url):
            raise ValueError("url must be http:// or https:// with a host, such as http://127.0.0.1:8086, or empty")
        if self.url and not self.bucket:
            raise ValueError("a server needs a bucket; leave it out for coldchain")
        return self


class Metrics(_Section):
    """Where `/metrics` is served to Prometheus; `port` 0 switches it off."""

    host: str = Field(default="127.0.0.1", min_length=1)
    port: Annotated[int, Field(ge=0, le=65535)] = 0


class Alerts(_Section):
    """Who is told. Every role is blinded unless `unblinded_roles` lists it; `email` maps a role to its addresses.

    `operator_role`: who is told when the service or what it stands on does not work.
    """

    mqtt_roles: Roles = ("supply-manager",)
    unblinded_roles: Roles = ()
    operator_role: Role = "operator"
    email: dict[Role, Addresses] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_role_per_address(self) -> Self:
        addresses = [address.lower() for group in self.email.values() for address in group]
        twice = sorted({address for address in addresses if addresses.count(address) > 1})
        if twice:
            raise ValueError(f"{twice[0]} stands under two roles: one address, one role, or blinding cannot hold")
        return self


class Alarms(_Section):
    """How long a trouble may last before operators are told [s], and how often they are told while it stands [s]."""

    ledger_after_s: Seconds = 10
    broker_after_s: Seconds = 60
    email_after_s: Seconds = 600
    gateway_after_s: Seconds = 300
    service_after_s: Seconds = 60
    projection_after_s: Annotated[int, Field(ge=1, le=86_400)] = 3600
    repeat_every_s: Annotated[int, Field(ge=1, le=86_400)] = 3600


class Smtp(_Section):
    """The mail server; an empty `host` switches e-mail off."""

    host: str = ""
    port: Port = 587
    sender: str = ""
    username: str = ""
    password_file: OptionalFile = None
    starttls: bool = True

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.host and not _ADDRESS.fullmatch(self.sender):
            raise ValueError("sender must be one plain e-mail address once host is set")
        if self.username and self.password_file is None:
            raise ValueError("username needs a password_file")
        if self.username and not self.starttls:
            raise ValueError("a password is never sent without starttls = true")
        return self


class Service(_Section):
    """How often silence is judged, and how long the loop may stand still before the process ends itself.

    `keep_days`: of readings in memory; what comes later than that is judged all the same, only more slowly.
    `checkpoint_every_s`: how often the state is kept for the next start. `resend_after_s`: how long a missing sequence
    number may only be out of order before a gateway is asked for it; `lost_after_s`: when what it has not sent is
    unknown time.
    """

    silence_every_s: Seconds = 15
    stall_after_s: Seconds = 60
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 3
    checkpoint_every_s: Annotated[int, Field(ge=10, le=86_400)] = 900
    resend_after_s: Seconds = 10
    lost_after_s: Annotated[int, Field(ge=1, le=86_400)] = 300


class Epcis(_Section):
    """How ids become URIs in an EPCIS export: one template each, `{id}` is where the id goes."""

    kit: UriTemplate = "urn:x-coldchain:obj:{id}"
    place: UriTemplate = "urn:x-coldchain:loc:{id}"
    logger: UriTemplate = "urn:x-coldchain:dev:{id}"


class Settings(_Section):
    """Everything the service is told, validated."""

    mqtt: Mqtt = Mqtt()
    ledger: LedgerFile = LedgerFile()
    rules: Rules = Rules()
    gateways: Gateways = Gateways()
    timeseries: Timeseries = Timeseries()
    metrics: Metrics = Metrics()
    alerts: Alerts = Alerts()
    alarms: Alarms = Alarms()
    smtp: Smtp = Smtp()
    service: Service = Service()
    epcis: Epcis = Epcis()


def load_settings(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a file, with the environment on top; file names are relative to the file's folder.

    Raises BadInput naming the file (or the environment variable), line, key, value and what would be right.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"cannot be read: {exc}", file=str(path)) from exc
    written = toml_source.parse(text, str(path))
    overrides = _overrides(environment)
    merged = {section: dict(keys) if isinstance(keys, dict) else keys for section, keys in written.items()}
    for (section, key), value in overrides.items():
        keys = merged.setdefault(section, {})
        if isinstance(keys, dict):
            keys[key] = value
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as exc:
        raise _explain(exc, text, str(path), overrides) from exc
    return _anchored(settings, path.resolve().parent)


def _overrides(environment: Mapping[str, str]) -> dict[tuple[str, str], object]:
    found: dict[tuple[str, str], object] = {}
    for name, text in sorted(environment.items()):
        prefix, _, rest = name.partition("_")
        section, _, key = rest.lower().partition("_")
        if prefix != ENVIRONMENT_PREFIX or section not in Settings.model_fields:
            continue
        table = _table(section)
        if key not in table.model_fields:
            raise BadInput(f"unknown key; [{section}] has {_known(table)}", file="environment", key=name)
        default = table.model_fields[key].get_default(call_default_factory=True)
        is_text = default is None or isinstance(default, str | Path)
        found[section, key] = text if is_text else _toml_value(name, text)
    return found


def _table(section: str) -> type[BaseModel]:
    table = Settings.model_fields[section].annotation
    assert isinstance(table, type)  # noqa: S101 (every field of Settings is a section)
    assert issubclass(table, BaseModel)  # noqa: S101
    return table


def _known(table: type[BaseModel]) -> str:
    return ", ".join(table.model_fields)


def _toml_value(name: str, text: str) -> object:
    try:
        keys = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        keys = {}
    if keys.keys() != {"value"}:
        example = 'a TOML value, such as 8883, true, ["qp"] or {qp = ["qp@example.org"]}'
        raise BadInput(f"must be {example}", file="environment", key=name, value=text)
    return keys["value"]


def _explain(exc: ValidationError, text: str, file: str, overrides: Mapping[tuple[str, str], object]) -> BadInput:
    first = exc.errors()[0]
    location = first["loc"]
    if first["type"] == "extra_forbidden":
        table = Settings if len(location) == 1 else _table(str(location[0]))
        what = "section" if len(location) == 1 else "key"
        return BadInput(
            f"unknown {what}; known: {_known(table)}",
            file=file,
            line=toml_source.locate(text, location),
            key=".".join(map(str, location)),
        )
    here = (str(location[0]), str(location[min(1, len(location) - 1)]))
    if here in overrides:
        name = "_".join((ENVIRONMENT_PREFIX, *here)).upper()
        problem = first["msg"].removeprefix("Value error, ")
        return BadInput(problem, file="environment", key=name, value=overrides[here])
    return toml_source.refuse(exc, text, file)


def _anchored(settings: Settings, folder: Path) -> Settings:
    """The settings with every relative file name made absolute, from the folder of the settings file."""
    sections: dict[str, Any] = {}
    for name in Settings.model_fields:
        section: BaseModel = getattr(settings, name)
        files = {key: folder / value for key, value in section if isinstance(value, Path)}
        sections[name] = section.model_copy(update=files)
    return Settings(**sections)
