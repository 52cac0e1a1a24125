"""Tails the registry's table of changes, which is how this node learns of every change of access."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from relay.errors import RelayError
from relay.registry import Change, Registry
from relay.rules.timing import CHANGES_SECONDS

Listener = Callable[[Sequence[Change]], None]
PAGE = 1_000  # changes read at once


class Tail:
    """The node's cursor in the table. Rings may be lost; the look every two seconds may not."""

    def __init__(self, registry: Registry) -> None:
        self._changes = registry.changes
        self._listeners: list[Listener] = []
        self._fresh_starts: list[Callable[[], None]] = []
        self._rung = asyncio.Event()
        self._reading = asyncio.Lock()
        self.number = 0  # everything up to here has been acted on

    def listen(self, listener: Listener, fresh_start: Callable[[], None]) -> None:
        """Call `listener` with each run of changes, in order; `fresh_start` when some were cleaned up unread."""
        self._listeners.append(listener)
        self._fresh_starts.append(fresh_start)

    async def begin(self) -> None:
        """Start from now: what is read from the registry after this is newer than the cursor."""
        self.number = await self._changes.latest()

    async def catch_up(self) -> None:
        """Act on everything committed before this call; raises `Unavailable`."""
        async with self._reading:
            while await self._changes.latest() > self.number:
                self._act(await self._changes.since(self.number, PAGE))

    def _act(self, changes: Sequence[Change]) -> None:
        if not changes:
            return
        missed = changes[0].number != self.number + 1
        self.number = changes[-1].number
        if missed:
            for fresh_start in self._fresh_starts:
                fresh_start()
        for listener in self._listeners:
            listener(changes)

    def ring(self, _message: bytes = b"") -> None:
        """The table has grown: look now."""
        self._rung.set()

    async def run(self) -> None:
        """Look at every ring and every two seconds, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(CHANGES_SECONDS):
                    await self._rung.wait()
            except TimeoutError:
                pass
            self._rung.clear()
            try:
                await self.catch_up()
            except RelayError as error:
                structlog.get_logger().warning("the table of changes cannot be read", why=error.message)
