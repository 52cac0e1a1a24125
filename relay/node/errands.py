"""Owns the short tasks that connections start, so that a connection needs no task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog


class Errands:
    """The tasks of all connections of a node, in one group. One that fails is logged and costs nobody else anything."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self) -> None:
        """Be there for errands until cancelled, and cancel those that are left."""
        async with asyncio.TaskGroup() as self._group:
            await asyncio.get_running_loop().create_future()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin an errand; only while `run` is under way."""
        assert self._group is not None, "errands begin after run() did"
        self._running += 1
        self._idle.clear()
        task = self._group.create_task(_logged(work))
        task.add_done_callback(self._done)
        return task

    def _done(self, _task: asyncio.Task[None]) -> None:
        self._running -= 1
        if not self._running:
            self._idle.set()

    async def finished(self) -> None:
        """Wait until nothing is under way."""
        await self._idle.wait()


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        structlog.get_logger().exception("an errand of a connection failed")
