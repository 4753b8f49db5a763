"""`coldchain replay` as a user runs it: one document, the same bytes however the log is fed, one line on errors."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from coldchain import cli, quarantine
from coldchain.exposure import mean_kinetic_temperature
from coldchain.instant import instant_ms, iso

MINUTE_MS = 60_000
START_MS = instant_ms("2026-03-01T00:00:00Z")
SAMPLES = Path(__file__).parents[2] / "shared" / "samples" / "berlinger"

REGISTRY = """\
[[logger]]
id = "lg-1001"
logging_interval = "5min"
[[place]]
id = "room"
kind = "storage"
[[monitoring]]
place = "room"
logger = "lg-1001"
from = 2026-01-01T00:00:00Z
[[kit]]
id = "K-0001"
batch = "B22"
trial = "TRIAL-7"
profile = "mab-017"
opening = { "above-8" = "1min" }
[[custody]]
kits = ["K-0001"]
place = "room"
from = 2026-03-01T00:00:00Z
"""

RULES = """\
profile = "mab-017"
version = 3
title = "mAb 017"
effective_from = 2026-01-01T00:00:00Z
label_low_c = 2.0
label_high_c = 8.0
source = { document = "STAB-0042", version = "4" }
approval = { author = "qa-author", approver = "qa-approver", approved_at = 2025-12-20T09:00:00Z }
limit = [
  { id = "above-8", above_c = 8.0, accumulated = "8min", source = "s" },
  { id = "above-8-single", above_c = 8.0, single_event = "10min", source = "s" },
  { id = "above-8-events", above_c = 8.0, events = 1, source = "s" },
  { id = "mkt-30min", mkt_window = "30min", mkt_max_c = 8.0, severity = "warn", source = "s" },
  { id = "mkt-24h", mkt_window = "24h", mkt_max_c = 8.0, source = "s" },
  { id = "unknown", unknown_accumulated = "1h", source = "s" },
]
"""
RULES_SHA256 = hashlib.sha256(RULES.encode()).hexdigest()


class Answer(NamedTuple):
    code: int
    out: str
    err: str


def minute(count: int) -> int:
    return START_MS + count * MINUTE_MS


def message(received: int, at: list[int], mc: list[int | None], logger: str = "lg-1001") -> str:
    """A line of the log: readings at these minutes, in a message that came in at minute `received`."""
    offsets = [(one - at[0]) * MINUTE_MS for one in at]
    payload = {"v": 1, "logger": logger, "t0": minute(at[0]), "dt": offsets, "mc": mc}
    topic = f"coldchain/v1/basel/gw-1/{logger}/readings"
    return json.dumps({"received_at": iso(minute(received)), "topic": topic, "payload": payload})


# 5 to 30 at 5 degC, two readings of 9 degC, a fault, then 5 degC again up to 60
LINES = [
    message(31, at=[5, 10, 15, 20, 25, 30], mc=[5000] * 6),
    message(41, at=[35, 40], mc=[9000, 9000]),
    message(46, at=[45], mc=[None]),
    message(61, at=[50, 55, 60], mc=[5000, 5000, 5000]),
    message(62, at=[30, 35], mc=[5000, 9000]),
    message(62, logger="lg-9999", at=[60], mc=[30_000]),
    message(62, at=[90], mc=[30_000]),
    json.dumps({"received_at": iso(minute(63)), "topic": "elsewhere", "payload": {}}),
]


@pytest.fixture
def case(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "mab-017.toml").write_text(RULES)
    (tmp_path / "registry.toml").write_text(REGISTRY)
    (tmp_path / "day.ndjson").write_text("\n".join(LINES) + "\n")
    return tmp_path


def arguments(case: Path, *more: str, log: str = "day.ndjson") -> list[str]:
    return ["replay", str(case / log), "--registry", str(case / "registry.toml"), "--rules", str(case / "rules"), *more]


def spawn(*args: str) -> Answer:
    """The command in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "coldchain.cli", *args], capture_output=True, text=True, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


