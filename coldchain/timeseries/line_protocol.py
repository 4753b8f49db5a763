"""Points as InfluxDB's line protocol, and the schema that docs/timeseries.md describes.

Tags are what there is a bounded number of: loggers, channels, places, verdicts, reasons, actions. Kits, events and
groups grow without end, so they are fields, and points of one instant are told apart by nanoseconds: what counts the
entries of the ledger or of the journal is added to the instant.

Source: "Line protocol", InfluxDB v2 documentation (escaping of tags and strings, integer suffix).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, unquote

from coldchain.readings import FAULT_MC, ChannelKey
from coldchain.timeseries.points import Act, Cursor, Evidence, GroupVerdict, Hold, KitVerdict, LoggerHour, PlaceHour
from coldchain.timeseries.points import Readings as ReadingColumns

NS_PER_MS = 1_000_000

READING, UNVERIFIED, LOGGER_HOUR, PLACE_HOUR = "reading", "reading_unverified", "logger_hour", "place_hour"
HOLD, KIT = "hold", "kit"
CURSOR, PLACE_BASIS = "projection", "place_basis"
EVENT, KIT_GROUP, ACT = "quarantine_event", "kit_group", "audit_entry"

BLINDED = (READING, UNVERIFIED, LOGGER_HOUR, PLACE_HOUR, HOLD, KIT, CURSOR, PLACE_BASIS)
UNBLINDED = (EVENT, KIT_GROUP, ACT)

_TAG_ESCAPES = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\="})
_TEXT_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\"})

Field = int | float | str | bool | None


def tag_value(name: str) -> str:
    """A name as it is kept in a tag. A backslash cannot be written in all places of one, so it is percent-encoded."""
    if "\\" not in name and "%" not in name and name.isprintable():
        return name
    return "".join(quote(each, safe="") if each in "\\%" or not each.isprintable() else each for each in name)


def name_of(value: str) -> str:
    """The name that was kept in a tag."""
    return unquote(value)


def line(measurement: str, tags: Mapping[str, str], fields: Mapping[str, Field], at_ns: int) -> str:
    """One point. Fields that are None are left out; at least one must be there."""
    key = "".join(f",{tag}={tag_value(value).translate(_TAG_ESCAPES)}" for tag, value in tags.items())
    written = ",".join(f"{name}={_field(value)}" for name, value in fields.items() if value is not None)
    return f"{measurement}{key} {written} {at_ns}"


def _field(value: int | float | str | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    return repr(value) if isinstance(value, float) else f'"{value.translate(_TEXT_ESCAPES)}"'


def channel_tags(key: ChannelKey) -> dict[str, str]:
    """The tags of a channel."""
    return {"logger": key.logger, "channel": key.channel}


def reading_lines(readings: ReadingColumns) -> Iterator[str]:
    """One line a reading: `mc`, or `fault` with its reason. The tag `rev` keeps a conflict's second value apart."""
    measurement = READING if readings.is_verified else UNVERIFIED
    starts: dict[int, str] = {}
    columns = readings.at_ms.tolist(), readings.temperature_mc.tolist(), readings.revision.tolist()
    for position, (at_ms, mc, revision) in enumerate(zip(*columns, strict=True)):
        if mc == FAULT_MC:
            tags = {**channel_tags(readings.key), "rev": str(revision)}
            yield line(measurement, tags, {"fault": readings.faults.get(position, "")}, at_ms * NS_PER_MS)
            continue
        start = starts.get(revision)
        if start is None:
            tags = {**channel_tags(readings.key), "rev": str(revision)}
            start = starts[revision] = line(measurement, tags, {"mc": 0}, 0).removesuffix("0i 0")
        yield f"{start}{mc}i {at_ms * NS_PER_MS}"


def logger_hour_lines(key: ChannelKey, hours: Iterable[LoggerHour]) -> Iterator[str]:
    """One line an hour of a channel."""
    tags = channel_tags(key)
    return (line(LOGGER_HOUR, tags, _fields(hour, "at_ms"), hour.at_ms * NS_PER_MS) for hour in hours)


def place_hour_lines(place: str, hours: Iterable[PlaceHour]) -> Iterator[str]:
    """One line an hour of a place."""
    return (line(PLACE_HOUR, {"place": place}, _fields(hour, "at_ms"), hour.at_ms * NS_PER_MS) for hour in hours)


def hold_line(hold: Hold) -> str:
    """One revision of a quarantine event, blinded."""
    return line(HOLD, _event_tags(hold), _fields(hold, "at_ms", "place", "reason"), instant_ns(hold.at_ms, hold.seq))


def evidence_line(evidence: Evidence) -> str:
    """The same, unblinded."""
    hold = evidence.hold
    fields = {**_fields(hold, "at_ms", "place", "reason"), **_fields(evidence, "hold")}
    return line(EVENT, _event_tags(hold), fields, instant_ns(hold.at_ms, hold.seq))


def _event_tags(hold: Hold) -> dict[str, str]:
    return {"reason": hold.reason, "place": hold.place}


def act_line(act: Act) -> str:
    """One audit entry."""
    tags = {"action": act.action, "role": act.role}
    return line(ACT, tags, _fields(act, "at_ms", "action", "role"), instant_ns(act.at_ms, act.seq))


def group_line(verdict: GroupVerdict) -> str:
    """The outcome of a kit group; its kits are points of their own."""
    fields = _fields(verdict, "at_ms", "verdict", "kits") | {"kits": len(verdict.kits)}
    return line(KIT_GROUP, {"verdict": verdict.verdict}, fields, instant_ns(verdict.at_ms, verdict.seq))


def kit_line(verdict: KitVerdict) -> str:
    """The outcome of a kit, blinded."""
    return line(
        KIT,
        {"verdict": verdict.verdict},
        _fields(verdict, "at_ms", "verdict"),
        instant_ns(verdict.at_ms, verdict.seq),
    )


def cursor_line(cursor: Cursor) -> str:
    """How far the ledger is projected: always the same point, overwritten."""
    return line(CURSOR, {"of": "ledger"}, _fields(cursor), 0)


def basis_line(place: str, basis: str) -> str:
    """What the hours of a place were computed from: one point a place, overwritten."""
    return line(PLACE_BASIS, {"place": place}, {"basis": basis}, 0)


def instant_ns(at_ms: int, number: int) -> int:
    """An instant [ns] that no other of the same ms has, unless it is a million entries away."""
    return at_ms * NS_PER_MS + number % NS_PER_MS


def _fields(values: tuple[object, ...], *but: str) -> dict[str, Field]:
    named: dict[str, Field] = values._asdict()  # type: ignore[attr-defined]  # every point is a NamedTuple
    return {name: value for name, value in named.items() if name not in but}
