"""Runs a bus for the length of a test, and collects what is rung on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from relay.store import Bus, Keys

WAIT_SECONDS = 10.0  # a test that waits longer has found something


@asynccontextmanager
async def listening(url: str, keys: Keys, **options: int) -> AsyncIterator[Bus]:
    """A bus that is connected and hears itself."""
    bus = Bus(url, keys, **options)  # type: ignore[arg-type]
    async with running(bus):
        await asyncio.wait_for(bus.ready(), WAIT_SECONDS)
        yield bus


@asynccontextmanager
async def running(bus: Bus) -> AsyncIterator[None]:
    """Run a bus, connected or not, and end it."""
    task = asyncio.create_task(bus.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Inbox:
    """Collects messages, and lets a test wait for them."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self._changed = asyncio.Event()

    def hear(self, data: bytes) -> None:
        """The callback for a bus."""
        self.messages.append(data)
        self._changed.set()

    async def until(self, enough: Callable[[list[bytes]], bool]) -> list[bytes]:
        """Wait until what was heard is enough."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not enough(self.messages):
                self._changed.clear()
                await self._changed.wait()
        return self.messages


class Listener:
    """Collects the machines of one workspace that a doorbell names."""

    def __init__(self, workspace: str) -> None:
        self._workspace = workspace
        self._inbox = Inbox()

    def hear(self, data: bytes) -> None:
        """The callback for a bus."""
        self._inbox.hear(data)

    async def until(self, enough: Callable[[list[str]], bool]) -> list[str]:
        """Wait until the machines heard of are enough."""
        return self._machines(await self._inbox.until(lambda messages: enough(self._machines(messages))))

    def _machines(self, messages: list[bytes]) -> list[str]:
        rung = [json.loads(message) for message in messages]
        return [machine for bell in rung if bell["workspace"] == self._workspace for machine in bell["machines"]]
