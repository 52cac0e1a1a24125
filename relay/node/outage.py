"""Notices that this node has had no Redis for too long, and offers its agents to move to nodes that may have it."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from relay.node.offers import Offers
from relay.rules.timing import LANE_TICK_SECONDS, REDIS_LOST_SECONDS

TICKS = int(REDIS_LOST_SECONDS / LANE_TICK_SECONDS)


class Outage:
    """Counts the seconds, in which this process was awake, since Redis last answered. Nobody is closed for it: whoever
    finds no better node stays, so that an outage for all nodes at once moves nobody."""

    def __init__(self, answered_at: Callable[[], object], others: Callable[[], list[str]], offers: Offers) -> None:
        self._answered_at = answered_at  # any value that is another one once Redis has answered again
        self._others = others
        self._offers = offers
        self._latest: object = None
        self._ticks = 0

    @property
    def lost(self) -> bool:
        """Whether newcomers had better go elsewhere."""
        return self._ticks >= TICKS

    def tick(self) -> None:
        """To be called each second."""
        latest, before = self._answered_at(), self._ticks
        self._ticks = self._ticks + 1 if latest == self._latest else 0
        self._latest = latest
        if self._ticks == TICKS:
            structlog.get_logger().warning("this node has lost Redis", seconds=REDIS_LOST_SECONDS)
            others = self._others()
            if others:
                self._offers.everybody(others)
        elif before >= TICKS > self._ticks:
            structlog.get_logger().info("this node has Redis again")
            self._offers.withdraw()
