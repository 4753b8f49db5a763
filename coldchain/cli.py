"""The command line: each command says what it does and calls the module that does it, imported only then.

Annotations are values here, not text, which typer would evaluate twice for every command before it prints any help.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from coldchain.commands import quick_help
from coldchain.errors import ColdchainError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Temperature-excursion monitoring for clinical-trial medicines.",
)
rules_app = typer.Typer(no_args_is_help=True, help="Stability profiles: the reviewed limits.")
registry_app = typer.Typer(no_args_is_help=True, help="Loggers, places, monitoring, kits and custody.")
export_app = typer.Typer(no_args_is_help=True, help="What other systems read.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit chain of the ledger.")
timeseries_app = typer.Typer(no_args_is_help=True, help="The time-series store, a projection of the ledger.")
app.add_typer(rules_app, name="rules")
app.add_typer(registry_app, name="registry")
app.add_typer(audit_app, name="audit")
app.add_typer(export_app, name="export")
app.add_typer(timeseries_app, name="timeseries")

SettingsFile = Annotated[Path, typer.Option("--settings", help="Settings file (TOML).")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout and nothing else.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="Evaluate at this instant, ISO 8601 with a zone.")]
ProfileVersion = Annotated[
    list[str] | None, typer.Option(help="NAME=N: judge by this version of a profile; give it again for more.")
]
Zone = Annotated[str | None, typer.Option(help="Time zone of the logger's clock, such as Europe/Zurich.")]


@app.command()
def run(settings: SettingsFile) -> None:
    """Run the service."""
    from coldchain.service import run as serve
    from coldchain.settings import load_settings

    raise typer.Exit(serve(load_settings(settings)))


@app.command()
def watch(settings: SettingsFile) -> None:
    """Tell operators by e-mail when the service or its broker is not there; to be run on another machine."""
    from coldchain.commands import watch as command

    command.run(settings)


@app.command()
def replay(
    inputs: Annotated[list[Path], typer.Argument(help="Message logs (.ndjson) and logger files.")],
    registry: Annotated[list[Path], typer.Option(help="Registry file; give it again for more.")],
    rules: Annotated[Path, typer.Option(help="Folder of stability profiles.")],
    logger: Annotated[str | None, typer.Option(help="The registry's id of the logger of the logger files.")] = None,
    zone: Zone = None,
    mappings: Annotated[Path | None, typer.Option(help="Folder of own mapping profiles for gateways.")] = None,
    profile_version: ProfileVersion = None,
    as_of: AsOf = None,
    stream: Annotated[bool, typer.Option("--stream", help="Feed line by line through the streaming step.")] = False,
    as_json: AsJson = False,
) -> None:
    """Recompute everything from message logs, logger files and archives, without a broker."""
    from coldchain.commands import replay as command

    command.run(
        inputs,
        registry,
        rules,
        logger=logger,
        zone=zone,
        mappings=mappings,
        chosen=profile_version or [],
        as_of=as_of,
        stream=stream,
        as_json=as_json,
    )


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A logger's file, as it came from the device.")],
    logger: Annotated[str | None, typer.Option(help="The registry's id of the logger.")] = None,
    settings: Annotated[Path | None, typer.Option("--settings", help="Settings file (TOML).")] = None,
    zone: Zone = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    mapping: Annotated[Path | None, typer.Option("--map", help="Saved mapping of this kind of file (TOML).")] = None,
    make_map: Annotated[
        Path | None, typer.Option("--make-map", help="Make a mapping by asking, and save it as this file.")
    ] = None,
    date_order: Annotated[
        str | None, typer.Option("--date-order", help="dmy, mdy or ymd, where the file's dates are ambiguous.")
    ] = None,
    repeats_in_order: Annotated[
        bool,
        typer.Option("--repeated-hour-in-order", help="Rows are in order of time where an hour occurs twice."),
    ] = False,
) -> None:
    """Put a logger file into the ledger, after a preview."""
    from coldchain.commands import import_file as command

    command.run(
        file,
        logger,
        zone,
        settings,
        yes=yes,
        map_file=mapping,
        make_map=make_map,
        date_order=date_order,
        repeats_in_order=repeats_in_order,
    )


@registry_app.command("load")
def registry_load(
    files: Annotated[list[Path], typer.Argument(help="TOML or CSV files.")], settings: SettingsFile
) -> None:
    """Make files part of the registry; each replaces the one of the same name."""
    from coldchain.commands import registry as command

    command.load(files, settings)


@registry_app.command("show")
def registry_show(settings: SettingsFile, as_json: AsJson = False) -> None:
    """Show what is registered."""
    from coldchain.commands import registry as command

    command.show(settings, as_json=as_json)


@rules_app.command("check")
def rules_check(
    folder: Annotated[Path, typer.Argument(help="Folder of stability profiles.")], as_json: AsJson = False
) -> None:
    """Validate every stability profile of a folder; exit code 1 for limits that can never bind."""
    from coldchain.commands import rules as command

    raise typer.Exit(command.check(folder, as_json=as_json))


@rules_app.command("diff")
def rules_diff(
    before: Annotated[Path, typer.Argument(help="A profile file or a folder.")],
    after: Annotated[Path, typer.Argument(help="A profile file or a folder.")],
    as_json: AsJson = False,
) -> None:
    """Say what changes between two versions of a profile, and whether it is stricter."""
    from coldchain.commands import rules as command

    command.diff(before, after, as_json=as_json)


@rules_app.command("impact")
def rules_impact(
    new: Annotated[Path, typer.Argument(help="The proposed profile file, or a folder of them.")],
    inputs: Annotated[list[Path] | None, typer.Argument(help="Message logs, instead of the ledger.")] = None,
    settings: Annotated[Path | None, typer.Option(help="Settings file (TOML): replay its ledger.")] = None,
    registry: Annotated[list[Path] | None, typer.Option(help="With message logs: registry file, repeatable.")] = None,
    rules: Annotated[
        Path | None, typer.Option(help="With message logs: folder of the present profiles [default: rules].")
    ] = None,
    profile_version: Annotated[
        list[str] | None, typer.Option(help="NAME=N: compare with this version, not the newest.")
    ] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """List which past kits would change verdict under new rules, and by which limits."""
    from coldchain.commands import rules_impact as command

    command.run(
        new,
        inputs or [],
        settings_file=settings,
        registry=registry or [],
        rules=rules,
        chosen=profile_version or [],
        as_of=as_of,
        as_json=as_json,
    )


@rules_app.command("select")
def rules_select(
    folder: Annotated[Path, typer.Argument(help="Folder of stability profiles.")],
    profile_version: Annotated[list[str], typer.Argument(help="NAME=N: the version of a profile, repeatable.")],
    out: Annotated[Path, typer.Option(help="New folder, to be given to replay as --rules.")],
) -> None:
    """Copy the profiles as they judged when those versions were in force, to reproduce an old verdict."""
    from coldchain.commands import rules as command

    command.select(folder, profile_version, out)


@rules_app.command("schema")
def rules_schema() -> None:
    """Print the JSON Schema of a profile file."""
    from coldchain.commands import rules as command

    command.schema()


@app.command()
def report(
    kits: Annotated[list[str], typer.Argument(help="Kit ids.")],
    out: Annotated[Path, typer.Option(help="File to write: .pdf, .html or .json.")],
    settings: SettingsFile,
    profile_version: ProfileVersion = None,
    as_of: AsOf = None,
) -> None:
    """Write the stability impact report of kits."""
    from coldchain.commands import report as command

    command.run(kits, out, settings, chosen=profile_version or [], as_of=as_of)


@export_app.command("epcis")
def export_epcis(
    out: Annotated[Path, typer.Option(help="File to write: .jsonld.")],
    settings: SettingsFile,
    kits: Annotated[list[str] | None, typer.Option(help="A kit id, repeatable [default: every kit].")] = None,
    begin: Annotated[str | None, typer.Option("--from", help="Only events after this instant.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Only events up to this instant.")] = None,
    as_of: AsOf = None,
) -> None:
    """Write custody, excursions and holds of kits as EPCIS 2.0; nothing in it tells the treatment."""
    from coldchain.commands import export as command

    command.epcis_document(out, settings, kits=kits or [], begin=begin, end=end, as_of=as_of)


@export_app.command("readings")
def export_readings(
    out: Annotated[Path, typer.Option(help="File to write: .parquet.")],
    settings: SettingsFile,
) -> None:
    """Write every reading as a sorted Parquet archive, which `coldchain replay` reads."""
    from coldchain.commands import export as command

    command.readings(out, settings)


@app.command()
def status(settings: SettingsFile, as_json: AsJson = False) -> None:
    """Show what the ledger holds and what has not been delivered."""
    from coldchain.commands import operate

    operate.status(settings, as_json=as_json)


@app.command()
def events(settings: SettingsFile, as_json: AsJson = False) -> None:
    """List quarantine events."""
    from coldchain.commands import operate

    operate.events(settings, as_json=as_json)


@audit_app.command("verify")
def audit_verify(settings: SettingsFile, as_json: AsJson = False) -> None:
    """Check that the ledger is as it was written; exit code 1 if it is not."""
    from coldchain.commands import operate

    if not operate.audit_verify(settings, as_json=as_json):
        raise typer.Exit(1)


@timeseries_app.command("status")
def timeseries_status(settings: SettingsFile, as_json: AsJson = False) -> None:
    """Show which store it is and how far the ledger is in it."""
    from coldchain.commands import timeseries as command

    command.status(settings, as_json=as_json)


@timeseries_app.command("reconcile")
def timeseries_reconcile(
    settings: SettingsFile,
    check: Annotated[bool, typer.Option("--check", help="Compare only, mend nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the store with the ledger and mend it; exit code 1 if it differs (--check) or still does."""
    from coldchain.commands import timeseries as command

    if not command.reconcile(settings, check=check, as_json=as_json):
        raise typer.Exit(1)


