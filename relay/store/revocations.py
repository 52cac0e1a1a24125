"""Mirrors the ids of revoked machines from SQL, so that handshakes and beats are checked without it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from relay.store.connection import Redis
from relay.store.keys import Keys


class Revocations:
    """The mirror: per shard a set that only grows and `upto`, the change number to which it is complete."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def load(self, shard: int, machines: Iterable[str], upto: int) -> None:
        """Add *all* revoked machines of the shard as SQL knows them up to change `upto`; never removes one."""
        raise NotImplementedError

    async def add(self, workspace: str, machine: str, number: int) -> None:
        """Add one machine at once, right after its revocation (change `number`) is committed; `upto` does not move,
        because changes between may not be here yet."""
        raise NotImplementedError

    async def follow(self, since: int, upto: int, revoked: Sequence[tuple[str, str]]) -> list[int]:
        """Extend every shard that is complete to `since` by the (workspace, machine) revoked in changes since+1..upto;
        the shards that were not, which need `load`. A node's tail calls it whenever its cursor moves."""
        raise NotImplementedError

    async def upto(self, shard: int) -> int | None:
        """To which change number the shard's mirror is complete; None when it was lost."""
        raise NotImplementedError

    async def holds(self, workspace: str, machine: str) -> bool:
        """Whether the mirror says that the machine is revoked."""
        raise NotImplementedError
