"""Whole cases for property tests: a registry, profiles, readings as they arrive, an instant of evaluation.

The shapes are those of the TOML files, so that one case serves a call in Python and a run of the command line.
Every choice shrinks towards the dull case: one fridge, one logger, one kit, readings of 5 degC that arrive in order.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import strategies as st

from oracle import STAGES, Item, Table, duration_ms

START = datetime(2026, 3, 1, tzinfo=UTC)
START_MS = int(START.timestamp()) * 1000
MINUTE_MS = 60_000
Stay = tuple[str, int, int | None]  # place, from_ms, to_ms (None: open end)

BOUNDS_C = [Decimal(text) for text in ("8.0", "2.0", "25.0", "-0.5", "8.004", "-15.0")]
RANGES_C = [[Decimal(low), Decimal(high)] for low, high in (("2.0", "8.0"), ("15.0", "25.0"), ("-25.0", "-15.0"))]
LABELS = [("2.0", "8.0"), (None, "8.0"), ("2.0", None), ("15.0", "25.0"), ("-25.0", "-15.0"), ("-5.0", "0.0")]
TIME_KINDS = ["accumulated", "single_event", "events"]
UNKNOWN_KINDS = ["unknown_accumulated", "unknown_single"]
ALLOWED = ["30min", "0s", "1min", "450s", "2h", "600001ms", "12h"]

temperatures_mc = st.one_of(
    st.sampled_from([5000, 8001, 8000, 1999, 2000, 8004, 8005, 25_001, 0, -501, -15_001, -14_999, 30_000]),
    st.integers(-30_000, 45_000),
)
instants_ms = st.builds(
    lambda minutes, ms: START_MS + minutes * MINUTE_MS + ms, st.integers(0, 500), st.sampled_from([0, 1, -1, 90_000])
)


class Case(NamedTuple):
    """What one replay takes. The tables are as tomllib gives them with `parse_float=Decimal`."""

    registry: Table
    profiles: list[Table]
    items: list[Item]
    as_of_ms: int | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a whole case: a few hours of a few places, loggers and kits."""
    places = ["depot", "shipper", "site"][: draw(st.integers(1, 3))]
    registry: Table = {"logger": [], "place": [draw(place_tables(place)) for place in places], "monitoring": []}
    items: list[Item] = []
    for number, (logger, is_resident, channels) in enumerate(draw(st.lists(watchers(places), min_size=1, max_size=4))):
        logger["id"] = f"lg-{number + 1}"
        registry["logger"].append(logger)
        for channel, (stays, found) in enumerate(channels, start=1):
            if is_resident and channel == 1:  # so that most places have a logger of their own
                stays = [(places[number % len(places)], START_MS, None)]
            for place, from_ms, to_ms in stays:
                row = {"place": place, "logger": logger["id"], **span(from_ms, to_ms)}
                registry["monitoring"].append(row if channel == 1 else {**row, "channel": str(channel)})
            items += [item._replace(logger=logger["id"], channel=str(channel)) for item in found]
    items += draw(st.sampled_from([[], [Item("lg-strange", "1", START_MS, 5000, START_MS)] * 2]))

    profiles = draw(profile_sets())
    travels = draw(st.lists(travellers(profiles), min_size=1, max_size=5))
    registry["kit"] = [{"id": f"K-{number:04}", **kit} for number, (kit, _) in enumerate(travels, start=1)]
    custody: list[Table] = []
    for route in sorted({route for _, route in travels if route is not None}):
        kits = [kit["id"] for kit, (_, taken) in zip(registry["kit"], travels, strict=True) if taken == route]
        for place, from_ms, to_ms in draw(routes(places, most=4, may_overlap=True)):
            custody.append({"kits": kits, "place": place, **span(from_ms, to_ms)})
    registry |= {"custody": custody} if custody else {}
    if custody and draw(st.sampled_from([False, False, True])):
        registry["repack"] = [draw(repacks(registry, places))]

    stride = draw(st.sampled_from([1, 7919, 9972]))  # in order, scattered, backwards
    order = sorted(range(len(items)), key=lambda number: number * stride % 9973)
    extremes_ms = st.sampled_from([None, None, None, START_MS - 1, START_MS + 5000 * MINUTE_MS])
    as_of_ms = draw(extremes_ms | instants_ms)
    return Case(registry, profiles, [items[number] for number in order], as_of_ms)


@st.composite
def place_tables(draw: st.DrawFn, place: str) -> Table:
    """Draw a place, often of a stage, which it states or has by its kind."""
    kind = draw(st.sampled_from(["storage", "storage", "storage", "shipper", "patient_home"]))
    return {"id": place, "kind": kind, **present(stage=draw(st.sampled_from([None, None, None, *STAGES])))}


