"""Inputs of a replay: message logs, logger files and archives, as batches exactly like those of live messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from coldchain import message_log
from coldchain.admission import admission
from coldchain.errors import BadInput, RejectedPayload
from coldchain.message_log import LoggedMessage
from coldchain.readings import ChannelKey, ReadingBatch
from coldchain.registry import Registry
from gateways.decoders import Decoder, Node, NodeKey, decoder, node_key, sparkplug
from gateways.decoders.sparkplug_node import topic_of
from gateways.files import read_logger_file

if TYPE_CHECKING:  # Arrow takes a while to import, and few replays read an archive
    from coldchain.archive import ReadingArchive


@dataclass(slots=True)
class Inputs:
    """What was read. `batches` are in the order of the files; `rejected` messages have none. `archives` are read when
    somebody asks for a channel."""

    batches: list[ReadingBatch] = field(default_factory=list)
    archives: list[ReadingArchive] = field(default_factory=list)
    messages: int = 0
    rejected: int = 0

    def by_channel(self) -> Channels:
        """Everything by channel; of the archives only where it is."""
        batches: dict[ChannelKey, list[ReadingBatch]] = defaultdict(list)
        for batch in self.batches:
            batches[batch.key].append(batch)
        return Channels(dict(batches), tuple(self.archives))


@dataclass(frozen=True, slots=True)
class Channels:
    """The readings of each channel, from memory and from archives. Safe to ask from several threads."""

    batches: Mapping[ChannelKey, list[ReadingBatch]]
    archives: tuple[ReadingArchive, ...]

    def __iter__(self) -> Iterator[ChannelKey]:
        """Every channel once, in the order of its key."""
        return iter(sorted({*self.batches, *(key for archive in self.archives for key in archive.channels)}))

    def read(self, key: ChannelKey) -> Iterator[ReadingBatch]:
        """Everything there is of a channel."""
        yield from self.batches.get(key, ())
        for archive in self.archives:
            yield from archive.read(key)


def read(
    paths: Iterable[Path],
    *,
    logger: str | None,
    zone: ZoneInfo | None,
    mappings: Path | None = None,
    registry: Registry | None = None,
    on_message: Callable[[], None] = lambda: None,
) -> Inputs:
    """Every message, logger file and archive; BadInput names file and line. `on_message` is called after each message.

    Parameters
    ----------
    logger : the registry's id of the logger of the logger files among `paths`
    zone : their time zone where they declare none
    mappings : a folder of mapping profiles beside the built-in ones
    registry : refuses the messages of gateways that may not speak for their loggers, as the service does
    """
    found = Inputs()
    reader = decoder(mappings)
    said_by_nodes: list[LoggedMessage] = []
    for path in paths:
        if path.suffix == ".ndjson":
            for message in message_log.read(path):
                found.messages += 1
                if message.payload is not None and node_key(message.topic) is not None:
                    said_by_nodes.append(message)
                    continue
                try:
                    batches = decoded(message, reader)
                    if registry is not None and (refused := admission(message.topic, batches, registry).refused):
                        raise RejectedPayload(*refused)
                    found.batches.extend(batches)
                except RejectedPayload:
                    found.rejected += 1
                on_message()
        elif path.suffix == ".parquet":
            found.archives.append(_archive(path))
        elif logger is None:
            raise BadInput("a logger file needs --logger, the registry's id of its logger", file=str(path))
        else:
            found.batches.extend(read_logger_file(path, logger=logger, zone=zone).batches)
    _read_in_order(said_by_nodes, reader, found, on_message)
    return found


def _archive(path: Path) -> ReadingArchive:
    from coldchain.archive import ReadingArchive

    return ReadingArchive.open(path)


def _read_in_order(
    messages: list[LoggedMessage], reader: Decoder, found: Inputs, on_message: Callable[[], None]
) -> None:
    """The messages of edge nodes, each of which depends on those before: in the order of their arrival, whatever the
    order of lines and files."""
    nodes: dict[NodeKey, Node] = {}
    for message in sorted(messages, key=_arrival):
        try:
            decoded = reader.read(message.topic, message.payload or b"", message.received_ms, nodes)
        except RejectedPayload:
            found.rejected += 1
        else:
            nodes.update(decoded.nodes)
            found.batches.extend(decoded.batches)
            found.rejected += decoded.refused is not None
        on_message()


def _arrival(message: LoggedMessage) -> tuple[int, tuple[int, int, int], str, bytes]:
    topic, payload = topic_of(message.topic), message.payload or b""
    assert topic is not None  # noqa: S101 (it has a node)
    return message.received_ms, sparkplug.order(topic, payload), message.topic, payload


def decoded(message: LoggedMessage, reader: Decoder | None = None) -> tuple[ReadingBatch, ...]:
    """The readings of one logged message, or RejectedPayload; without a `reader` by the built-in mappings."""
    if message.payload is None:
        raise RejectedPayload(message.reason)
    return (reader or decoder()).read(message.topic, message.payload, message.received_ms).batches


def single_readings(batch: ReadingBatch) -> Iterator[ReadingBatch]:
    """The readings of a logger file one at a time, as `--stream` feeds them; a message stays one batch."""
    if batch.received_ms is not None:
        yield batch
        return
    for i in range(len(batch)):
        faults = {0: batch.faults[i]} if i in batch.faults else {}
        one = slice(i, i + 1)
        yield replace(batch, at_ms=batch.at_ms[one], temperature_mc=batch.temperature_mc[one], faults=faults, seq=None)
