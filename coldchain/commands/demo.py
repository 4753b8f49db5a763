"""`coldchain demo`: a clinical-supply day in twenty seconds, over a real broker, with real processes.

Everything runs as it would in earnest: a private broker, the service, a mail server, and one process per gateway. The
demo only starts them, shows the quarantine events as the service publishes them, and checks at the end that nothing
published was lost: the ledger must hold what the gateways recorded, and judging that anew must give the same answer.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from coldchain import pipeline
from coldchain.commands import folders
from coldchain.commands import registry as registry_command
from coldchain.commands import report as report_command
from coldchain.commands.demo_broker import free_port, start_broker
from coldchain.commands.recall import recall
from coldchain.commands.terminal import now_ms, verdict_text
from coldchain.errors import EnvironmentFailed
from coldchain.instant import iso
from coldchain.ledger import queries
from coldchain.model import QuarantineEvent
from coldchain.pipeline import State
from coldchain.profiles import load_profiles
from coldchain.settings import Settings, load_settings
from gateways.decoders import decode
from gateways.simulator.demo_day import DEMO_START_MS, DemoDay, scenario
from gateways.simulator.scenario import registry_toml

MARKER = ".coldchain-demo"
PATIENCE_S = 60.0
KILL_AFTER_S = 12.0
PROCESSES_START_WITHIN_S = 3.0

SETTINGS = """\
[mqtt]
host = "127.0.0.1"
port = {broker.port}
protocol = "{broker.protocol}"
[ledger]
path = "coldchain.db"
alarm_percent = 100     # a show goes on, however full the disk is
stop_percent = 100
[rules]
dir = "{rules}"
[service]
silence_every_s = 1     # more than an hour of the scripted day
[alerts]
email = {{ "supply-manager" = ["supply@example.org"] }}
[smtp]
host = "127.0.0.1"
port = {smtp_port}
sender = "coldchain@example.org"
starttls = false
"""

console = Console()


def run(out: Path, *, seed: int, kill: bool, embedded: bool) -> None:
    """Run the day in `out`, which is made anew; EnvironmentFailed if a part does not do its work."""
    day = scenario(seed, DEMO_START_MS)
    folders.fresh(out, MARKER, "demo")
    with ExitStack() as stack:
        broker = start_broker(stack, out, embedded=embedded)
        smtp_port = free_port()
        stack.enter_context(_process("mail", out, _mail_server(out, smtp_port)))
        settings_file = out / "settings.toml"
        settings_file.write_text(SETTINGS.format(broker=broker, smtp_port=smtp_port, rules=folders.RULES.as_posix()))
        registry_file = out / "registry.toml"
        registry_file.write_text(registry_toml(day))
        registry_command.load([registry_file], settings_file)
        console.rule(f"{iso(day.start_ms)[:10]}, a day in twenty seconds, on {broker.name}")
        stack.enter_context(_events_shown(broker.port))
        service = Service(out, settings_file)
        stack.callback(service.stop)
        # A broker keeps messages for subscribers it knows: before its first connection the service is not one.
        _wait(service.is_ready, [], service)
        began_s = time.time() + PROCESSES_START_WITHIN_S
        (out / "began").write_text(str(began_s))
        gateways = [
            stack.enter_context(_process(name, out, _gateway(name, broker.port, seed, began_s)))
            for name in day.gateways
        ]
        if kill:
            _wait(lambda: False, gateways, service, at_most_s=KILL_AFTER_S)
            console.print("[bold]killing the service (SIGKILL); it starts again from its ledger")
            service.process.kill()
        _wait(lambda: all(process.poll() is not None for process in gateways), gateways, service)
        settings = load_settings(settings_file)
        published = sum(len(day.messages(gateway)) for gateway in day.gateways)
        _wait(lambda: _is_settled(settings, published), gateways, service)
        service.stop()
    _show_outcome(day, settings, settings_file, out)


class Service:
    """The service as a process of its own; started again if it ends before its time."""

    def __init__(self, out: Path, settings_file: Path) -> None:
        self._log = out / "service.log"
        self._command = [
            sys.executable,
            "-m",
            "coldchain.commands.demo_service",
            str(settings_file),
            str(out / "began"),
        ]
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, stdout=log, stderr=log)

    def is_ready(self) -> bool:
        """Whether it has subscribed to the readings."""
        return b"service started" in self._log.read_bytes()

    def restart_if_killed(self) -> None:
        """Start it again after a signal; an exit of its own accord is a failure that it has explained in its log."""
        code = self.process.poll()
        if code is None:
            return
        if code >= 0:
            raise EnvironmentFailed("service", f"ended with exit code {code}; see {self._log}")
        console.print(f"[bold]service ended by signal {-code}, starting it again")
        self.process = self._start()

    def stop(self) -> None:
        """Ask it to drain and end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE_S)


