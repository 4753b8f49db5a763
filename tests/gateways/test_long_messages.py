"""A long message, read as columns, says what its readings say when they come one by one, and is refused if one is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coldchain.errors import RejectedPayload
from coldchain.readings import FAULT_MC
from gateways.decoders import decode, mapping, senml, series
from gateways.decoders.instants import instant_ms, instants_ms
from gateways.decoders.mapping_file import BUILT_IN, load

TOPIC = "coldchain/v1/basel/gw-1/lg-1/readings"
T0, NOW_MS, MINUTE_MS = 1_760_000_000_000, 1_780_000_000_000, 60_000

Triples = list[tuple[str, int, int, str | None]]
"""Logger and channel, instant [ms], milli-degC, and the reason of a fault."""

LONG = 12


def read(topic: str, payload: bytes) -> Triples | None:
    """What a message says, sorted; None if it is refused."""
    try:
        batches = decode(topic, payload, NOW_MS)
    except RejectedPayload:
        return None
    return sorted(
        (f"{batch.logger}/{batch.channel}", at, mc, batch.faults.get(i))
        for batch in batches
        for i, (at, mc) in enumerate(zip(batch.at_ms.tolist(), batch.temperature_mc.tolist(), strict=True))
    )


def together(read_one: Callable[[Any], Triples | None], parts: Sequence[Any]) -> Triples | None:
    """What the parts say, each for itself; None if one is refused."""
    found = [read_one(part) for part in parts]
    return None if None in found else sorted(one for each in found for one in each or [])


def rows_of(document_rows: list[Any], dump: Callable[[object], bytes]) -> Triples | None:
    return read(TOPIC, dump({"logger": "lg-1", "readings": document_rows}))


def as_json(document: object) -> bytes:
    return json.dumps(document).encode()


def written(form: int, at_ms: int) -> str | int:
    """An instant in one of the ways of the wire format."""
    text = str(np.datetime64(at_ms, "ms"))
    forms: list[str | int] = [at_ms, f"{text}Z", f"{text[:19]}Z", f"{text[:16]}Z", f"{text.replace('T', ' ')}+01:00"]
    return [*forms, f"{text}456Z", f"{text[:19]}-0530", f"{text[:21]}Z"][form]


plain = st.integers(-3000, 9000).map(lambda hundredths: hundredths / 100)
temperatures = plain | st.sampled_from(
    [5, 0, -0.0, 4.1235, 4.1245, 0.0005, 41.0009, 1000, 10_000, 10_000.5, -273.15, 1e308, 1e-9]
)
odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, "5", "2026-02-30T10:00:00Z", "2026-03-01T24:00:00Z", -1, 2**63, 7_289_654_400_000, []]
)


@st.composite
def long_rows(draw: st.DrawFn) -> list[Any]:
    form, unit, start = (
        draw(st.integers(0, 7)),
        draw(st.sampled_from("cfk")),
        draw(st.sampled_from([0, T0, 951_782_340_000])),
    )
    step = draw(st.sampled_from([1, 250, MINUTE_MS, 86_400_000]))
    values = draw(st.lists(plain, min_size=LONG, max_size=LONG))
    values[draw(st.integers(0, LONG - 1))] = draw(temperatures)
    found: list[Any] = [{"at": written(form, start + i * step), unit: value} for i, value in enumerate(values)]
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        row, key = found[draw(st.integers(0, LONG - 1))], draw(st.sampled_from(["at", unit, "c", "x", "fault"]))
        row[key] = draw(odd | st.just("probe_open"))
    return found


@settings(max_examples=300, deadline=None)
@given(long_rows(), st.sampled_from([as_json, cbor2.dumps]))
def test_rows_together_say_what_each_says(document_rows: list[Any], dump: Callable[[object], bytes]) -> None:
    assert rows_of(document_rows, dump) == together(lambda row: rows_of([row], dump), document_rows)


@pytest.mark.parametrize("form", range(1, 8))
def test_instants_written_alike_are_read_as_a_column(form: int) -> None:
    texts = [str(written(form, T0 + i * 7 * MINUTE_MS)) for i in range(1000)]
    found = instants_ms(texts)
    assert found is not None
    assert found.tolist() == [instant_ms(text) for text in texts]


@given(st.integers(1, LONG - 1), st.integers(0, 30), st.characters(), st.integers(1, 7))
@example(3, 11, "2", 1)
@example(3, 23, "\n", 1)
@example(3, 0, "\u0662", 1)
def test_one_instant_that_is_written_otherwise_is_never_misread(row: int, at: int, letter: str, form: int) -> None:
    texts = [str(written(form, T0 + i * MINUTE_MS)) for i in range(LONG)]
    at %= len(texts[row])
    texts[row] = texts[row][:at] + letter + texts[row][at + 1 :]
    found = instants_ms(texts)
    assert found is None or found.tolist() == [instant_ms(text) for text in texts]


def test_texts_that_are_of_the_right_length_only_together_are_no_instants() -> None:
    whole = "2026-03-01T10:00:00Z"
    assert instants_ms([whole, whole + "2", whole[1:]]) is None
    assert instants_ms([whole, whole + "\n" + whole]) is None


@pytest.mark.parametrize("year", ["1969", "2201"])
def test_instants_outside_the_years_are_left_to_be_refused(year: str) -> None:
    assert instants_ms([f"{year}-12-31T23:59:{second:02}Z" for second in range(LONG)]) is None
    assert (
        read(TOPIC, as_json({"logger": "lg-1", "readings": [{"at": f"{year}-12-31T23:59:00Z", "c": 5}] * LONG})) is None
    )


@pytest.mark.parametrize(
    "odd_one", [{"c": True}, {"c": "5"}, {"c": [5]}, {"fault": "x"}, {"k": 5}, {"at": None}, {"at": 5.0}]
)
def test_one_row_that_cannot_be_read_refuses_them_all(odd_one: dict[str, Any]) -> None:
    rows = [{"at": f"2026-03-01T10:{minute:02}:00Z", "c": 5.12} for minute in range(LONG)]
    assert rows_of(rows, as_json) is not None
    rows[7] |= odd_one
    assert rows_of(rows, as_json) is None


@pytest.mark.parametrize("key", ["mc", "dt"])
@pytest.mark.parametrize("value", [True, False, 5.0, "5", [5], 2**63, -(2**63) - 1])
@pytest.mark.parametrize("usual", [5120, 1, 0, -20_000])
def test_one_value_that_is_no_integer_is_refused_wherever_it_stands(key: str, value: object, usual: int) -> None:
    for position in range(LONG):
        document = {"logger": "lg-1", "t0": T0, "mc": [usual] * LONG, "dt": [i + abs(usual) for i in range(LONG)]}
        assert read(TOPIC, as_json(document)) is not None
        assert read(TOPIC, cbor2.dumps(document)) is not None
        document[key][position] = value  # type: ignore[index]
        assert read(TOPIC, as_json(document)) is None
        assert read(TOPIC, cbor2.dumps(document)) is None


def test_a_null_in_a_long_column_is_a_fault_and_what_no_probe_measures_too() -> None:
    document = {"logger": "lg-1", "t0": T0, "every": 1, "mc": [5120, None, 1_000_001, -273_151, *[-20_000] * LONG]}
    found = read(TOPIC, as_json(document))
    assert found is not None
    assert [one[2:] for one in found[:4]] == [
        (5120, None), (FAULT_MC, "null"), (FAULT_MC, "implausible"), (FAULT_MC, "implausible"),
    ]  # fmt: skip


LABELS = {"bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "n": 0, "u": 1, "v": 2, "vs": 3, "t": 6}


def senml_as(pack: list[Any], by_cbor: bool) -> bytes:
    return cbor2.dumps([{LABELS[key]: one[key] for key in one} for one in pack]) if by_cbor else as_json(pack)


@st.composite
def packs(draw: st.DrawFn) -> list[dict[str, Any]]:
    base: dict[str, Any] = {
        "bn": draw(st.sampled_from(["box", "box/", "-", ""])),
        "bu": draw(st.sampled_from(["Cel", "K", "V"])),
    }
    base["bt"] = draw(
        st.sampled_from([1.76e9, 1_760_000_000, 1.76e9 + 0.0005, 1760000000.123, 2**28 - 10, 7.28e9, 1e300])
    )
    step = draw(st.sampled_from([60, 0.5, -60.25, 0.0005, 1e9]))
    values = draw(st.lists(plain, min_size=LONG, max_size=LONG))
    values[draw(st.integers(0, LONG - 1))] = draw(temperatures)
    pack: list[dict[str, Any]] = [{"t": i * step, "v": value} for i, value in enumerate(values)]
    pack[0] |= base
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        one, label = pack[draw(st.integers(0, LONG - 1))], draw(st.sampled_from(["t", "v", "n", "u", "bv", "vs", "bt"]))
        one[label] = draw(st.sampled_from([5, "x", None, True, "Cel", 85, -1e300, 0.25]))
    return pack


@settings(max_examples=400, deadline=None)
@given(packs(), st.booleans())
def test_a_pack_says_what_its_records_say_each_resolved_by_itself(pack: list[dict[str, Any]], by_cbor: bool) -> None:
    payload = senml_as(pack, by_cbor)
    try:
        slowly = [
            (one.name, senml.TEMPERATURE_UNITS[one.unit or ""], one.value if one.value is not None else one.text,
             int((one.time_s * 1000).to_integral_value()))
            for one in senml.resolve(payload, NOW_MS) if one.unit in senml.TEMPERATURE_UNITS
        ]  # fmt: skip
    except RejectedPayload as refused:
        with pytest.raises(RejectedPayload, match=refused.reason):
            senml.document(payload, NOW_MS)
        return
    records: Any = senml.document(payload, NOW_MS)["records"]
    assert len(records) == len(slowly)
    for one, (name, unit, value, ms) in zip(records, slowly, strict=True):
        assert (one["n"], one["unit"], one["ms"]) == (name, unit, ms)
        assert one["value"] == value or float(one["value"]) == float(value or "nan")


PROFILES = {one.name: one for one in load(BUILT_IN)}
entries = st.fixed_dictionaries(
    {
        "n": st.sampled_from(["box"] * 9 + ["box/1", "box/2", "a/b/c", "/", None]),
        "unit": st.sampled_from(["C"] * 20 + ["K", "%", None]),
        "value": plain | st.sampled_from([85.0, 327.67, -127, "--.-", "sequence_gap", None, Decimal("5.1")]),
        "ms": st.integers(0, NOW_MS) | st.sampled_from([-1, 1.5, None, "5", 2**64]),
    }
)


def lists(entry: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Long lists: of one entry over and over, of which another may stand among them."""
    return st.tuples(entry, st.lists(entry, max_size=2), st.integers(0, LONG - 1)).map(
        lambda drawn: [drawn[0]] * drawn[2] + drawn[1] + [drawn[0] | {"ms": i} for i in range(LONG)]
    )


