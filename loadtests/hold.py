"""Measures for how long anything holds the event loop of this process."""

from __future__ import annotations

import asyncio
from types import TracebackType

# Between two turns. A meter that spins would be exact to the microsecond, and would keep the database's threads from
# ever getting the interpreter.
TURN_SECONDS = 0.001


class HoldMeter:
    """While it is entered it wakes every millisecond; how late it came at worst is what others waited."""

    def __init__(self) -> None:
        self.longest_ms = 0.0

    async def __aenter__(self) -> HoldMeter:
        self._task = asyncio.create_task(self._take_turns())
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.sleep(TURN_SECONDS)  # a hold up to this very moment shows in the turn after it
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _take_turns(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.longest_ms = max(self.longest_ms, (loop.time() - due) * 1000)
            due = loop.time() + TURN_SECONDS
            await asyncio.sleep(TURN_SECONDS)
