"""Paths into a JSON document and MQTT topic filters: where in a foreign payload something stands.

A path is keys joined by dots: `uplink_message.received_at`. In a key, `*` stands for any text and `#` for digits; in a
list, `*` stands for every element and a number for one. What a wildcard stood for is remembered, so that another path
can be told to stand for the same. A path that begins with a dot (`.unit`) stands beside the value in question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_WILDCARDS = {"*": "(.+)", "#": "([0-9]{1,3})"}


class Key(NamedTuple):
    """One step of a path: a key, or a pattern of keys."""

    text: str
    pattern: re.Pattern[str] | None = None


Path = tuple[Key, ...]

_BESIDE = Key("")
_NOTHING = object()
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


class Found(NamedTuple):
    """A value, what the wildcards of its path stood for, the whole path to it, and what holds it."""

    value: object
    taken: tuple[str, ...]
    place: str
    holder: object


def path(text: str) -> Path:
    """The path that a text states; ValueError saying what is wrong with it."""
    if text.startswith("."):
        return (_BESIDE, *map(_key, text[1:].split(".")))
    return tuple(map(_key, text.split(".")))


def _key(text: str) -> Key:
    wildcards = [letter for letter in text if letter in _WILDCARDS]
    if not text or len(wildcards) > 1:
        raise ValueError("a path is keys joined by dots, with at most one * or # in each")
    if not wildcards:
        return Key(text)
    before, after = text.split(wildcards[0])
    return Key(text, re.compile(re.escape(before) + _WILDCARDS[wildcards[0]] + re.escape(after), re.DOTALL))


def shown(path_: Path) -> str:
    """The path as it is written."""
    return ".".join(key.text for key in path_)


def wildcards(path_: Path) -> int:
    """How many wildcards a path has."""
    return sum(key.pattern is not None for key in path_)


def bound(path_: Path, taken: tuple[str, ...]) -> Path:
    """The path with its wildcards, in their order, standing for these texts."""
    texts = iter(taken)
    return tuple(key if key.pattern is None else Key(_filled(key.text, next(texts))) for key in path_)


def _filled(text: str, taken: str) -> str:
    before, after = re.split(r"[*#]", text)
    return before + taken + after


def find(document: object, path_: Path) -> Iterator[Found]:
    """Every value at a path, in the document's order; a null is a value, a missing key is not."""
    exact = next((i for i, key in enumerate(path_) if key.pattern is not None), len(path_))
    value, holder = _descend(document, path_[:exact])
    if value is _NOTHING:
        return
    waiting: list[tuple[object, object, tuple[str, ...], tuple[str, ...]]] = [
        (value, holder, (), tuple(key.text for key in path_[:exact]))
    ]
    while waiting:
        value, holder, taken, place = waiting.pop()
        if len(place) == len(path_):
            yield Found(value, taken, ".".join(place), holder)
            continue
        steps = list(_steps(value, path_[len(place)]))
        waiting.extend((inner, value, taken + texts, (*place, key)) for key, inner, texts in reversed(steps))


def _descend(document: object, path_: Path) -> tuple[object, object]:
    """The value at a path without wildcards and what holds it; `_NOTHING` where there is none."""
    value, holder = document, None
    for key in path_:
        holder, value = value, _inner(value, key.text)
        if value is _NOTHING:
            break
    return value, holder


def _inner(value: object, text: str) -> object:
    if isinstance(value, dict):
        return value.get(text, _NOTHING)
    if isinstance(value, list) and _INDEX.fullmatch(text) and int(text) < len(value):
        return value[int(text)]
    return _NOTHING


def _steps(value: object, key: Key) -> Iterator[tuple[str, object, tuple[str, ...]]]:
    if key.pattern is None:
        inner = _inner(value, key.text)
        if inner is not _NOTHING:
            yield key.text, inner, ()
        return
    if isinstance(value, list):
        items: dict[str, object] = {str(position): inner for position, inner in enumerate(value)}
    elif isinstance(value, dict):
        items = value
    else:
        return
    for text, inner in items.items():
        match = key.pattern.fullmatch(text)
        if match is not None:
            yield text, inner, match.groups()


def look_up(document: object, path_: Path) -> object:
    """The first value at a path; None where there is none."""
    if any(key.pattern is not None for key in path_):
        return next((found.value for found in find(document, path_)), None)
    value, _ = _descend(document, path_)
    return None if value is _NOTHING else value


def beside(document: object, path_: Path, one: Found) -> object:
    """What belongs to a value: the first at a path in which wildcards stand for the same, or which starts beside it."""
    if path_[:1] == (_BESIDE,):
        return look_up(one.holder, path_[1:])
    return look_up(document, bound(path_, one.taken))


def is_filter(text: str) -> bool:
    """Whether a text is an MQTT topic filter: `+` stands for one level, `#` for all that follow."""
    levels = text.split("/")
    has_lone_wildcards = all(level in {"+", "#"} or not set(level) & {"+", "#"} for level in levels)
    return bool(text) and "\0" not in text and has_lone_wildcards and "#" not in levels[:-1]


def covers(topic_filter: str, topic: str) -> bool:
    """Whether a topic filter covers a topic, by the rules of MQTT."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"+", "#"}:
        return False
    if wanted[-1] == "#":
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(want in {"+", level} for want, level in zip(wanted, levels, strict=True))
