"""Remembers which nodes live, and the timing constants that they agreed on."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from relay.store.connection import Redis
from relay.store.keys import Keys


class Lease(Struct, frozen=True):
    """One node's presence in the cluster, by the id that it drew at boot."""

    boot: str
    url: str
    started_ms: int
    draining: bool = False


class Leases:
    """The nodes that renewed within the last 15 s. Methods raise `Unavailable`."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def renew(self, lease: Lease) -> None:
        """Keep the node listed for another 15 s; also keeps the agreement on timing alive."""
        raise NotImplementedError

    async def release(self, boot: str) -> None:
        """Take the node off the list at once; for a clean exit."""
        raise NotImplementedError

    async def live(self) -> list[Lease]:
        """All nodes with a lease, oldest first."""
        raise NotImplementedError


async def agree(redis: Redis, keys: Keys, values: Mapping[str, float]) -> None:
    """Compare timing constants with the cluster's, which are those of whoever came first; raises `Misconfigured` naming
    both values of the first that differs. To be called before the first lease."""
    raise NotImplementedError
