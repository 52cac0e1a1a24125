"""Remembers one-time tickets for browser sockets, for thirty seconds."""

from __future__ import annotations

from relay.rules.timing import TICKET_SECONDS
from relay.store.connection import ask
from relay.store.keys import Keys
from relay.store.memory import Memory


class Tickets:
    """Tickets, stored by digest only. Methods raise `Unavailable`."""

    def __init__(self, redis: Memory, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def issue(self, ticket: str, stands_for: str) -> None:
        """Remember what a freshly made ticket (`rly_tick_...`) stands for, such as a credential's id or a hash."""
        await ask(self._redis, "SET", self._keys.ticket(ticket), stands_for, "PX", int(TICKET_SECONDS * 1000))

    async def redeem(self, ticket: str) -> str | None:
        """What the ticket stood for, once; None when unknown, used or older than 30 s."""
        found: str | None = await ask(self._redis, "GETDEL", self._keys.ticket(ticket))
        return found