def same(found: series.Columns, other: series.Columns) -> bool:
    return [(key, at.tolist(), mc.tolist(), faults) for key, (at, mc, faults) in found.items()] == [
        (key, at.tolist(), mc.tolist(), faults) for key, (at, mc, faults) in other.items()
    ]


@settings(max_examples=400, deadline=None)
@given(st.lists(lists(entries), min_size=1, max_size=3), st.sampled_from(["senml", "sparkplug-b"]))
def test_a_series_is_read_as_its_readings_are_or_left_to_be_read_so(groups: list[list[Any]], name: str) -> None:
    document: dict[str, object] = {"id": "g:n", "metrics": {f"T{i}": group for i, group in enumerate(groups)}}
    document["records"] = [one for group in groups for one in group]
    found = series.read(PROFILES[name], "x", document)
    if found:
        assert same(found, mapping.one_by_one(PROFILES[name], "x", document, NOW_MS))


@pytest.mark.parametrize("name", ["senml", "sparkplug-b"])
def test_a_list_of_plain_temperatures_is_a_series(name: str) -> None:
    group = [{"n": f"box/{i % 2}", "unit": "C", "value": 5.1 + i / 10, "ms": T0 + i} for i in range(LONG)]
    odd_one = [{"n": "x/y", "unit": "%", "value": 40, "ms": T0}] if name == "sparkplug-b" else []
    metrics = {"A": group, "B": group[1:], "Humidity": odd_one * LONG}
    document: dict[str, object] = {"id": "g:n", "metrics": metrics, "records": group}
    found = series.read(PROFILES[name], "x", document)
    assert found is not None
    assert same(found, mapping.one_by_one(PROFILES[name], "x", document, NOW_MS))
    assert list(found) == ([("g:n", "A"), ("g:n", "B")] if name == "sparkplug-b" else [("box", "0"), ("box", "1")])