@st.composite
def repacks(draw: st.DrawFn, registry: Table, places: list[str]) -> Table:
    """Draw a kit that is made of one or two others of its kind, and where it goes; it is added to the registry."""
    starts: dict[str, datetime] = {}
    for row in registry["custody"]:
        starts |= {kit: min(row["from"], starts.get(kit, row["from"])) for kit in row["kits"]}
    sources = [kit for kit in registry["kit"] if kit["id"] in starts]
    first = draw(st.sampled_from(sources))
    at = starts[first["id"]] + timedelta(minutes=draw(st.integers(1, 150)), milliseconds=draw(st.sampled_from([0, 1])))
    kind = ("profile", "blind_group")
    alike = [k["id"] for k in sources if all(k.get(key) == first.get(key) for key in kind) and starts[k["id"]] < at]
    of = sorted({first["id"], draw(st.sampled_from(alike))})
    registry["kit"].append({**first, "id": "K-9001"})
    for place, from_ms, to_ms in (
        draw(st.sampled_from([False, True])) and draw(routes(places, 2, may_overlap=True))
    ) or []:
        begin = max(moment(from_ms), at)
        if to_ms is None or moment(to_ms) > begin:
            end = {} if to_ms is None else {"to": moment(to_ms)}
            registry["custody"].append({"kits": ["K-9001"], "place": place, "from": begin, **end})
    return {"kits": ["K-9001"], "of": of, "at": at}


@st.composite
def watchers(draw: st.DrawFn, places: list[str]) -> tuple[Table, bool, list[tuple[list[Stay], list[Item]]]]:
    """Draw a logger, its stays and its deliveries in one piece: a failing case can shrink by a whole logger."""
    logger = draw(logger_tables())
    interval_ms = duration_ms(logger["logging_interval"])
    is_resident = draw(st.sampled_from([True, True, True, False]))
    channel = st.tuples(routes(places, most=2, may_overlap=False), arrivals(interval_ms))
    return logger, is_resident, [draw(channel) for _ in range(draw(st.sampled_from([1, 1, 1, 2])))]


@st.composite
def logger_tables(draw: st.DrawFn) -> Table:
    """Draw a logger without its id; most are calibrated without end, with the usual `gap_after`."""
    table: Table = {"id": "", "logging_interval": draw(st.sampled_from(["5min", "1min", "10min", "90s"]))}
    table |= present(gap_after=draw(st.sampled_from([None, None, None, "10min", "15min", "1h"])))
    for key in draw(st.sampled_from([[], [], [], [], ["calibrated_from"], ["calibrated_until"], ["registered_at"]])):
        table[key] = moment(draw(instants_ms))
    return table | present(blocked=draw(st.sampled_from([*[None] * 9, True])))


@st.composite
def routes(draw: st.DrawFn, places: list[str], most: int, may_overlap: bool) -> list[Stay]:
    """Draw stays one after another; only the last may have an open end."""
    pauses = [0, 0, 0, 0, 1, 15 * MINUTE_MS] + ([-1, -20 * MINUTE_MS] if may_overlap else [])
    stays: list[Stay] = []
    from_ms = START_MS + draw(st.sampled_from([0, 0, 0, 60_001, 45 * MINUTE_MS]))
    number_of_stays = draw(st.integers(1, most))
    for number in range(1, number_of_stays + 1):
        to_ms = from_ms + draw(st.integers(3, 100)) * MINUTE_MS + draw(st.sampled_from([0, 1, 12_345]))
        is_open = number == number_of_stays and draw(st.booleans())
        stays.append((draw(st.sampled_from(places)), from_ms, None if is_open else to_ms))
        from_ms = max(from_ms + MINUTE_MS, to_ms + draw(st.sampled_from(pauses)))
    return stays


