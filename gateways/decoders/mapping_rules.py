"""What a mapping profile states: rules for identity, times, temperatures and what is none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gateways.decoders.clocks import TimeRule
from gateways.decoders.paths import Path
from gateways.decoders.payloads import PayloadKind
from gateways.units import Unit

Form = Literal["text", "lower", "eui64", "mac"]
UNITS: dict[object, Unit] = {"C": "c", "F": "f", "K": "k", "c": "c", "f": "f", "k": "k"}

WILDCARD_TEXT = re.compile(r"\{([0-9]{1,2})\}", re.ASCII)
"""What a wildcard of the temperature's path stood for, as a channel names it: `{1}`."""


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


@dataclass(frozen=True, slots=True, eq=False)
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


@dataclass(frozen=True, slots=True, eq=False)
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
