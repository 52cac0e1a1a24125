"""Counts durations in buckets that grow with them: millions cost a few kilobytes, a percentile is right to 1 %."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from loadtests.report.summary import Latency

# hdrhistogram from PyPI does the same with 64-bit integers of one fixed range. Ours counts in floats without a range,
# is merged over a pipe as the list that the summary holds, is typed, and brings neither a compiler nor pbr.
BUCKETS_PER_DOUBLING = 64  # a bucket is at most 1.1 % wide
LEAST_MS = 0.001  # a microsecond: what is quicker counts as this


class Histogram:
    """Durations in milliseconds; the greatest is kept exactly."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.greatest = 0.0

    def add(self, milliseconds: float, times: int = 1) -> None:
        """Count a duration; a negative one, which only a clock that was set back makes, as the least."""
        bucket = math.ceil(math.log2(max(milliseconds, LEAST_MS) / LEAST_MS) * BUCKETS_PER_DOUBLING)
        self._counts[bucket] = self._counts.get(bucket, 0) + times
        self.count += times
        self.greatest = max(self.greatest, milliseconds)

    def merge(self, other: Histogram) -> None:
        """Count all that another counted as well."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += other.count
        self.greatest = max(self.greatest, other.greatest)

    def percentile(self, percent: float) -> float | None:
        """The duration that so many of a hundred did not exceed, at most 1.1 % above it; None without any."""
        wanted, seen = max(1, math.ceil(self.count * percent / 100)), 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(_upto(bucket), self.greatest)
        return None

    def latency(self, *, corrected: bool = True) -> Latency:
        """For the summary."""
        if not self.count:
            return Latency(corrected=corrected)
        p50, p90, p99, p99_9 = (_rounded(self.percentile(percent)) for percent in (50, 90, 99, 99.9))
        return Latency(
            count=self.count,
            p50=p50,
            p90=p90,
            p99=p99,
            p99_9=p99_9,
            max=_rounded(self.greatest),
            corrected=corrected,
            histogram=self.pairs(),
        )

    def pairs(self) -> list[tuple[float, int]]:
        """(up to so many milliseconds, how many), ascending; the last one is the greatest itself."""
        found = [(float(f"{_upto(bucket):.6g}"), self._counts[bucket]) for bucket in sorted(self._counts)]
        return [*found[:-1], (self.greatest, found[-1][1])] if found else []

    @classmethod
    def of(cls, pairs: Iterable[Sequence[float]]) -> Histogram:
        """The histogram that gave these pairs, from a summary or from another process."""
        made = cls()
        for upto, count in pairs:
            # A little below the bound, which rounding may have moved into the next bucket.
            made.add(upto * (1 - 1e-5), int(count))
            made.greatest = upto
        return made


def _upto(bucket: int) -> float:
    return float(LEAST_MS * 2 ** (bucket / BUCKETS_PER_DOUBLING))


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else float(f"{milliseconds:.5g}")
