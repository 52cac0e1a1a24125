"""Turns samples into the few numbers that a report shows."""

from __future__ import annotations

from collections.abc import Sequence


def summary(samples: Sequence[float]) -> dict[str, float]:
    """Count, median, 99th percentile and greatest; all but the count in the samples' unit, rounded to a thousandth."""
    if not samples:
        return {"count": 0}
    ordered = sorted(samples)
    return {
        "count": len(ordered),
        "p50": round(quantile(ordered, 0.50), 3),
        "p99": round(quantile(ordered, 0.99), 3),
        "max": round(ordered[-1], 3),
    }


def quantile(ordered: Sequence[float], part: float) -> float:
    """The sample below which `part` of all are, by nearest rank, so that it is one that was really seen."""
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
