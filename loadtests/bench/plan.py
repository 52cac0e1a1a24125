"""Holds what one run of the benchmark was asked for, and how large its scenarios are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from loadtests.bench.affinity import Cores
from loadtests.bench.rows import Row


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The sizes of a run. The goals are for the full ones; smaller ones give the same figures, only less steady."""

    cores: Cores
    rounds: int
    seconds: float
    connections: int  # idle at a time
    handshakes: int  # per round
    machines: int  # in Redis while it is swept


class Scenario(Protocol):
    """Something that only Relay is measured at."""

    @property
    def name(self) -> str:
        """How it is asked for."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """What it measures."""

    async def measure(self, plan: Plan) -> Mapping[str, float]:
        """One round: a value for each of `rows`, by name. Raises `Void` when what was measured did not go right."""
