"""One card per cause, and nothing in it that tells a blinded reader which product is in a kit."""

import json
from dataclasses import replace

import pytest

from coldchain.alerts.cards import KITS_PER_CARD, place_at
from coldchain.alerts.compose import EVENT_TOPIC, compose
from coldchain.ledger.entries import Alert
from coldchain.model import CustodySegment, EarlyWarning, Kit, QuarantineEvent, Reason
from coldchain.registry import Registry
from coldchain.settings import Alerts

NOW_MS = 1_772_359_205_000
HOUR_MS = 3_600_000
MOVED_MS = NOW_MS - HOUR_MS

RECIPIENTS = Alerts(
    mqtt_roles=("supply-manager", "qp"),
    unblinded_roles=("qp",),
    email={"supply-manager": ("supply@example.org",), "qp": ("qp@example.org", "deputy@example.org")},
)
SECRETS = (
    "mab-017",
    "placebo",
    "above-8",
    "limit",
    "budget",
    "batch",
    "B22",
    "B23",
    "profile",
    "product",
    "activation",
)


def kit(number: int, profile: str = "mab-017", batch: str = "B22") -> Kit:
    return Kit(f"K-{number:04}", batch, "TRIAL-7", profile, "TRIAL-7")


def registry(*kits: Kit, place: str = "basel-cold-2", then: str | None = None) -> Registry:
    first = CustodySegment(place, 0, MOVED_MS if then else None)
    route = (first, CustodySegment(then, MOVED_MS)) if then else (first,)
    return Registry(kits={each.id: each for each in kits}, custody={each.id: route for each in kits})


def event(
    number: int = 1, limit: str = "mab-017:above-8", reason: Reason = Reason.LIMIT, age: int = 2
) -> QuarantineEvent:
    return QuarantineEvent(
        f"id-{number}-{limit}", f"K-{number:04}", limit, reason, NOW_MS - age * HOUR_MS, NOW_MS, "TRIAL-7", None
    )


def composed(
    *events: QuarantineEvent,
    known: Registry | None = None,
    warnings: tuple[EarlyWarning, ...] = (),
    before: tuple[QuarantineEvent, ...] = (),
) -> tuple[Alert, ...]:
    known = known if known is not None else registry(kit(1), kit(2))
    known_events = {event.kit: {event.id: event} for event in before}
    return compose(events, warnings, known, RECIPIENTS, known=known_events, by_email=True, now_ms=NOW_MS)


def to(alerts: tuple[Alert, ...], recipient: str) -> list[Alert]:
    return [alert for alert in alerts if alert.recipient == recipient]


def document(alerts: tuple[Alert, ...], role: str) -> dict[str, object]:
    (alert,) = to(alerts, f"coldchain/v1/alerts/{role}")
    found: dict[str, object] = json.loads(alert.body)
    return found


def test_one_card_tells_of_all_kits_of_one_cause() -> None:
    alerts = composed(event(2), event(1), event(1, "mab-017:above-25", age=1))
    card = document(alerts, "supply-manager")
    assert card["kits"] == ["K-0001", "K-0002"]
    assert (card["kind"], card["place"]) == ("quarantine", "basel-cold-2")
    assert (card["breached_at"], card["detected_at"]) == ("2026-03-01T08:00:05Z", "2026-03-01T10:00:05Z")
    assert "Do not ship" in str(card["action"])


def test_another_reason_is_another_card() -> None:
    alerts = composed(event(1), event(2, "unknown", Reason.DATA_MISSING))
    cards = to(alerts, "coldchain/v1/alerts/supply-manager")
    assert sorted(json.loads(card.body)["kits"] for card in cards) == [["K-0001"], ["K-0002"]]


def test_another_place_is_another_card() -> None:
    known = registry(kit(1))
    known = replace(known, custody={**known.custody, "K-0002": (CustodySegment("zug", 0),)})
    cards = to(composed(event(1), event(2), known=known), "coldchain/v1/alerts/supply-manager")
    assert sorted(json.loads(card.body)["place"] for card in cards) == ["basel-cold-2", "zug"]


def test_a_kit_that_moved_on_is_named_with_where_it_is_now() -> None:
    alerts = composed(event(1), known=registry(kit(1), then="site-3"))
    card = document(alerts, "supply-manager")
    assert (card["place"], card["elsewhere"]) == ("basel-cold-2", {"K-0001": "site-3"})
    (mail,) = to(alerts, "supply@example.org")
    assert "K-0001, now at site-3" in mail.body


def test_every_event_goes_to_the_event_topic_with_blinded_fields_only() -> None:
    found = to(composed(event(1), event(2)), EVENT_TOPIC)
    assert [json.loads(alert.body) for alert in found] == [
        {
            "id": f"id-{number}-mab-017:above-8",
            "kit": f"K-{number:04}",
            "place": "basel-cold-2",
            "breached_at_ms": NOW_MS - 2 * HOUR_MS,
            "detected_at_ms": NOW_MS,
            "revision": 1,
            "supported": True,
        }
        for number in (1, 2)
    ]


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize(("revision", "supported"), [(1, True), (2, True), (3, False)])
def test_a_blinded_reader_learns_nothing_about_the_product(reason: Reason, revision: int, supported: bool) -> None:
    found = replace(event(1, reason=reason), id="an-id", revision=revision, supported=supported)
    warning = EarlyWarning("w", "K-0001", "above-8", 80)
    alerts = composed(found, warnings=(warning,))
    blinded = [*to(alerts, "supply@example.org"), *to(alerts, "coldchain/v1/alerts/supply-manager")]
    assert len(blinded) == 2
    for alert in (*blinded, *to(alerts, EVENT_TOPIC)):
        text = (alert.subject + alert.body).lower()
        assert [secret for secret in SECRETS if secret.lower() in text] == []


