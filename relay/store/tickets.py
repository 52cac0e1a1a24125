"""Remembers one-time tickets for browser sockets, for thirty seconds."""

from __future__ import annotations

from redis.asyncio import Redis

from relay.rules.timing import TICKET_SECONDS
from relay.store.connection import answering, ask
from relay.store.keys import Keys


class Tickets:
    """Tickets, stored by digest only. Methods raise `Unavailable`."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def issue(self, ticket: str, stands_for: str) -> None:
        """Remember what a freshly made ticket (`rly_tick_...`) stands for, such as a credential's id or a hash."""
        with answering():
            await self._redis.set(self._keys.ticket(ticket), stands_for, px=int(TICKET_SECONDS * 1000))

    async def redeem(self, ticket: str) -> str | None:
        """What the ticket stood for, once; None when unknown, used or older than 30 s."""
        found: str | None = await ask(self._redis, "GETDEL", self._keys.ticket(ticket))
        return found
