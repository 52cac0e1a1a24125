"""Runs work about many workspaces side by side, so that a server of Redis that is away holds up no other's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import structlog

from relay.errors import RelayError

Item = TypeVar("Item", bound=Hashable)


class Strands(Generic[Item]):
    """A strand for each shard, as keys of one shard are on one server: its work is done in turn, and strands do not
    wait for each other. What is added while it waits is done once."""

    def __init__(
        self,
        name: str,
        shard: Callable[[Item], int],
        work: Callable[[Item], Awaitable[None]],
        *,
        gather_seconds: float,
        again_seconds: float | None = None,
    ) -> None:
        self._name = name  # of the work, for the log
        self._shard = shard
        self._work = work
        self._gather_seconds = gather_seconds  # before what was added is begun: it comes in bursts
        self._again_seconds = again_seconds  # before what failed is done again; None: it is left
        self._waiting: dict[int, dict[Item, None]] = {}  # by shard, in order
        self._busy: set[int] = set()
        self._rung = asyncio.Event()

    def add(self, item: Item) -> None:
        """There is something to do about this, soon."""
        self._waiting.setdefault(self._shard(item), {})[item] = None
        self._rung.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._rung.wait()
                await asyncio.sleep(self._gather_seconds)
                self._rung.clear()
                for shard in self._waiting.keys() - self._busy:
                    self._busy.add(shard)
                    group.create_task(self._strand(shard))

    async def _strand(self, shard: int) -> None:
        """Do what waits. One failure is no reason to leave the rest: it would be the same that is left each time."""
        failed: dict[Item, None] = {}
        try:
            for item in self._waiting.pop(shard):
                try:
                    await self._work(item)
                except RelayError as error:
                    if not failed:  # the others most likely fail alike
                        structlog.get_logger().warning(f"{self._name} waits", why=error.message)
                    failed[item] = None
                except Exception:
                    structlog.get_logger().exception(f"{self._name} failed")
                    failed[item] = None
            if failed and self._again_seconds is not None:
                await asyncio.sleep(self._again_seconds)
                self._waiting[shard] = failed | self._waiting.get(shard, {})
        finally:
            self._busy.discard(shard)
            if shard in self._waiting:
                self._rung.set()
