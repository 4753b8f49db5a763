"""What is wrong in a store is found by kind, place and day, and mended from the ledger."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coldchain.readings import ChannelKey
from coldchain.settings import Settings
from coldchain.timeseries.influx_server import Server
from coldchain.timeseries.influxql import InfluxQL
from coldchain.timeseries.opening import Opened, opened
from coldchain.timeseries.points import Cursor
from coldchain.timeseries.reconciliation import Difference, reconcile
from coldchain.timeseries.retention import Kept
from service_values import START_MS
from timeseries_values import DAY_MS, HOUR_MS, MINUTE_MS, fill, month, project

MakeSettings = Callable[..., Settings]

DAY = (START_MS + DAY_MS) // DAY_MS * DAY_MS
LG_1 = ChannelKey("lg-1", "1")


def sql(statement: str) -> Callable[[Opened], None]:
    def act(found: Opened) -> None:
        assert found.local.execute(statement).rowcount > 0

    return act


def influxql(statement: str) -> Callable[[Opened], None]:
    def act(found: Opened) -> None:
        bucket = found.store._bucket  # type: ignore[attr-defined]  # an InfluxStore
        server: Server = found.store._server  # type: ignore[attr-defined]
        if statement.startswith(("DELETE", "DROP")):
            InfluxQL(server)._ask(bucket, statement, method="POST")
        else:
            server.write(bucket, [statement])

    return act


AT_NS = (DAY + 6 * HOUR_MS) * 1_000_000
HOUR_NS = (DAY + 7 * HOUR_MS) * 1_000_000

CASES = [
    pytest.param(True, sql("DELETE FROM day WHERE logger = 'lg-1' AND day = 20514"), "readings", DAY),
    pytest.param(True, sql("UPDATE logger_hour SET sum_mc = sum_mc + 1 WHERE logger = 'lg-1' AND n > 0"), "hours", DAY),
    pytest.param(True, sql("UPDATE place_hour SET max_mc = max_mc + 1"), "place hours", None),
    pytest.param(True, sql("DELETE FROM act WHERE seq = 1"), "audit entries", None),
    pytest.param(True, sql("UPDATE evidence SET limit_id = 'x' WHERE seq = 2"), "quarantine events", None),
    pytest.param(
        False,
        influxql("DELETE FROM \"reading\" WHERE logger='lg-1' AND time > 1772431200s AND time <= 1772441200s"),
        "readings",
        DAY,
    ),
    pytest.param(False, influxql(f"reading,logger=lg-1,channel=1,rev=0 mc=1i {AT_NS}"), "readings", DAY),
    pytest.param(False, influxql(f"reading,logger=lg-1,channel=1,rev=0 mc=1i {AT_NS + 1_000_000}"), "readings", DAY),
    pytest.param(False, influxql(f"logger_hour,logger=lg-1,channel=1 max_mc=1i {HOUR_NS}"), "hours", DAY),
    pytest.param(False, influxql(f"place_hour,place=basel-cold-2 known_ms=1i {HOUR_NS}"), "place hours", None),
    pytest.param(False, influxql('DROP MEASUREMENT "hold"'), "holds", None),
    pytest.param(False, influxql('DROP MEASUREMENT "kit"'), "kit verdicts", None),
]


@pytest.mark.parametrize(("is_embedded", "damage", "what", "day_ms"), CASES)
def test_damage_is_found_and_mended(
    embedded: Settings,
    on_influxdb: MakeSettings,
    is_embedded: bool,
    damage: Callable[[Opened], None],
    what: str,
    day_ms: int | None,
) -> None:
    settings = embedded if is_embedded else on_influxdb()
    fill(settings, month(seed=11, days=3))
    with opened(settings) as found:
        project(found)
        damage(found)
        seen = reconcile(found.projector, found.store, Kept(), mends=False)
        assert {(each.what, each.day_ms) for each in seen.differences} >= {(what, day_ms)}
        assert {each.what for each in seen.differences} == {what}
        assert seen.remaining == len(seen.differences)
        again = reconcile(found.projector, found.store, Kept(), mends=False)
        assert again == seen, "comparing must not mend"
        mended = reconcile(found.projector, found.store, Kept())
        assert (mended.differences, mended.remaining) == (seen.differences, 0)
        assert reconcile(found.projector, found.store, Kept()).differences == ()


def test_a_single_bit_shows_in_the_checksum_at_an_equal_count(on_influxdb: MakeSettings) -> None:
    settings = on_influxdb()
    fill(settings, month(seed=11, days=3))
    with opened(settings) as found:
        project(found)
        readings = found.store.readings(LG_1, DAY - 1, DAY + DAY_MS - 1)
        position = readings.temperature_mc.tolist().index(5000)
        at_ns = int(readings.at_ms[position]) * 1_000_000
        influxql(f"reading,logger=lg-1,channel=1,rev=0 mc=5001i {at_ns}")(found)
        (difference,) = reconcile(found.projector, found.store, Kept(), mends=False).differences
        assert isinstance(difference, Difference)
        assert (difference.where, difference.day_ms) == ("lg-1/1", DAY)
        assert difference.ledger[0] == difference.store[0] == len(readings)
        assert difference.ledger[1] != difference.store[1]


def test_only_what_came_since_is_compared_when_asked(embedded: Settings) -> None:
    arrivals = month(seed=12, days=4)
    half = len(arrivals) // 2
    fill(embedded, arrivals[:half])
    with opened(embedded) as found:
        project(found)
        night: Cursor = found.store.cursor()
        sql("DELETE FROM day WHERE day < 20515")(found)
    fill(embedded, arrivals[half:])
    with opened(embedded) as found:
        project(found)
        late = reconcile(found.projector, found.store, Kept(), since=night, mends=False)
        whole = reconcile(found.projector, found.store, Kept(), mends=False)
        assert 0 < late.readings < whole.readings
        assert len(late.differences) < len(whole.differences)
        assert {each.what for each in whole.differences} <= {"readings", "unverified readings"}


def test_what_is_in_the_ledger_and_not_projected_yet_is_no_difference(embedded: Settings) -> None:
    arrivals = month(seed=13, days=3)
    fill(embedded, arrivals[:20])
    with opened(embedded) as found:
        project(found)
    fill(embedded, arrivals[20:])
    with opened(embedded) as found:
        assert reconcile(found.projector, found.store, Kept(), mends=False).differences == ()
        assert found.store.readings(LG_1, 0, 2**43).at_ms[-1] < START_MS + 3 * DAY_MS - 10 * MINUTE_MS
