"""Runs one scenario: `python -m loadtests SCENARIO`, each of which explains itself with `--help`."""

from __future__ import annotations

import asyncio
import sys

import loadtests.bench.command
import loadtests.chaos.command
import loadtests.fleet
import loadtests.storm.command

SCENARIOS = {
    "bench": loadtests.bench.command,
    "chaos": loadtests.chaos.command,
    "fleet": loadtests.fleet,
    "storm": loadtests.storm.command,
}
USAGE = 64


def main() -> int:
    """Run the scenario that the first argument names; 99 means that a threshold was exceeded."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    scenario = SCENARIOS.get(name)
    if scenario is None:
        lines = [f"  {known:<10} {(module.__doc__ or '').splitlines()[0]}" for known, module in SCENARIOS.items()]
        print("Usage: python -m loadtests SCENARIO [--help]\n\nScenarios:", *lines, sep="\n")
        return 0 if name in ("-h", "--help") else USAGE
    return int(asyncio.run(scenario.run(scenario.arguments(sys.argv[2:]))))


if __name__ == "__main__":
    sys.exit(main())
