"""Hands out, once each, the machines that went offline or came back, until SQL has been told of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct

from relay.rules.presence import Fence, OfflineReason, Record
from relay.store.connection import Redis
from relay.store.keys import Keys


class Claimed(Struct, frozen=True, kw_only=True):
    """What SQL is to be told of one machine. `reason` None: it is online, forget why it was not."""

    workspace: str
    machine: str
    fence: Fence
    record: Record
    reason: OfflineReason | None
    offline_ms: int | None  # the deadline, not the moment of noticing
    value: str  # the record as Redis held it; `confirm` compares


class Claims:
    """The sweepers' side of presence. Any number of sweepers may use it at once. Methods raise `Unavailable`."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def claim(self, shards: Collection[int], limit: int, live: Collection[str]) -> list[Claimed]:
        """Mark machines offline whose deadline passed (ringing for each exactly once, whoever calls) and take at most
        `limit` untold ones per shard for 10 s. Nothing from unsettled shards. `live` are the boots with a lease."""
        raise NotImplementedError

    async def confirm(self, claimed: Sequence[Claimed]) -> None:
        """SQL has committed these; a machine whose record changed since is claimed again."""
        raise NotImplementedError

    async def retire(self, shards: Collection[int], limit: int) -> int:
        """Forget at most `limit` machines per shard that have been offline for two days; how many went."""
        raise NotImplementedError

    async def absent(self, workspace_machines: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those (workspace, machine) of a settled shard that Redis has no record of, although SQL thinks them online."""
        raise NotImplementedError
