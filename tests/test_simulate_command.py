"""`coldchain simulate` and `coldchain export` as a person types them: simulate, load, replay, run, export."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from coldchain import message_log, pipeline
from coldchain.commands import export as export_command
from coldchain.commands import simulate as simulate_command
from coldchain.errors import BadInput
from coldchain.instant import instant_ms
from coldchain.ledger.entries import Message
from coldchain.ledger.ledger import Ledger
from coldchain.profiles import load_profiles
from coldchain.registry import load_registry
from coldchain.settings import load_settings
from command_line import RULES, coldchain
from gateways.decoders import decode

TABLES = ("loggers", "places", "monitoring", "kits", "custody")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "trial"
    coldchain("simulate", "--kits", "120", "--days", "3", "--seed", "4", "--incidents", "20", "--out", out)
    return out


def truth(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "truth.ndjson").read_text().splitlines()]


def replay(folder: Path, *more: str) -> dict[str, Any]:
    registry = [word for table in TABLES for word in ("--registry", str(folder / f"{table}.csv"))]
    done = coldchain("replay", folder / "messages.ndjson", *registry, "--rules", RULES, "--json", *more)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def replayed(simulated: Path) -> dict[str, Any]:
    return replay(simulated)


def test_a_replay_of_what_was_simulated_accounts_for_every_reading(simulated: Path, replayed: dict[str, Any]) -> None:
    totals = truth(simulated)[-1]
    inputs = dict(replayed["inputs"])
    assert (inputs.pop("rejected"), inputs.pop("unknown_logger")) == (0, 0)
    assert inputs == {key: totals[key] for key in inputs}
    assert totals["measured"] > 5_000


def test_the_verdicts_agree_with_what_really_happened(simulated: Path, replayed: dict[str, Any]) -> None:
    """Whoever was at a fridge whose compressor failed for more than five hours has an excursion then."""
    registry = load_registry(*(simulated / f"{table}.csv" for table in TABLES))
    excursions = {kit["kit"]: kit["excursions"] for kit in replayed["kits"]}
    failed = [
        (line["subject"], instant_ms(line["from"]), instant_ms(line["to"]))
        for line in truth(simulated)
        if line["kind"] == "compressor_failed" and line["subject"].endswith("-fridge")
    ]
    long = [(place, begin, end) for place, begin, end in failed if end - begin > 5 * 3_600_000]
    found = 0
    for place, begin, end in long:
        for kit, route in registry.custody.items():
            for segment in route:
                stays = segment.place == place and segment.from_ms <= begin and (segment.to_ms or end) >= end
                if stays:
                    found += 1
                    assert any(run["start_ms"] < end and (run["end_ms"] or end) > begin for run in excursions[kit]), kit
    assert found > 0


def test_the_order_of_arrival_is_the_order_of_lines_and_late_data_change_nothing(
    simulated: Path, replayed: dict[str, Any]
) -> None:
    received = [message.received_ms for message in message_log.read(simulated / "messages.ndjson")]
    assert received == sorted(received)
    assert replay(simulated, "--stream") == replayed


def simulate(out: Path, **more: Any) -> None:
    """The command without a process of its own."""
    usual: dict[str, Any] = {
        "kits": 120,
        "days": 3,
        "seed": 4,
        "incidents": 20.0,
        "start": "2026-03-02T00:00:00Z",
        "rules": None,
    }
    simulate_command.run(out, **(usual | more))


def test_the_same_seed_writes_the_same_bytes_into_a_folder_it_made_itself(simulated: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    simulate(again, kits=1, days=1)
    simulate(again)
    for path in sorted(simulated.iterdir()):
        assert (again / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kits": 0}, "kits = 0: 1 to 1000000 kits can be simulated"),
        ({"days": 0}, "days = 0: 1 to 3660 days can be simulated"),
        ({"start": "2026-03-02T01:00:00Z"}, "a simulation starts at a midnight UTC"),
        ({"incidents": -1.0}, "--incidents = -1.0: a factor from 0 (never) to 100"),
        ({"incidents": float("nan")}, "a factor from 0 (never) to 100"),
        ({"rules": Path("nowhere")}, "is not a folder"),
    ],
)
def test_what_cannot_be_simulated_is_refused_and_nothing_is_written(
    tmp_path: Path, wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        simulate(tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = coldchain("simulate", "--out", tmp_path, expect=2)
    assert "is not empty and not from an earlier simulation" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.fixture(scope="module")
def settings(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The simulated trial in a ledger, as the service would have stored it."""
    path = tmp_path_factory.mktemp("ledger") / "settings.toml"
    text = (simulated / "settings.toml").read_text()
    path.write_text(text + '[epcis]\nkit = "https://id.example.org/8004/4000001{id}"\n')
    coldchain("registry", "load", *(simulated / f"{table}.csv" for table in TABLES), "--settings", path)
    registry = load_registry(*(simulated / f"{table}.csv" for table in TABLES))
    state, first = pipeline.start(registry, load_profiles(RULES), now_ms=0, is_live=True)
    pipeline.adopt(state, first)
    with Ledger.open(path.parent / "coldchain.db") as ledger:
        for message in message_log.read(simulated / "messages.ndjson"):
            assert message.payload is not None
            batches = decode(message.topic, message.payload, message.received_ms)
            step = pipeline.step(state, batches, message.received_ms)
            entry = Message(message.received_ms, message.topic, message.payload, batches)
            ledger.save([entry], step, (), message.received_ms)
            pipeline.adopt(state, step)
    return path


