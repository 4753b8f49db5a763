"""The registry: the same from TOML and from CSV, and every doubtful row refused with its file and line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coldchain import pipeline
from coldchain.errors import BadInput
from coldchain.instant import instant_ms, iso
from coldchain.model import CustodySegment, Kit, Logger, Monitoring, OpeningBalance, Place, Stage
from coldchain.profiles import StabilityProfile, parse_profile
from coldchain.readings import ChannelKey
from coldchain.registry import Registry, load_registry, parse_registry

TOML = """\
[[logger]]
id = "lg-1001"
logging_interval = "5min"
gap_after = "12min"
calibrated_from = 2026-01-01T00:00:00Z
calibrated_until = 2027-01-01T01:00:00+01:00
registered_at = 2025-12-01T00:00:00Z
[[logger]]
id = "007"
logging_interval = "10s"
blocked = true

[[place]]
id = "room"
kind = "storage"
[[place]]
id = "box"
kind = "shipper"

[[monitoring]]
place = "room"
logger = "lg-1001"
from = 2026-03-01T00:00:00Z
[[monitoring]]
place = "box"
logger = "007"
channel = "2"
from = 2026-03-01T00:00:00Z
to = 2026-04-01T00:00:00Z

[[kit]]
id = "K-1"
batch = "B22"
trial = "TRIAL-7"
profile = "mab-017"
blind_group = "TRIAL-7"
opening = { "mab-017:above-8" = "10h", "mab-017:events" = 2 }
[[kit]]
id = "NA"
batch = "1e5"
trial = "TRIAL-7"
profile = "mab-017"