def test_swapping_the_arms_leaves_what_a_blinded_reader_gets_byte_identical() -> None:
    here = registry(kit(1, "mab-017", "B22"), kit(2, "placebo", "B23"))
    swapped = registry(kit(1, "placebo", "B23"), kit(2, "mab-017", "B22"))
    recipients = ("supply@example.org", "coldchain/v1/alerts/supply-manager", EVENT_TOPIC)
    one, other = (
        [alert for name in recipients for alert in to(composed(event(1), event(2), known=known), name)]
        for known in (here, swapped)
    )
    assert one == other
    assert composed(event(1), known=here) != composed(event(1), known=swapped)


def test_an_unblinded_reader_gets_limit_profile_batch_and_event() -> None:
    alerts = composed(event(1))
    (mail, _) = (*to(alerts, "qp@example.org"), *to(alerts, "deputy@example.org"))
    for detail in ("mab-017:above-8", "TRIAL-7", "B22", "id-1-mab-017:above-8"):
        assert detail in mail.body
        assert detail in str(document(alerts, "qp")["details"])


@pytest.mark.parametrize(
    ("limit", "share", "told"),
    [("above-8", 80, "80 % of above-8"), ("above-8@depot", 100, "the share of the stage depot is used up: above-8,")],
)
def test_early_warnings_go_to_unblinded_roles_only(limit: str, share: int, told: str) -> None:
    warnings = tuple(EarlyWarning(f"w-{number}", f"K-{number:04}", limit, share) for number in (1, 2))
    alerts = composed(warnings=warnings)
    assert {alert.recipient for alert in alerts} == {"coldchain/v1/alerts/qp", "qp@example.org", "deputy@example.org"}
    card = document(alerts, "qp")
    assert (card["kind"], card["kits"], card["breached_at"]) == ("early_warning", ["K-0001", "K-0002"], None)
    assert told in str(card["action"])


def test_the_same_alert_has_the_same_key_and_every_recipient_and_revision_another() -> None:
    first, again = composed(event(1), event(2)), composed(event(2), event(1))
    assert {alert.key for alert in first} == {alert.key for alert in again}
    one, other = event(1, "mab-017:above-25"), event(1)
    assert {alert.key for alert in composed(one, other)} == {alert.key for alert in composed(other, one)}
    revised = composed(replace(event(1), revision=2), replace(event(2), revision=2))
    keys = [alert.key for alert in (*first, *revised)]
    assert len(set(keys)) == len(keys) == 14


def test_a_breach_instant_that_only_moves_goes_to_the_event_topic_and_to_no_person() -> None:
    moved = replace(event(1), breached_at_ms=NOW_MS, revision=2)
    assert [alert.recipient for alert in composed(moved, before=(event(1),))] == [EVENT_TOPIC]


def test_people_are_told_when_a_hold_loses_its_support_and_when_it_regains_it() -> None:
    lost = replace(event(1), supported=False, revision=2)
    regained = replace(event(1), revision=3)
    assert document(composed(lost, before=(event(1),)), "supply-manager")["kind"] == "quarantine_unsupported"
    assert document(composed(regained, before=(lost,)), "supply-manager")["kind"] == "quarantine_renewed"


def test_every_alert_names_all_its_causes() -> None:
    for alert in composed(event(1), event(2)):
        if alert.recipient != EVENT_TOPIC:
            assert alert.causes == (("id-1-mab-017:above-8", 1), ("id-2-mab-017:above-8", 1))


def test_no_mail_is_composed_without_a_mail_server() -> None:
    alerts = compose((event(1),), (), registry(kit(1)), RECIPIENTS, known={}, by_email=False, now_ms=NOW_MS)
    assert {alert.channel for alert in alerts} == {"mqtt"}


def test_a_card_of_very_many_kits_is_cut_so_that_a_broker_takes_it() -> None:
    kits = [kit(number) for number in range(2 * KITS_PER_CARD + 1)]
    alerts = composed(*(event(number) for number in range(len(kits))), known=registry(*kits))
    cards = to(alerts, "coldchain/v1/alerts/supply-manager")
    assert [len(json.loads(card.body)["kits"]) for card in cards] == [KITS_PER_CARD, KITS_PER_CARD, 1]


def test_a_kit_that_is_no_longer_registered_still_raises_its_alert() -> None:
    card = document(composed(event(1), known=Registry()), "qp")
    assert (card["kits"], card["place"]) == (["K-0001"], "an unknown place")


@pytest.mark.parametrize(("at_ms", "place"), [(5, "a"), (10, "a"), (15, "a"), (20, "b"), (99, "b")])
def test_a_kit_is_where_its_custody_last_began(at_ms: int, place: str) -> None:
    route = (CustodySegment("a", 10, 20), CustodySegment("b", 20, 30))
    assert place_at(Registry(custody={"K": route}), "K", at_ms) == place
