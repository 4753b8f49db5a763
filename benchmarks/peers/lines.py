"""How many lines of code a job has: without imports, blank lines, comments and docstrings, for everybody alike."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path


def of_python(path: Path, names: Iterable[str]) -> int:
    """Lines of the functions, classes and constants of a module that the job is made of.

    Raises ValueError if the module has no such name.
    """
    text = path.read_text(encoding="utf-8")
    found = {name: node for node in ast.parse(text).body for name in _names(node)}
    wanted = tuple(names)
    if lacking := [name for name in wanted if name not in found]:
        raise ValueError(f"{path.name} has no {', '.join(lacking)}")
    lines = text.splitlines()
    count = 0
    for node in (found[name] for name in wanted):
        assert node.end_lineno is not None
        skipped = set(_docstring_lines(node))
        numbers = range(node.lineno, node.end_lineno + 1)
        count += of_text((lines[number - 1] for number in numbers if number not in skipped), "#")
    return count


def of_text(lines: Iterable[str], comment: str) -> int:
    """Lines that are neither blank nor a comment."""
    return sum(bool(line.strip()) and not line.lstrip().startswith(comment) for line in lines)


def _names(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def _docstring_lines(node: ast.AST) -> Iterator[int]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(inner) is not None:
            text = inner.body[0]
            assert text.end_lineno is not None
            yield from range(text.lineno, text.end_lineno + 1)