[[custody]]
kits = ["K-1", "NA"]
place = "room"
from = 2026-03-01T00:00:00Z
to = 2026-03-02T00:00:00.250Z
[[custody]]
kits = ["K-1"]
place = "box"
from = 2026-03-02T00:00:00.250Z
"""

CSV = {
    "loggers.csv": "id,logging_interval,gap_after,calibrated_from,calibrated_until,registered_at,blocked\n"
    "lg-1001,5min,12min,2026-01-01T00:00:00Z,2027-01-01T00:00:00Z,2025-12-01T00:00:00Z,\n"
    "007,10s,,,,,true\n",
    "basel-place.csv": "kind,id\nstorage,room\nshipper,box\n",
    "monitoring.csv": "place,logger,channel,from,to\n"
    "room,lg-1001,,2026-03-01T00:00:00Z,\n"
    "box,007,2,2026-03-01T00:00:00Z,2026-04-01T00:00:00Z\n",
    "trial-7_kits.csv": "id,batch,trial,profile,blind_group,opening\r\n"
    'K-1,B22,TRIAL-7,mab-017,TRIAL-7,"{""mab-017:above-8"": ""10h"", ""mab-017:events"": 2}"\r\n'
    "NA,1e5,TRIAL-7,mab-017,,\r\n",
    "custody.csv": "kit,place,from,to\n"
    "K-1 NA,room,2026-03-01T00:00:00Z,2026-03-02T00:00:00.250Z\n"
    "K-1,box,2026-03-02T00:00:00.250Z,\n",
}

PROFILE = """
profile = "mab-017"
version = 3
title = "mAb 017"
effective_from = 2026-01-01T00:00:00Z
label_high_c = 8.0
source = { document = "STAB-0042", version = "4" }
approval = { author = "qa-author", approver = "qa-approver", approved_at = 2025-12-20T09:00:00Z }
limit = [
  { id = "above-8", above_c = 8.0, accumulated = "72h", source = "s" },
  { id = "single", above_c = 8.0, single_event = "24h", source = "s" },
  { id = "events", above_c = 8.0, events = 3, source = "s" },
  { id = "unknown", unknown_accumulated = "24h", source = "s" },
]
"""


def registry(text: str = TOML) -> Registry:
    return parse_registry([("registry.toml", text)])


def profiles() -> dict[str, StabilityProfile]:
    return {"mab-017": parse_profile(PROFILE, "mab-017.toml")}


def changed(old: str, new: str, text: str = TOML) -> str:
    assert old in text
    return text.replace(old, new, 1)


def refusal(text: str, name: str = "registry.toml") -> BadInput:
    with pytest.raises(BadInput) as caught:
        parse_registry([(name, text)])
    return caught.value


def test_a_registry_says_what_its_file_says() -> None:
    found = registry()
    march, handed_over = instant_ms("2026-03-01T00:00:00Z"), instant_ms("2026-03-02T00:00:00.250Z")
    assert found.loggers == {
        "lg-1001": Logger(
            "lg-1001",
            logging_interval_ms=300_000,
            gap_after_ms=720_000,
            calibrated_from_ms=instant_ms("2026-01-01T00:00:00Z"),
            calibrated_until_ms=instant_ms("2027-01-01T00:00:00Z"),
            registered_at_ms=instant_ms("2025-12-01T00:00:00Z"),
        ),
        "007": Logger("007", logging_interval_ms=10_000, gap_after_ms=20_000, blocked=True),
    }
    assert found.places == {"room": Place("room", "storage"), "box": Place("box", "shipper", Stage.TRANSIT)}
    assert set(found.monitoring) == {
        Monitoring("room", "lg-1001", "1", march),
        Monitoring("box", "007", "2", march, instant_ms("2026-04-01T00:00:00Z")),
    }
    assert found.kits == {
        "K-1": Kit(
            "K-1",
            "B22",
            "TRIAL-7",
            "mab-017",
            "TRIAL-7",
            (OpeningBalance("mab-017:above-8", 36_000_000), OpeningBalance("mab-017:events", 2, is_count=True)),
        ),
        "NA": Kit("NA", "1e5", "TRIAL-7", "mab-017"),
    }
    assert found.custody == {
        "K-1": (CustodySegment("room", march, handed_over), CustodySegment("box", handed_over)),
        "NA": (CustodySegment("room", march, handed_over),),
    }


def test_csv_files_give_the_same_registry_as_toml(tmp_path: Path) -> None:
    for name, text in CSV.items():
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "all.toml").write_text(TOML)
    from_csv = load_registry(*(tmp_path / name for name in CSV))
    from_toml = load_registry(tmp_path / "all.toml")
    assert replace(from_csv, sources=()) == replace(from_toml, sources=())
    assert from_csv.groups == from_toml.groups


def test_rows_may_stand_in_any_order_and_any_number_of_files() -> None:
    tables = [f"[[{part}" for part in TOML.split("[[")[1:]]
    turned = parse_registry([(f"{number}.toml", text) for number, text in enumerate(reversed(tables))])
    assert replace(turned, sources=()) == replace(registry(), sources=())
    assert turned.monitoring == registry().monitoring


def test_a_row_that_is_said_twice_counts_once() -> None:
    twice = TOML + TOML[TOML.index("[[custody]]") :] + TOML[TOML.index("[[monitoring]]") : TOML.index("[[kit]]")]
    assert replace(registry(twice), sources=()) == replace(registry(), sources=())


def test_places_and_channels_find_each_other() -> None:
    found = registry()
    assert found.places_watched_by == {ChannelKey("lg-1001", "1"): ("room",), ChannelKey("007", "2"): ("box",)}
    assert {place: len(entries) for place, entries in found.monitoring_of.items()} == {"room": 1, "box": 1}
    assert {place: len(groups) for place, groups in found.groups_at.items()} == {"room": 2, "box": 1}


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "value"),
    [
        ("kind =", "sort =", 13, "place[1].kind", None),
        ('"5min"', '"5 min"', 3, "logger[1].logging_interval", "5 min"),
        ('"5min"', '"0s"', 3, "logger[1].logging_interval", "0s"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00", 5, "logger[1].calibrated_from", None),
        ("2026-01-01T00:00:00Z", '"1 January 2026"', 5, "logger[1].calibrated_from", "1 January 2026"),
        ('id = "007"', "id = 7", 9, "logger[2].id", 7),
        ('id = "007"', 'id = ""', 9, "logger[2].id", ""),
        ('id = "007"', 'id = "0 7"', 9, "logger[2].id", "0 7"),
        ('id = "007"', 'id = "a/b"', 9, "logger[2].id", "a/b"),
        ("to = 2026-04-01", "until = 2026-04-01", 29, "monitoring[2].until", None),
        ('["K-1", "NA"]', "[]", 45, "custody[1].kits", None),
        ('"mab-017:events" = 2', '"mab-017:events" = -2', 37, "kit[1].opening", None),
        ('"mab-017:events" = 2', '"mab-017:events" = true', 37, "kit[1].opening", None),
        ('"10h"', '"10 hours"', 37, "kit[1].opening", None),
    ],
)
def test_a_row_that_is_wrong_is_refused_with_file_line_key_and_value(
    old: str, new: str, line: int, key: str, value: object
) -> None:
    error = refusal(changed(old, new))
    assert (error.file, error.line, error.key) == ("registry.toml", line, key)
    assert value is None or error.value == value


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("to = 2026-04-01", "to = 2026-03-01", 24, "ends before it begins"),
        ("to = 2026-04-01", "to = 2026-02-01", 24, "ends before it begins"),
        ('"12min"', '"4min"', 1, "shorter than logging_interval"),
        ("[[place]]", "[[palce]]", 13, "unknown table"),
        ("[[custody]]", "[[custody]", 44, "not valid TOML"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused_with_its_line(old: str, new: str, line: int, problem: str) -> None:
    error = refusal(changed(old, new))
    assert (error.file, error.line) == ("registry.toml", line)
    assert problem in str(error)


def test_a_table_that_is_no_list_of_rows_is_refused() -> None:
    assert "[[logger]]" in str(refusal('[logger]\nid = "lg"\n'))


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "value"),
    [
        ('id = "007"', 'id = "lg-1001"', 9, "logger.id", "lg-1001"),
        ('id = "box"', 'id = "room"', 17, "place.id", "room"),
        ('id = "NA"', 'id = "K-1"', 39, "kit.id", "K-1"),
        ('place = "box"\nlogger', 'place = "bax"\nlogger', 25, "monitoring.place", "bax"),
        ('logger = "007"', 'logger = "7"', 26, "monitoring.logger", "7"),
        ('place = "box"\nfrom', 'place = "bax"\nfrom', 51, "custody.place", "bax"),
        ('kits = ["K-1"]', 'kits = ["K-1", "K-2"]', 50, "custody.kits", "K-2"),
    ],
)
def test_a_name_that_is_taken_or_unknown_is_refused_with_file_line_key_and_value(
    old: str, new: str, line: int, key: str, value: str
) -> None:
    error = refusal(changed(old, new))
    assert str(error).startswith(f"registry.toml:{line}: {key} = {value!r}: ")


def test_an_id_is_unique_over_all_files() -> None:
    with pytest.raises(BadInput, match=r"^place\.csv:3: place\.id = 'room': is registered twice"):
        parse_registry([("registry.toml", TOML), ("place.csv", "id,kind\nroom-2,room\nroom,room\n")])


@pytest.mark.parametrize(
    ("name", "text", "line", "key"),
    [
        ("loggers.csv", "id,logging_interval\nlg,5min\nlg-2,5\n", 3, "logging_interval"),
        ("loggers.csv", "id,logging_interval\n\nlg,5min\nlg-2,5\n", 4, "logging_interval"),
        ("loggers.csv", "id,logging_interval,colour\nlg,5min,red\n", 2, "colour"),
        ("loggers.csv", "id\nlg\n", 2, "logging_interval"),
        ("loggers.csv", "id,logging_interval,blocked\nlg,5min,perhaps\n", 2, "blocked"),
        ("loggers.csv", "id,logging_interval\nlg,5min,true\n", 2, ""),
        ("kits.csv", 'id,batch,trial,profile,opening\nK,B,T,P,"{oops"\n', 2, "opening"),
        ("kits.csv", 'id,batch,trial,profile\nK,B,T,"P\n', 2, None),
        ("custody.csv", "kits,place,from\nK,room,2026-03-01\n", 2, "from"),
        ("custody.csv", "kits,place,from\n\n\nK,room,2026-03-01T00:00:00Z\n", 4, "custody.place"),
        ("stock.csv", "id\nlg\n", None, None),
    ],
)
def test_a_csv_row_that_is_wrong_is_refused_with_its_line(
    name: str, text: str, line: int | None, key: str | None
) -> None:
    error = refusal(text, name)
    assert (error.file, error.line, error.key) == (name, line, key)


def test_a_csv_row_is_found_by_its_line_even_below_cells_of_several_lines() -> None:
    kits = 'id,batch,trial,profile\nK-1,"B\n22",T,P\n\nK-1,B,T,P\n'
    assert refusal(kits, "kits.csv").line == 5


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"absent\.toml: cannot be read"):
        load_registry(tmp_path / "absent.toml")
    (tmp_path / "latin.csv").write_bytes("id\nµ".encode("latin-1"))
    with pytest.raises(BadInput, match=r"latin\.csv: cannot be read"):
        load_registry(tmp_path / "latin.csv")


def kits(*rows: str) -> Registry:
    """Kits K-0, K-1, ... that share one route, each with the keys of its row."""
    tables = [f'[[kit]]\nid = "K-{number}"\ntrial = "T"\n{row}\n' for number, row in enumerate(rows)]
    names = ", ".join(f'"K-{number}"' for number in range(len(rows)))
    stay = f'[[custody]]\nkits = [{names}]\nplace = "room"\nfrom = 2026-03-01T00:00:00Z\n'
    return registry('[[place]]\nid = "room"\nkind = "room"\n' + "".join(tables) + stay)


def shares(found: Registry) -> list[tuple[str, ...]]:
    return sorted(tuple(group.kits) for group in found.groups.values())


def test_kits_of_one_route_profile_and_opening_balance_are_one_group() -> None:
    same = 'batch = "B1"\nprofile = "p"'
    assert shares(kits(same, 'batch = "B2"\nprofile = "p"')) == [("K-0", "K-1")]
    assert shares(kits(same, 'batch = "B1"\nprofile = "q"')) == [("K-0",), ("K-1",)]
    assert shares(kits(same, same + '\nopening = { "above-8" = "1h" }')) == [("K-0",), ("K-1",)]
    assert shares(kits(same, same + '\nblind_group = "g"')) == [("K-0",), ("K-1",)]
    elsewhere = registry(TOML.replace('blind_group = "TRIAL-7"\n', "").replace("opening = ", "# "))
    assert shares(elsewhere) == [("K-1",), ("NA",)]


def test_a_blind_group_is_one_group_whatever_its_kits_are() -> None:
    arms = ('batch = "B1"\nprofile = "p"\nblind_group = "g"', 'batch = "B2"\nprofile = "q"\nblind_group = "g"')
    found = kits(*arms)
    assert shares(found) == [("K-0", "K-1")]
    assert found.profiles_in == {"g": ("p", "q")}
    assert found.groups == kits(*reversed(arms)).groups


def test_a_group_does_not_depend_on_the_order_of_kits_in_the_file() -> None:
    one, two = 'batch = "B"\nprofile = "p"', 'batch = "B"\nprofile = "q"'
    assert set(kits(one, two).groups) == set(kits(two, one).groups)
    swapped = kits(one, one).sources[0].text.replace("K-0", "K-9").replace("K-1", "K-0").replace("K-9", "K-1")
    assert registry(swapped).groups == kits(one, one).groups


def test_a_kit_whose_profile_does_not_exist_is_refused_where_it_stands() -> None:
    with pytest.raises(BadInput, match=r"^registry\.toml:42: kit\.profile = 'mab-018': no such stability profile"):
        pipeline.rules(registry(TOML[::-1].replace('"710-bam"', '"810-bam"', 1)[::-1]), profiles())


@pytest.mark.parametrize("limit_id", ["mab-017:above-9", "above-8", "mab-017:single"])
def test_an_opening_balance_of_a_limit_that_cannot_have_one_is_refused_where_it_stands(limit_id: str) -> None:
    text = changed("mab-017:above-8", limit_id)
    with pytest.raises(BadInput, match=rf"^registry\.toml:37: kit\.opening = '{limit_id}': no limit with an opening"):
        pipeline.rules(registry(text), profiles())


@pytest.mark.parametrize(("old", "new"), [('"10h"', "10"), ('"mab-017:events" = 2', '"mab-017:events" = "2h"')])
def test_an_opening_balance_in_the_unit_of_another_kind_of_limit_is_refused(old: str, new: str) -> None:
    # a bare 10 would be 10 ms of a budget in hours, and "2h" 7 200 000 events
    with pytest.raises(BadInput, match=r"^registry\.toml:37: kit"):
        pipeline.rules(registry(changed(old, new)), profiles())


def test_each_group_is_judged_by_its_own_profile_or_by_the_composite_of_its_blind_group() -> None:
    found = registry()
    chosen = pipeline.rules(found, profiles())
    by_kit = {tuple(group.kits): chosen[group.id].name for group in found.groups.values()}
    assert by_kit == {("K-1",): "TRIAL-7", ("NA",): "mab-017"}


@pytest.mark.parametrize("text", ["2026-03-01T00:00:00Z", "2026-03-01T00:00:00.250Z", "1969-12-31T23:59:59.999Z"])
def test_an_instant_is_written_as_it_is_read(text: str) -> None:
    assert iso(instant_ms(text)) == text
    assert instant_ms(text.replace("Z", "+00:00")) == instant_ms(text)


def test_a_logger_may_be_bound_to_sites_in_toml_and_in_csv() -> None:
    bound = registry(changed("registered_at", 'sites = ["basel", "zug"]\nregistered_at')).loggers["lg-1001"]
    assert bound.sites == ("basel", "zug")
    table = parse_registry([("loggers.csv", "id,logging_interval,sites\nlg,5min,basel zug\nlh,5min,\n")])
    assert [logger.sites for logger in table.loggers.values()] == [("basel", "zug"), ()]


def test_a_site_that_no_topic_can_have_is_refused() -> None:
    error = refusal("id,logging_interval,sites\nlg,5min,Basel/1\n", "loggers.csv")
    assert (error.line, error.key) == (2, "sites.0")
