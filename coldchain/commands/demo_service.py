"""The service of the demo: `coldchain run` with a clock that shows the scripted day, and stops at its end."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from coldchain.errors import ColdchainError
from coldchain.service import run
from coldchain.settings import load_settings
from gateways.simulator.demo_day import DEMO_DAY_MS, DEMO_START_MS, WALL_S


def day_clock_ms(wall_s: float, began: Path) -> int:
    """The time of the scripted day [ms UTC] when the wall clock shows `wall_s` [s since 1970].

    `began`: a file that says when the day began, in the same unit; until it is there the day has not begun.
    """
    began_s = float(began.read_text()) if began.exists() else wall_s
    share = min(max(wall_s - began_s, 0.0) / WALL_S, 1.0)
    return DEMO_START_MS + round(share * DEMO_DAY_MS)


def main() -> int:
    """Serve by the settings file of the first argument; the second names the file that says when the day began."""
    settings_file, began = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        return run(load_settings(settings_file), clock=lambda: day_clock_ms(time.time(), began))
    except ColdchainError as exc:
        sys.stderr.write(f"coldchain: {exc}\n")
        return exc.exit_code


if __name__ == "__main__":
    sys.exit(main())