@pytest.mark.parametrize("what", [85.0, None, "--.-", True, 1e300, float("nan")])
def test_a_series_with_anything_but_temperatures_is_left(what: object) -> None:
    group = [{"n": "box", "unit": "C", "value": 5.1, "ms": T0 + i} for i in range(LONG)]
    group[7]["value"] = what
    assert series.read(PROFILES["senml"], "x", {"records": group}) is None


def test_two_names_of_one_channel_are_left_to_be_read_in_their_order() -> None:
    group = [{"n": ("box", "box/1")[i % 2], "unit": "C", "value": 5.1, "ms": T0 + i} for i in range(LONG)]
    assert series.read(PROFILES["senml"], "x", {"records": group}) is None


@pytest.mark.parametrize(
    "base", [{"bv": 270.5}, {"bt": 0}, {"bn": "-"}, {"bn": "box/"}, {"bver": 11}, {"x_": 1}, {"u": "K"}]
)
def test_the_first_record_of_a_long_pack_decides_for_all(base: dict[str, Any]) -> None:
    pack: list[dict[str, Any]] = [{"t": -60 * i, "v": 5.1} for i in range(LONG)]
    pack[0] |= {"bn": "box", "bu": "Cel", "bt": 1.76e9} | base
    odd_at_last = [*pack[:-1], pack[-1] | {"vs": "x"}]  # which makes that it is resolved one by one
    whole, slow = (read("senml/x", as_json(one)) for one in (pack, odd_at_last))
    assert whole == slow


