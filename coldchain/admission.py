"""Who may speak for a logger: what the registry says of the loggers in a message that could be read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from coldchain.readings import ReadingBatch
from coldchain.registry import Registry

_SITE = re.compile(r"coldchain/v1/(?P<site>[a-z0-9-]+)/")


class Admission(NamedTuple):
    """`refused`: reason and detail if a message is kept and not judged. `flags`: what a person should know of it."""

    refused: tuple[str, str] | None = None
    flags: tuple[str, ...] = ()


ADMITTED = Admission()


def admission(topic: str, batches: Iterable[ReadingBatch], registry: Registry) -> Admission:
    """Whether a message on a topic may say what it says.

    Only a gateway at one of a logger's `sites`, if it has any, may speak for it. What an unknown logger says is stored
    and judged once it is registered; of a blocked one every minute is unknown.
    """
    flags = []
    for name in {batch.logger for batch in batches}:
        logger = registry.loggers.get(name)
        if logger is None:
            flags.append(f"unknown_logger: {name} is not registered")
            continue
        if logger.blocked:
            flags.append(f"blocked_logger: {name} is blocked")
        site = _SITE.match(topic)
        if logger.sites and site is not None and site["site"] not in logger.sites:
            of = ", ".join(logger.sites)
            return Admission(("wrong_site", f"logger {name} is of {of}, not of {site['site']}"))
    return Admission(None, tuple(sorted(flags))) if flags else ADMITTED
