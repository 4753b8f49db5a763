"""The checkpoint: what a live state remembers, in one file beside the ledger, so that a restart need not read it all.

It holds nothing that the ledger does not: without it, or with one that does not fit, everything is counted again from
the readings. The ledger knows the SHA-256 of the last one, so an altered or foreign file is not believed.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from coldchain import arrhenius, kernels
from coldchain.history import Series
from coldchain.model import Conflict
from coldchain.readings import ChannelKey, Lost
from coldchain.state import Remembered
from coldchain.tally import Tally

FORMAT = 3


def path_of(ledger: Path) -> Path:
    """Where the checkpoint of a ledger is."""
    return ledger.with_name(ledger.name + ".checkpoint")


def write(path: Path, remembered: Remembered, key: str) -> str:
    """Replace the checkpoint at once or not at all; returns its SHA-256.

    `key` stands for everything else that answers depend on: the registry, the rules, the release.
    """
    whole = path.with_name(path.name + ".new")
    with whole.open("w+b") as file:
        np.savez(file, allow_pickle=False, **_columns(remembered, key))
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    whole.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return sha256


def read(path: Path, sha256: str, key: str) -> Remembered | None:
    """What the checkpoint remembers; None if there is none, or it is another one, or was written for another `key`."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(content).hexdigest() != sha256:
        return None
    return _remembered(io.BytesIO(content), key)


def _columns(remembered: Remembered, key: str) -> dict[str, NDArray[Any]]:
    tallies = remembered.tallies.values()
    head = {
        "format": FORMAT,
        "key": key,
        "arrivals": remembered.arrivals,
        "silent_until": remembered.silent_until,
        "places": [[place, *instants] for place, instants in remembered.put_away.items()],
        "lost": [[*key, [list(gap) for gap in gaps]] for key, gaps in remembered.lost.items()],
        "series": _names(remembered.series),
        "unverified": _names(remembered.unverified),
        "groups": [
            [group, *_shape(tally), [[c.logger, c.channel, c.at_ms] for c in tally.conflicts]]
            for group, tally in remembered.tallies.items()
        ],
    }
    return {
        "head": np.frombuffer(orjson.dumps(head), np.uint8),
        "numbers": _joined([number for tally in tallies for number in _numbers(tally)], np.int64),
        "peak_weights": _joined([tally.peak_weights for tally in tallies], np.float64),
        **_readings("series", remembered.series),
        **_readings("unverified", remembered.unverified),
    }


def _names(series: Mapping[ChannelKey, Series]) -> list[list[Any]]:
    return [[*key, found.since_ms, len(found)] for key, found in series.items()]


def _readings(name: str, series: Mapping[ChannelKey, Series]) -> dict[str, NDArray[Any]]:
    return {
        f"{name}_at_ms": _joined([found.at_ms for found in series.values()], np.int64),
        f"{name}_mc": _joined([found.temperature_mc for found in series.values()], np.int32),
    }


def _joined(parts: list[NDArray[Any]], kind: type) -> NDArray[Any]:
    return np.concatenate([np.empty(0, kind), *(part.reshape(-1) for part in parts)])


def _shape(tally: Tally) -> tuple[int, ...]:
    parts = tally.limits, tally.shares, tally.sums, tally.windows, tally.above, tally.below
    return tuple(len(part) for part in parts)


def _numbers(tally: Tally) -> Iterator[NDArray[np.int64]]:
    yield np.array([tally.start_ms, tally.as_of_ms], np.int64)
    yield from (tally.totals, tally.limits, tally.shares, tally.sums, tally.windows, tally.above, tally.below)


def _remembered(file: BinaryIO, key: str) -> Remembered | None:
    with np.load(file, allow_pickle=False) as columns:
        head = orjson.loads(columns["head"].tobytes())
        if head["format"] != FORMAT or head["key"] != key:
            return None
        return Remembered(
            series=_series(head["series"], columns["series_at_ms"], columns["series_mc"]),
            unverified=_series(head["unverified"], columns["unverified_at_ms"], columns["unverified_mc"]),
            lost={ChannelKey(*key): tuple(Lost(*gap) for gap in gaps) for *key, gaps in head["lost"]},
            put_away={place: (since_ms, known_ms) for place, since_ms, known_ms in head["places"]},
            tallies=_tallies(head["groups"], columns["numbers"], columns["peak_weights"]),
            silent_until=head["silent_until"],
            arrivals=head["arrivals"],
        )


def _series(
    names: list[list[Any]], at_ms: NDArray[np.int64], temperature_mc: NDArray[np.int32]
) -> dict[ChannelKey, Series]:
    found, first = {}, 0
    for logger, channel, since_ms, count in names:
        own = slice(first, first + count)
        found[ChannelKey(logger, channel)] = Series(at_ms[own].copy(), temperature_mc[own].copy(), since_ms)
        first += count
    return found


def _tallies(
    groups: list[list[Any]], numbers: NDArray[np.int64], peak_weights: NDArray[np.float64]
) -> dict[str, Tally]:
    found = {}
    first, peak = 0, 0
    for group, limits, shares, rates, windows, above, below, conflicts in groups:
        shapes = (
            (2,),
            (len(kernels.no_totals()),),
            (limits, kernels.FIELDS),
            (shares, kernels.FIELDS),
            (rates, arrhenius.LIMBS),
            (windows, arrhenius.WINDOW_FIELDS),
            (above, kernels.RUN_FIELDS),
            (below, kernels.RUN_FIELDS),
        )
        parts = []
        for shape in shapes:
            count = int(np.prod(shape))
            parts.append(numbers[first : first + count].reshape(shape).copy())
            first += count
        (start_ms, as_of_ms), *counted = parts
        totals, of_limits, of_shares, sums, of_windows, runs_above, runs_below = counted
        found[group] = Tally(
            int(start_ms),
            int(as_of_ms),
            totals,
            of_limits,
            of_shares,
            sums,
            of_windows,
            peak_weights[peak : peak + windows].copy(),
            runs_above,
            runs_below,
            tuple(Conflict(*conflict) for conflict in conflicts),
        )
        peak += windows
    return found
