"""Paths into a JSON document and MQTT topic filters: where in a foreign payload something stands.

A path is keys joined by dots: `uplink_message.received_at`. In a key, `*` stands for any text and `#` for digits; in a
list, `*` stands for every element and a number for one. What a wildcard stood for is remembered, so that another path
can be told to stand for the same. A path that begins with a dot (`.unit`) stands beside the value in question.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import count, takewhile
from typing import NamedTuple

_BESIDE = ""
_WILDCARDS = {"*": "(.+)", "#": "([0-9]{1,3})"}


class Key(NamedTuple):
    """One step of a path: a key, or a pattern of keys and what stands before its wildcard."""

    text: str
    pattern: re.Pattern[str] | None = None
    before: str = ""


class Path(tuple[Key, ...]):
    """Keys. `exact`: the texts of those before the first wildcard; `is_exact` if there is none; `text`: as written;
    `from_holder`: of a path that starts beside a value, what follows its dot."""

    exact: tuple[str, ...]
    is_exact: bool
    text: str
    from_holder: Path | None

    def __new__(cls, keys: Iterable[Key] = ()) -> Path:
        path_ = super().__new__(cls, keys)
        path_.exact = tuple(key.text for key in takewhile(lambda key: key.pattern is None, path_))
        path_.is_exact = len(path_.exact) == len(path_)
        path_.text = ".".join(key.text for key in path_)
        path_.from_holder = Path(path_[1:]) if path_[:1] == (Key(_BESIDE),) else None
        return path_


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
        return Path((Key(_BESIDE), *map(_key, text[1:].split("."))))
    return Path(map(_key, text.split(".")))


def _key(text: str) -> Key:
    wildcards = [letter for letter in text if letter in _WILDCARDS]
    if not text or len(wildcards) > 1:
        raise ValueError("a path is keys joined by dots, with at most one * or # in each")
    if not wildcards:
        return Key(text)
    before, after = text.split(wildcards[0])
    return Key(text, re.compile(re.escape(before) + _WILDCARDS[wildcards[0]] + re.escape(after), re.DOTALL), before)


def wildcards(path_: Path) -> int:
    """How many wildcards a path has."""
    return sum(key.pattern is not None for key in path_)


def bound(path_: Path, taken: tuple[str, ...]) -> Path:
    """The path with its wildcards, in their order, standing for these texts."""
    if path_.is_exact:
        return path_
    texts = iter(taken)
    return Path(key if key.pattern is None else Key(_filled(key.text, next(texts))) for key in path_)


def _filled(text: str, taken: str) -> str:
    before, after = re.split(r"[*#]", text)
    return before + taken + after


def find(document: object, path_: Path) -> Iterable[Found]:
    """Every value at a path, in the document's order; a null is a value, a missing key is not."""
    value, holder = _descend(document, path_.exact)
    if value is _NOTHING:
        return ()
    if path_.is_exact:
        return (Found(value, (), path_.text, holder),)
    return _spread(value, path_, (), path_.exact)


def _spread(value: object, path_: Path, taken: tuple[str, ...], place: tuple[str, ...]) -> Iterator[Found]:
    """What stands in a value where the path goes on behind `place`."""
    is_last = len(place) + 1 == len(path_)
    for key, inner, texts in _steps(value, path_[len(place)]):
        if is_last:
            yield Found(inner, taken + texts, ".".join((*place, key)), value)
        else:
            yield from _spread(inner, path_, taken + texts, (*place, key))


def _descend(document: object, exact: tuple[str, ...]) -> tuple[object, object]:
    """The value at a path without wildcards and what holds it; `_NOTHING` where there is none."""
    value, holder = document, None
    for text in exact:
        holder, value = value, value.get(text, _NOTHING) if type(value) is dict else _element(value, text)
        if value is _NOTHING:
            break
    return value, holder


def _element(value: object, text: str) -> object:
    if isinstance(value, list) and _INDEX.fullmatch(text) and int(text) < len(value):
        return value[int(text)]
    return _NOTHING


def _steps(value: object, key: Key) -> Iterable[tuple[str, object, tuple[str, ...]]]:
    if key.pattern is None:
        inner, _ = _descend(value, (key.text,))
        return () if inner is _NOTHING else ((key.text, inner, ()),)
    if isinstance(value, list):
        items: Iterable[tuple[str, object]] = zip(map(str, count()), value, strict=False)
    elif isinstance(value, dict):
        items = value.items()
    else:
        return ()
    if key.text == "*":
        return ((text, inner, (text,)) for text, inner in items if text)
    before, matches = key.before, key.pattern.fullmatch
    return (
        (text, inner, match.groups())
        for text, inner in items
        if text.startswith(before) and (match := matches(text)) is not None
    )


def look_up(document: object, path_: Path) -> object:
    """The first value at a path; None where there is none."""
    if not path_.is_exact:
        return next((found.value for found in find(document, path_)), None)
    value, _ = _descend(document, path_.exact)
    return None if value is _NOTHING else value


def beside(document: object, path_: Path, one: Found) -> object:
    """What belongs to a value: the first at a path in which wildcards stand for the same, or which starts beside it."""
    if path_.from_holder is not None:
        return look_up(one.holder, path_.from_holder)
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
