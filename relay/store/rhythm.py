"""Follows which times an operator chose for the cluster, so that all of its processes take them up at one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from relay.errors import RelayError, Unavailable
from relay.rules import timing
from relay.rules.rhythm import Chosen, values
from relay.store.connection import ask
from relay.store.keys import Keys
from relay.store.leases import agree
from relay.store.memory import Memory, independent, some
from relay.store.records import milliseconds

LOOK_SECONDS = 2.0  # between two looks at the registry, in which one small row is read
LEAD_SECONDS = 5.0  # from a choice to its moment: everybody who can look has done so twice


class Follower:
    """One process's look at the registry. Nobody waits for it, and a registry that is away changes nothing."""

    def __init__(
        self,
        redis: Memory,
        keys: Keys,
        latest: Callable[[], Awaitable[Chosen]],
        keep: Callable[[Chosen], None],
        chosen: Chosen,
    ) -> None:
        """`keep` is called with each choice at its moment, and now with the one that the process begins with."""
        self._redis = redis
        self._keys = keys
        self._latest = latest
        self._keep = keep
        self._chosen = chosen
        keep(chosen)

    async def run(self) -> None:
        """Look every two seconds until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except RelayError as error:
                structlog.get_logger().debug("the times of the cluster are not read", why=error.message)

    async def look(self) -> None:
        """Keep what was chosen, once its moment has come; raises `RegistryUnavailable`."""
        chosen = await self._latest()
        if chosen == self._chosen:
            return
        await asyncio.sleep(await self._seconds_until(chosen.from_ms))
        self._chosen = chosen
        self._keep(chosen)
        structlog.get_logger().info("other times from now on", revision=chosen.revision, **values(chosen.rhythm))
        await agree(self._redis, self._keys, timing.agreed(), chosen.values)

    async def _seconds_until(self, from_ms: int) -> float:
        try:
            seconds = (from_ms - await now_ms(self._redis)) / 1000
        except Unavailable:
            return 0.0  # nobody knows what time it is, and every mix of before and after is sound
        return min(max(seconds, 0.0), LEAD_SECONDS)


async def now_ms(redis: Memory) -> int:
    """Redis's clock, of several servers the one that is ahead; raises `Unavailable`."""
    return max([milliseconds(time) for time in await some(ask(each, "TIME") for each in independent(redis))])
