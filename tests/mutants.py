"""Whether every mutant that `mutmut run` left alive is explained in docs/mutants.md: the end of `make mutants`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
EXPLAINED = ROOT / "docs" / "mutants.md"
ALIVE = ("survived", "no tests", "suspicious", "timeout")


class Mutant(NamedTuple):
    """What a mutation changes: lines of a function before and after, without their indentation."""

    function: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"-{line}" for line in self.before] + [f"+{line}" for line in self.after]
        return "\n".join([self.function, *lines])


def mutant(function: str, lines: list[str]) -> Mutant:
    """The mutant that a diff shows, its head and its unchanged lines left out."""
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    before, after = (tuple(line[1:].strip() for line in changed if line[0] == sign) for sign in "-+")
    return Mutant(function, before, after)


def explained(text: str) -> set[Mutant]:
    """The mutants of docs/mutants.md: of each diff block the first line names the function."""
    blocks = (block.strip().splitlines() for block in re.findall(r"```diff\n(.*?)```", text, re.DOTALL))
    return {mutant(first, rest) for first, *rest in blocks}


def alive() -> Iterator[Mutant]:
    """The mutants that no test has noticed, as mutmut shows them."""
    for line in _mutmut("results").splitlines():
        name, _, status = line.strip().rpartition(": ")
        if status in ALIVE:
            function = re.sub(r"x(ǁ(\w+)ǁ|_)(\w+)__mutmut_\d+$", lambda m: f"{m[2]}.{m[3]}" if m[2] else m[3], name)
            yield mutant(function.removeprefix("coldchain."), _mutmut("show", name).splitlines())


def _mutmut(*arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """0 if every mutant alive is explained and every explained one is alive; else 1, each named on stdout."""
    known, found = explained(EXPLAINED.read_text(encoding="utf-8")), set(alive())
    for each in sorted(found - known):
        sys.stdout.write(f"no test notices, and docs/mutants.md does not explain:\n{each}\n\n")
    for each in sorted(known - found):
        sys.stdout.write(f"explained in docs/mutants.md, but not alive (any more):\n{each}\n\n")
    sys.stdout.write(f"{len(found)} mutants alive, {len(found & known)} of them explained\n")
    return int(found != known)


if __name__ == "__main__":
    sys.exit(main())
