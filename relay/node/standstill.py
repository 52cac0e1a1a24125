"""Notices that this process stood still, and which of what it heard may therefore be older than it seems."""

from __future__ import annotations

import math

# Longer than any pause of a node that works, and shorter than anything that others decide because of its silence.
STANDSTILL_SECONDS = 4.0
UNDATED_SECONDS = 2.0  # in which a process that goes on reads what arrived while it did not


class Standstill:
    """The node's ear for its own silence: a stopped process, a suspended machine, a loop that was held."""

    def __init__(self) -> None:
        self._looked = math.nan  # monotonic seconds
        self._from = self._until = -math.inf  # what was heard in between has no date
        self.count = 0

    def look(self, now: float) -> bool:
        """To be called each second, and before anything that trusts a date; whether a standstill is noticed now."""
        stood = now - self._looked > STANDSTILL_SECONDS
        if stood:
            self._from, self._until = self._looked, now + UNDATED_SECONDS
            self.count += 1
        self._looked = now
        return stood

    def dated(self, heard: float) -> bool:
        """Whether what was read at this moment arrived about then: after a standstill it may have waited as long."""
        return not self._from < heard <= self._until
