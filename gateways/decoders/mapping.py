"""Mapping profiles: how to read the payloads of a gateway that does not speak the project's own form.

A profile is data (a TOML file, see `mapping_file`); this module applies it, as a pure function. What is refused and
what becomes a fault: a message whose identity, time or unit cannot be told is refused whole; a value that stands
where a temperature belongs and is none (null, a text, a sentinel, an absurdity) is a fault with its reason.
"""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from coldchain.errors import RejectedPayload
from coldchain.readings import FAULT_MC, ReadingBatch
from gateways.decoders import paths, payloads
from gateways.decoders.clocks import TimeRule, instant_ms
from gateways.decoders.paths import Found, Path
from gateways.decoders.payloads import PayloadKind
from gateways.decoders.values import MAX_READINGS
from gateways.units import Unit, milli_celsius, milli_celsius_of_float

Form = Literal["text", "lower", "eui64", "mac"]
UNITS: dict[object, Unit] = {"C": "c", "F": "f", "K": "k", "c": "c", "f": "f", "k": "k"}

WILDCARD_TEXT = re.compile(r"\{([0-9]{1,2})\}", re.ASCII)
"""What a wildcard of the temperature's path stood for, as a channel names it: `{1}`."""

_LONGEST_NAME = 256
_EUI64 = re.compile(r"[0-9a-f]{16}", re.ASCII)
_EUI64_BASE64 = re.compile(r"[A-Za-z0-9+/]{11}=", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{12}", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class LoggerRule:
    """Where the logger's id stands: at a path, in a level of the topic (1 is the first), or in a wildcard's text.

    A path and a topic level together must agree. `form`: as it is, in lower case, an EUI-64 (hexadecimal or base64) or
    a Bluetooth address; both of the latter become lower-case hexadecimal digits. `pattern` takes a name apart: its
    group `logger` is the id, its group `channel`, where it took part, the channel.
    """

    path: Path | None = None
    topic_level: int | None = None
    wildcard: int | None = None
    form: Form = "text"
    prefix: str = ""
    pattern: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class ReadingRule:
    """Where temperatures stand, and of which channel they are.

    The channel is the text at `channel_path` if there is one, else the level of the topic, else `channel`, in which
    `{1}` is what the first wildcard of the temperature's path stood for. With `skip_other_units` a value whose stated
    unit is none of temperature, or that has none, is no reading; else the message is refused.
    """

    temperature: tuple[Path, ...]
    channel: str
    channel_path: Path | None
    channel_topic_level: int | None
    unit: Unit | None
    unit_path: Path | None
    skip: tuple[str, ...]
    time: tuple[TimeRule, ...]
    skip_other_units: bool = False


@dataclass(frozen=True, slots=True)
class Sentinel:
    """A number or text that says that there is no temperature, and why.

    `only` limits it to paths of this shape; `together` to messages in which all these paths hold the same number.
    """

    what: int | str
    reason: str
    only: str = "*"
    together: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Ignored:
    """Messages that are no readings by what they state: the value at `path` is one of these texts."""

    path: Path
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """One mapping profile; `mapping_file` says what each key means to the person who writes it."""

    name: str
    topics: tuple[str, ...]
    logger: LoggerRule
    readings: tuple[ReadingRule, ...]
    payload: PayloadKind = "json"
    when: Path | None = None
    embedded: Path | None = None
    decoded_at: tuple[Path, ...] = ()
    ignored_topics: tuple[str, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    agrees_with_topic: tuple[tuple[Path, int], ...] = ()
    sentinels: tuple[Sentinel, ...] = ()
    tested: str = ""
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Column:
    at_ms: list[int] = field(default_factory=list)
    temperature_mc: list[int] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)


class Read(NamedTuple):
    """The readings of one document, and what a person should know of it although it could be read."""

    batches: tuple[ReadingBatch, ...]
    flags: tuple[str, ...]


def read(mapping: Mapping, topic: str, found: dict[str, object], received_ms: int) -> Read:
    """The readings of one document by a mapping whose topics cover `topic`; RejectedPayload and nothing else."""
    for ignored in mapping.ignored:
        if paths.look_up(found, ignored.path) in ignored.values:
            raise RejectedPayload("not_a_reading", f"{mapping.name}: {_shown(found, ignored.path)}")
    found = _with_embedded(found, mapping.embedded)
    if mapping.decoded_at and all(paths.look_up(found, place) is None for place in mapping.decoded_at):
        wanted = " or ".join(place.text for place in mapping.decoded_at)
        raise RejectedPayload("undecoded", f"{mapping.name}: nothing at {wanted}; set a payload decoder at the server")
    columns: dict[tuple[str, str], _Column] = {}
    readings = 0
    for rule in mapping.readings:
        for place in rule.temperature:
            for one in paths.find(found, place):
                if rule.skip and any(fnmatchcase(one.place, pattern) for pattern in rule.skip):
                    continue
                if rule.skip_other_units and _stated_unit(rule, found, one) is None:
                    continue
                readings += 1
                if readings > MAX_READINGS:
                    raise RejectedPayload("bad_length", f"more than {MAX_READINGS} readings")
                logger, channel = _logger(mapping.logger, topic, found, one)
                key = logger, channel or _channel(rule, topic, found, one)
                column = columns.get(key)
                if column is None:
                    column = columns[key] = _Column()
                temperature, reason = _temperature(mapping, rule, found, one)
                if reason is not None:
                    column.faults[len(column.at_ms)] = reason
                column.at_ms.append(instant_ms(rule.time, found, one, received_ms))
                column.temperature_mc.append(temperature)
    if not columns:
        raise RejectedPayload("not_a_reading", f"{mapping.name}: no temperature where one is looked for")
    batches = tuple(
        ReadingBatch(
            logger,
            channel,
            np.array(column.at_ms, dtype=np.int64),
            np.array(column.temperature_mc, dtype=np.int32),
            received_ms,
            faults=column.faults,
        )
        for (logger, channel), column in columns.items()
    )
    return Read(batches, tuple(_disagreements(mapping, topic, found)))


def _with_embedded(found: dict[str, object], embedded: Path | None) -> dict[str, object]:
    """The document with the JSON text that stands at a path replaced by what it says."""
    text = None if embedded is None else paths.look_up(found, embedded)
    if embedded is None or not isinstance(text, str) or not text:
        return found
    return found | {embedded[0].text: payloads.json_object(text.encode())}


def _disagreements(mapping: Mapping, topic: str, found: dict[str, object]) -> list[str]:
    levels = topic.split("/")
    return [
        f"topic_mismatch: {_shown(found, path)}, the topic says {levels[level - 1]!r:.80}"
        for path, level in mapping.agrees_with_topic
        if paths.look_up(found, path) != levels[level - 1]
    ]


def _logger(rule: LoggerRule, topic: str, found: dict[str, object], one: Found) -> tuple[str, str]:
    """The logger's id, and the channel if the same text names it, else an empty one."""
    stated: tuple[str, ...] = ()
    if rule.path is not None:
        value = paths.beside(found, rule.path, one)
        if not isinstance(value, str):
            raise RejectedPayload("bad_type", f"{rule.path.text} = {value!r:.80}, the logger's id, a text")
        stated = (value,)
    if rule.topic_level is not None:
        stated += (topic.split("/")[rule.topic_level - 1],)
    if rule.wildcard is not None:
        stated += (one.taken[rule.wildcard - 1],)
    is_short = sum(map(len, stated)) <= _LONGEST_NAME
    return _remembered_identity(rule, stated) if is_short else _identity(rule, stated)


def _identity(rule: LoggerRule, texts: tuple[str, ...]) -> tuple[str, str]:
    stated = [_formed(rule.form, text) for text in texts]
    if len(set(stated)) > 1:
        raise RejectedPayload("logger_mismatch", f"{stated[0]!r:.80}, the topic says {stated[1]!r:.80}")
    if rule.pattern is None:
        return _name(rule.prefix + stated[0]), ""
    parts = rule.pattern.fullmatch(stated[0][:_LONGEST_NAME])
    if parts is None:
        raise RejectedPayload("bad_value", f"{stated[0]!r:.80} is not of the form {rule.pattern.pattern!r:.200}")
    groups = parts.groupdict("")
    return _name(rule.prefix + groups["logger"]), _channel_name(groups.get("channel", "")) if groups.get(
        "channel"
    ) else ""


_remembered_identity = lru_cache(maxsize=4096)(_identity)  # a logger says its name in every reading


def _formed(form: Form, text: str) -> str:
    if form == "text":
        return text
    lower = text.lower()
    if form == "lower":
        return lower
    if form == "eui64":
        digits = base64.b64decode(text).hex() if _EUI64_BASE64.fullmatch(text) else lower
        if _EUI64.fullmatch(digits):
            return digits
        raise RejectedPayload("bad_value", f"{text!r:.80} is no EUI-64")
    digits = lower.replace(":", "").replace("-", "")
    if _MAC.fullmatch(digits):
        return digits
    raise RejectedPayload("bad_value", f"{text!r:.80} is no Bluetooth address")


def _channel(rule: ReadingRule, topic: str, found: dict[str, object], one: Found) -> str:
    if rule.channel_path is not None:
        value = paths.beside(found, rule.channel_path, one)
        if isinstance(value, str) and value:
            return _channel_name(value)
    if rule.channel_topic_level is not None:
        return _channel_name(topic.split("/")[rule.channel_topic_level - 1])
    if "{" not in rule.channel:
        return _channel_name(rule.channel)
    return _channel_name(WILDCARD_TEXT.sub(lambda match: one.taken[int(match[1]) - 1], rule.channel))


def _name(text: str) -> str:
    if "/" in text:
        raise RejectedPayload("bad_value", f"{text!r:.80}, a logger's id has no '/'")
    return _channel_name(text)


def _channel_name(text: str) -> str:
    """A channel may be named with '/', as the metrics of an edge node are."""
    if not (1 <= len(text) <= 64 and text.isprintable()):
        raise RejectedPayload("bad_value", f"{text!r:.80}, a name is 1 to 64 printable characters")
    return text


def _temperature(mapping: Mapping, rule: ReadingRule, found: dict[str, object], one: Found) -> tuple[int, str | None]:
    """Milli-degC and None, or `FAULT_MC` and why."""
    value = one.value
    if value is None:
        return FAULT_MC, "null"
    if isinstance(value, str):
        reasons = (sentinel.reason for sentinel in mapping.sentinels if sentinel.what == value)
        return FAULT_MC, next(reasons, "not_a_number")
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        raise RejectedPayload("bad_type", f"{one.place} = {value!r:.80}, a number or null")
    if not math.isfinite(value):
        return FAULT_MC, "not_a_number"
    unit = rule.unit or _stated_unit(rule, found, one)
    if unit is None:
        raise RejectedPayload("bad_unit", f"{(rule.unit_path or Path()).text} of {one.place}: not C, F or K")
    mc = milli_celsius(value, unit) if isinstance(value, Decimal) else milli_celsius_of_float(value, unit)
    if mc is None:
        return FAULT_MC, "implausible"
    for sentinel in mapping.sentinels:
        if sentinel.what == mc and fnmatchcase(one.place, sentinel.only) and _all_hold(sentinel, found, value):
            return FAULT_MC, sentinel.reason
    return mc, None


def _all_hold(sentinel: Sentinel, found: dict[str, object], value: object) -> bool:
    return all(paths.look_up(found, path) == value for path in sentinel.together)


def _stated_unit(rule: ReadingRule, found: dict[str, object], one: Found) -> Unit | None:
    """The unit that stands in the message; None where none does, or another than of temperature."""
    if rule.unit_path is None:
        return rule.unit
    stated = paths.beside(found, rule.unit_path, one)
    return UNITS.get(stated) if isinstance(stated, str) else None


def _shown(found: dict[str, object], path: Path) -> str:
    return f"{path.text} = {paths.look_up(found, path)!r:.80}"
