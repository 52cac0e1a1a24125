"""Samples how late this process comes to its own timers, and how long its messages take through Redis."""

from __future__ import annotations

import asyncio
import time

from relay.node.meters import Meters
from relay.rules import metrics
from relay.store import Bus

LAG_EVERY_SECONDS = 0.25  # often enough to see a hold of the loop that lasts as long, at four wake-ups a second
DELIVERY_EVERY = 4  # of those: the bus probes itself once a second


class Samples:
    """The node's own stop-watch; see `relay_loop_lag_seconds` and `relay_delivery_seconds`.

    A probe of the bus takes the way of a frame to another node: out at the end of a tick, through Redis, in with a
    read, and each with the lag of the loop that it meets. While the bus is deaf a frame would not arrive at all, and
    such a second counts as infinitely long, or a day without Redis would look like a good one.
    """

    def __init__(self, meters: Meters, bus: Bus) -> None:
        self._lag = meters.tally(metrics.LAG)
        self._delivery = meters.tally(metrics.DELIVERY)
        self._bus = bus
        self.latest_lag_seconds = 0.0
        self._worst = 0.0

    async def run(self) -> None:
        """Sample until cancelled."""
        turn = 0
        while True:
            began = time.perf_counter()  # the loop's own clock stands still while it is held, and counts milliseconds
            await asyncio.sleep(LAG_EVERY_SECONDS)
            self.lag(max(0.0, time.perf_counter() - began - LAG_EVERY_SECONDS))
            turn += 1
            if turn % DELIVERY_EVERY == 0:
                self.deliver()

    def lag(self, seconds: float) -> None:
        """The loop was so late."""
        self._lag.add(seconds)
        self._worst = max(self._worst, seconds)

    def deliver(self) -> None:
        """Take one sample of the bus; to be called each second."""
        self.latest_lag_seconds, self._worst = self._worst, 0.0
        took = None if self._bus.deaf else self._bus.round_trip_seconds
        if took is None:
            self._delivery.miss()
        else:
            self._delivery.add(took)
