"""Notices that this process stood still, and which of what it heard may therefore be older than it seems."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

# Longer than any pause of a node that works, and shorter than anything that others decide because of its silence.
STANDSTILL_SECONDS = 4.0
UNDATED_SECONDS = 2.0  # in which a process that goes on reads what arrived while it did not
NAPS = 16  # of the host; whoever was heard before that many of them has been gone for long


def suspended_seconds() -> float:
    """How long this host has been suspended since it started, which the clock of the loop leaves out. Always 0 where
    the system does not tell, as everywhere but on Linux: a suspension is then noticed by nobody here, and whoever was
    heard before it counts as heard that much later."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    if boottime is None:
        return 0.0
    # The smaller of two, as a process that is held between the two clocks finds too much.
    return max(0.0, min(-time.monotonic() + time.clock_gettime(boottime) for _ in range(2)))


class Standstill:
    """The node's ear for its own silence: a stopped process, a suspended host, a loop that was held."""

    def __init__(self, suspended: Callable[[], float] = suspended_seconds) -> None:
        self._suspended = suspended
        self._looked = math.nan  # monotonic seconds
        self._slept = suspended()
        self._naps: deque[tuple[float, float]] = deque(maxlen=NAPS)  # before when the host slept, and for how long
        self._from = self._until = -math.inf  # what was heard in between has no date
        self.count = 0

    def look(self, now: float) -> bool:
        """To be called each second, and before anything that trusts a date; whether a standstill is noticed now."""
        slept = self._suspended()
        nap, self._slept = max(0.0, slept - self._slept), slept
        stood = now - self._looked + nap > STANDSTILL_SECONDS
        if stood:
            self._from, self._until = self._looked, now + UNDATED_SECONDS
            self._naps.append((self._looked, nap))
            self.count += 1
        self._looked = now
        return stood

    def dated(self, heard: float) -> bool:
        """Whether what was read at this moment arrived about then: after a standstill it may have waited as long."""
        return not self._from < heard <= self._until

    def age_seconds(self, heard: float, now: float) -> float:
        """How long ago something was that has a date, the sleep of the host in between included."""
        return now - heard + sum(seconds for before, seconds in self._naps if heard <= before)
