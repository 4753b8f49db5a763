"""Identity in foreign payloads: of which logger and channel is a value?"""

from __future__ import annotations

import base64
import re
from functools import lru_cache

from coldchain.errors import RejectedPayload
from gateways.decoders import paths
from gateways.decoders.mapping_rules import WILDCARD_TEXT, Form, LoggerRule, ReadingRule
from gateways.decoders.paths import Found

_LONGEST_NAME = 256
_EUI64 = re.compile(r"[0-9a-f]{16}", re.ASCII)
_EUI64_BASE64 = re.compile(r"[A-Za-z0-9+/]{11}=", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{12}", re.ASCII)


def logger_of(rule: LoggerRule, topic: str, found: dict[str, object], one: Found) -> tuple[str, str]:
    """The logger's id, and the channel if the same text names it, else an empty one."""
    stated: tuple[str, ...] = ()
    if rule.path is not None:
        value = paths.beside(found, rule.path, one)
        if not isinstance(value, str):
            raise RejectedPayload("bad_type", f"{rule.path.text} = {value!r:.80}, the logger's id, a text")
        stated = (value,)
    if rule.topic_level is not None:
        stated += (topic.split("/")[rule.topic_level - 1],)
    if rule.wildcard is not None:
        stated += (one.taken[rule.wildcard - 1],)
    is_short = sum(map(len, stated)) <= _LONGEST_NAME
    return _remembered_identity(rule, stated) if is_short else _identity(rule, stated)


def _identity(rule: LoggerRule, texts: tuple[str, ...]) -> tuple[str, str]:
    stated = [_formed(rule.form, text) for text in texts]
    if len(set(stated)) > 1:
        raise RejectedPayload("logger_mismatch", f"{stated[0]!r:.80}, the topic says {stated[1]!r:.80}")
    if rule.pattern is None:
        return _name(rule.prefix + stated[0]), ""
    parts = rule.pattern.fullmatch(stated[0][:_LONGEST_NAME])
    if parts is None:
        raise RejectedPayload("bad_value", f"{stated[0]!r:.80} is not of the form {rule.pattern.pattern!r:.200}")
    groups = parts.groupdict("")
    return _name(rule.prefix + groups["logger"]), _channel_name(groups.get("channel", "")) if groups.get(
        "channel"
    ) else ""


_remembered_identity = lru_cache(maxsize=4096)(_identity)  # a logger says its name in every reading


def _formed(form: Form, text: str) -> str:
    if form == "text":
        return text
    lower = text.lower()
    if form == "lower":
        return lower
    if form == "eui64":
        digits = base64.b64decode(text).hex() if _EUI64_BASE64.fullmatch(text) else lower
        if _EUI64.fullmatch(digits):
            return digits
        raise RejectedPayload("bad_value", f"{text!r:.80} is no EUI-64")
    digits = lower.replace(":", "").replace("-", "")
    if _MAC.fullmatch(digits):
        return digits
    raise RejectedPayload("bad_value", f"{text!r:.80} is no Bluetooth address")


def channel_of(rule: ReadingRule, topic: str, found: dict[str, object], one: Found) -> str:
    if rule.channel_path is not None:
        value = paths.beside(found, rule.channel_path, one)
        if isinstance(value, str) and value:
            return _channel_name(value)
    if rule.channel_topic_level is not None:
        return _channel_name(topic.split("/")[rule.channel_topic_level - 1])
    if "{" not in rule.channel:
        return _channel_name(rule.channel)
    return _channel_name(WILDCARD_TEXT.sub(lambda match: one.taken[int(match[1]) - 1], rule.channel))


def _name(text: str) -> str:
    if "/" in text:
        raise RejectedPayload("bad_value", f"{text!r:.80}, a logger's id has no '/'")
    return _channel_name(text)


def _channel_name(text: str) -> str:
    """A channel may be named with '/', as the metrics of an edge node are."""
    if not (1 <= len(text) <= 64 and text.isprintable()):
        raise RejectedPayload("bad_value", f"{text!r:.80}, a name is 1 to 64 printable characters")
    return text
