"""What gateways say of themselves: there, gone, or there and in trouble. No evidence of temperatures, so not kept."""

from __future__ import annotations

from typing import NamedTuple

import orjson

MOST_BYTES = 16_384
MOST_ALARMS = 16
MOST_CHARACTERS = 200


class Alarm(NamedTuple):
    """Something that a gateway says is wrong with it: its name, such as disk_full, and what is the matter."""

    name: str
    problem: str = ""


class Status(NamedTuple):
    """A gateway's own word. `alarms` is None where it says nothing of them, as in a last will."""

    is_online: bool
    alarms: tuple[Alarm, ...] | None = None


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
        raise ValueError('a status is {"online":true} or {"online":false}, with "alarms" where there are some')
    alarms = document.get("alarms")
    if alarms is None:
        return Status(document["online"])
    if not isinstance(alarms, list) or not all(isinstance(alarm, dict) and "alarm" in alarm for alarm in alarms):
        raise ValueError('alarms of a gateway are a list of {"alarm":"name","problem":"what is the matter"}')
    told = (Alarm(_words(alarm["alarm"]), _words(alarm.get("problem", ""))) for alarm in alarms[:MOST_ALARMS])
    return Status(document["online"], tuple(told))


def _words(value: object) -> str:
    return "".join(c for c in str(value)[:MOST_CHARACTERS] if c.isprintable())
