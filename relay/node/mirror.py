"""Keeps Redis's mirror of revoked machines complete, so that handshakes never ask SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from relay.errors import RelayError
from relay.registry import Change, Registry
from relay.store import Keys, Revocations


class Mirror:
    """Follows the tail shard by shard, and loads a shard whole when Redis lost it."""

    def __init__(self, registry: Registry, revocations: Revocations, keys: Keys) -> None:
        self._machines = registry.machines
        self._revocations = revocations
        self._keys = keys
        self._loading: dict[int, asyncio.Lock] = {}
        self._waiting: list[Change] = []
        self._rung = asyncio.Event()

    def changed(self, changes: Sequence[Change]) -> None:
        """The table has grown by these; the mirror follows soon."""
        self._waiting += changes
        self._rung.set()

    async def run(self) -> None:
        """Follow until cancelled. What Redis did not take is not told again: the shards that lack it are loaded by the
        next handshake that needs them."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            waiting, self._waiting = self._waiting, []
            try:
                await self.follow(waiting[0].number - 1, waiting)
            except RelayError as error:
                structlog.get_logger().warning("the mirror of revocations waits", why=error.message)

    def shard(self, workspace: str) -> int:
        """The shard of a workspace."""
        return self._keys.shard(workspace)

    async def load(self, shard: int, upto: int) -> None:
        """Make a shard complete up to change `upto` or beyond; of many who ask one loads. Raises `Unavailable`."""
        async with self._loading.setdefault(shard, asyncio.Lock()):
            have = await self._revocations.upto(shard)
            if have is not None and have >= upto:
                return
            found: list[str] = []
            since = 0
            while True:
                page = await self._machines.revoked(since)
                found += [m.id for m in page.machines if self._keys.shard(m.workspace) == shard]
                since = page.upto
                if not page.more:
                    break
            await self._revocations.load(shard, found, max(since, upto))

    async def follow(self, since: int, changes: Sequence[Change]) -> None:
        """Add what a run of changes revoked; incomplete shards wait for the next handshake that needs them."""
        revoked = [
            (change.workspace, change.subject)
            for change in changes
            if change.kind == "machine-revoked" and change.workspace is not None
        ]
        await self._revocations.follow(since, changes[-1].number, revoked)
