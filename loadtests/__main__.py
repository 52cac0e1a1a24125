"""Runs one scenario: `python -m loadtests SCENARIO`, each of which explains itself with `--help`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

import loadtests.bench.command
import loadtests.chaos.command
import loadtests.comeback.command
import loadtests.model.command
import loadtests.picker
import loadtests.presence.command
import loadtests.report.command
from loadtests.engine.command import Command
from loadtests.scenarios.churn import Churn
from loadtests.scenarios.deploy import Deploy
from loadtests.scenarios.fanout import Fanout
from loadtests.scenarios.fleet import Fleet
from loadtests.scenarios.production import Production
from loadtests.scenarios.slow import Slow
from loadtests.scenarios.soak import Soak
from loadtests.scenarios.storm import Storm
from loadtests.scenarios.terminals import Terminals


class Runnable(Protocol):
    """What a scenario offers to the command line; its docstring begins with what it is for."""

    def arguments(self, given: Sequence[str]) -> argparse.Namespace:
        """Its options."""

    async def run(self, options: argparse.Namespace) -> int:
        """Run it; the exit code."""


SCENARIOS: Mapping[str, Runnable] = {
    "bench": loadtests.bench.command,
    "chaos": loadtests.chaos.command,
    "churn": Command(Churn()),
    "comeback": loadtests.comeback.command,
    "deploy": Command(Deploy()),
    "fanout": Command(Fanout()),
    "fleet": Command(Fleet()),
    "model": loadtests.model.command,
    "picker": loadtests.picker,
    "presence": loadtests.presence.command,
    "production": Command(Production()),
    "report": loadtests.report.command,
    "slow": Command(Slow()),
    "soak": Command(Soak()),
    "storm": Command(Storm()),
    "terminals": Command(Terminals()),
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
