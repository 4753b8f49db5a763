"""The shipped script for certificates: what it makes, who can read it, what it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from shipped_broker import SHIPPED, make_certificates


def shown(certificate: Path, what: str) -> str:
    command = ["openssl", "x509", "-in", str(certificate), "-noout", *what.split()]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_site_gets_an_authority_a_broker_and_clients_named_as_in_the_acl(tmp_path: Path) -> None:
    assert make_certificates(tmp_path, "broker", "broker.example.org", "192.0.2.7", "2001:db8::7").returncode == 0
    assert make_certificates(tmp_path, "client", "basel/gw-1").returncode == 0
    names = shown(tmp_path / "broker.pem", "-ext subjectAltName")
    assert "DNS:broker.example.org, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7" in names
    client = tmp_path / "clients" / "basel" / "gw-1.pem"
    assert shown(client, "-subject").strip() == "subject=CN = basel/gw-1"
    verify = [
        "openssl",
        "verify",
        "-crl_check",
        "-CAfile",
        str(tmp_path / "ca.pem"),
        "-CRLfile",
        str(tmp_path / "crl.pem"),
    ]
    for purpose, certificate in (("sslserver", tmp_path / "broker.pem"), ("sslclient", client)):
        found = subprocess.run([*verify, "-purpose", purpose, str(certificate)], check=False, capture_output=True)
        assert found.returncode == 0, found.stderr
    posing = subprocess.run([*verify, "-purpose", "sslserver", str(client)], check=False, capture_output=True)
    assert posing.returncode != 0, "a gateway must not pass for the broker"


def test_only_the_owner_reads_a_key(tmp_path: Path) -> None:
    make_certificates(tmp_path, "broker", "localhost")
    make_certificates(tmp_path, "client", "basel/gw-1")
    keys = list(tmp_path.rglob("*.key"))
    assert len(keys) == 3
    folders = [tmp_path / "authority", tmp_path / "clients", tmp_path / "clients" / "basel"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in keys + folders)


def test_a_folder_may_be_named_from_elsewhere_and_hold_a_space(tmp_path: Path) -> None:
    script = str(SHIPPED / "make_certificates.sh")
    (tmp_path / "a site").mkdir()
    for folder, where in (("a site", tmp_path), (".", tmp_path / "a site")):
        task = ["broker", "localhost"] if folder != "." else ["client", "basel/gw-1"]
        found = subprocess.run([script, folder, *task], cwd=where, check=False, capture_output=True, text=True)
        assert (found.returncode, found.stderr) == (0, "")


def test_a_second_call_keeps_the_authority_and_overwrites_nothing(tmp_path: Path) -> None:
    make_certificates(tmp_path, "broker", "localhost")
    make_certificates(tmp_path, "client", "basel/gw-1")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.pem")}
    again = make_certificates(tmp_path, "client", "basel/gw-1")
    assert (again.returncode, len(again.stderr.splitlines())) == (2, 1)
    assert make_certificates(tmp_path, "broker", "localhost").returncode == 2
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.pem")} == before
    (tmp_path / "broker.pem").unlink()
    assert make_certificates(tmp_path, "broker", "localhost").returncode == 0
    assert (tmp_path / "ca.pem").read_bytes() == before[tmp_path / "ca.pem"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("client", "service"),
        ("client", "alerts/operator"),
        ("client", "../gw-1"),
        ("client", "basel//gw-1"),
        ("client", "Basel/gw-1"),
        ("client", "+/gw-1"),
        ("client", "basel/gw-1", "basel/gw-2"),
        ("revoke", "basel/gw-9"),
        ("broker", "-addext"),
        ("broker", "local host"),
        ("sign", "basel/gw-1"),
        ("client",),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    make_certificates(tmp_path, "broker", "localhost")
    (tmp_path / "broker.pem").unlink()
    found = make_certificates(tmp_path, *arguments)
    assert (found.returncode, len(found.stderr.splitlines())) == (2, 1), found.stderr
    assert not (tmp_path / "clients").exists()


def test_no_client_before_the_authority(tmp_path: Path) -> None:
    assert "make the broker's certificate first" in make_certificates(tmp_path, "client", "basel/gw-1").stderr