@contextmanager
def _process(name: str, out: Path, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with (out / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _gateway(name: str, port: int, seed: int, began_s: float) -> list[str]:
    options = {"--gateway": name, "--port": port, "--seed": seed, "--begin": began_s}
    return [sys.executable, "-m", "gateways.publish", *(str(part) for option in options.items() for part in option)]


def _mail_server(out: Path, port: int) -> list[str]:
    where = ["-l", f"127.0.0.1:{port}", "-c", "aiosmtpd.handlers.Mailbox", str(out / "mail")]
    return [sys.executable, "-m", "aiosmtpd", "-n", *where]


@contextmanager
def _events_shown(port: int) -> Iterator[None]:
    """Print quarantine events as the service publishes them: one line for each cause, not for each of its kits."""
    shown: set[tuple[str, int, bool]] = set()

    def show(_client: Client, _data: Any, message: MQTTMessage) -> None:
        event = orjson.loads(message.payload)
        cause = event["place"], event["breached_at_ms"], event["supported"]
        is_news = event["revision"] == 1 or not event["supported"]
        if not is_news or cause in shown:
            return
        shown.add(cause)
        since, noticed = (iso(event[key])[11:16] for key in ("breached_at_ms", "detected_at_ms"))
        hold = (
            f"[red]on hold[/]    noticed {noticed}   "
            if event["supported"]
            else "[yellow]late data[/]  hold unsupported"
        )
        console.print(f"{hold}  {event['place']} since {since}: {event['kit']} and others")

    def subscribe(
        client: Client, _data: Any, _flags: ConnectFlags, _code: ReasonCode, _more: Properties | None
    ) -> None:
        client.subscribe("coldchain/v1/events/quarantine", qos=1)

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message, client.on_connect = show, subscribe
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield
    finally:
        client.loop_stop()


def _wait(
    done: Callable[[], bool],
    gateways: list[subprocess.Popen[bytes]],
    service: Service,
    at_most_s: float | None = None,
) -> None:
    """Wait until `done`, keeping the service alive; a gateway that fails ends the demo."""
    give_up_s = time.monotonic() + (at_most_s or PATIENCE_S)
    while not done():
        service.restart_if_killed()
        if any(gateway.poll() not in (None, 0) for gateway in gateways):
            raise EnvironmentFailed("gateway", "could not publish; see the gw-*.log files of the demo")
        if time.monotonic() > give_up_s:
            if at_most_s is None:
                raise EnvironmentFailed("demo", f"did not settle within {PATIENCE_S:.0f} s; see the logs")
            return
        time.sleep(0.1)


def _is_settled(settings: Settings, published: int) -> bool:
    with queries.reading(settings.ledger.path) as connection:
        found = queries.status(connection)
    return found.messages >= published and not found.undelivered


def _show_outcome(day: DemoDay, settings: Settings, settings_file: Path, out: Path) -> None:
    with queries.reading(settings.ledger.path) as connection:
        state = recall(connection, settings, day.end_ms, day.end_ms)
        events = queries.events(connection)
    _check_nothing_lost(day, state, events, settings)
    worst = max(events, key=lambda event: (event.reason == "limit", -event.breached_at_ms))
    kits = next(group.kits for group in state.registry.groups.values() if worst.kit in group.kits)
    report = out / "report.pdf"
    for path in (report, report.with_suffix(".html")):
        report_command.run(kits, path, settings_file, as_of=iso(day.end_ms))
    console.print(_verdicts(state, events))
    mail = len(list((out / "mail" / "new").glob("*")))
    console.print(f"{len(events)} quarantine events, {mail} e-mails in {out / 'mail'}")
    console.print(f"report of {len(kits)} kits   {report} and {report.with_suffix('.html').name}")
    console.print(f"everything else    {out}: settings, registry, ledger, logs")
    console.print(f"look around        .venv/bin/coldchain events --settings {settings_file}")


def _check_nothing_lost(day: DemoDay, state: State, events: tuple[QuarantineEvent, ...], settings: Settings) -> None:
    """Judge what the gateways recorded, without broker and ledger; the ledger must say the same."""
    batches = [
        batch
        for gateway in day.gateways
        for _, topic, payload in day.messages(gateway)
        for batch in decode(topic, payload, now_ms())
    ]
    expected = pipeline.replay(batches, state.registry, load_profiles(settings.rules.dir), day.end_ms)
    if expected.assessments != state.assessments:
        raise EnvironmentFailed("demo", "the ledger does not say what the gateways recorded: readings were lost")
    supported = {(event.kit, event.limit) for event in events if event.supported}
    due = {
        (kit, limit)
        for group in state.registry.groups.values()
        for limit, _, _ in expected.assessments[group.id].breaches
        for kit in group.kits
    }
    if due != supported:
        raise EnvironmentFailed("demo", f"{len(due ^ supported)} quarantine events are missing or too many")
    console.print(f"[green]nothing lost:[/] {len(batches)} uploads judged again without broker and ledger, same answer")


def _verdicts(state: State, events: tuple[QuarantineEvent, ...]) -> Table:
    """Kits by where they are now and what became of them."""
    events_of = Counter(event.kit for event in events)
    rows: Counter[tuple[str, str]] = Counter()
    raised: Counter[tuple[str, str]] = Counter()
    for group in state.registry.groups.values():
        key = (" -> ".join(segment.place for segment in group.fate.route), state.assessments[group.id].verdict)
        rows[key] += len(group.kits)
        raised[key] += sum(events_of[kit] for kit in group.kits)
    table = Table("route", "verdict", "kits", "events", box=SIMPLE_HEAD)
    for (route, verdict), kits in sorted(rows.items()):
        table.add_row(route, verdict_text(verdict, 1), str(kits), str(raised[route, verdict]))
    return table
