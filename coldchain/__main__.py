"""The `coldchain` command, or one line that says what is missing where only a gateway is installed."""

from __future__ import annotations

import sys


def main() -> None:
    """Run a command; exit code 3 in an installation without the extra `server`."""
    try:
        from coldchain.cli import main as run

        run()
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] in ("coldchain", "gateways"):
            raise
        sys.stderr.write(
            f"coldchain: {exc.name} is not installed: this is a gateway's installation; "
            "for the service run: pip install 'coldchain[server]'\n"
        )
        raise SystemExit(3) from exc


if __name__ == "__main__":
    main()