@pytest.mark.parametrize(
    "base", [{-3: -60}, {"bt": -60}, {-5: 10}, {"bv": 10}, {-2: "x"}, {-4: "K"}, {"bu": "K", -4: "K"}]
)
@pytest.mark.parametrize("t_and_v", [("t", "v"), (6, 2)])
def test_a_pack_may_write_its_bases_as_integers_or_as_texts(base: dict[Any, Any], t_and_v: tuple[Any, Any]) -> None:
    t, v = t_and_v
    pack: list[dict[Any, Any]] = [{t: 1760000000 + i, v: 5.1} for i in range(LONG)]
    pack[0] |= {"bn": "box", "bu": "Cel"} | base
    odd_at_last = [*pack[:-1], pack[-1] | {"vs": "x"}]
    whole, slow = (read("senml/x", cbor2.dumps(one)) for one in (pack, odd_at_last))
    assert whole == slow


@pytest.mark.parametrize("beside_s", [0.00049999999, 0.0005, 0.00050000001, 0.0015, 0.00149999999])
def test_times_near_a_tie_are_rounded_as_their_text_is(beside_s: float) -> None:
    pack: list[dict[str, Any]] = [{"t": i + beside_s, "v": 5.1} for i in range(LONG)]
    pack[0] |= {"bn": "box", "bu": "Cel", "bt": 1760000000}
    found = senml.document(as_json(pack), NOW_MS)["records"]
    exact = [(Decimal(1760000000) + Decimal(str(one["t"]))) * 1000 for one in pack]
    assert [one["ms"] for one in found] == [round(ms) for ms in exact]  # type: ignore[attr-defined]


def test_short_messages_are_read_one_by_one() -> None:
    group = [{"n": "box", "unit": "C", "value": 5.1, "ms": T0 + i} for i in range(3)]
    assert series.read(PROFILES["senml"], "x", {"records": group}) is None
