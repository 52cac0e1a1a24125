"""Runs a sweeper by `python -m workers sweeper`, which does what `relay sweeper` does."""

from __future__ import annotations

import sys

from relay.errors import Exit, Misconfigured

USAGE = "relay: usage: python -m workers sweeper"


def main(arguments: list[str]) -> int:
    """Sweep, if the arguments ask for that; returns the exit code."""
    if arguments != ["sweeper"]:
        print(USAGE, file=sys.stderr)  # noqa: T201
        return Exit.USAGE
    from relay.environ import load
    from relay.uses import SWEEPER
    from workers.process import run_sweeper

    try:
        return run_sweeper(load(SWEEPER))
    except Misconfigured as error:
        print(f"relay: {error.message}", file=sys.stderr)  # noqa: T201
        return Exit.CONFIGURATION


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
