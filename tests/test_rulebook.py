"""Which version of the rules judges which kit: by its trial, for its whole life, and never before it is in force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from coldchain import pipeline, rulebook
from coldchain.errors import BadInput
from coldchain.instant import instant_ms
from coldchain.model import VersionChoice, VersionRule
from coldchain.profiles import StabilityProfile, in_force, parse_profile
from coldchain.registry import Registry, parse_registry
from coldchain.rulebook import Rulebook
from rule_histories import RULES

MAB = (RULES / "mab-017.toml").read_text(encoding="utf-8")
COMPARATOR = (RULES / "comparator-02.toml").read_text(encoding="utf-8")

FEBRUARY, MAY, AUGUST = (instant_ms(f"2026-0{month}-01T00:00:00Z") for month in (2, 5, 8))


def text_of(version: int, effective: str, text: str = MAB, approved: str = "2025-12-20") -> str:
    old = next(line for line in text.splitlines() if line.startswith("version = "))
    text = text.replace(old, f"version = {version}", 1).replace("_from = 2026-01-01", f"_from = {effective}")
    return text.replace("approved_at = 2025-12-20", f"approved_at = {approved}")


def version(number: int, effective: str, text: str = MAB, approved: str = "2025-12-20") -> StabilityProfile:
    return parse_profile(text_of(number, effective, text, approved), f"v{number}.toml")


V1, V2, V3 = version(1, "2026-01-01"), version(2, "2026-04-01"), version(3, "2026-07-01")
MAB_017 = {1: V1, 2: V2, 3: V3}


def book(at_ms: int = AUGUST, **chosen: int) -> Rulebook:
    arms = {1: version(1, "2026-01-01", COMPARATOR), 2: version(2, "2026-06-01", COMPARATOR)}
    versions = {"mab-017": MAB_017, "comparator-02": arms}
    newest = {name: in_force(numbers, at_ms) for name, numbers in versions.items()}
    return Rulebook(versions, newest, {name.replace("_", "-"): number for name, number in chosen.items()})


def registry(
    trial: str = "", *, second: str = "mab-017", blind: str = "", more: str = "", trial_2: str = "T"
) -> Registry:
    """K-1 from March on, K-2 from May on, K-3 without custody; `trial`: keys of the trial T, if any."""
    kits = "".join(
        f'[[kit]]\nid = "{kit}"\nbatch = "B"\ntrial = "{of}"\nprofile = "{profile}"\n{blind}\n'
        for kit, of, profile in (("K-1", "T", "mab-017"), ("K-2", trial_2, second), ("K-3", "T", "mab-017"))
    )
    text = (
        (f'[[trial]]\nid = "T"\n{trial}\n' if trial else "")
        + more
        + kits
        + '[[place]]\nid = "room"\nkind = "room"\n'
        + '[[custody]]\nkits = ["K-1"]\nplace = "room"\nfrom = 2026-03-01T00:00:00Z\n'
        + '[[custody]]\nkits = ["K-2"]\nplace = "room"\nfrom = 2026-05-01T00:00:00Z\n'
        + '[[custody]]\nkits = ["K-2"]\nplace = "room"\nfrom = 2026-06-01T00:00:00Z\n'
    )
    return parse_registry([("registry.toml", text)])


def judged_by(found: Registry, rules: Rulebook) -> dict[str, StabilityProfile]:
    chosen = pipeline.rules(found, rules)
    return {kit: chosen[group.id] for group in found.groups.values() for kit in group.kits}


def numbers(found: Registry, rules: Rulebook) -> dict[str, int | None]:
    return {kit: profile.version for kit, profile in judged_by(found, rules).items()}


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2020-01-01T00:00:00Z", 1),
        ("2026-01-01T00:00:00Z", 1),
        ("2026-03-31T23:59:59.999Z", 1),
        ("2026-04-01T00:00:00Z", 2),
        ("2026-06-30T23:59:59.999Z", 2),
        ("2026-07-01T00:00:00Z", 3),
        ("2100-01-01T00:00:00Z", 3),
    ],
)
def test_a_version_is_in_force_from_its_effective_date_until_the_next_one_is(at: str, expected: int) -> None:
    assert in_force(MAB_017, instant_ms(at)).version == expected
    assert in_force(dict(reversed(MAB_017.items())), instant_ms(at)).version == expected


def test_a_version_is_never_in_force_before_it_was_approved() -> None:
    backdated = version(2, "2026-02-01", approved="2026-05-01")
    approved_ms = instant_ms("2026-05-01T09:00:00Z")
    assert backdated.in_force_from_ms == approved_ms
    assert in_force({1: V1, 2: backdated}, approved_ms - 1).version == 1
    assert in_force({1: V1, 2: backdated}, approved_ms).version == 2


def test_of_versions_that_take_effect_together_the_highest_is_in_force_and_before_all_of_them_too() -> None:
    together = {number: version(number, "2026-04-01") for number in (9, 10)}
    assert in_force(together, AUGUST).version == 10
    assert in_force(together, FEBRUARY).version == 10


def test_a_later_version_with_an_earlier_date_is_in_force_before_the_one_it_replaces() -> None:
    replaced = {2: version(2, "2026-07-01"), 3: version(3, "2026-04-01")}
    assert in_force(replaced, MAY).version == in_force(replaced, AUGUST).version == 3


@pytest.mark.parametrize(
    ("trial", "at_ms", "expected"),
    [
        ("", AUGUST, (3, 3, 3)),
        ("", MAY, (2, 2, 2)),
        ('versions = "newest"', AUGUST, (3, 3, 3)),
        ('versions = "in_force"', AUGUST, (1, 2, 3)),
        ('versions = "in_force"', FEBRUARY, (1, 2, 1)),
        ('profile_version = { "mab-017" = 2 }', AUGUST, (2, 2, 2)),
        ('versions = "in_force"\nprofile_version = { "mab-017" = 3 }', AUGUST, (3, 3, 3)),
        ('versions = "in_force"\nprofile_version = { "comparator-02" = 1 }', AUGUST, (1, 2, 3)),
    ],
)
def test_a_kit_is_judged_for_its_whole_life_by_the_version_its_trial_is_set_to(
    trial: str, at_ms: int, expected: tuple[int, int, int]
) -> None:
    assert tuple(numbers(registry(trial), book(at_ms)).values()) == expected


def test_what_one_trial_is_set_to_leaves_the_kits_of_another_alone() -> None:
    found = registry('profile_version = { "mab-017" = 1 }', trial_2="OTHER")
    assert numbers(found, book()) == {"K-1": 1, "K-2": 3, "K-3": 1}


def test_a_version_that_a_person_asks_for_goes_before_what_the_trial_is_set_to() -> None:
    for trial in ("", 'versions = "in_force"', 'profile_version = { "mab-017" = 2 }'):
        assert set(numbers(registry(trial), book(mab_017=1)).values()) == {1}


def test_kits_share_a_group_unless_their_trials_choose_differently_for_their_own_profile() -> None:
    def sizes(trial: str) -> list[int]:
        found = registry(
            trial, trial_2="OTHER", more='[[kit]]\nid="K-4"\nbatch="B"\ntrial="OTHER"\nprofile="mab-017"\n'
        )
        return sorted(len(group.kits) for group in found.groups.values())

    assert sizes("") == sizes('profile_version = { "comparator-02" = 1 }') == [1, 1, 2]
    assert sizes('profile_version = { "mab-017" = 3 }') == sizes('versions = "in_force"') == [1, 1, 1, 1]


BLIND = 'blind_group = "G"'


def test_a_blind_group_is_judged_by_the_versions_in_force_for_each_start_and_never_by_the_arm() -> None:
    rules = book()
    found = judged_by(registry('versions = "in_force"', second="comparator-02", blind=BLIND), rules)
    assert [(part.name, part.version) for part in found["K-1"].applied] == [("comparator-02", 1), ("mab-017", 1)]
    assert [(part.name, part.version) for part in found["K-2"].applied] == [("comparator-02", 1), ("mab-017", 2)]
    assert [(part.name, part.version) for part in found["K-3"].applied] == [("comparator-02", 2), ("mab-017", 3)]
    assert len({profile.sha256 for profile in found.values()}) == 3
    swapped = registry('versions = "in_force"', second="comparator-02", blind=BLIND)
    arm = {"mab-017": "comparator-02", "comparator-02": "mab-017"}
    kits = {kit.id: replace(kit, profile=arm[kit.profile]) for kit in swapped.kits.values()}
    assert judged_by(replace(swapped, kits=kits), rules) == found


def test_a_pin_of_one_arm_holds_for_every_kit_of_the_blind_group() -> None:
    found = judged_by(
        registry('profile_version = { "comparator-02" = 1 }', second="comparator-02", blind=BLIND), book()
    )
    assert len(set(map(id, found.values()))) == 1
    assert [(part.name, part.version) for part in found["K-1"].applied] == [("comparator-02", 1), ("mab-017", 3)]


def test_a_blind_group_over_two_trials_that_choose_different_versions_is_refused_where_the_kit_stands() -> None:
    found = registry('versions = "in_force"', blind=BLIND, trial_2="OTHER")
    with pytest.raises(BadInput, match=r"^registry\.toml:\d+: kit\.trial = '(T|OTHER)': chooses other versions of the"):
        pipeline.rules(found, book())
    alike = registry(
        'versions = "in_force"', blind=BLIND, trial_2="OTHER", more='[[trial]]\nid="OTHER"\nversions="in_force"\n'
    )
    assert len(judged_by(alike, book())) == 3
    apart = registry('profile_version = { "comparator-02" = 1 }', blind=BLIND, trial_2="OTHER")
    assert len(judged_by(apart, book())) == 3, "a pin of a profile that no kit of the group has makes no difference"


def test_two_blind_groups_may_choose_differently() -> None:
    found = registry('versions = "in_force"', blind=BLIND, trial_2="OTHER")
    kits = {**found.kits, "K-2": replace(found.kits["K-2"], blind_group="H")}
    judged = judged_by(replace(found, kits=kits), book())
    assert [judged[kit].applied[0].version for kit in ("K-1", "K-2", "K-3")] == [1, 3, 3]


def test_a_profile_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(BadInput, match=r"kit\.profile = 'smv-204': no such .*; there are mab-017, comparator-02$"):
        pipeline.rules(registry(second="smv-204"), book())


@pytest.mark.parametrize("pin", ['"mab-017" = 4', '"mab-018" = 1'])
def test_a_pinned_version_that_does_not_exist_is_refused_where_it_stands(pin: str) -> None:
    there_are = "there are mab-017 1, mab-017 2, mab-017 3, comparator-02 1, comparator-02 2"
    with pytest.raises(BadInput) as caught:
        pipeline.rules(registry(f"profile_version = {{ {pin} }}"), book())
    value = pin.replace('"', "").replace(" =", "")
    assert str(caught.value) == (
        f"registry.toml:3: trial.profile_version = '{value}': no such profile version; {there_are}"
    )


@pytest.mark.parametrize(
    ("keys", "line", "key", "problem"),
    [
        ('versions = "latest"', 3, "trial[1].versions", "'newest' or 'in_force'"),
        ('profile_version = { "mab-017" = 0 }', 3, "trial[1].profile_version", "mab-017 = 0 is no version"),
        ('profile_version = { "mab-017" = true }', 3, "trial[1].profile_version", "mab-017 = True is no version"),
        ('profile_version = { "mab-017" = "2" }', 3, "trial[1].profile_version", "mab-017 = '2' is no version"),
        ("profile_version = 2", 3, "trial[1].profile_version", 'a table such as { "mab-017" = 2 }'),
        ("version = 2", 3, "trial[1].version", "unknown key"),
    ],
)
def test_a_trial_that_is_wrong_is_refused_with_file_line_and_key(keys: str, line: int, key: str, problem: str) -> None:
    with pytest.raises(BadInput) as caught:
        registry(keys)
    assert (caught.value.file, caught.value.line, caught.value.key) == ("registry.toml", line, key)
    assert problem in str(caught.value)


def test_a_trial_is_registered_once_and_needs_an_id() -> None:
    with pytest.raises(BadInput, match=r"registry\.toml:5: trial\.id = 'T': is registered twice"):
        registry('versions = "newest"', more='[[trial]]\nid = "T"\n')
    with pytest.raises(BadInput, match=r"trial\[1\]\.id = '': "):
        parse_registry([("registry.toml", '[[trial]]\nid = ""\n')])


def test_trials_can_be_a_csv_file() -> None:
    csv = 'id,versions,profile_version\r\nT,in_force,"{""mab-017"": 2, ""comparator-02"": 1}"\r\nTRIAL 8,,\r\n'
    found = parse_registry([("trials.csv", csv)]).trials
    assert found["T"].versions == VersionChoice(VersionRule.IN_FORCE, (("comparator-02", 1), ("mab-017", 2)))
    assert found["TRIAL 8"].versions == VersionChoice()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, effective in ((1, "2026-01-01"), (2, "2026-04-01"), (3, "2026-07-01")):
        (tmp_path / f"mab-017-v{number}.toml").write_text(text_of(number, effective), encoding="utf-8")
    return tmp_path


def test_a_folder_is_loaded_as_it_is_in_force_and_says_when_that_changes(folder: Path) -> None:
    for at_ms, number, change in (
        (FEBRUARY, 1, V2.in_force_from_ms),
        (V2.in_force_from_ms - 1, 1, V2.in_force_from_ms),
        (V2.in_force_from_ms, 2, V3.in_force_from_ms),
        (AUGUST, 3, None),
    ):
        found = rulebook.load(folder, at_ms)
        assert (found.newest["mab-017"].version, found.next_change_ms) == (number, change)
        assert list(found.versions["mab-017"]) == [1, 2, 3]
        assert found.chosen == {}


def test_a_chosen_version_has_to_exist(folder: Path) -> None:
    assert rulebook.load(folder, AUGUST, {"mab-017": 2}).chosen == {"mab-017": 2}
    with pytest.raises(BadInput) as caught:
        rulebook.load(folder, AUGUST, {"mab-017": 4})
    assert (caught.value.file, caught.value.key, caught.value.value) == (str(folder), "mab-017", 4)
    assert "there are mab-017 1, mab-017 2, mab-017 3" in caught.value.problem


def test_one_profile_of_each_name_is_a_rulebook_too() -> None:
    found = rulebook.of({"mab-017": V2})
    assert rulebook.of(found) is found
    assert numbers(registry('versions = "in_force"'), found) == {"K-1": 2, "K-2": 2, "K-3": 2}
    assert numbers(registry('profile_version = { "mab-017" = 2 }'), found) == {"K-1": 2, "K-2": 2, "K-3": 2}
    with pytest.raises(BadInput, match="no such profile version; there are mab-017 2"):
        pipeline.rules(registry('profile_version = { "mab-017" = 1 }'), {"mab-017": V2})


def test_a_proposed_version_judges_as_if_in_force_and_only_where_a_trial_lets_it() -> None:
    v4 = version(4, "2027-01-01")
    proposed = rulebook.proposed(book(mab_017=1, comparator_02=1), [v4])
    assert proposed.chosen == {"comparator-02": 1}
    assert proposed.versions["mab-017"] == MAB_017 | {4: v4}
    assert proposed.newest.keys() == {"mab-017", "comparator-02"}
    for trial, expected in (
        ("", (4, 4, 4)),
        ('versions = "in_force"', (1, 2, 4)),
        ('profile_version = { "mab-017" = 2 }', (2, 2, 2)),
    ):
        assert tuple(numbers(registry(trial), proposed).values()) == expected
    fresh = parse_profile(text_of(1, "2026-01-01").replace('"mab-017"', '"new"', 1), "new.toml")
    assert rulebook.proposed(book(), [fresh]).versions["new"] == {1: fresh}


def test_a_profile_says_which_versions_apply_where_it_judges() -> None:
    assert V2.applied == (("mab-017", 2, V2.effective_from_ms, V2.sha256),)
