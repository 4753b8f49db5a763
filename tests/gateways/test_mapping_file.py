"""Mapping files: a folder of own ones, and one clear line for every mistake in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coldchain import inputs
from coldchain.broker import Arrived
from coldchain.errors import BadInput, RejectedPayload
from coldchain.incoming import received
from coldchain.settings import load_settings
from gateways.decoders import decode, decoder, mapping_file, paths

RECEIVED_MS = 1_780_000_000_000

GOOD = """\
name = "cold-room-plc"
topics = ["plant/+/temperatures", "plant/+/temperatures/#"]
ignored_topics = "plant/+/state"
when = "rooms"
[logger]
topic_level = 2
form = "lower"
prefix = "plc-"
[[time]]
clock = "gateway"
path = "rooms.*.at"
format = "iso"
offset = "+01:00"
[[ignore]]
path = "kind"
values = ["test"]
[[sentinel]]
c = -50
reason = "probe_open"
only = "rooms.c.*"
[[reading]]
temperature = "rooms.*.value"
channel = "room-{1}"
unit_path = "rooms.*.unit"
"""

PAYLOAD = {
    "kind": "live",
    "rooms": {
        "a": {"value": 41.0, "unit": "F", "at": "2026-03-01T11:00:00"},
        "b.2": {"value": 278.15, "unit": "K", "at": "2026-03-01T11:00:00+02:00"},
        "c": {"value": -50.0, "unit": "C", "at": "2026-03-01T11:00:00.250Z"},
        "d": {"value": -50, "unit": "C", "at": "2026-03-01T11:00:00"},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plc.toml").write_text(GOOD)
    return tmp_path


def test_an_own_mapping_is_read_beside_the_built_in_ones(folder: Path) -> None:
    own = decoder(folder)
    batches = own.read("plant/BASEL/temperatures", json.dumps(PAYLOAD).encode(), RECEIVED_MS).batches
    start_ms = 1_772_359_200_000
    assert [(b.logger, b.channel, int(b.at_ms[0]) - start_ms) for b in batches] == [
        ("plc-basel", "room-a", 0),
        ("plc-basel", "room-b.2", -3_600_000),
        ("plc-basel", "room-c", 3_600_250),
        ("plc-basel", "room-d", 0),
    ]
    assert [int(b.temperature_mc[0]) for b in batches[:2]] == [5000, 5000]
    assert [batch.faults for batch in batches[2:]] == [{0: "probe_open"}, {}]
    assert own.read("shellies/x/sensor/temperature", b"5", RECEIVED_MS).batches[0].logger == "x"
    for payload in ({"kind": "test", "rooms": {}}, {"kind": "live", "rooms": {}}, {"kind": "live"}):
        with pytest.raises(RejectedPayload, match="not_a_reading"):
            own.read("plant/BASEL/temperatures", json.dumps(payload).encode(), RECEIVED_MS)
    with pytest.raises(RejectedPayload, match="not_a_reading"):
        own.read("plant/BASEL/state", b"{}", RECEIVED_MS)


def test_without_the_folder_its_topics_are_unknown() -> None:
    with pytest.raises(RejectedPayload, match="unknown_topic"):
        decode("plant/BASEL/temperatures", json.dumps(PAYLOAD).encode(), RECEIVED_MS)


def test_an_own_mapping_replaces_its_namesake(tmp_path: Path) -> None:
    text = (mapping_file.BUILT_IN / "tasmota.toml").read_text().replace("tele/+/SENSOR", "site/+/SENSOR")
    (tmp_path / "tasmota.toml").write_text(text)
    payload = b'{"SHT":{"Temperature":5},"TempUnit":"C"}'
    assert decoder(tmp_path).read("site/x/SENSOR", payload, RECEIVED_MS).batches[0].logger == "x"
    with pytest.raises(RejectedPayload, match="not_a_reading"):
        decoder(tmp_path).read("tele/x/SENSOR", payload, RECEIVED_MS)


def test_a_mapping_that_is_like_a_built_in_one_says_only_what_is_different(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text('name = "ours"\nlike = "tasmota"\ntopics = "site/+/SENSOR"\n')
    own = decoder(tmp_path)
    payload = b'{"SHT":{"Temperature":85},"TempUnit":"C"}'
    for topic in ("site/x/SENSOR", "tele/x/SENSOR"):
        (batch,) = own.read(topic, payload, RECEIVED_MS).batches
        assert (batch.logger, batch.faults) == ("x", {0: "power_on"})
    assert own.mappings[0].tested == "by its user"


def test_a_value_of_another_unit_is_passed_over_where_the_mapping_says_so(tmp_path: Path) -> None:
    (tmp_path / "plc.toml").write_text(GOOD + "skip_other_units = true\n")
    rooms = PAYLOAD["rooms"] | {"e": {"value": 40, "unit": "%RH", "at": "2026-03-01T11:00:00"}, "f": {"value": 1}}  # type: ignore[operator]
    batches = decoder(tmp_path).read("plant/X/temperatures", json.dumps({"rooms": rooms}).encode(), RECEIVED_MS).batches
    assert [batch.channel for batch in batches] == ["room-a", "room-b.2", "room-c", "room-d"]


def test_a_path_that_begins_with_a_dot_starts_where_the_temperature_stands(tmp_path: Path) -> None:
    text = (
        GOOD.replace('"rooms.*.at"', '".at"').replace('"rooms.*.unit"', '".unit"').replace("rooms.*.value", "*.*.value")
    )
    (tmp_path / "plc.toml").write_text(text.replace("room-{1}", "room-{2}"))
    payload = json.dumps(PAYLOAD).encode()
    (tmp_path / "same").mkdir()
    (tmp_path / "same" / "plc.toml").write_text(GOOD)
    by_dot, by_path = (
        decoder(folder).read("plant/X/temperatures", payload, RECEIVED_MS).batches
        for folder in (tmp_path, tmp_path / "same")
    )
    assert [(b.key, b.at_ms.tolist(), b.temperature_mc.tolist()) for b in by_dot] == [
        (b.key, b.at_ms.tolist(), b.temperature_mc.tolist()) for b in by_path
    ]


def test_a_replayed_log_is_read_by_own_mappings_too(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "day.ndjson"
    line = {"received_at": "2026-03-01T12:00:00Z", "topic": "plant/x/temperatures", "payload": PAYLOAD}
    log.write_text(json.dumps(line) + "\n")
    assert inputs.read([log], logger=None, zone=None).rejected == 1
    assert len(inputs.read([log], logger=None, zone=None, mappings=folder).batches) == 4


def test_the_settings_name_the_folder_of_own_mappings(folder: Path) -> None:
    settings = folder / "settings.toml"
    settings.write_text('[gateways]\nmappings = "own"\n')
    assert load_settings(settings, {}).gateways.mappings == folder / "own"
    settings.write_text("")
    assert load_settings(settings, {}).gateways.mappings is None


def test_the_service_keeps_what_own_mappings_read_and_writes_down_what_is_odd(folder: Path) -> None:
    arrived = Arrived(RECEIVED_MS, "plant/x/temperatures", json.dumps(PAYLOAD).encode())
    assert received(arrived).reason == "unknown_topic"
    kept = received(arrived, decoder(folder))
    assert (kept.status, len(kept.batches), kept.detail) == ("accepted", 4, "")
    flagged = GOOD + '[[agrees_with_topic]]\npath = "kind"\ntopic_level = 2\n'
    (folder / "plc.toml").write_text(flagged)
    odd = received(arrived, decoder(folder))
    assert (odd.status, odd.detail) == ("accepted", "topic_mismatch: kind = 'live', the topic says 'x'")


def test_every_built_in_mapping_says_how_it_was_tested_and_stands_in_the_guide() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "connect.md").read_text()
    built_in = mapping_file.load(mapping_file.BUILT_IN)
    assert len(built_in) == 14
    for one in built_in:
        assert one.tested != "by its user", one.name
        assert one.notes, one.name
        assert f"`{one.name}`" in guide, one.name
        assert all(topic in guide for topic in one.topics), one.name


def mistake(text: str) -> str:
    with pytest.raises(BadInput) as caught:
        mapping_file.parse(text, "plc.toml")
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("plc.toml: ")
    return line.removeprefix("plc.toml: ")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('name = "cold-room-plc"\n', "", "name: is missing"),
        ('"cold-room-plc"', '"Cold room"', "name = 'Cold room': must be lower-case letters"),
        ('["plant/+/temperatures", "plant/+/temperatures/#"]', "[]", "topics: must not be empty"),
        ("plant/+/temperatures/#", "plant/x+/t", "topics: must be an MQTT topic filter"),
        ("plant/+/temperatures/#", "plant/#/t", "topics: must be an MQTT topic filter"),
        ('topics = ["plant', 'topcis = ["plant', "topics: is missing"),
        ("ignored_topics", "ignore_topics", "ignore_topics = 'plant/+/state': unknown key; known: "),
        ('"rooms"', '"rooms.*"', "when = 'rooms.*': takes no wildcards"),
        ('"rooms"', '"rooms..a"', "when = 'rooms..a': a path is keys joined by dots"),
        ("[logger]\ntopic_level = 2\n", "[logger]\n", "logger.path: is missing: path, topic_level or wildcard"),
        ("topic_level = 2", "topic_level = 4", "logger.topic_level = 4: a topic has only 3 levels"),
        ("topic_level = 2", "topic_level = true", "logger.topic_level = True: must be a whole number from 1"),
        ("topic_level = 2", "wildcard = 2", "logger.wildcard = 2: a temperature path has only 1 wildcards"),
        ("topic_level = 2", 'path = "a.*.b.*"', "logger.path = 2: a temperature path has only 1 wildcards"),
        ('"lower"', '"upper"', "logger.form = 'upper': must be one of text, lower, eui64, mac"),
        ('"gateway"', '"wall"', "time[1].clock = 'wall': must be one of device, gateway, server, received"),
        ('"gateway"', '"received"', "time[1].path = 'rooms.*.at': unknown key; known: clock"),
        ('path = "rooms.*.at"\n', "", "time[1].path: is missing"),
        ('path = "rooms.*.at"', 'path = "*.*.at"', "reading[1].time.path = '*.*.at': has more wildcards"),
        ('format = "iso"', 'format = "rfc"', "time[1].format = 'rfc': must be one of ms, s, iso"),
        ('format = "iso"', 'format = "ms"', "time[1].offset = '+01:00': belongs to format"),
        ('"+01:00"', '"CET"', "time[1].offset = 'CET': must be an offset from UTC"),
        ('values = ["test"]\n', "", "ignore[1].values: is missing"),
        ("c = -50", "c = -500", "sentinel[1].c = -500: must be a temperature in degC"),
        ("c = -50", 'c = "cold"', "sentinel[1].c = 'cold': must be a temperature in degC"),
        ("c = -50", "", "sentinel[1].c: give either c, in degC, or text"),
        ("c = -50", 'c = -50\ntext = "x"', "sentinel[1].c: give either c, in degC, or text"),
        ('"probe_open"', '"Probe open"', "sentinel[1].reason = 'Probe open': must be lower-case letters"),
        ('"rooms.*.value"', '"rooms.**.value"', "reading[1].temperature = 'rooms.**.value': a path is keys"),
        ('"rooms.*.value"', '["a.*", "b"]', "reading[1].temperature: the paths must have equally many wildcards"),
        ('"rooms.*.value"', "5", "reading[1].temperature = 5: must be a text"),
        ('"room-{1}"', '"room-{2}"', "reading[1].channel = 'room-{2}': temperature has 1 wildcards"),
        ('unit_path = "rooms.*.unit"', "", "reading[1].unit: give either unit or unit_path"),
        ('unit_path = "rooms.*.unit"', 'unit = "R"', "reading[1].unit = 'R': must be C, F or K"),
        ('"rooms.*.unit"', '"*.*.unit"', "reading[1].unit_path = '*.*.unit': has more wildcards than temperature"),
        ('unit_path = "rooms.*.unit"', 'unit = "C"\nunti = 1', "reading[1].unti = 1: unknown key; known: temperature"),
        ("[[reading]]", "[[readings]]", "reading: is missing: at least one [[reading]]"),
        ("[[reading]]", "[reading]", "reading: must be a list of tables: [[reading]]"),
        ("[logger]", "[[logger]]", "logger: must be a table: [logger]"),
        ("when =", "payload = 'xml'\nwhen =", "payload = 'xml': must be one of json, number"),
        ("when =", "embedded = 'a.b'\nwhen =", "embedded = 'a.b': must be a key of the document itself"),
        ("when =", "like = 'gizmo'\nwhen =", "like = 'gizmo': must be a built-in mapping: chirpstack-v3, "),
        ("when =", "like = 5\nwhen =", "like = 5: must be a built-in mapping: "),
        ('prefix = "plc-"', "pattern = '('", "logger.pattern = '(': must be a regular expression: "),
        ('prefix = "plc-"', "pattern = '.+'", "logger.pattern = '.+': must have a group (?P<logger>...)"),
        ('prefix = "plc-"', "pattern = '(?P<logger>.)(?P<x>.)'", "must have a group (?P<logger>...) and may have one"),
        (
            'unit_path = "rooms.*.unit"',
            'unit = "C"\nskip_other_units = 1',
            "skip_other_units = 1: must be true or false",
        ),
        ('"rooms.*.value"', '".value"', "reading[1].temperature: must not begin with a dot"),
        ('"rooms"', '".rooms"', "when = '.rooms': takes no wildcards, and begins with no dot"),
        ("when =", "when = = ", "not valid TOML: "),
    ],
)
def test_every_kind_of_mistake_gives_one_line_that_names_key_and_value(old: str, new: str, line: str) -> None:
    assert GOOD.count(old) >= 1
    assert line in mistake(GOOD.replace(old, new, 1))


def test_a_mapping_without_any_clock_is_refused() -> None:
    without = GOOD[: GOOD.index("[[time]]")] + GOOD[GOOD.index("[[ignore]]") :]
    assert mistake(without).startswith("reading[1].time: is missing")


def test_a_folder_without_mappings_and_two_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "again.toml").write_text(GOOD)
    with pytest.raises(BadInput, match=r"plc\.toml: name = 'cold-room-plc': .*again\.toml has it too"):
        decoder(folder)
    (tmp_path / "none").mkdir()
    for empty in (tmp_path / "none", tmp_path / "absent"):
        with pytest.raises(BadInput, match="no mapping files"):
            decoder(empty)
    (tmp_path / "none" / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(BadInput, match=r"latin\.toml: cannot be read"):
        decoder(tmp_path / "none")


@pytest.mark.parametrize(
    ("topic_filter", "topic", "covers"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a//c", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "b", False),
        ("a/+/#", "a", False),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("A/b", "a/b", False),
    ],
)
def test_topic_filters_follow_the_rules_of_mqtt(topic_filter: str, topic: str, covers: bool) -> None:
    assert paths.covers(topic_filter, topic) is covers


def test_a_path_finds_lists_maps_nulls_and_digits_and_remembers_its_wildcards() -> None:
    document = {"a": [{"t_1": 5, "t_x": 6}, {"t_12": None}], "b": {"*": 1, "t.1": 2}}
    assert [one[:3] for one in paths.find(document, paths.path("a.*.t_#"))] == [
        (5, ("0", "1"), "a.0.t_1"),
        (None, ("1", "12"), "a.1.t_12"),
    ]
    assert paths.look_up(document, paths.path("a.0.t_x")) == 6
    assert paths.look_up(document, paths.path("a.2.t_x")) is None
    assert paths.look_up(document, paths.path("a.0.t_1.deeper")) is None
    (star,) = (one for one in paths.find(document, paths.path("b.*")) if one.value == 1)
    assert paths.look_up(document, paths.bound(paths.path("b.*"), star.taken)) == 1
