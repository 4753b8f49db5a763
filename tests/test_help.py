"""`coldchain --help` says what typer would say, without waiting for anything that only a command needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMPUTING = {"numba", "numpy", "pandas", "polars", "pydantic", "weasyprint"}
SERVING = {"apscheduler", "cbor2", "jinja2", "orjson", "paho", "prometheus_client", "sqlite3", "structlog", "xlrd"}
DRAWING_UNUSED = {"markdown_it", "pygments", "rich.markdown", "rich.syntax", "rich.traceback"}

OURS = "from coldchain.cli import main; main()"
TYPERS = "from coldchain.cli import app; app()"
NAMES_AFTER = """
import sys
from coldchain.cli import main
try:
    main()
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)


def imported(*arguments: str) -> set[str]:
    names = python(NAMES_AFTER, *arguments).stderr.split()
    assert "coldchain.cli" in names
    return {*names, *(name.partition(".")[0] for name in names)}


@pytest.mark.parametrize("words", [[], ["rules"], ["replay"], ["timeseries", "reconcile"]], ids=" ".join)
def test_help_is_what_typer_draws(words: list[str]) -> None:
    said = python(OURS, *words, "--help").stdout
    assert "Usage" in said
    assert said == python(TYPERS, *words, "--help").stdout


def test_help_imports_nothing_that_computes_or_serves_or_is_not_drawn() -> None:
    assert not imported("--help") & (COMPUTING | SERVING | DRAWING_UNUSED)
    own = {name for name in imported("--help") if name.startswith(("coldchain.", "gateways."))}
    assert own == {"coldchain.cli", "coldchain.commands", "coldchain.commands.quick_help", "coldchain.errors"}


def test_after_help_is_prepared_everybody_else_gets_the_real_rich() -> None:
    code = """
from coldchain.commands import quick_help
quick_help.prepare()
from rich.markdown import Markdown
from rich.traceback import Traceback
print(Markdown("*a*").markup, Traceback.from_exception(ValueError, ValueError("b"), None).trace.stacks[0].exc_value)
"""
    assert python(code).stdout.split() == ["*a*", "b"]


def test_a_drawing_that_wants_more_of_rich_is_imported_whole() -> None:
    code = """
from coldchain.commands import quick_help
quick_help.UNUSED = {"rich.markdown": "Other"}
quick_help.prepare()
import typer.rich_utils
print(typer.rich_utils.Markdown.__module__)
"""
    assert python(code).stdout.split() == ["rich.markdown"]
