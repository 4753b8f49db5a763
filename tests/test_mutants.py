"""The list of mutants that no test notices: every entry is readable, has a reason, and is about code that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mutants import EXPLAINED, Mutant, explained, mutant

TEXT = EXPLAINED.read_text(encoding="utf-8")
CODE = Path(__file__).parents[1] / "coldchain"


def source_of(function: str) -> str:
    """The text of a function, or of a method written Class.method, in a module of the package."""
    module, *names = function.split(".")
    text = (CODE / f"{module}.py").read_text(encoding="utf-8")
    found = [node for node in ast.walk(ast.parse(text)) if getattr(node, "name", None) == names[-1]]
    return ast.get_source_segment(text, found[0]) or ""


def test_every_explained_mutant_changes_a_function_that_is_there() -> None:
    known = explained(TEXT)
    assert known
    for each in known:
        lines = [line.strip() for line in source_of(each.function).splitlines()]
        assert each.before
        assert set(each.before) <= set(lines), each


def test_every_explained_mutant_has_its_reason_before_it() -> None:
    before = re.split(r"```diff\n.*?```\n", TEXT, flags=re.DOTALL)[:-1]
    assert len(before) == TEXT.count("```diff")
    assert all(part.strip().splitlines()[-1].strip() for part in before)


def test_a_diff_is_read_without_its_head_and_its_unchanged_lines() -> None:
    lines = ["--- a.py", "+++ a.py", "@@ -1 +1 @@", " def f():", "-    return 1", "+    return 2"]
    assert mutant("m.f", lines) == Mutant("m.f", ("return 1",), ("return 2",))
    assert str(mutant("m.f", lines)) == "m.f\n-return 1\n+return 2"
