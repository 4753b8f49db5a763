"""A gateway's own installation: the wheel, its pinned packages, a fresh environment, a real broker."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway_agent import ROOT, Receiver, written_settings
from processes import PLAIN, Mosquitto, eventually

LOCK = ROOT / "deploy" / "gateway" / "requirements.lock"
SIMULATED = '[[source]]\nkind = "simulated"\nloggers = ["lg-1"]\nevery_s = 0.2\n'
SERVER_ONLY = ("numba", "llvmlite", "pandas", "pydantic", "structlog", "typer", "rich", "weasyprint", "apscheduler")


class Installation(NamedTuple):
    bin: Path
    wheel: Path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """What docs/gateway-agent.md tells a person to do, in a folder of its own."""
    folder = tmp_path_factory.mktemp("gateway")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("coldchain", "gateways"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    _done(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source)
    [wheel] = folder.glob("coldchain-*.whl")
    _done(sys.executable, "-m", "venv", folder / "venv")
    pip = folder / "venv" / "bin" / "pip"
    _done(pip, "-q", "--disable-pip-version-check", "install", "--require-hashes", "--only-binary", ":all:", "-r", LOCK)
    _done(pip, "-q", "--disable-pip-version-check", "install", "--no-deps", wheel)
    _done(pip, "check")
    return Installation(folder / "venv" / "bin", wheel)


def _done(*command: str | Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def test_the_agent_runs_without_the_server_s_packages(installed: Installation, tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path, PLAIN)
    service = Receiver(broker.port)
    service.start()
    settings = written_settings(tmp_path, broker.port, SIMULATED)
    agent = subprocess.Popen([installed.bin / "coldchain-gateway", "run", "--settings", settings], cwd="/")
    try:
        eventually(lambda: len(service.heard) >= 5)
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(10) == 0
    finally:
        agent.kill()
        agent.wait()
        service.stop()
        broker.stop()
    said = _done(installed.bin / "coldchain-gateway", "status", "--settings", settings).stdout
    assert said.startswith("stopped at ")
    assert "lg-1 channel 1: " in said


def test_every_module_of_the_gateways_can_be_imported_and_none_of_the_server_s_packages_is_there(
    installed: Installation,
) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = [name for name in wheel.namelist() if name.startswith("gateways/") and name.endswith(".py")]
    modules = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in names]
    assert len(modules) > 50
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    _done(installed.bin / "python", "-c", code, *modules)
    for name in SERVER_ONLY:
        assert "ModuleNotFoundError" in _done(installed.bin / "python", "-c", f"import {name}", expect=1).stderr


def test_the_service_s_command_says_in_one_line_what_to_install(installed: Installation) -> None:
    said = _done(installed.bin / "coldchain", "--help", expect=3)
    assert said.stdout == ""
    assert said.stderr == (
        "coldchain: typer is not installed: this is a gateway's installation; "
        "for the service run: pip install 'coldchain[server]'\n"
    )


def test_the_packages_of_a_gateway_are_those_of_the_service_in_the_same_versions() -> None:
    def pins(lock: Path) -> set[str]:
        return {line.split(" ")[0] for line in lock.read_text(encoding="utf-8").splitlines() if "==" in line}

    assert pins(LOCK) <= pins(ROOT / "requirements.lock")
