"""The command line. Each command says what it does and calls the module that does it; imports wait until then."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from coldchain.errors import ColdchainError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__.split(".")[0])
rules_app = typer.Typer(no_args_is_help=True, help="Stability profiles: validate the reviewed limits.")
registry_app = typer.Typer(no_args_is_help=True, help="Loggers, places, monitoring, kits and custody.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit chain of the ledger.")
app.add_typer(rules_app, name="rules")
app.add_typer(registry_app, name="registry")
app.add_typer(audit_app, name="audit")

Settings = Annotated[Path, typer.Option("--settings", help="Settings file (TOML).")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]


@app.command()
def replay(
    inputs: Annotated[list[Path], typer.Argument(help="Message logs (.ndjson) and logger files.")],
    registry: Annotated[list[Path], typer.Option(help="Registry file; give it again for more.")],
    rules: Annotated[Path, typer.Option(help="Folder of stability profiles.")],
    logger: Annotated[str | None, typer.Option(help="The registry's id of the logger of the logger files.")] = None,
    zone: Annotated[str | None, typer.Option(help="Time zone of the logger files, such as Europe/Zurich.")] = None,
    as_of: Annotated[str | None, typer.Option(help="Evaluate at this instant, ISO 8601 with a zone.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Feed line by line through the streaming step.")] = False,
    as_json: AsJson = False,
) -> None:
    """Recompute everything from message logs and logger files, without a broker."""
    from coldchain.replay_command import run

    run(inputs, registry, rules, logger=logger, zone=zone, as_of=as_of, stream=stream, as_json=as_json)


def main() -> None:
    """Run a command; whatever a user can mend is one line on stderr and the exit code of its kind."""
    try:
        app()
    except ColdchainError as exc:
        sys.stderr.write(f"coldchain: {exc}\n")
        raise SystemExit(exc.exit_code) from exc


if __name__ == "__main__":
    main()
