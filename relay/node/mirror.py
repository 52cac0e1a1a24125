"""Keeps Redis's mirror of revoked machines complete, so that handshakes never ask SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from relay.errors import RegistryUnavailable, RelayError, Unavailable
from relay.registry import Change, Registry
from relay.store import Keys, Revocations

RETRY_SECONDS = 1.0  # while Redis or the registry does not answer
WAITING = 10_000  # changes kept meanwhile; with more than that, the shards that lack some are loaded whole


class Mirror:
    """Follows the tail shard by shard, and loads a shard whole when Redis lost it."""

    def __init__(self, registry: Registry, revocations: Revocations, keys: Keys) -> None:
        self._machines = registry.machines
        self._revocations = revocations
        self._keys = keys
        self._loading = asyncio.Lock()
        self._failures = 0  # of the registry, while somebody loaded
        self._waiting: list[Change] = []
        self._everything = False
        self._doubted = False
        self._followed = 0  # the latest change that the mirror was told of
        self._rung = asyncio.Event()

    def changed(self, changes: Sequence[Change]) -> None:
        """The table has grown by these; the mirror follows soon."""
        self._waiting += changes
        self._rung.set()

    def missed(self) -> None:
        """Changes were missed, or their numbers given to others: the mirror may hold less than it says."""
        self._everything = True
        self._rung.set()

    def doubt(self) -> None:
        """Redis was away: another server may have its place, which had not heard the latest. A node that cannot reach
        the registry would let in whom the mirror lacks."""
        self._doubted = True
        self._rung.set()

    async def run(self) -> None:
        """Follow until cancelled. What Redis did not take is told again, for another node that cannot reach the
        registry may let in who is not in the mirror."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            waiting, self._waiting = self._waiting, []
            everything, self._everything = self._everything, False
            doubted, self._doubted = self._doubted, False
            try:
                if doubted and await self._revocations.behind(self._followed):
                    everything = True
                if everything and await self._load_everything():
                    self._again(everything, [])  # for the shards that are away; the others are complete
                everything = False
                if waiting:
                    await self.follow(waiting[0].number - 1, waiting)
            except RelayError as error:
                structlog.get_logger().warning("the mirror of revocations waits", why=error.message)
                self._doubted = self._doubted or doubted
                self._again(everything, waiting)

    def _again(self, everything: bool, waiting: Sequence[Change]) -> None:
        self._waiting = [*waiting, *self._waiting][-WAITING:]
        self._everything = self._everything or everything
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._rung.set)

    def shard(self, workspace: str) -> int:
        """The shard of a workspace."""
        return self._keys.shard(workspace)

    async def load(self, shard: int, upto: int) -> None:
        """Make a shard complete up to change `upto` or beyond; of many who ask one loads. Where one shard was lost, so
        were others: those that are there are made complete from one reading. Raises `Unavailable`; where the registry
        does not answer whoever loads, those who wait for that hear it too, and do not ask one after the other."""
        failures = self._failures
        if await self._complete(shard, upto):  # who asks for a shard that is away finds out here, and holds nobody up
            return
        async with self._loading:
            have = await self._revocations.upto(shard)
            if have is not None and have >= upto:
                return
            if self._failures > failures:
                raise RegistryUnavailable("the registry does not answer")
            try:
                found, known = await self._revoked()
            except RegistryUnavailable:
                self._failures += 1
                raise
            if have is not None:
                await self._revocations.load(shard, found.get(shard, []), max(known, upto))
            elif shard in await self._revocations.load_all(found, max(known, upto)):
                raise Unavailable("the relay's memory (Redis) does not answer")

    async def _complete(self, shard: int, upto: int) -> bool:
        have = await self._revocations.upto(shard)
        return have is not None and have >= upto

    async def _load_everything(self) -> frozenset[int]:
        """Load every shard; those that are away."""
        return await self._revocations.load_all(*await self._revoked())

    async def _revoked(self) -> tuple[dict[int, list[str]], int]:
        """Everybody who is revoked by shard, and up to which change."""
        found: dict[int, list[str]] = {}
        since = 0
        while True:
            page = await self._machines.revoked(since)
            for each in page.machines:
                found.setdefault(self._keys.shard(each.workspace), []).append(each.id)
            since = page.upto
            if not page.more:
                return found, since

    async def follow(self, since: int, changes: Sequence[Change]) -> None:
        """Add what a run of changes revoked; incomplete shards wait for the next handshake that needs them."""
        revoked = [
            (change.workspace, change.subject)
            for change in changes
            if change.kind == "machine-revoked" and change.workspace is not None
        ]
        self._followed = max(self._followed, changes[-1].number)
        await self._revocations.follow(since, changes[-1].number, revoked)
