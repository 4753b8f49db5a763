"""Sources: where do readings come from? A folder of files, an address that answers, or a simulation.

A source is anything with a name, an interval and `take`. To add one, write a module with such a class, its settings in
`settings` and its keys in `settings_file`, and list it in `of`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

from coldchain.readings import ReadingBatch

_NOTHING: Mapping[str, str] = {}


class Taken(NamedTuple):
    """What a source gives at once.

    batches : readings, without numbers
    is_stamped : whether the gateway's own clock says when they were measured, for want of a logger's clock
    memory : what the source has to know after a restart; kept in one transaction with the readings
    problem : what a person has to mend at the source, empty if nothing
    """

    batches: tuple[ReadingBatch, ...] = ()
    is_stamped: bool = False
    memory: Mapping[str, str] = _NOTHING
    problem: str = ""


class Source(Protocol):
    """Something that gives readings every so often [s]."""

    @property
    def name(self) -> str: ...

    @property
    def every_s(self) -> float: ...

    def take(self) -> Iterator[Taken]:
        """What there is now. The next piece is asked for only when the one before is on the disk; the last one tells
        the present `problem`."""
        ...


def poll(
    source: Source,
    hand_over: Callable[[str, Taken], bool],
    wait: Callable[[float], bool],
    failed: Callable[[Exception], None],
) -> None:
    """Ask a source for ever, as a thread of its own.

    Parameters
    ----------
    hand_over : returns when a piece is on the disk, False when the process ends first
    wait : sleeps [s]; True when the process ends
    failed : told of what nobody expected, and then the source is asked no more
    """
    try:
        while True:
            for taken in source.take():
                if not hand_over(source.name, taken):
                    return
            if wait(source.every_s):
                return
    except Exception as exc:  # noqa: BLE001 (handed to the agent's own thread, which ends with it)
        failed(exc)
