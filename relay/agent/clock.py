"""Tells the agent the time and lets it wait, so that a test can do both in its place."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """The clocks of this computer."""

    def monotonic(self) -> float:
        """Seconds that only ever grow; for ages and waits."""
        return time.monotonic()

    def unix(self) -> float:
        """Seconds since 1970; for what people read and what outlives the process."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
