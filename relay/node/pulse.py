"""Does what a node does each second because time has passed."""

from __future__ import annotations

import asyncio

import structlog

from relay.node.outage import Outage
from relay.node.router import Router
from relay.node.standstill import Standstill
from relay.rules.timing import INTEREST_SECONDS, LANE_TICK_SECONDS


class Pulse:
    """One clock for those who look each second."""

    def __init__(self, router: Router, outage: Outage, standstill: Standstill) -> None:
        self._router = router
        self._outage = outage
        self._standstill = standstill

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        repeated_at = loop.time()
        while True:
            await asyncio.sleep(LANE_TICK_SECONDS)
            now = loop.time()
            self._outage.tick()
            if self._standstill.look(now):
                structlog.get_logger().warning("this node stood still and goes on")
            due = now - repeated_at >= INTEREST_SECONDS
            if due:
                repeated_at = now
            self._router.tick(now, repeat_interest=due)
