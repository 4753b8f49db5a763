"""The flow: live first, the backlog at its pace, again what is not receipted, nothing deleted unpublished."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from coldchain.readings import ReadingBatch
from gateways.agent.channels import Span
from gateways.agent.flow import HOLD_S, Flow, Now
from gateways.agent.messages import Message
from gateways.agent.receipts import Missing, Receipt, Refused, Stored
from gateways.agent.settings import Pace, Store
from gateways.agent.spool import Spool

OpenSpool = Callable[..., Spool]
PACE = Pace(backlog_per_s=1000, backlog_in_flight=4, live_in_flight=10, batch=100, retry_s=30, longest_retry_s=600)


def at(seconds: float) -> Now:
    return Now(seconds, round(1_760_000_000_000 + 1000 * seconds))


def put(spool: Spool, readings: int, logger: str = "lg-1", clock: int | None = None) -> list[Span]:
    at_ms = np.arange(readings, dtype=np.int64)
    with spool.transaction():
        return spool.put([ReadingBatch(logger, "1", at_ms, np.full(readings, 5000, dtype=np.int32))], clock)


def spans(messages: Iterable[Message]) -> list[tuple[int, int]]:
    return [(one.span.first, one.span.last) for one in messages]


def receipt(
    spool: Spool,
    *ranges: tuple[int, int],
    resend: tuple[int, int] | None = None,
    refused: str = "",
    hold: bool = False,
    channel: int = 1,
) -> Receipt:
    one = spool.channels[channel]
    missing = () if resend is None else (Missing(one.logger, one.channel, one.boot, *resend),)
    stored = (Stored(one.logger, one.channel, one.boot, ranges),) if ranges else ()
    return Receipt(0, stored, missing, (Refused(one.logger, refused, "bad_value"),) if refused else (), hold)


def linked(spool: Spool, pace: Pace = PACE) -> Flow:
    flow = Flow(spool, pace)
    flow.linked(session_present=True)
    return flow


def pending(spool: Spool) -> list[int]:
    return [row.seq for row in spool.rows(Span(1, 0, 2**62), 1_000_000)]


def test_a_backlog_has_a_bounded_number_of_messages_in_flight_and_goes_on_with_their_receipts(
    open_spool: OpenSpool,
) -> None:
    spool = open_spool()
    put(spool, 1000)
    flow = linked(spool)
    assert spans(flow.due(at(0))) == [(1, 100), (101, 200), (201, 300), (301, 400)]
    assert spans(flow.due(at(1))) == []
    assert flow.receipt(receipt(spool, (1, 200)), at(1)).deleted == 200
    assert spans(flow.due(at(1))) == [(401, 500), (501, 600)]


def test_a_backlog_keeps_to_its_rate(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 10_000)
    flow = linked(spool, Pace(backlog_per_s=1000, backlog_in_flight=1000, batch=100))
    sent = [sum(last - first + 1 for first, last in spans(flow.due(at(tenth / 10)))) for tenth in range(51)]
    assert 1000 <= sent[0] <= 1100
    assert sum(sent) <= 1000 + 5 * 1000 + 100


def test_a_live_reading_goes_at_once_whatever_the_backlog_does(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 5000)
    flow = linked(spool)
    assert len(spans(flow.due(at(0)))) == 4
    assert spans(flow.arrived(put(spool, 1), at(0.1))) == [(5001, 5001)]
    flow.receipt(receipt(spool, (1, 400), hold=True), at(0.2))
    assert spans(flow.arrived(put(spool, 1), at(0.3))) == [(5002, 5002)]


def test_the_backlog_does_not_publish_again_what_went_live(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 100)
    flow = linked(spool)
    list(flow.arrived(put(spool, 1), at(0)))
    put_late = put(spool, 70)  # many at once are no live data
    assert spans(flow.arrived(put_late, at(0))) == []
    assert spans(flow.due(at(0))) == [(1, 100), (102, 171)]


def test_without_a_connection_nothing_is_live_and_nothing_is_due(open_spool: OpenSpool) -> None:
    spool = open_spool()
    flow = Flow(spool, PACE)
    assert spans(flow.arrived(put(spool, 1), at(0))) == []
    assert spans(flow.due(at(0))) == []
    flow.linked(session_present=False)
    assert spans(flow.due(at(1))) == [(1, 1)]


def test_live_messages_without_receipts_are_bounded_too_and_the_rest_becomes_backlog(open_spool: OpenSpool) -> None:
    spool = open_spool()
    flow = linked(spool)
    for second in range(15):
        list(flow.arrived(put(spool, 1), at(second)))
    assert (flow.flights.live, flow.flights.backlog) == (10, 0)
    assert spans(flow.due(at(16))) == [(11, 15)]


def test_what_is_not_receipted_goes_again_each_time_after_twice_as_long(open_spool: OpenSpool) -> None:
    spool = open_spool()
    flow = linked(spool)
    list(flow.arrived(put(spool, 1), at(0)))
    when = []
    for second in range(1, 400):
        if spans(flow.due(at(second))):
            when.append(second)
        flow.heard_s = second  # the service is there, and receipts something else
    assert when == [30, 90, 210]


def test_while_the_service_is_silent_one_message_asks_for_all(open_spool: OpenSpool) -> None:
    spool = open_spool()
    flow = linked(spool)
    for _ in range(10):
        list(flow.arrived(put(spool, 1), at(0)))
    sent = {second: len(spans(flow.due(at(second)))) for second in range(1, 1000)}
    assert {second: count for second, count in sent.items() if count} == {30: 10, 90: 1, 150: 1, 270: 1, 510: 1, 990: 1}


def test_when_the_service_is_back_it_gets_time_for_what_waited_for_it(open_spool: OpenSpool) -> None:
    spool = open_spool()
    flow = linked(spool)
    for _ in range(10):
        list(flow.arrived(put(spool, 1), at(0)))
    for second in range(1, 1000):
        list(flow.due(at(second)))
    flow.receipt(receipt(spool, (1, 1)), at(1000))
    assert spans(flow.due(at(1029))) == []
    assert len(spans(flow.due(at(1030)))) == 8  # the ninth asked just before, and has waited long already


def test_an_acknowledgement_deletes_nothing(open_spool: OpenSpool) -> None:
    spool = open_spool()
    flow = linked(spool)
    [one] = flow.arrived(put(spool, 1), at(0))
    flow.acknowledged(one.sha256)
    assert pending(spool) == [1]


def test_a_broker_that_lost_its_session_gets_again_what_it_had_acknowledged(open_spool: OpenSpool) -> None:
    spool = open_spool()
    flow = linked(spool)
    [first] = flow.arrived(put(spool, 1), at(0))
    list(flow.arrived(put(spool, 1), at(0)))  # not acknowledged: the client itself sends it again
    flow.acknowledged(first.sha256)
    flow.unlinked()
    flow.linked(session_present=False)
    assert spans(flow.due(at(1))) == [(1, 1)]
    assert spans(flow.due(at(2))) == []


def test_a_session_that_is_still_there_has_what_it_had_acknowledged(open_spool: OpenSpool) -> None:
    spool = open_spool()
    flow = linked(spool)
    [first] = flow.arrived(put(spool, 1), at(0))
    flow.acknowledged(first.sha256)
    flow.unlinked()
    flow.linked(session_present=True)
    assert spans(flow.due(at(1))) == []


def test_hold_keeps_the_backlog_back_until_it_is_lifted(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 1000)
    flow = linked(spool)
    flow.receipt(receipt(spool, hold=True), at(0))
    assert spans(flow.due(at(1))) == []
    assert spans(flow.arrived(put(spool, 1), at(2))) == [(1001, 1001)]
    flow.receipt(receipt(spool, hold=False), at(3))
    assert len(spans(flow.due(at(3)))) == 4


def test_a_hold_whose_end_was_lost_is_asked_about_with_one_message(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 1000)
    flow = linked(spool)
    flow.receipt(receipt(spool, hold=True), at(0))
    assert spans(flow.due(at(HOLD_S - 1))) == []
    assert spans(flow.due(at(HOLD_S))) == [(1, 100)]
    assert spans(flow.due(at(HOLD_S + 1))) == []


def test_a_request_for_resend_is_answered_from_the_spool(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 400)
    flow = linked(spool)
    assert len(spans(flow.due(at(0)))) == 4
    flow.receipt(receipt(spool, (1, 100), (301, 400), resend=(101, 300)), at(10))
    assert spans(flow.due(at(10))) == [(101, 200), (201, 300)]


def test_a_request_for_resend_brings_nothing_that_was_not_asked_for(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 400)
    flow = linked(spool)
    list(flow.due(at(0)))
    flow.receipt(receipt(spool, (301, 400), resend=(101, 200)), at(10))
    assert spans(flow.due(at(10))) == [(101, 200)]
    flow.receipt(receipt(spool, (101, 200), resend=(150, 180)), at(20))
    assert spans(flow.due(at(20))) == []


def test_a_receipt_for_half_a_message_deletes_that_half(open_spool: OpenSpool) -> None:
    spool = open_spool()
    flow = linked(spool)
    list(flow.arrived(put(spool, 40), at(0)))  # live: the cursor has not passed it
    assert flow.receipt(receipt(spool, (11, 20)), at(1)).deleted == 10
    assert pending(spool) == [*range(1, 11), *range(21, 41)]
    again = [one for second in range(1, 100) for one in spans(flow.due(at(second)))]
    assert again[:2] == [(1, 10), (21, 40)]


def test_messages_hold_numbers_that_follow_one_another(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 60)
    with spool.transaction():
        spool.delete([Span(1, 21, 30)])
    assert spans(linked(spool).due(at(0))) == [(1, 20), (31, 60)]


def test_a_request_that_crossed_the_message_on_its_way_is_not_answered_twice(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 200)
    flow = linked(spool)
    list(flow.due(at(0)))
    flow.receipt(receipt(spool, (101, 200), resend=(1, 100)), at(1))
    assert spans(flow.due(at(1))) == []


def test_a_request_for_what_is_gone_is_not_answered(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 100)
    flow = linked(spool)
    list(flow.due(at(0)))
    flow.receipt(receipt(spool, (1, 100)), at(1))
    flow.receipt(receipt(spool, resend=(1, 100)), at(60))
    assert spans(flow.due(at(60))) == []


def test_a_refused_message_is_known_by_its_hash_and_never_sent_again(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 200)
    flow = linked(spool)
    first, _ = flow.due(at(0))
    outcome = flow.receipt(receipt(spool, (101, 200), refused=first.sha256), at(1))
    assert [(one.logger, one.readings, one.reason) for one in outcome.set_aside] == [("lg-1", 100, "bad_value")]
    assert pending(spool) == []
    assert all(not spans(flow.due(at(second))) for second in range(2, 2000, 10))


def test_an_old_receipt_deletes_nothing_that_was_not_published_since_the_start(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 300)
    flow = linked(spool, Pace(backlog_in_flight=1, batch=100))
    list(flow.due(at(0)))
    assert flow.receipt(receipt(spool, (1, 300)), at(1)).deleted == 100
    assert pending(spool) == list(range(101, 301))


def test_numbers_that_were_never_given_out_begin_another_life_and_delete_nothing(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 100)
    flow = linked(spool)
    [old] = flow.due(at(0))
    boot = spool.channels[1].boot
    spool._random_bits = lambda _: 99
    outcome = flow.receipt(receipt(spool, (1, 5000)), at(1))
    assert outcome.copied == ("lg-1",)
    assert (outcome.deleted, len(pending(spool))) == (0, 100)
    [new] = flow.due(at(2))
    assert new.span == old.span
    assert spool.channels[1].boot != boot
    assert open_spool().channels[1].boot != boot


def test_a_receipt_for_another_life_or_an_unknown_logger_changes_nothing(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 100)
    flow = linked(spool)
    list(flow.due(at(0)))
    boot = spool.channels[1].boot
    stored = (Stored("lg-1", "1", boot + 1, ((1, 100),)), Stored("lg-9", "1", boot, ((1, 100),)))
    assert flow.receipt(Receipt(0, stored, (), (), False), at(1)).deleted == 0
    assert len(pending(spool)) == 100


def test_readings_of_two_states_of_the_clock_do_not_share_a_message(open_spool: OpenSpool) -> None:
    spool = open_spool()
    put(spool, 3, clock=None)
    with spool.transaction():
        state = spool.new_clock(0)
        spool.set_offset(state, -3_600_000)
    put(spool, 2, clock=state)
    first, second = linked(spool).due(at(0))
    assert spans([first, second]) == [(1, 3), (4, 5)]
    assert b"offset" not in first.payload
    assert b"offset" in second.payload


# What may happen between the two ends: readings come, messages arrive or are lost, receipts arrive or are lost,
# connections break, the agent is killed. In the end everything is at the service, and nothing left the spool before.
steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["take", "many", "deliver", "lose", "receipt", "time", "cut", "mend", "reset", "kill", "refuse"]
        ),
        st.integers(0, 5),
    ),
    max_size=40,
)


class _Service:
    """Stores numbers; receipts are made when a message is stored and delivered when the test says so."""

    def __init__(self, spool: Spool) -> None:
        self.has: dict[int, set[int]] = {}
        self.receipts: list[Receipt] = []
        self._spool = spool

    def store(self, one: Message) -> None:
        has = self.has.setdefault(one.span.channel, set())
        has |= set(range(one.span.first, one.span.last + 1))
        top = min(has)
        while top + 1 in has:
            top += 1
        first = min(has)
        low = high = one.span.first
        while low - 1 in has:
            low -= 1
        while high + 1 in has:
            high += 1
        above = () if low == first else ((low, high),)
        self.receipts.append(receipt(self._spool, (first, top), *above, channel=one.span.channel))


@given(steps=steps)
@settings(max_examples=150)
def test_whatever_is_lost_on_the_way_everything_arrives_and_nothing_leaves_before(
    steps: list[tuple[str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "spool.db", keep_free_bytes=0)
        spool = Spool(store, "basel", "gw-1", lambda: 0, lambda _: 1, lambda: 1)
        spool._db.execute("PRAGMA synchronous = OFF")  # the machine does not fail in this test
        pace = Pace(backlog_per_s=50, backlog_in_flight=2, live_in_flight=3, batch=10, retry_s=5, longest_retry_s=20)
        flow, service = Flow(spool, pace), _Service(spool)
        under_way: list[Message] = []
        taken: dict[int, int] = {}
        refused: set[tuple[int, int]] = set()
        now_s = 0.0

        def check() -> None:
            for channel, count in taken.items():
                left = {row.seq for row in spool.rows(Span(channel, 0, 2**62), 10_000)}
                gone = set(range(1, count + 1)) - left
                assert gone <= service.has.get(channel, set()) | {seq for one, seq in refused if one == channel}
            flying = sorted(flight.span for flight in flow.flights)
            assert all(a.channel != b.channel or a.last < b.first for a, b in pairwise(flying))

        try:
            for what, which in steps:
                match what:
                    case "take" | "many":
                        [span] = put(spool, 1 if what == "take" else 70, f"lg-{which % 2}")
                        taken[span.channel] = span.last
                        under_way += flow.arrived([span], at(now_s))
                    case "deliver" if under_way:
                        service.store(under_way.pop(which % len(under_way)))
                    case "lose" if under_way:
                        one = under_way.pop(which % len(under_way))
                        if which % 2:
                            flow.acknowledged(one.sha256)
                    case "refuse" if under_way:
                        one = under_way.pop(which % len(under_way))
                        numbers = {(one.span.channel, seq) for seq in range(one.span.first, one.span.last + 1)}
                        outcome = flow.receipt(receipt(spool, refused=one.sha256, channel=one.span.channel), at(now_s))
                        refused |= numbers if outcome.set_aside else set()
                    case "receipt" if service.receipts:
                        if which:
                            flow.receipt(service.receipts.pop(which % len(service.receipts)), at(now_s))
                        else:
                            service.receipts.pop()
                    case "time":
                        now_s += which * 3
                        under_way += flow.due(at(now_s))
                    case "cut":
                        flow.unlinked()
                    case "mend" | "reset":
                        flow.linked(session_present=what == "mend")
                    case "kill":
                        spool.close()
                        spool = Spool(store, "basel", "gw-1", lambda: 0, lambda _: 1, lambda: 1)
                        service._spool = spool
                        flow = Flow(spool, pace)
                check()
            flow.linked(session_present=False)
            for _ in range(400):
                now_s += 5
                under_way += flow.due(at(now_s))
                for one in under_way:
                    service.store(one)
                under_way.clear()
                for each in service.receipts:
                    flow.receipt(each, at(now_s))
                service.receipts.clear()
                check()
                if not spool.counts.pending:
                    break
            assert spool.counts.pending == 0
            assert len(flow.flights) == flow.flights.live == flow.flights.backlog == 0
        finally:
            spool.close()
