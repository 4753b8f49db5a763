"""Mapping files: one TOML file per profile, checked by hand, every mistake named in one line.

The keys are explained for their writers in docs/connect.md. Nothing is guessed: an unknown key, a missing one or a
path that cannot be one is BadInput naming file, key and value.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path as File
from typing import Any, get_args

from coldchain.errors import BadInput
from gateways.decoders import paths
from gateways.decoders.clocks import Clock, Format, TimeRule
from gateways.decoders.mapping_rules import (
    UNITS,
    WILDCARD_TEXT,
    Form,
    Ignored,
    LoggerRule,
    Mapping,
    ReadingRule,
    Sentinel,
)
from gateways.decoders.paths import Path
from gateways.decoders.payloads import PayloadKind
from gateways.decoders.toml_table import Table, matching, one_of, positive, several, text
from gateways.units import milli_celsius

BUILT_IN = File(__file__).parents[1] / "mappings"

_OFFSET = re.compile(r"[+-]([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_REASON = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*", re.ASCII)


def load(folder: File) -> tuple[Mapping, ...]:
    """Every mapping of a folder, by file name; BadInput if there is none or two have one name."""
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise BadInput("no mapping files (*.toml) in this folder", file=str(folder))
    found: dict[str, File] = {}
    mappings = []
    for file in files:
        try:
            content = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise BadInput(f"cannot be read: {exc}", file=str(file)) from exc
        mapping = parse(content, str(file))
        if mapping.name in found:
            raise BadInput(f"{found[mapping.name]} has it too", file=str(file), key="name", value=mapping.name)
        found[mapping.name] = file
        mappings.append(mapping)
    return tuple(mappings)


def parse(content: str, file: str) -> Mapping:
    """The mapping that a file's text states."""
    try:
        written = tomllib.loads(content, parse_float=Decimal)
    except tomllib.TOMLDecodeError as exc:
        raise BadInput(f"not valid TOML: {exc}", file=file) from exc
    if "like" in written:
        return from_table(Table(_base(written, file) | written, file, ""))
    return from_table(Table(written, file, ""))


def _base(written: dict[str, Any], file: str) -> dict[str, Any]:
    """What the built-in mapping says that another one is like; each key of the other replaces its own."""
    like = written.pop("like")
    known = sorted(built_in.stem for built_in in BUILT_IN.glob("*.toml"))
    if like not in known:
        raise BadInput(f"must be a built-in mapping: {', '.join(known)}", file=file, key="like", value=like)
    base = tomllib.loads((BUILT_IN / f"{like}.toml").read_text(encoding="utf-8"), parse_float=Decimal)
    return {key: value for key, value in base.items() if key != "tested"}


def from_table(table: Table) -> Mapping:
    """The mapping that a table states; it may be part of another file."""
    times = tuple(map(_time, table.tables("time")))
    topics = table.take("topics", several(_topic_filter))
    readings = tuple(_reading(one, times, topics) for one in table.tables("reading"))
    if not readings:
        raise table.refuse("reading", "is missing: at least one [[reading]] says where a temperature stands")
    mapping = Mapping(
        name=table.take("name", matching(_NAME, "lower-case letters, digits and single hyphens")),
        topics=topics,
        logger=_logger(table.table("logger"), topics, readings),
        readings=readings,
        payload=table.take("payload", one_of(get_args(PayloadKind)), "json"),
        when=table.maybe("when", _exact_path),
        embedded=table.maybe("embedded", _key_path),
        decoded_at=table.take("decoded_at", several(_exact_path), ()),
        ignored_topics=table.take("ignored_topics", several(_topic_filter), ()),
        ignored=tuple(map(_ignored, table.tables("ignore"))),
        agrees_with_topic=tuple(_agreement(one, topics) for one in table.tables("agrees_with_topic")),
        sentinels=tuple(map(_sentinel, table.tables("sentinel"))),
        tested=table.take("tested", text, "by its user"),
        notes=table.take("notes", several(text), ()),
    )
    table.end()
    return mapping


def _time(table: Table) -> TimeRule:
    clock: Clock = table.take("clock", one_of(get_args(Clock)))
    if clock == "received":
        table.end()
        return TimeRule(clock)
    form: Format = table.take("format", one_of(get_args(Format)))
    rule = TimeRule(clock, table.take("path", _path), form, table.maybe("offset", _offset) or "")
    if rule.offset and form != "iso":
        raise table.refuse("offset", 'belongs to format = "iso" only', rule.offset)
    table.end()
    return rule


