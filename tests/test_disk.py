"""How full the disk is, what that allows, and that a full one takes nothing until there is room again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import processes
from coldchain import disk
from coldchain.commits import Commits
from coldchain.disk import DiskGuard, Room, room_at, used_percent
from coldchain.errors import EnvironmentFailed


@pytest.fixture(autouse=True)
def _looks_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LOOK_EVERY_S", 0.0)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    with processes.small_disk(tmp_path / "small", mib=2) as found:
        yield found


def fill(folder: Path, percent: float) -> None:
    """Write until the disk is so full."""
    with (folder / "filler").open("ab") as filler:
        while used_percent(folder / "x") < percent:
            filler.write(bytes(4096))
            filler.flush()


def test_a_disk_is_as_full_as_df_says(small: Path) -> None:
    fill(small, 50.0)
    said = subprocess.run(["df", "--output=pcent", str(small)], check=True, capture_output=True, text=True).stdout
    assert int(said.split()[1].rstrip("%")) == pytest.approx(used_percent(small / "coldchain.db"), abs=1)


def test_a_disk_that_does_not_say_is_an_error_of_the_environment() -> None:
    with pytest.raises(EnvironmentFailed, match="does not say how full it is"):
        used_percent(Path("/nowhere/at/all/coldchain.db"))


@pytest.mark.parametrize(
    ("percent", "before", "room"),
    [
        (79.9, Room.ENOUGH, Room.ENOUGH),
        (80.0, Room.ENOUGH, Room.HOLDING),
        (94.9, Room.ENOUGH, Room.HOLDING),
        (95.0, Room.ENOUGH, Room.STOPPED),
        (94.9, Room.STOPPED, Room.HOLDING),
        (78.0, Room.HOLDING, Room.HOLDING),
        (77.9, Room.HOLDING, Room.ENOUGH),
        (10.0, Room.STOPPED, Room.ENOUGH),
    ],
)
def test_what_a_disk_allows_does_not_come_and_go_at_the_edge(percent: float, before: Room, room: Room) -> None:
    assert room_at(percent, 80, 95, before) is room


def test_the_guard_holds_then_stops_then_lets_go_as_the_disk_fills_and_empties(small: Path) -> None:
    guard = DiskGuard(small / "coldchain.db", 80, 95)
    guard.check()
    held = [guard.is_holding]
    fill(small, 80.0)
    guard.check()
    held.append(guard.is_holding)
    fill(small, 95.0)
    with pytest.raises(EnvironmentFailed, match="nothing is stored from 95 % on"):
        guard.check()
    os.truncate(small / "filler", 0)
    guard.check()
    held.append(guard.is_holding)
    assert held == [False, True, False]


def test_a_disk_that_falls_silent_allows_what_it_did_before() -> None:
    said = [90.0]

    def measure(path: Path) -> float:
        if not said:
            raise EnvironmentFailed(str(path), "gone")
        return said.pop()

    guard = DiskGuard(Path("coldchain.db"), 80, 95, measure)
    assert guard.is_holding
    assert guard.is_holding


def test_commits_tell_since_when_the_ledger_takes_none() -> None:
    commits = Commits()
    since: list[float | None] = []
    with commits.one():
        since.append(commits.waiting_since_s)  # one that hangs counts from its beginning
    since.append(commits.waiting_since_s)
    for problem in ("locked", "still locked"):
        with pytest.raises(EnvironmentFailed), commits.one():
            raise EnvironmentFailed("ledger", problem)
        since.append(commits.waiting_since_s)
    assert commits.error == "ledger: still locked"
    with commits.one():
        pass
    since.append(commits.waiting_since_s)
    assert commits.error == ""
    assert [each is None for each in since] == [False, True, False, False, True]
    assert since[2] == since[3], "it counts from the first failure"
