"""Measures for how much work anything holds the event loop of this process."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

# Between two turns. A meter that spins would be exact to the microsecond, and would keep the database's threads from
# ever getting the interpreter.
TURN_SECONDS = 0.001


class HoldMeter:
    """Wakes every millisecond while it is entered; `longest_ms` is the most that the loop's thread worked between two
    turns. Processor time, because on a shared machine the clock on the wall mostly measures the neighbours."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self.worked_ms = 0.0

    async def __aenter__(self) -> HoldMeter:
        self._task = asyncio.create_task(self._take_turns())
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.sleep(2 * TURN_SECONDS)  # a hold up to this very moment shows in the turn after it
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _take_turns(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(TURN_SECONDS)
            now = time.thread_time()
            worked_ms = (now - last) * 1000
            self.longest_ms = max(self.longest_ms, worked_ms)
            self.worked_ms += worked_ms
            last = now
