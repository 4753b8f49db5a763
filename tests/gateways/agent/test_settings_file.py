"""Settings: everything in its place is read, and every mistake is one line with file, line, key and value."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from coldchain.errors import BadInput
from gateways.agent import settings_file
from gateways.agent.settings import MIB, FolderSource, HttpSource, SimulatedSource

FILE = Path("/etc/coldchain-gateway/gateway.toml")
GOOD = """\
site = "basel"
gateway = "gw-1"

[mqtt]
host = "broker.example.org"
password_file = "secrets/password"
ca_file = "secrets/ca.pem"

[spool]
path = "/var/lib/coldchain-gateway/spool.db"
max_mib = 64

[[source]]
kind = "simulated"
loggers = ["lg-1"]

[[source]]
kind = "folder"
folder = "drop"
serials = { "20012345" = "lg-2" }
zone = "Europe/Zurich"

[[source]]
kind = "http"
url = "https://[::1]:8443/now?x=1"
logger = "lg-3"
[[source.reading]]
temperature = "celsius"
unit = "C"

[[logger]]
id = "lg-1"
calibration_due = 2027-01-31
"""


def test_a_good_file_is_read_and_file_names_are_relative_to_it() -> None:
    settings = settings_file.parse(GOOD, FILE)
    assert settings.topic == "coldchain/v1/basel/gw-1"
    assert settings.mqtt.password_file == FILE.parent / "secrets/password"
    assert settings.mqtt.port == 8883
    assert settings.store.path == Path("/var/lib/coldchain-gateway/spool.db")
    assert settings.store.max_bytes == 64 * MIB
    simulated, folder, http = settings.sources
    assert isinstance(simulated, SimulatedSource)
    assert isinstance(folder, FolderSource)
    assert isinstance(http, HttpSource)
    assert (folder.folder, folder.serials) == (FILE.parent / "drop", (("20012345", "lg-2"),))
    assert (http.host, http.port, http.target, http.is_https) == ("::1", 8443, "/now?x=1", True)
    assert http.is_stamped
    assert settings.loggers[0].calibration_due == date(2027, 1, 31)


def test_the_example_that_is_delivered_is_good() -> None:
    example = Path(__file__).parents[3] / "deploy" / "gateway" / "gateway.example.toml"
    assert len(settings_file.load(example).sources) == 3


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('site = "basel"', 'site = "Basel"', "1: site = 'Basel': must be lower-case letters, digits and hyphens"),
        ('site = "basel"', 'site = "alerts"', "1: site = 'alerts': this name is taken by the service's own topics"),
        ('gateway = "gw-1"', "", "gateway: is missing"),
        ('ca_file = "secrets/ca.pem"', 'cert_file = "c"', "7: mqtt.cert_file: cert_file and key_file belong together"),
        ("max_mib = 64", "max_mib = 8", "11: spool.max_mib = 8: must be at least 16"),
        ("max_mib = 64", "max_mb = 64", "11: spool.max_mb = 64: unknown key; known: path, max_mib, keep_free_mib"),
        ('kind = "simulated"', 'kind = "usb"', "14: source[1].kind = 'usb': must be one of folder, http, simulated"),
        ('zone = "Europe/Zurich"', 'zone = "Zurich"', "21: source[2].zone = 'Zurich': no such time zone"),
        ('folder = "drop"', "", "17: source[2].folder: is missing"),
        ("https://[::1]:8443", "ftp://host", "25: source[3].url = 'ftp://host/now?x=1': must be a plain address"),
        ("https://[::1]:8443", "http://me:pw@host", "25: source[3].url = 'http://me:pw@host/now?x=1': must be a plain"),
        ('unit = "C"', 'unit = "X"', "29: source[3].reading[1].unit = 'X': must be C, F or K"),
        ('unit = "C"', 'unit = "C"\n[[source.time]]\nclock = "device"', "30: source[3].time[1].format: is missing"),
        (
            "calibration_due = 2027-01-31",
            "interval_s = 0",
            "33: logger[1].interval_s = 0: must be a whole number from 1",
        ),
        ('id = "lg-1"', 'id = "lg-1"\n[[logger]]\nid = "lg-1"', "31: logger: two are named 'lg-1'"),
        ('host = "broker', 'host = "broker\n', "not valid TOML"),
    ],
)
def test_a_mistake_is_one_line_with_file_line_key_and_value(before: str, after: str, message: str) -> None:
    assert before in GOOD
    with pytest.raises(BadInput) as caught:
        settings_file.parse(GOOD.replace(before, after), FILE)
    shown = str(caught.value)
    assert shown.startswith(f"{FILE}:")
    assert message in shown
    assert "\n" not in shown or "TOML" in shown


def test_without_a_source_there_is_nothing_to_do() -> None:
    with pytest.raises(BadInput, match="source: is missing"):
        settings_file.parse(GOOD[: GOOD.index("[[source]]")], FILE)
