"""When operators are told: once when a trouble lasts, once an hour while it stands, once when it ends."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldchain.alarms import Change, Key, Kind, Notice, Standing, Trouble, step
from coldchain.alerts.alarm_letters import alarm_letters
from coldchain.alerts.alarm_watch import allowed_s
from coldchain.settings import Alarms, Alerts

START_MS = 1_772_359_200_000
GUIDE = Path(__file__).parents[1] / "docs" / "operate.md"
AFTER_S = allowed_s(Alarms())
LEDGER, GATEWAY = Trouble(Kind.LEDGER, detail="locked"), Trouble(Kind.GATEWAY, "basel/gw-1")


class Watched:
    """Looks at what it is told to see, with clocks that a test sets."""

    def __init__(self) -> None:
        self.standing: dict[Key, Standing] = {}

    def at(self, second: float, *seen: Trouble) -> list[tuple[Kind, Change]]:
        return [(notice.kind, notice.change) for notice in self.notices(second, *seen)]

    def notices(self, second: float, *seen: Trouble) -> tuple[Notice, ...]:
        now_ms = START_MS + round(second * 1000)
        self.standing, told = step(self.standing, seen, AFTER_S, 3600, second, now_ms)
        return told


def test_a_trouble_is_told_when_it_has_lasted_as_long_as_its_kind_allows() -> None:
    watched = Watched()
    assert watched.at(0, LEDGER) == []
    assert watched.at(9.9, LEDGER) == []
    assert watched.at(10, LEDGER) == [(Kind.LEDGER, Change.RAISED)]


@pytest.mark.parametrize(("kind", "after_s"), AFTER_S.items())
def test_every_kind_is_told_within_its_bound(kind: Kind, after_s: float) -> None:
    watched = Watched()
    told = [(second, found) for second in range(4000) if (found := watched.at(second, Trouble(kind)))]
    assert told[0] == (after_s, [(kind, Change.RAISED)])


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("ledger_after_s", "10 s"),
        ("broker_after_s", "60 s"),
        ("email_after_s", "10 min"),
        ("gateway_after_s", "5 min"),
        ("service_after_s", "60 s"),
        ("projection_after_s", "1 h"),
    ],
)
def test_the_guide_states_the_bounds_that_are_in_force(key: str, words: str) -> None:
    number, unit = words.split()
    assert getattr(Alarms(), key) == int(number) * {"s": 1, "min": 60, "h": 3600}[unit]
    assert f"{words} (`{key}`)" in GUIDE.read_text(encoding="utf-8")


def test_a_full_disk_is_told_at_once() -> None:
    assert Watched().at(0, Trouble(Kind.DISK_FILLING)) == [(Kind.DISK_FILLING, Change.RAISED)]


def test_a_trouble_whose_beginning_is_known_is_told_by_that() -> None:
    watched = Watched()
    (notice,) = watched.notices(100, Trouble(Kind.LEDGER, since_s=90))
    assert notice.since_ms == START_MS + 90_000


def test_it_is_told_again_every_hour_while_it_stands_and_when_it_ends() -> None:
    watched = Watched()
    told = [(second, found[0][1]) for second in range(0, 9000) if (found := watched.at(second, LEDGER))]
    assert told == [(10, Change.RAISED), (3610, Change.STANDS), (7210, Change.STANDS)]
    assert watched.at(9000) == [(Kind.LEDGER, Change.ENDED)]
    assert watched.at(9001) == []


def test_what_was_never_told_ends_in_silence() -> None:
    watched = Watched()
    assert watched.at(0, LEDGER) == watched.at(5) == []
    assert watched.at(6, LEDGER) == []
    assert watched.at(15.9, LEDGER) == [], "it began anew"


def test_one_notice_tells_of_all_gateways_of_a_power_cut() -> None:
    watched = Watched()
    gone = [Trouble(Kind.GATEWAY, f"basel/gw-{number}") for number in range(3)]
    watched.notices(0, *gone)
    (notice,) = watched.notices(300, *gone)
    assert notice.subjects == ("basel/gw-0", "basel/gw-1", "basel/gw-2")
    (back,) = watched.notices(400, *gone[1:])
    assert (back.change, back.subjects) == (Change.ENDED, ("basel/gw-0",))


def test_the_key_is_the_same_for_one_notice_and_another_for_every_other() -> None:
    watched = Watched()
    recipients = Alerts(email={"operator": ("a@example.org", "b@example.org")})
    keys: list[str] = []
    for second in (0, 10, 3610, 7210):
        for notice in watched.notices(second, LEDGER):
            once, again = (list(alarm_letters(notice, recipients, by_email=True)) for _ in range(2))
            assert once == again
            keys += [letter.key for letter in once]
    keys += [letter.key for n in watched.notices(7300) for letter in alarm_letters(n, recipients, by_email=True)]
    watched.notices(8000, LEDGER)
    keys += [
        letter.key for n in watched.notices(8010, LEDGER) for letter in alarm_letters(n, recipients, by_email=True)
    ]
    assert len(keys) == len(set(keys)) == 5 * 3


def ways(kind: Kind, recipients: Alerts, *, by_email: bool = True) -> set[str]:
    notice = Notice(kind, Change.RAISED, (), START_MS, START_MS, 1, ())
    return {letter.channel for letter in alarm_letters(notice, recipients, by_email=by_email)}


def test_a_trouble_of_one_way_is_told_by_the_other() -> None:
    operators = Alerts(email={"operator": ("ops@example.org",)})
    assert ways(Kind.LEDGER, operators) == {"mqtt", "email"}
    assert ways(Kind.BROKER, operators) == {"email"}
    assert ways(Kind.EMAIL, operators) == {"mqtt"}
    assert ways(Kind.BROKER, operators, by_email=False) == {"mqtt"}, "there is no other way: it waits for the broker"
    assert ways(Kind.LEDGER, Alerts(email={"qp": ("qp@example.org",)})) == {"mqtt"}, "not to others than operators"


def test_a_letter_tells_what_since_when_and_what_to_do() -> None:
    notice = Notice(Kind.GATEWAY, Change.RAISED, ("basel/gw-1",), START_MS, START_MS + 300_000, 1, ())
    (_, letter) = alarm_letters(notice, Alerts(email={"operator": ("ops@example.org",)}), by_email=True)
    assert letter.subject == "coldchain: ALARM: gateways are offline (basel/gw-1)"
    for told in ("2026-03-01T10:00:00Z", "2026-03-01T10:05:00Z", "basel/gw-1", "Look at their power and network"):
        assert told in letter.body


@given(st.lists(st.sets(st.sampled_from([LEDGER, GATEWAY])), max_size=400), st.integers(1, 400))
def test_for_every_history_each_alarm_has_one_beginning_and_one_end(looks: list[set[Trouble]], every_s: int) -> None:
    watched = Watched()
    told: dict[Kind, list[Change]] = {Kind.LEDGER: [], Kind.GATEWAY: []}
    for number, seen in enumerate([*looks, set[Trouble]()]):
        for kind, change in watched.at(float(number * every_s), *seen):
            told[kind].append(change)
    assert watched.standing == {}
    for changes in told.values():
        assert well_formed(changes), changes


def well_formed(changes: Iterable[Change]) -> bool:
    is_standing = False
    for change in changes:
        if (change is Change.RAISED) is is_standing:
            return False
        is_standing = change is not Change.ENDED
    return not is_standing
