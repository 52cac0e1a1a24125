"""Knows every command of the load tests by name, and imports only the one that is run."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

FOLDER = "loadtests.scenarios"
SCENARIOS = ("churn", "deploy", "fanout", "fleet", "production", "slow", "soak", "storm", "terminals")
COMMANDS = {
    "bench": "loadtests.bench.command",
    "chaos": "loadtests.chaos.command",
    "comeback": "loadtests.comeback.command",
    "model": "loadtests.model.command",
    "picker": "loadtests.picker",
    "presence": "loadtests.presence.command",
    "report": "loadtests.report.command",
    **{name: f"{FOLDER}.{name}" for name in SCENARIOS},
}


class Runnable(Protocol):
    """What a command offers; its docstring begins with what it is for."""

    def arguments(self, given: Sequence[str]) -> argparse.Namespace:
        """Its options."""

    async def run(self, options: argparse.Namespace) -> int:
        """Run it; the exit code."""


def runnable(name: str) -> Runnable:
    """The command of this name; raises `KeyError`."""
    module = import_module(COMMANDS[name])
    if name not in SCENARIOS:
        return cast(Runnable, module)
    # Not above: these two import what a load needs, and others need nothing of the kind.
    from loadtests.engine.command import Command
    from loadtests.engine.scenario import Scenario

    kinds = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Scenario)]
    return Command(next(kind() for kind in kinds if kind is not Scenario))


def about(name: str) -> str:
    """What it is for, in a line, read from its file without importing what it needs."""
    spec = find_spec(COMMANDS[name])
    assert spec is not None
    assert spec.origin is not None
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]
