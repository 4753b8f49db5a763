"""The commands of the time-series store, as a person types them."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from coldchain.cli import main
from coldchain.settings import Settings
from coldchain.timeseries.opening import file_of, opened, opened_to_read
from processes import free_port
from timeseries_values import fill, month, settings_for

MakeSettings = Callable[..., Settings]


class Typed(NamedTuple):
    stdout: str
    stderr: str


Type = Callable[..., Typed]


@pytest.fixture
def coldchain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Types a command, in this process: each start of another takes seconds."""

    def typed(*arguments: str | Path, expect: int = 0) -> Typed:
        monkeypatch.setattr(sys, "argv", ["coldchain", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        done = Typed(*capsys.readouterr())
        assert (ended.value.code or 0) == expect, done.stderr
        return done

    return typed


def on_disk(settings: Settings) -> Path:
    return settings.ledger.path.with_name("settings.toml")


@pytest.mark.parametrize("is_embedded", [True, False])
def test_rebuild_status_reconcile_prune(
    embedded: Settings, on_influxdb: MakeSettings, is_embedded: bool, coldchain: Type
) -> None:
    settings = embedded if is_embedded else on_influxdb()
    fill(settings, month(seed=17, days=2))
    file = on_disk(settings)
    waiting = json.loads(coldchain("timeseries", "status", "--settings", file, "--json").stdout)
    assert (waiting["blocks_projected"], waiting["audit_entries_waiting"] > 0) == (0, True)
    assert waiting["oldest_waiting_ms"] > 0

    done = coldchain("timeseries", "rebuild", "--settings", file)
    assert f"{waiting['blocks_waiting']} blocks of readings" in done.stdout
    status = json.loads(coldchain("timeseries", "status", "--settings", file, "--json").stdout)
    assert (status["blocks_waiting"], status["oldest_waiting_ms"], status["refused_points"]) == (0, None, 0)
    assert status["store"] == (settings.timeseries.url or str(file_of(settings)))
    assert "0 waiting" in coldchain("timeseries", "status", "--settings", file).stdout

    document = json.loads(coldchain("timeseries", "reconcile", "--settings", file, "--json").stdout)
    assert (document["differences"], document["remaining"]) == ([], 0)
    assert document["readings"] > 100
    assert coldchain("timeseries", "prune", "--settings", file).stdout.startswith("0 days of single channels")
    with opened_to_read(settings) as store:
        assert len(store.channels()) == 4


def test_reconcile_says_what_differs_and_its_exit_code_does(embedded: Settings, coldchain: Type) -> None:
    fill(embedded, month(seed=17, days=2))
    file = on_disk(embedded)
    coldchain("timeseries", "reconcile", "--settings", file)
    with sqlite3.connect(file_of(embedded)) as connection:
        connection.execute("DELETE FROM day WHERE logger = 'lg-1' AND day = 20514")
    connection.close()
    checked = coldchain("timeseries", "reconcile", "--check", "--settings", file, expect=1)
    assert "lg-1/1" in checked.stdout
    assert "2026-03-02" in checked.stdout
    assert "1 differences" in coldchain("timeseries", "reconcile", "--settings", file).stdout
    coldchain("timeseries", "reconcile", "--check", "--settings", file)


def test_a_server_that_is_not_there_is_one_line_and_exit_code_3(tmp_path: Path, coldchain: Type) -> None:
    settings = settings_for(tmp_path / "dead", f'[timeseries]\nurl = "http://127.0.0.1:{free_port()}"\n')
    fill(settings, month(seed=17, days=1))
    for command in ("status", "reconcile", "rebuild", "prune"):
        done = coldchain("timeseries", command, "--settings", on_disk(settings), expect=3)
        assert done.stderr.startswith("coldchain: time-series store http://127.0.0.1:")
        assert len(done.stderr.splitlines()) == 1


def test_one_setting_switches_the_store_and_the_new_one_gets_the_whole_ledger(
    embedded: Settings, on_influxdb: MakeSettings, coldchain: Type
) -> None:
    fill(embedded, month(seed=17, days=2))
    coldchain("timeseries", "rebuild", "--settings", on_disk(embedded))
    switched = embedded.model_copy(update={"timeseries": on_influxdb().timeseries})
    with opened(switched) as found:
        while found.projector.run_pass():
            pass
        store = found.store
        with opened_to_read(embedded) as before:
            assert store.channels() == before.channels()
            for key in store.channels():
                assert store.logger_hours(key, 0, 2**43) == before.logger_hours(key, 0, 2**43)
            assert store.kit_verdicts(0, 2**43) == before.kit_verdicts(0, 2**43)


def test_asking_before_anything_was_projected_is_one_clear_error(embedded: Settings) -> None:
    with pytest.raises(Exception, match="run the service or"), opened_to_read(embedded):
        pass
