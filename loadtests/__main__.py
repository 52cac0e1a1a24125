"""Runs one command: `python -m loadtests NAME`, each of which explains itself with `--help`."""

from __future__ import annotations

import asyncio
import sys

from loadtests.catalogue import COMMANDS, about, runnable

USAGE = 64
INTERRUPTED = 130  # 128 and the number of SIGINT, as shells say it


def main() -> int:
    """Run what the first argument names; 99 means that a threshold was exceeded."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        lines = [f"  {known:<10} {about(known)}" for known in sorted(COMMANDS)]
        print("Usage: python -m loadtests NAME [--help]\n", *lines, sep="\n")
        return 0 if name in ("-h", "--help") else USAGE
    command = runnable(name)
    try:
        return int(asyncio.run(command.run(command.arguments(sys.argv[2:]))))
    except KeyboardInterrupt:
        print("relay: interrupted; nothing of this run is written", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
