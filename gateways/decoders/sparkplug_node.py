"""An edge node of Sparkplug as its host knows it: a value, and what follows from it without any message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

NAMESPACE = "spBv1.0"
KINDS = {"NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"}

SEQUENCE_GAP, OFFLINE = "sequence_gap", "node_offline"


class Topic(NamedTuple):
    """`spBv1.0/{group}/{kind}/{node}` or `.../{node}/{device}`."""

    group: str
    kind: str
    node: str
    device: str = ""

    def of(self, device: str, kind: str = "DATA") -> str:
        """The topic on which a device (the node itself: "") reports."""
        levels = (NAMESPACE, self.group, ("D" if device else "N") + kind, self.node)
        return "/".join((*levels, device) if device else levels)


class Definition(NamedTuple):
    """What a birth says of a metric."""

    datatype: int | None
    unit: str | None


class Held(NamedTuple):
    """The last value of a metric, and when. A text is the reason why what follows it is not known."""

    value: int | float | str | None
    ms: int


class Parked(NamedTuple):
    """A message that waits for its birth, as it arrived."""

    topic: Topic
    payload: bytes
    received_ms: int


class Request(NamedTuple):
    """A message to be published."""

    topic: str
    payload: bytes


Name = tuple[str, str]
"""Device ("" for the node itself) and metric."""


@dataclass(frozen=True, slots=True)
class Node:
    """What an edge node has said so far.

    `aliases`: by device, of those that were born. `is_trusted`: no message was missed since the last birth, so that
    an alias certainly means what that birth said. `expected`: the next sequence number, None if any may come.
    `born_ms`, `newest_ms`: when its last birth and its newest message were sent; `swept_ms`: when all that it does not
    mention was last said to be unchanged.
    """

    is_alive: bool = False
    is_trusted: bool = False
    bd_seq: int | None = None
    expected: int | None = None
    born_ms: int = 0
    newest_ms: int = 0
    swept_ms: int = 0
    aliases: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    definitions: Mapping[Name, Definition] = field(default_factory=dict)
    held: Mapping[Name, Held] = field(default_factory=dict)
    parked: tuple[Parked, ...] = ()
    asked_ms: int | None = None


def topic_of(topic: str) -> Topic | None:
    """The parts of a topic that this module reads, None for any other."""
    levels = topic.split("/")
    if len(levels) not in {4, 5} or levels[0] != NAMESPACE or levels[2] not in KINDS or not all(levels):
        return None
    if (levels[2][0] == "D") != (len(levels) == 5):
        return None
    return Topic(*levels[1:])


def broken(held: Mapping[Name, Held], why: str, device: str | None = None) -> dict[Name, Held]:
    """The same metrics (of one device, or of all) with their values no longer known."""
    return {
        name: one if isinstance(one.value, str) or device not in {None, name[0]} else Held(why, one.ms)
        for name, one in held.items()
    }
