"""Folders of the project, and folders that a command fills anew each time."""

from __future__ import annotations

import shutil
from pathlib import Path

from coldchain.errors import BadInput, EnvironmentFailed

RULES = Path(__file__).parents[2] / "rules"
"""The invented example profiles that simulated kits name."""


def fresh(out: Path, marker: str, maker: str) -> None:
    """Make `out` an empty folder that carries `marker`; what an earlier run left in it goes, nothing else ever does."""
    try:
        if out.exists() and any(out.iterdir()):
            if not (out / marker).exists():
                problem = f"is not empty and not from an earlier {maker}; name another folder"
                raise BadInput(problem, key="--out", value=str(out))
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / marker).touch()
    except NotADirectoryError as exc:
        raise BadInput("is not a folder", key="--out", value=str(out)) from exc
    except OSError as exc:
        raise EnvironmentFailed("disk", f"{out}: {exc.strerror}") from exc
