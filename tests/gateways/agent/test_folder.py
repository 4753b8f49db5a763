"""A folder of logger files: each is read once, what is still being written is left, what cannot be read is kept."""

from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo

from gateways.agent.settings import FolderSource
from gateways.agent.sources import Taken
from gateways.agent.sources.folder import AT_ONCE, Folder

HEADER = '"#","Date Time, GMT+00:00","Temp, °C (LGR S/N: 20012345, SEN S/N: 1)"\n'


def hobo(readings: int, first: int = 0) -> str:
    rows = (
        f"{i},2026-03-{1 + i // 1440:02}T{i // 60 % 24:02}:{i % 60:02}:00,5.{i % 10}\n".replace("T", " ")
        for i in range(first, first + readings)
    )
    return HEADER + "".join(rows)


class Setting:
    """A folder, its source and a clock that a test moves."""

    def __init__(self, folder: Path, *, logger: str | None = "lg-1", serials: tuple[tuple[str, str], ...] = ()) -> None:
        self.folder, self.now_s, self.memory = folder, 0.0, dict[str, str]()
        self._settings = FolderSource("drop", folder, logger, serials, ZoneInfo("UTC"), None, None, 10.0, 10.0)
        self.restart()

    def restart(self) -> None:
        self.source = Folder(self._settings, self.memory, lambda: self.now_s)

    def take(self) -> list[Taken]:
        """What is taken, and remembered as the agent does: with the readings."""
        taken = []
        for one in self.source.take():
            self.memory |= one.memory
            taken.append(one)
        return taken

    def settled(self) -> list[Taken]:
        self.take()
        self.now_s += 10
        return self.take()


def readings(taken: list[Taken]) -> list[tuple[str, int]]:
    return [(batch.logger, len(batch)) for one in taken for batch in one.batches if len(batch)]


def test_a_file_is_read_once_also_after_a_restart_and_under_another_name(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    (tmp_path / "a.csv").write_text(hobo(5), encoding="utf-8")
    assert readings(setting.settled()) == [("lg-1", 5)]
    assert readings(setting.settled()) == []
    setting.restart()
    (tmp_path / "b.csv").write_text(hobo(5), encoding="utf-8")
    assert readings(setting.settled()) == []
    assert (tmp_path / "a.csv").exists()


def test_a_file_that_is_still_being_written_is_left_until_it_is_stable(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    text = hobo(6)
    for end in (len(text) // 3, len(text) // 2, len(text)):
        (tmp_path / "a.csv").write_text(text[:end], encoding="utf-8")
        assert setting.take() == [Taken()]
        setting.now_s += 9
        assert setting.take() == [Taken()]
    setting.now_s += 1
    assert readings(setting.take()) == [("lg-1", 6)]
    assert not (tmp_path / "unreadable").exists()


def test_a_file_that_grows_gives_its_new_readings_only(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    for count, new in ((5, 5), (8, 3), (8, 0), (1500, 1492)):
        (tmp_path / "a.csv").write_text(hobo(count), encoding="utf-8")
        assert sum(number for _, number in readings(setting.settled())) == new
        setting.restart()


def test_a_file_that_was_begun_anew_gives_all_its_readings(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    (tmp_path / "a.csv").write_text(hobo(5), encoding="utf-8")
    setting.settled()
    (tmp_path / "a.csv").write_text(hobo(9, first=3), encoding="utf-8")
    assert readings(setting.settled()) == [("lg-1", 9)]


def test_what_cannot_be_read_is_moved_aside_with_the_reason_and_stays_an_alarm(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    (tmp_path / "bad.csv").write_bytes(b"\x00\x01 no logger wrote this")
    (tmp_path / "good.csv").write_text(hobo(2), encoding="utf-8")
    taken = setting.settled()
    assert readings(taken) == [("lg-1", 2)]
    aside = tmp_path / "unreadable"
    [kept] = [path for path in aside.iterdir() if path.suffix != ".reason"]
    assert kept.name.endswith("-bad.csv")
    assert kept.read_bytes() == b"\x00\x01 no logger wrote this"
    assert (aside / f"{kept.name}.reason").read_text(encoding="utf-8").strip()
    assert f"1 files in {aside}, such as" in taken[-1].problem
    assert f"1 files in {aside}, such as" in setting.take()[-1].problem
    for path in aside.iterdir():
        path.unlink()
    assert setting.take() == [Taken()]


def test_two_unreadable_files_of_one_name_are_both_kept(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    for content in (b"one", b"two"):
        (tmp_path / "bad.csv").write_bytes(content)
        setting.settled()
    kept = [path.read_bytes() for path in (tmp_path / "unreadable").iterdir() if path.suffix != ".reason"]
    assert sorted(kept) == [b"one", b"two"]


def test_files_of_several_loggers_are_told_apart_by_their_serial_numbers(tmp_path: Path) -> None:
    setting = Setting(tmp_path, logger=None, serials=(("20012345", "lg-7"), ("2", "lg-8")))
    (tmp_path / "a.csv").write_text(hobo(2), encoding="utf-8")
    (tmp_path / "b.csv").write_text(hobo(2).replace("20012345", "999"), encoding="utf-8")
    taken = setting.settled()
    assert readings(taken) == [("lg-7", 2)]
    assert "serial = '999': `serials` names no logger for it" in taken[-1].problem


def test_a_long_file_is_handed_over_in_pieces_and_remembered_with_the_last(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    (tmp_path / "a.csv").write_text(hobo(AT_ONCE + 1), encoding="utf-8")
    taken = setting.settled()
    assert readings(taken) == [("lg-1", AT_ONCE), ("lg-1", 1)]
    assert [bool(one.memory) for one in taken] == [False, False, True, False]


def test_a_crash_between_file_and_disk_means_that_it_is_read_again(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    (tmp_path / "a.csv").write_text(hobo(5), encoding="utf-8")
    setting.take()
    setting.now_s += 10
    next(setting.source.take())  # handed over, and then the power went
    setting.restart()
    assert readings(setting.settled()) == [("lg-1", 5)]


def test_a_name_that_is_no_text_is_read_and_put_aside_like_any_other(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    good, bad = os.fsdecode(b"k\xfchl.csv"), os.fsdecode(b"k\xfchl2.csv")
    (tmp_path / good).write_text(hobo(2), encoding="utf-8")
    (tmp_path / bad).write_bytes(b"no logger wrote this")
    taken = setting.settled()
    assert readings(taken) == [("lg-1", 2)]
    said = [taken[-1].problem, *setting.memory]
    assert all(text.encode("utf-8") for text in said)
    assert "k\\xfchl2.csv" in taken[-1].problem


def test_a_folder_that_is_gone_and_a_file_without_permission_are_problems_not_ends(tmp_path: Path) -> None:
    setting = Setting(tmp_path / "missing")
    assert "cannot be read: No such file or directory" in setting.take()[0].problem
    setting = Setting(tmp_path)
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "nowhere")
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").write_text("x", encoding="utf-8")
    os.mkfifo(tmp_path / "pipe")
    assert setting.settled() == [Taken()]
