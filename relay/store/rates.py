"""Remembers token buckets, so that a limit per person or address holds across nodes."""

from __future__ import annotations

from typing import NamedTuple

from relay.store.connection import Redis
from relay.store.keys import Keys


class Rate(NamedTuple):
    """A named limit: so many at once, and so many a second after that."""

    name: str
    burst: int
    per_second: float


class Rates:
    """Token buckets by Redis's clock. Methods raise `Unavailable`."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def take(self, rate: Rate, subject: str, cost: int = 1) -> float:
        """Take from the subject's bucket: 0.0 when it was allowed, else the seconds after which it would be."""
        raise NotImplementedError