AS_OF = "2026-03-05T00:00:00Z"


def export(settings: Path, **more: Any) -> bytes:
    """The command without a process of its own."""
    out = settings.parent / "export.jsonld"
    usual: dict[str, Any] = {"kits": (), "begin": None, "end": None, "as_of": AS_OF}
    export_command.epcis_document(out, settings, **(usual | more))
    return out.read_bytes()


def test_an_export_of_the_ledger_holds_every_quarantine_event_and_is_the_same_each_time(settings: Path) -> None:
    out = settings.parent / "typed.jsonld"
    done = coldchain("export", "epcis", "--settings", settings, "--out", out, "--as-of", AS_OF)
    listed = json.loads(out.read_bytes())["epcisBody"]["eventList"]
    assert f"{len(listed)} events" in done.stderr
    known = json.loads(coldchain("events", "--json", "--settings", settings).stdout)
    assert known
    assert {event["eventID"] for event in listed if event["bizStep"] == "holding"} == {
        f"urn:uuid:{event['id']}" for event in known
    }
    assert any(event["bizStep"] == "sensor_reporting" for event in listed)
    assert all(uri.startswith("https://id.example.org/8004/4000001K-") for e in listed for uri in e["epcList"])
    assert export(settings) == out.read_bytes()


def test_an_export_can_be_of_some_kits_and_some_time(settings: Path) -> None:
    document = export(settings, kits=("K-0001",), end="2026-03-02T00:00:00Z")
    (event,) = json.loads(document)["epcisBody"]["eventList"]
    assert (event["bizStep"], event["epcList"]) == ("storing", ["https://id.example.org/8004/4000001K-0001"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kits": ("K-9999",)}, "kit = 'K-9999': is not registered"),
        ({"begin": "2026-03-02T00:00:00Z", "end": "2026-03-02T00:00:00Z"}, "must be later than --from"),
        ({"end": "tomorrow"}, "--to = 'tomorrow'"),
    ],
)
def test_an_export_that_cannot_be_made_is_refused_in_one_line(settings: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said)):
        export(settings, **wrong)


def test_an_archive_of_the_ledger_is_judged_as_the_messages_were(
    simulated: Path, settings: Path, replayed: dict[str, Any]
) -> None:
    out = settings.parent / "readings.parquet"
    done = coldchain("export", "readings", "--settings", settings, "--out", out)
    totals = truth(simulated)[-1]
    distinct = totals["readings"] + totals["faults"] + totals["unverified_time"]
    assert f"{distinct} readings of " in done.stderr
    assert not list(settings.parent.glob("*.part"))
    registry = [word for table in TABLES for word in ("--registry", str(simulated / f"{table}.csv"))]
    for how in ((), ("--stream",)):
        found = json.loads(coldchain("replay", out, *registry, "--rules", RULES, "--json", *how).stdout)
        assert found["inputs"] == replayed["inputs"] | {"messages": 0, "duplicates": 0}
        assert (found["kits"], found["events"]) == (replayed["kits"], replayed["events"])


def test_an_archive_that_cannot_be_written_is_one_line(settings: Path) -> None:
    out = settings.parent / "nowhere" / "readings.parquet"
    done = coldchain("export", "readings", "--settings", settings, "--out", out, expect=2)
    assert done.stderr.count("\n") == 1
    assert str(out) in done.stderr


@pytest.mark.parametrize("template", ["kit-{id}", "urn:x:kit", "urn:x:{id}:{id}", "urn:x y:{id}"])
def test_a_template_that_gives_no_uri_is_refused_with_its_line(tmp_path: Path, template: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f'[epcis]\nkit = "{template}"\n')
    said = f"{path}:2: epcis.kit = {template!r}: must be an absolute URI with {{id}} once"
    with pytest.raises(BadInput, match=re.escape(said)):
        load_settings(path, {})
