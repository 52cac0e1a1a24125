"""Says how long something may take on a computer that has other things to do."""

from __future__ import annotations

import os

MOST = 3.0  # beyond it a promise would be none: tests that run beside each other want about two processors for each
_told: set[tuple[str, str]] = set()  # by test


def within(seconds: float) -> float:
    """What is promised within so many seconds has so many where every program that wants a processor has one, and in
    proportion more where they share it: by how many wanted one in the last minute, and three times as many at most.
    A test that fails shows by how much it was."""
    factor = min(slowness(), MOST)
    told = os.environ.get("PYTEST_CURRENT_TEST", ""), f"{seconds:g} s count {factor:.0f} times here"
    if factor > 1.0 and told not in _told:  # else once for each look of a loop
        _told.add(told)
        print(told[1])
    return seconds * factor


def overrun() -> bool:
    """Whether so many programs want a processor that no time which is measured says anything of ours."""
    return slowness() >= MOST


def slowness() -> float:
    """How many programs share a processor, and one at the least."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