@timeseries_app.command("rebuild")
def timeseries_rebuild(settings: SettingsFile) -> None:
    """Drop the store and project the whole ledger again."""
    from coldchain.commands import timeseries as command

    command.rebuild(settings)


@timeseries_app.command("prune")
def timeseries_prune(settings: SettingsFile) -> None:
    """Drop readings past their retention, but no evidence and no hourly values."""
    from coldchain.commands import timeseries as command

    command.prune(settings)


@app.command()
def backup(to: Annotated[Path, typer.Argument(help="File to create.")], settings: SettingsFile) -> None:
    """Copy the ledger, while it is in use, and verify the copy."""
    from coldchain.commands import operate

    operate.backup(settings, to)


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(help="A backup.")],
    settings: SettingsFile,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")],
) -> None:
    """Put a verified backup in the place of the ledger; the service must be stopped."""
    from coldchain.commands import operate

    operate.restore(settings, source, reason)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo writes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Decides noise and treatment arms.")] = 1,
    kill: Annotated[
        bool, typer.Option("--kill", help="Kill the service in mid-day to see that nothing is lost.")
    ] = False,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="The embedded broker even if there is Mosquitto.")
    ] = False,
) -> None:
    """Run a scripted clinical-supply day over real MQTT, and write one report."""
    from coldchain.commands import demo as command

    command.run(out, seed=seed, kill=kill, embedded=embedded)


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder for registry, message log and truth; made anew.")],
    kits: Annotated[int, typer.Option(help="How many kits, up to 1000000.")] = 100,
    days: Annotated[int, typer.Option(help="How many days.")] = 7,
    seed: Annotated[int, typer.Option(help="Decides everything: the same seed gives the same bytes.")] = 1,
    incidents: Annotated[float, typer.Option(help="How often things go wrong: 1 as usual, 0 never.")] = 1.0,
    start: Annotated[str, typer.Option(help="First midnight, ISO 8601 with a zone.")] = "2026-03-02T00:00:00Z",
    rules: Annotated[
        Path | None, typer.Option(help="Folder with mab-017, comparator-02 and smv-204 [default: the examples].")
    ] = None,
) -> None:
    """Write the data of an invented trial of any size, to be replayed; and what really happened in it."""
    from coldchain.commands import simulate as command

    command.run(out, kits=kits, days=days, seed=seed, incidents=incidents, start=start, rules=rules)


def main() -> None:
    """Run a command; whatever a user can mend is one line on stderr and the exit code of its kind."""
    if not sys.argv[1:] or "--help" in sys.argv:
        quick_help.prepare()
    try:
        app()
    except ColdchainError as exc:
        sys.stderr.write(f"coldchain: {exc}\n")
        raise SystemExit(exc.exit_code) from exc


if __name__ == "__main__":
    main()
