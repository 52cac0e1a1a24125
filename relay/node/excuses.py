"""Tells Redis, as soon as it answers again, in which shards machines were turned away because it did not."""

from __future__ import annotations

import asyncio

from relay.errors import RelayError
from relay.store import Presence

AGAIN_SECONDS = 0.5  # a sweeper that had no Redis either gives nodes four times as long before it claims anybody


class Excuses:
    """What this node owes to machines that could not return in time, and not by their fault. An absence of Redis that
    lasts for a flush or two shows in the marks of its shards; this is for the shorter ones. Who is kept out because a
    revocation may be unknown, or because the registry cannot settle a registration, is not excused."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._owed: set[int] = set()  # shards
        self._rung = asyncio.Event()
        presence.turned_away = self.owe

    def owe(self, shard: int) -> None:
        """A machine of this shard could not be let in."""
        self._owed.add(shard)
        self._rung.set()

    async def run(self) -> None:
        """Tell until cancelled; what nobody took is told again."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            owed, self._owed = self._owed, set()
            try:
                away = await self._presence.excuse(owed)
            except RelayError:  # whoever was turned away has been told of it, and the log by the flushes
                away = frozenset(owed)
            if away:
                self._owed |= away
                self._rung.set()
            await asyncio.sleep(AGAIN_SECONDS)
