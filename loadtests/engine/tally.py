"""Counts what one process of the load sees, second by second, for the conductor to add up."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from loadtests.engine.ledger import Wrong
from loadtests.report.histogram import Histogram

GRAIN_SECONDS = 0.000_02  # durations are counted in steps of a fiftieth of a millisecond, far below what is judged
MILLISECONDS = 1_000.0


@dataclass
class Tally:
    """Everything since the process began, and the durations of the second that is under way."""

    frames: int = 0  # that arrived at a peer of ours, both ways
    bytes: int = 0  # of their payloads
    gaps: int = 0  # that the relay declared
    connects: int = 0
    begun: Counter[str] = field(default_factory=Counter)  # operations that have no frames, by name
    errors: Counter[str] = field(default_factory=Counter)  # by sentence
    refused: Counter[str] = field(default_factory=Counter)  # handshakes, by reason
    closes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # by role, by code
    wrong: Wrong = field(default_factory=Wrong)
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # seconds, by name

    def second(self) -> dict[str, list[tuple[int, int]]]:
        """Forget the durations of the second that ends, which are given as (steps of the grain, how many)."""
        took, self.took = self.took, defaultdict(list)
        return {name: sorted(_grains(durations).items()) for name, durations in took.items()}

    def counts(self) -> dict[str, Any]:
        """All counters as plain data."""
        return {
            "frames": self.frames,
            "bytes": self.bytes,
            "gaps": self.gaps,
            "connects": self.connects,
            "begun": dict(self.begun),
            "errors": dict(self.errors),
            "refused": dict(self.refused),
            "closes": {role: dict(codes) for role, codes in self.closes.items()},
            "wrong": asdict(self.wrong),
        }


def _grains(durations: list[float]) -> Counter[int]:
    return Counter([int(seconds / GRAIN_SECONDS) + 1 for seconds in durations])


def add(histogram: Histogram, grains: list[tuple[int, int]]) -> None:
    """Count durations of one second into a histogram."""
    for grain, times in grains:
        histogram.add(grain * GRAIN_SECONDS * MILLISECONDS, times)
