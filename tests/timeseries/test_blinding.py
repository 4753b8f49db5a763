"""What a blinded dashboard can ask for is the same, byte for byte, whichever arm a kit is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldchain.timeseries.influx_server import Server
from coldchain.timeseries.opening import opened
from rule_histories import RULES
from timeseries_servers import InfluxDB
from timeseries_values import REGISTRY, fill, month, project, settings_for

SECRETS = ("mab-017", "comparator-02", "above-", "B-mab", "B-comparator", "unknown-", "limit", "profile", "batch")


def arms(first: str, second: str, blind_group: str = 'blind_group = "TRIAL-7"') -> str:
    """The registry with K-0001 in one arm and the other kits in the other."""
    text = REGISTRY
    for kit, batch, profile in (("K-0001", "B22", first), ("K-0002", "B22", second), ("K-0003", "B23", second)):
        old = f'id = "{kit}"\nbatch = "{batch}"\ntrial = "TRIAL-7"\nprofile = "mab-017"'
        assert old in text
        text = text.replace(
            old, f'id = "{kit}"\nbatch = "B-{profile}"\ntrial = "TRIAL-7"\nprofile = "{profile}"\n{blind_group}'
        )
    return text


def written(folder: Path, registry: str, influxdb: InfluxDB, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Every line that goes to the server, by bucket."""
    found: dict[str, list[str]] = {"b": [], "b-unblinded": []}
    original = Server._post

    def note(self: Server, bucket: str, lines: list[str]) -> None:
        found[bucket] += [line for line in lines if not line.startswith("projection")]
        original(self, bucket, lines)

    settings = settings_for(folder, f'[timeseries]\nurl = "{influxdb.url}"\nbucket = "b"\n[rules]\ndir = "{RULES}"\n')
    fill(settings, month(seed=16, days=10), registry)
    with monkeypatch.context() as patched, opened(settings) as opening:
        patched.setattr(Server, "_post", note)
        opening.store.clear()
        project(opening)
    return found


def test_swapping_the_arms_leaves_every_blinded_point_byte_identical(
    tmp_path: Path, influxdb: InfluxDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = written(tmp_path / "ours", arms("mab-017", "comparator-02"), influxdb, monkeypatch)
    swapped = written(tmp_path / "swapped", arms("comparator-02", "mab-017"), influxdb, monkeypatch)
    assert ours["b"] == swapped["b"]
    kinds = {line.partition(",")[0] for line in ours["b"]}
    assert kinds == {"reading", "reading_unverified", "logger_hour", "place_hour", "hold", "kit", "place_basis"}
    for line in ours["b"]:
        for secret in SECRETS:
            assert secret not in line.replace("reason=limit", "")
    assert any("mab-017" in line for line in ours["b-unblinded"])


def test_without_a_blind_group_a_blinded_dashboard_would_tell_the_arms_apart(
    tmp_path: Path, influxdb: InfluxDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the control: the blind group protects, not a test that cannot see
    ours = written(tmp_path / "ours", arms("mab-017", "comparator-02", ""), influxdb, monkeypatch)
    swapped = written(tmp_path / "swapped", arms("comparator-02", "mab-017", ""), influxdb, monkeypatch)
    assert ours["b"] != swapped["b"]
