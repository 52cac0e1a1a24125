"""Notices that this node has had no Redis for too long, and offers its agents to move to nodes that have it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from relay.node.offers import Offers
from relay.rules.timing import LANE_TICK_SECONDS, REDIS_LOST_SECONDS

TICKS = int(REDIS_LOST_SECONDS / LANE_TICK_SECONDS)
LOOK_SECONDS = 5.0  # until some other node has Redis, which may come back for one before it does for another

Ready = Callable[[Sequence[str]], Awaitable[list[str]]]  # which of these nodes take newcomers


class Outage:
    """Counts the seconds, in which this process was awake, since Redis last answered. Nobody is closed for it, and
    nobody is asked to move while no other node is better off: a hello that reaches a Redis which stands still is taken
    when it goes on, however long ago its agent gave up, and takes the machine from the socket that it has."""

    def __init__(
        self, answered_at: Callable[[], object], others: Callable[[], list[str]], ready: Ready, offers: Offers
    ) -> None:
        self._answered_at = answered_at  # any value that is another one once Redis has answered again
        self._others = others
        self._ready = ready
        self._offers = offers
        self._latest: object = None
        self._ticks = 0
        self._rung = asyncio.Event()

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
            self._rung.set()
        elif before >= TICKS > self._ticks:
            structlog.get_logger().info("this node has Redis again")
            self._offers.withdraw()

    async def run(self) -> None:
        """Offer everybody elsewhere, once in each outage, when there is such a place; until cancelled."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            while self.lost:
                places = await self._ready(self._others())
                if places and self.lost:
                    self._offers.everybody(places)
                    break
                await asyncio.sleep(LOOK_SECONDS)
