"""Counts durations in buckets with plain numbers, cheap enough for what happens thousands of times a second."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate


class Tally:
    """How many values there were up to each bound, and their sum. Nobody waits and nothing is locked: whoever adds and
    whoever reads are in one event loop."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last is for what is above all bounds
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one; a value that is exactly a bound belongs below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def miss(self) -> None:
        """Count one that never came: above all bounds, and left out of the sum, which it would make infinite."""
        self.counts[-1] += 1

    def buckets(self) -> Iterator[tuple[float, int]]:
        """Each bound with how many values were not above it, infinity last."""
        return zip((*self.bounds, float("inf")), accumulate(self.counts), strict=True)
