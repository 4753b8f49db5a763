"""`coldchain export`: what the ledger says about kits, in the forms that other systems read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import orjson
from rich.console import Console

from coldchain import epcis, judgement
from coldchain.commands import terminal
from coldchain.commands.recall import recall
from coldchain.epcis import Identifiers, KitFacts
from coldchain.errors import BadInput, EnvironmentFailed
from coldchain.ledger import queries
from coldchain.model import QuarantineEvent
from coldchain.pipeline import State
from coldchain.readings import ChannelKey, ReadingBatch
from coldchain.settings import load_settings


def epcis_document(
    out: Path, settings_file: Path, *, kits: Sequence[str], begin: str | None, end: str | None, as_of: str | None
) -> None:
    """Write an EPCIS 2.0 document of `kits`, all if none are named; with `as_of` it is the same bytes each time."""
    from_ms, to_ms = terminal.instant(begin, "--from"), terminal.instant(end, "--to")
    if from_ms is not None and to_ms is not None and to_ms <= from_ms:
        raise BadInput("must be later than --from", key="--to", value=end)
    as_of_ms = terminal.instant(as_of, "--as-of")
    settings = load_settings(settings_file)
    now_ms = terminal.now_ms()
    with terminal.progress() as progress:
        task = progress.add_task("judging kits", total=None)
        with queries.reading(settings.ledger.path) as connection:
            state = recall(connection, settings, now_ms, as_of_ms, kits=kits or None)
            events = queries.events(connection)
        progress.update(task, description="writing events")
        found = epcis.document(
            facts(state, kits, events, now_ms),
            state.registry,
            Identifiers(settings.epcis.kit, settings.epcis.place, settings.epcis.logger),
            created_ms=now_ms if as_of_ms is None else as_of_ms,
            from_ms=from_ms,
            to_ms=to_ms,
        )
        try:
            out.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        except OSError as exc:
            raise EnvironmentFailed("disk", f"{out}: {exc.strerror}") from exc
    Console(stderr=True).print(f"{len(found['epcisBody']['eventList'])} events: {out}")


def readings(out: Path, settings_file: Path) -> None:
    """Write every reading of the ledger as an archive for `coldchain replay`."""
    from coldchain import archive  # Arrow need not be installed for the other exports

    settings = load_settings(settings_file)
    unfinished = out.with_name(out.name + ".part")
    with terminal.progress() as progress, queries.reading(settings.ledger.path) as connection:
        task = progress.add_task("channels", total=None)
        connection.execute("BEGIN")  # one moment of the ledger, whatever the service stores meanwhile
        keys = [ChannelKey(logger, channel) for logger, channel, _, _ in queries.channel_ranges(connection)]

        def channels() -> Iterator[tuple[ChannelKey, Iterator[ReadingBatch]]]:
            for key in progress.track(keys, task_id=task):
                yield key, queries.channel_batches(connection, key)

        count = archive.write(unfinished, channels())
    try:
        unfinished.replace(out)
    except OSError as exc:
        raise EnvironmentFailed("disk", f"{out}: {exc.strerror}") from exc
    Console(stderr=True).print(f"{count} readings of {len(keys)} channels: {out}")


def facts(state: State, kits: Sequence[str], events: Iterable[QuarantineEvent], now_ms: int) -> Iterator[KitFacts]:
    """What the state and the ledger's `events` say about kits, all if none are named, group by group."""
    wanted = set(kits)
    for kit in kits:
        if kit not in state.registry.kits:
            raise BadInput("is not registered", key="kit", value=kit)
    holds: dict[str, list[QuarantineEvent]] = defaultdict(list)
    for event in events:
        holds[event.kit].append(event)
    for group in state.registry.groups.values():
        mine = [kit for kit in group.kits if not wanted or kit in wanted]
        if not mine:
            continue
        assessment = state.assessments[group.id]
        route, record = judgement.route_and_record(state, group, assessment, now_ms)
        yield KitFacts(
            kits=mine,
            custody=route,
            excursions=assessment.excursions,
            history=record.history if record else None,
            holds=[hold for kit in mine for hold in holds[kit]],
        )