def _reading(table: Table, times: tuple[TimeRule, ...], topics: tuple[str, ...]) -> ReadingRule:
    temperature = table.take("temperature", several(_path))
    if not all(path[0].text for path in temperature):
        raise table.refuse("temperature", "must not begin with a dot")
    counts = sorted({paths.wildcards(path) for path in temperature})
    if len(counts) > 1:
        raise table.refuse("temperature", "the paths must have equally many wildcards")
    own = tuple(map(_time, table.tables("time")))
    rule = ReadingRule(
        temperature=temperature,
        channel=table.take("channel", text, "1"),
        channel_path=table.maybe("channel_path", _path),
        channel_topic_level=table.maybe("channel_topic_level", _level(topics)),
        unit=table.maybe("unit", _unit),
        unit_path=table.maybe("unit_path", _path),
        skip=table.take("skip", several(text), ()),
        time=own or times,
        skip_other_units=table.take("skip_other_units", _switch, False),
    )
    if (rule.unit is None) == (rule.unit_path is None):
        raise table.refuse("unit", "give either unit or unit_path")
    if not rule.time:
        raise table.refuse("time", "is missing: [[time]] or [[reading.time]] says whose clock counts")
    for key, path in [("channel_path", rule.channel_path), ("unit_path", rule.unit_path)]:
        if path is not None and paths.wildcards(path) > counts[0]:
            raise table.refuse(key, "has more wildcards than temperature", path.text)
    for time in rule.time:
        if paths.wildcards(time.path) > counts[0]:
            raise table.refuse("time.path", "has more wildcards than temperature", time.path.text)
    if any(not 1 <= int(number) <= counts[0] for number in WILDCARD_TEXT.findall(rule.channel)):
        raise table.refuse("channel", f"temperature has {counts[0]} wildcards", rule.channel)
    table.end()
    return rule


def _logger(table: Table, topics: tuple[str, ...], readings: tuple[ReadingRule, ...]) -> LoggerRule:
    rule = LoggerRule(
        path=table.maybe("path", _path),
        topic_level=table.maybe("topic_level", _level(topics)),
        wildcard=table.maybe("wildcard", positive),
        form=table.take("form", one_of(get_args(Form)), "text"),
        prefix=table.take("prefix", text, ""),
        pattern=table.maybe("pattern", _pattern),
    )
    if rule.path is None and rule.topic_level is None and rule.wildcard is None:
        raise table.refuse("path", "is missing: path, topic_level or wildcard says which logger it is")
    fewest = min(paths.wildcards(path) for reading in readings for path in reading.temperature)
    for key, wanted in [("wildcard", rule.wildcard or 0), ("path", paths.wildcards(rule.path or Path()))]:
        if wanted > fewest:
            raise table.refuse(key, f"a temperature path has only {fewest} wildcards", wanted)
    table.end()
    return rule


def _sentinel(table: Table) -> Sentinel:
    what = table.maybe("c", _milli_celsius)
    word = table.maybe("text", text)
    if (what is None) == (word is None):
        raise table.refuse("c", "give either c, in degC, or text")
    sentinel = Sentinel(
        what=what if what is not None else str(word),
        reason=table.take("reason", matching(_REASON, "lower-case letters, digits and single underscores")),
        only=table.take("only", text, "*"),
        together=table.take("together", several(_exact_path), ()),
    )
    table.end()
    return sentinel


def _ignored(table: Table) -> Ignored:
    ignored = Ignored(table.take("path", _exact_path), table.take("values", several(text)))
    table.end()
    return ignored


def _agreement(table: Table, topics: tuple[str, ...]) -> tuple[Path, int]:
    agreement = table.take("path", _exact_path), table.take("topic_level", _level(topics))
    table.end()
    return agreement


def _path(value: object) -> Path:
    return paths.path(text(value))


def _exact_path(value: object) -> Path:
    path = _path(value)
    if paths.wildcards(path) or not path[0].text:
        raise ValueError("takes no wildcards, and begins with no dot")
    return path


def _key_path(value: object) -> Path:
    path = _exact_path(value)
    if len(path) > 1:
        raise ValueError("must be a key of the document itself")
    return path


def _topic_filter(value: object) -> str:
    if not paths.is_filter(text(value)):
        raise ValueError("must be an MQTT topic filter, such as tele/+/SENSOR")
    return str(value)


def _level(topics: tuple[str, ...]) -> Callable[[Any], int]:
    def read(value: object) -> int:
        shortest = min(len(topic.removesuffix("/#").split("/")) for topic in topics)
        if positive(value) > shortest:
            raise ValueError(f"a topic has only {shortest} levels")
        return positive(value)

    return read


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _pattern(value: object) -> re.Pattern[str]:
    try:
        pattern = re.compile(text(value))
    except re.error as exc:
        raise ValueError(f"must be a regular expression: {exc}") from exc
    if "logger" not in pattern.groupindex or not pattern.groupindex.keys() <= {"logger", "channel"}:
        raise ValueError("must have a group (?P<logger>...) and may have one (?P<channel>...)")
    return pattern


def _unit(value: object) -> Any:
    if not isinstance(value, str) or value not in UNITS:
        raise ValueError("must be C, F or K")
    return UNITS[value]


def _offset(value: object) -> str:
    return matching(_OFFSET, 'an offset from UTC such as "+01:00"')(value)


def _milli_celsius(value: object) -> int:
    mc = milli_celsius(Decimal(value), "c") if isinstance(value, int | Decimal) and value is not True else None
    if mc is None:
        raise ValueError("must be a temperature in degC")
    return mc