@st.composite
def arrivals(draw: st.DrawFn, interval_ms: int) -> list[Item]:
    """Draw what one channel delivers: plateaus with gaps and jitter; faults, conflicts, copies, wrong clocks."""
    at_ms = START_MS + draw(st.sampled_from([0, -15, 7, 40])) * MINUTE_MS
    rows: list[tuple[int, int | None]] = []
    for _ in range(draw(st.integers(1, 6))):
        at_ms += interval_ms * draw(st.sampled_from([0, 0, 0, 0, 1, 2, 12]))
        jitter_ms = draw(st.sampled_from([0, 0, 0, 1, 997]))
        temperature_mc, step_mc = draw(temperatures_mc), draw(st.sampled_from([0, 0, 1, -7, 250]))
        for number in range(draw(st.integers(1, 12))):
            at_ms += interval_ms
            rows.append((at_ms + number % 2 * jitter_ms, temperature_mc + number * step_mc))
    index = st.integers(0, len(rows) - 1)
    for number in draw(st.one_of(st.just([]), st.lists(index, max_size=3))):
        rows[number] = (rows[number][0], draw(st.sampled_from([None, None, -273_151, 1_000_001])))
    for number in draw(st.sampled_from([[], [], [], [], [0], [len(rows) - 1], [len(rows) // 2] * 2])):
        rows.append((rows[number][0], draw(st.one_of(temperatures_mc, st.none()))))

    batch_size, delay_ms = draw(st.sampled_from([(1, None), (1, 2000), (8, 2000), (5, 3 * 60 * MINUTE_MS)]))
    items = []
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        received_ms = None if delay_ms is None else max(at_ms for at_ms, _ in batch) + delay_ms
        items += [Item("", "", at_ms, mc, received_ms) for at_ms, mc in batch]
    for number in draw(st.lists(index, max_size=3)):
        again_ms = items[number].at_ms + draw(st.sampled_from([10_000, -5 * MINUTE_MS, -5 * MINUTE_MS - 1]))
        items.append(items[number]._replace(received_ms=again_ms))
    wrong = [(clock_ms, START_MS) for clock_ms in (946_684_800_000, 0, 1_356_998_399_999)]
    wrong += [(at_ms + 5 * MINUTE_MS + ahead_ms, at_ms) for ahead_ms in (0, 1)]  # the first is just credible
    for clock_ms, received_ms in draw(st.lists(st.sampled_from(wrong), max_size=2)):
        items.append(Item("", "", clock_ms, draw(temperatures_mc), received_ms))
    return items


@st.composite
def profile_sets(draw: st.DrawFn) -> list[Table]:
    """Draw one to three products; of the first there may be an older version, which must not count."""
    profiles = draw(st.lists(profile_tables(), min_size=1, max_size=3))
    for name, profile in zip(["frz-9", "mab-017", "vax-2"], profiles, strict=False):
        profile |= {"profile": name, "version": 2}
    if draw(st.sampled_from([False, False, True])):
        profiles.append(draw(profile_tables()) | {"profile": "frz-9", "version": 1})
    return profiles


@st.composite
def profile_tables(draw: st.DrawFn) -> Table:
    """Draw a profile without its name and version: up to five limits of any kind, the last on unknown time."""
    low, high = draw(st.sampled_from(LABELS))
    is_frozen = high in ("-15.0", "0.0")
    kinds = TIME_KINDS + UNKNOWN_KINDS + ([] if is_frozen else ["mkt"] * 3)
    limits = [*draw(st.lists(limit_tables(kinds), max_size=4)), draw(limit_tables(UNKNOWN_KINDS))]
    for number, limit in enumerate(limits):
        limit |= {"id": f"limit-{number}", "source": "STAB-0042, section 5.2"}
    return {
        "title": 'A product, "vial"',
        "effective_from": datetime(2026, 1, 1, tzinfo=UTC),
        **present(label_low_c=low and Decimal(low), label_high_c=high and Decimal(high)),
        **present(activation_energy_j_mol=draw(st.sampled_from([None, None, Decimal("60000.0"), Decimal("120000.5")]))),
        "source": {"document": "STAB-0042", "version": "4"},
        "approval": {"author": "qa-author", "approver": "qa-approver", "approved_at": START - timedelta(days=90)},
        "limit": limits,
    }


@st.composite
def limit_tables(draw: st.DrawFn, kinds: list[str]) -> Table:
    """Draw one limit of one of these kinds, without id and source."""
    kind = draw(st.sampled_from(kinds))
    limit: Table = present(severity=draw(st.sampled_from([None, None, "warn", "quarantine"])))
    if kind == "mkt":
        limit["mkt_window"] = draw(st.sampled_from(["10min", "30min", "1h", "24h"]))
        limit["mkt_max_c"] = draw(st.sampled_from([Decimal("8.0"), Decimal("5.0"), Decimal("6.5"), Decimal("25.0")]))
        coverages = [None, Decimal("0.5"), Decimal("1.0"), Decimal("0.05")]
        return limit | present(min_coverage=draw(st.sampled_from(coverages)))
    if kind in TIME_KINDS:
        side = draw(st.sampled_from(["above_c", "below_c", "outside_c"]))
        limit[side] = draw(st.sampled_from(RANGES_C) if side == "outside_c" else st.sampled_from(BOUNDS_C))
    limit[kind] = draw(st.integers(0, 3) if kind == "events" else st.sampled_from(ALLOWED))
    if kind == "accumulated" and draw(st.booleans()):
        shares = [text for text in ALLOWED if duration_ms(text) <= duration_ms(limit[kind])]
        limit["stages"] = draw(st.dictionaries(st.sampled_from(STAGES), st.sampled_from(shares), min_size=1))
    return limit


@st.composite
def travellers(draw: st.DrawFn, profiles: list[Table]) -> tuple[Table, int | None]:
    """Draw a kit without its id, maybe blinded, maybe with balances already spent, and the number of its route."""
    profile = draw(st.sampled_from([table for table in profiles if table["version"] == 2]))
    group = draw(st.sampled_from([None, None, "TRIAL-7", "TRIAL-8"]))
    opening: Table = {}
    for limit in profile["limit"]:
        limit_id = limit["id"] if group is None else f"{profile['profile']}:{limit['id']}"
        if "accumulated" in limit or "unknown_accumulated" in limit:
            opening |= present(**{limit_id: draw(st.sampled_from([None, None, "7min", "90001ms", "3h"]))})
        elif "events" in limit:
            opening |= present(**{limit_id: draw(st.sampled_from([None, None, 1, 4]))})
    kit = {"batch": "B22", "trial": "TRIAL-7", "profile": profile["profile"]}
    kit |= present(blind_group=group, opening=opening or None)
    return kit, draw(st.sampled_from([0, 0, 0, 0, 1, 1, 1, 2, 2, 3, None]))


def corrected(custody: list[Table], which: int, minutes: int, is_removed: bool) -> list[Table]:
    """The custody with one of its rows taken out, or begun so many minutes later."""
    rows = [dict(row) for row in custody]
    row = rows[which % len(rows)]
    if is_removed:
        rows.remove(row)
        return rows
    row["from"] += timedelta(minutes=minutes)
    if "to" in row and row["to"] <= row["from"]:
        row["to"] = row["from"] + timedelta(minutes=1)
    return rows


def present(**keys: Any) -> Table:
    """Leave out what is None: a TOML file has no such value."""
    return {key: value for key, value in keys.items() if value is not None}


def moment(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def iso(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(from_ms: int, to_ms: int | None) -> Table:
    return {"from": moment(from_ms), **present(to=None if to_ms is None else moment(to_ms))}


def to_toml(document: Table) -> str:
    """Write a registry or a profile as its TOML file: plain values first, then tables, then arrays of tables."""
    plain, tables, arrays = [], [], []
    for key, value in document.items():
        if isinstance(value, list) and all(isinstance(row, dict) for row in value):
            arrays += [f"\n[[{key}]]\n{lines(row)}" for row in value]
        elif isinstance(value, dict):
            tables.append(f"\n[{key}]\n{lines(value)}")
        else:
            plain.append(lines({key: value}))
    return "".join([*plain, *tables, *arrays])


profile_to_toml = to_toml


def lines(table: Table) -> str:
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in table.items())


def toml_value(value: object) -> str:
    """Write one value; a dict becomes an inline table, a Decimal always shows its point."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text if "." in text else text + ".0"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(entry) for entry in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml_value(entry)}" for key, entry in value.items()) + " }"
    return json.dumps(value)


def to_ndjson(items: list[Item], most: int = 60) -> list[str]:
    """Write items as message-log lines with native payloads of up to `most` readings.

    Instants strictly increase inside a message, so copies and conflicts go into further ones. Items of a file arrive
    at their own last instant, which trusts their clock just as a file does.
    """
    messages: dict[tuple[str, str, int | None, int], list[Item]] = {}
    seen: dict[Item, int] = {}
    for item in items:
        instant = item._replace(temperature_mc=None)
        seen[instant] = seen.get(instant, 0) + 1
        messages.setdefault((item.logger, item.channel, item.received_ms, seen[instant]), []).append(item)
    log = []
    for (logger, channel, received_ms, _), message in messages.items():
        ordered = sorted(message, key=lambda item: item.at_ms)
        for part in (ordered[start : start + most] for start in range(0, len(ordered), most)):
            received_at = iso(moment(part[-1].at_ms if received_ms is None else received_ms))
            payload = {"v": 1, "logger": logger, "channel": channel, **columns(part)}
            topic = f"coldchain/v1/basel/gw-1/{logger}/readings"
            log.append(json.dumps({"received_at": received_at, "topic": topic, "payload": payload}))
    return log


def columns(items: list[Item]) -> Table:
    """Write the columns of one message: `every` where the instants are evenly spaced, else `dt`."""
    steps = {right.at_ms - left.at_ms for left, right in pairwise(items)}
    times = {"every": steps.pop()} if len(steps) == 1 else {"dt": [item.at_ms - items[0].at_ms for item in items]}
    mc = [item.temperature_mc for item in items]
    faults = {str(position): "probe_open" for position, value in enumerate(mc) if value is None}
    return {"t0": items[0].at_ms, **times, "mc": mc, **present(fault=faults or None)}
