"""What gateways say of themselves: there, gone, or there and in trouble. No evidence of temperatures, so not kept."""

from __future__ import annotations

from typing import NamedTuple

import orjson

MOST_BYTES = 4096
MOST_ALARMS = 16
MOST_CHARACTERS = 64


class Status(NamedTuple):
    """A gateway's own word. `alarms`: short words of its own, such as spool_full."""

    is_online: bool
    alarms: tuple[str, ...] = ()


def gateway_of(topic: str) -> str | None:
    """Site and name, joined by a slash, of the gateway whose status stands under a topic; None if it is none."""
    parts = topic.split("/")
    is_one = len(parts) == 5 and parts[:2] == ["coldchain", "v1"] and parts[4] == "status" and topic.isprintable()
    return "/".join(parts[2:4]) if is_one else None


def status_of(payload: bytes) -> Status | None:
    """What a status says, ValueError if that cannot be known; None for an empty one: the gateway is no more."""
    if not payload:
        return None
    if len(payload) > MOST_BYTES:
        raise ValueError(f"{len(payload)} bytes are too many for a status")
    document = orjson.loads(payload)
    if not isinstance(document, dict) or not isinstance(document.get("online"), bool):
        raise ValueError('a status is {"online":true} or {"online":false}, with "alarms":["..."] where there are some')
    alarms = document.get("alarms", [])
    if not isinstance(alarms, list) or not all(isinstance(alarm, str) for alarm in alarms):
        raise ValueError("alarms of a gateway are a list of words")
    words = ("".join(c for c in alarm[:MOST_CHARACTERS] if c.isprintable()) for alarm in alarms[:MOST_ALARMS])
    return Status(document["online"], tuple(filter(None, words)))
