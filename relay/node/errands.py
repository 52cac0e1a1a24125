"""Owns the short tasks that connections start, so that a connection needs no task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

Failed = Callable[[Exception], None]


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

    def start(self, work: Coroutine[Any, Any, None], failed: Failed | None = None) -> asyncio.Task[None]:
        """Begin an errand; `failed` gets its error, which is logged otherwise. Raises RuntimeError, and leaves
        nothing to be finished, when `run` has ended."""
        assert self._group is not None, "errands begin after run() did"
        seen_through = _seen_through(work, failed or _log)
        try:
            task = self._group.create_task(seen_through)
        except RuntimeError:
            seen_through.close()
            work.close()
            raise
        self._running += 1
        self._idle.clear()

        def done(_task: asyncio.Task[None]) -> None:
            work.close()  # one that was cancelled before it began would complain that nobody awaited it
            self._running -= 1
            if not self._running:
                self._idle.set()

        task.add_done_callback(done)
        return task

    async def finished(self) -> None:
        """Wait until nothing is under way."""
        await self._idle.wait()


async def _seen_through(work: Coroutine[Any, Any, None], failed: Failed) -> None:
    try:
        await work
    except Exception as error:
        failed(error)


def _log(error: Exception) -> None:
    structlog.get_logger().error("an errand of a connection failed", exc_info=error)