Run = Callable[..., Answer]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process, which spares a second of start-up."""

    def command(*args: str) -> Answer:
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["coldchain", *args])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return Answer(int(caught.value.code or 0), *capsys.readouterr())

    return command


def document(answer: Answer) -> Any:
    assert (answer.code, answer.err) == (0, "")
    return json.loads(answer.out)


def test_the_json_document_holds_every_figure_and_stdout_nothing_else(case: Path) -> None:
    answer = document(spawn(*arguments(case, "--json")))
    kit = answer["kits"][0]
    # 55 min known, 10 of them at 9 degC; the hottest 30 min end at 40: ten minutes at 9, twenty at 5
    assert kit.pop("mean_c") == round((10 * 9 + 45 * 5) / 55, 9)
    assert kit.pop("mkt_c") == pytest.approx(mean_kinetic_temperature([9, 5], [10, 45]), abs=1e-8)
    assert kit["limits"][3].pop("peak_c") == pytest.approx(mean_kinetic_temperature([9, 5], [10, 20]), abs=1e-8)
    event_id = quarantine.event_id("K-0001", "mab-017", 3, "above-8")
    assert answer == {
        "inputs": {
            "messages": 8,
            "rejected": 1,
            "readings": 11,
            "duplicates": 2,
            "conflicts": 0,
            "faults": 1,
            "unverified_time": 1,
            "unknown_logger": 1,
        },
        "kits": [
            {
                "kit": "K-0001",
                "verdict": "outside",
                "profile": "mab-017",
                "profile_version": 3,
                "profile_sha256": RULES_SHA256,
                "as_of_ms": minute(60),
                "known_ms": 55 * MINUTE_MS,
                "unknown_ms": 5 * MINUTE_MS,
                "longest_unknown_ms": 5 * MINUTE_MS,
                "min_c": 5.0,
                "max_c": 9.0,
                "limits": [
                    {
                        "id": "above-8",
                        "kind": "accumulated",
                        "used_ms": 11 * MINUTE_MS,
                        "worst_case_used_ms": 16 * MINUTE_MS,
                        "allowed_ms": 8 * MINUTE_MS,
                        "remaining_ms": 0,
                        "breached_at_ms": minute(30 + 7),
                    },
                    {
                        "id": "above-8-single",
                        "kind": "single_event",
                        "used_ms": 10 * MINUTE_MS,
                        "worst_case_used_ms": 15 * MINUTE_MS,
                        "allowed_ms": 10 * MINUTE_MS,
                        "breached_at_ms": None,
                    },
                    {"id": "above-8-events", "kind": "events", "count": 1, "allowed": 1, "breached_at_ms": None},
                    {
                        "id": "mkt-30min",
                        "kind": "mkt",
                        "allowed_c": 8.0,
                        "indeterminate": False,
                        "breached_at_ms": None,
                    },
                    {
                        "id": "mkt-24h",
                        "kind": "mkt",
                        "peak_c": None,
                        "allowed_c": 8.0,
                        "indeterminate": True,
                        "breached_at_ms": None,
                    },
                    {
                        "id": "unknown",
                        "kind": "unknown_accumulated",
                        "used_ms": 5 * MINUTE_MS,
                        "allowed_ms": 60 * MINUTE_MS,
                        "breached_at_ms": None,
                    },
                ],
                "excursions": [
                    {
                        "side": "above",
                        "bound_c": 8.0,
                        "start_ms": minute(30),
                        "end_ms": minute(40),
                        "out_of_range_ms": 10 * MINUTE_MS,
                        "extreme_c": 9.0,
                    }
                ],
                "findings": [],
            }
        ],
        "events": [
            {
                "id": event_id,
                "kit": "K-0001",
                "limit": "above-8",
                "reason": "limit",
                "breached_at_ms": minute(37),
                "profile_sha256": RULES_SHA256,
            }
        ],
    }


def test_streaming_and_any_order_of_lines_and_files_give_the_same_bytes(case: Path, run: Run) -> None:
    expected = spawn(*arguments(case, "--json"))
    assert expected.code == 0
    assert spawn(*arguments(case, "--json", "--stream")) == expected
    for seed in range(3):
        lines = random.Random(seed).sample(LINES, len(LINES))  # noqa: S311 - a repeatable order, not a secret
        (case / "day.ndjson").write_text("\n".join(lines[:3]))
        (case / "more.ndjson").write_text("\n".join(lines[3:]))
        assert run(*arguments(case, str(case / "more.ndjson"), "--json")) == expected
        assert run(*arguments(case, str(case / "more.ndjson"), "--json", "--stream")) == expected


def test_as_of_cuts_the_history_and_extends_an_open_one(case: Path, run: Run) -> None:
    (early,) = document(run(*arguments(case, "--as-of", "2026-03-01T00:36:30Z", "--json")))["kits"]
    assert (early["as_of_ms"], early["known_ms"], early["verdict"]) == (
        minute(36) + 30_000,
        36.5 * MINUTE_MS,
        "within_allowance",
    )
    assert early["excursions"][0]["end_ms"] is None
    (late,) = document(run(*arguments(case, "--as-of", "2026-03-01T03:00:00+01:00", "--json")))["kits"]
    assert (late["as_of_ms"], late["unknown_ms"]) == (minute(120), 65 * MINUTE_MS)


def test_a_conflict_is_a_finding_and_an_event_among_those_of_the_limits_by_name(case: Path, run: Run) -> None:
    hot = message(81, at=[65, 70, 75, 80], mc=[9000] * 4)
    (case / "more.ndjson").write_text(message(63, at=[10], mc=[5001]) + "\n" + hot)
    answer = document(run(*arguments(case, str(case / "more.ndjson"), "--json")))
    assert answer["inputs"]["conflicts"] == 1
    assert answer["kits"][0]["findings"] == [f"conflict:lg-1001/1@{minute(10)}"]
    assert [(event["limit"], event["reason"], event["breached_at_ms"]) for event in answer["events"]] == [
        ("above-8", "limit", minute(37)),
        ("above-8-events", "limit", minute(60)),
        ("above-8-single", "limit", minute(70)),
        ("data-integrity", "data_integrity", minute(10)),
    ]


def test_a_kit_of_which_nothing_is_known_has_null_for_what_is_not_computable(case: Path, run: Run) -> None:
    registry = (case / "registry.toml").read_text()
    (case / "registry.toml").write_text(registry[: registry.index("[[custody]]")])
    (kit,) = document(run(*arguments(case, "--json")))["kits"]
    assert [kit[key] for key in ("as_of_ms", "min_c", "max_c", "mean_c", "mkt_c")] == [None] * 5
    assert (kit["verdict"], kit["findings"]) == ("indeterminate", ["custody_missing"])


def test_kits_stand_in_the_order_of_their_ids(case: Path, run: Run) -> None:
    registry = (case / "registry.toml").read_text()
    kit = '[[kit]]\nid = "{}"\nbatch = "B22"\ntrial = "TRIAL-7"\nprofile = "mab-017"\n'
    (case / "registry.toml").write_text(registry + "".join(kit.format(name) for name in ("K-2", "A-9", "K-0000")))
    kits = document(run(*arguments(case, "--json")))["kits"]
    assert [one["kit"] for one in kits] == ["A-9", "K-0000", "K-0001", "K-2"]


def test_the_table_names_verdict_and_events_and_never_prints_a_number_for_nothing(case: Path, run: Run) -> None:
    code, out, err = run(*arguments(case))
    assert (code, err) == (0, "")
    assert "K-0001" in out
    assert "outside" in out
    (case / "day.ndjson").write_text("")
    assert "n/c" in run(*arguments(case)).out


def test_an_id_is_printed_as_it_is_whatever_brackets_it_has(case: Path, run: Run) -> None:
    registry = (case / "registry.toml").read_text()
    (case / "registry.toml").write_text(registry.replace("K-0001", "K[bold]1"))
    code, out, _ = run(*arguments(case))
    assert code == 0
    assert "K[bold]1" in out


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("day.ndjson", '"topic"', '"tropic"', "day.ndjson:1: topic: is missing or not a text"),
        ("registry.toml", '"5min"', '"5"', "registry.toml:3: logger[1].logging_interval = '5': not a duration"),
        ("registry.toml", '"mab-017"', '"mab-018"', "registry.toml:15: kit.profile = 'mab-018': no such stability"),
        ("registry.toml", '"above-8"', '"above-9"', "registry.toml:16: kit.opening = 'above-9': no limit with an"),
        ("rules/mab-017.toml", "h_c = 8.0", "h_c = true", "mab-017.toml:6: label_high_c = True: not a temperature"),
        ("rules/mab-017.toml", "version = 3", "version = = 3", "mab-017.toml:2: not valid TOML"),
    ],
)
def test_bad_input_is_exit_code_2_and_one_line_with_file_line_key_and_value(
    case: Path, run: Run, file: str, old: str, new: str, expected: str
) -> None:
    text = (case / file).read_text()
    assert old in text
    (case / file).write_text(text.replace(old, new, 1))
    code, out, err = run(*arguments(case, "--json"))
    assert (code, out) == (2, "")
    assert err.startswith(f"coldchain: {case}")
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--as-of", "yesterday"], "--as-of = 'yesterday': not an instant"),
        (["--as-of", "2026-03-01T00:00:00"], "--as-of = '2026-03-01T00:00:00': an instant needs"),
        (["--zone", "Basel"], "--zone = 'Basel': no such time zone"),
        (["--zone", "../etc"], "--zone = '../etc': no such time zone"),
        (["--logger", "lg-9999"], "--logger = 'lg-9999': is not registered"),
    ],
)
def test_an_option_that_is_wrong_is_exit_code_2_and_one_line(
    case: Path, run: Run, more: list[str], expected: str
) -> None:
    code, out, err = run(*arguments(case, *more))
    assert (code, out) == (2, "")
    assert err.startswith(f"coldchain: {expected}")
    assert err.count("\n") == 1


def test_a_logger_file_needs_the_id_of_its_logger(case: Path, run: Run) -> None:
    (case / "export.txt").write_text("Device: Q-tag\n")
    code, _, err = run(*arguments(case, log="export.txt"))
    assert code == 2
    assert err == f"coldchain: {case / 'export.txt'}: a logger file needs --logger, the registry's id of its logger\n"


def test_a_failure_in_a_process_of_its_own_is_one_line_and_no_traceback(case: Path) -> None:
    code, out, err = spawn(*arguments(case, "--json", log="absent.ndjson"))
    assert (code, out) == (2, "")
    assert err == f"coldchain: {case / 'absent.ndjson'}: cannot be read: No such file or directory\n"


def sample_answer(case: Path, run: Run, sample: Path, interval: str, custody_from: str) -> Any:
    """Replay one logger file, read at once and streamed."""
    registry = REGISTRY.replace('"5min"', f'"{interval}"').replace("2026-03-01T00:00:00Z", custody_from)
    (case / "registry.toml").write_text(registry.replace("2026-01-01T00:00:00Z", "2020-01-01T00:00:00Z"))
    args = arguments(case, "--json", "--logger", "lg-1001", "--zone", "UTC")
    args[1] = str(sample)
    answer = document(run(*args))
    assert document(run(*args, "--stream")) == answer
    return answer


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("RCPJ00010_03_202304201359.txt")), ids=lambda path: path.stem)
def test_a_shipment_file_of_424_readings_gives_the_mkt_of_its_plain_mean(case: Path, run: Run, sample: Path) -> None:
    answer = sample_answer(case, run, sample, "10min", "2023-04-17T15:13:00Z")
    (kit,) = answer["kits"]
    assert (answer["inputs"]["readings"], answer["inputs"]["duplicates"]) == (424, 0)
    assert (kit["min_c"], kit["max_c"], round(kit["mkt_c"], 3), round(kit["mean_c"], 4)) == (9.7, 12.7, 10.479, 10.4719)
    assert (kit["known_ms"], kit["unknown_ms"]) == (424 * 10 * MINUTE_MS, 0)
    # every reading is above 8 degC: one run from the first ms on, and a minute spent before
    assert kit["limits"][0]["used_ms"] == 4241 * MINUTE_MS
    assert kit["excursions"][0]["end_ms"] is None
    assert kit["as_of_ms"] == instant_ms("2023-04-20T13:53:00Z")


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("130500109088_cut.txt")), ids=lambda path: path.stem)
def test_a_file_with_holes_of_days_has_unknown_time_between_its_53_readings(case: Path, run: Run, sample: Path) -> None:
    answer = sample_answer(case, run, sample, "5min", "2022-05-02T04:39:00Z")
    (kit,) = answer["kits"]
    assert answer["inputs"]["readings"] == 53
    assert (kit["min_c"], kit["max_c"]) == (4.3, 27.5)
    # between the readings lie 49 intervals of 5 min, and three of 352, 14 505 and 38 505 min
    assert kit["known_ms"] == 53 * 5 * MINUTE_MS
    assert kit["unknown_ms"] == (347 + 14_500 + 38_500) * MINUTE_MS
    assert kit["longest_unknown_ms"] == 38_500 * MINUTE_MS
    assert ("unknown", "data_missing") in [(event["limit"], event["reason"]) for event in answer["events"]]
