"""Hears what sweepers announce: for each machine, when its workspace's bell rang for it."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.store import Bus, Keys

READY_SECONDS = 20.0


class Hearing:
    """Every bell of every shard, since the last `forget`."""

    def __init__(self) -> None:
        self.rang: dict[str, list[float]] = defaultdict(list)  # by machine, Unix seconds

    def forget(self) -> None:
        """What rang before does not count."""
        self.rang.clear()

    def hear(self, data: bytes) -> None:
        """The callback for a bus."""
        now = time.time()
        for machine in json.loads(data)["machines"]:
            self.rang[machine].append(now)


@asynccontextmanager
async def hearing(url: str) -> AsyncIterator[Hearing]:
    """Listen until the block ends."""
    found, keys = Hearing(), Keys()
    bus = Bus(url, keys)
    for shard in keys.shards:
        bus.subscribe(keys.events(shard), found.hear)
    running = asyncio.create_task(bus.run())
    try:
        await asyncio.wait_for(bus.ready(), READY_SECONDS)
        yield found
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
