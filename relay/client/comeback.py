"""Says when one attachment is to be asked for again, so that not all who lost theirs ask at the same moment."""

from __future__ import annotations

import asyncio
from random import Random

GAP_SPREAD_SECONDS = 2.0  # after a bus gap all browsers of a node come back at random within this time
# Between two tries to attach while the relay says "not now"; the random part is all of it. The first is short because a
# node that asks a dead one says so only after a second, in which the machine may have come back elsewhere.
RETRY_SECONDS = (0.25, 0.5, 1.0)
# Who is attached to a machine that is connected again comes back with it; to other machines at other moments, since
# agents have a jitter of their own.
RETURN_SPREAD_SECONDS = 0.25


class Comeback:
    """When to attach again. It may be wanted at any moment and for several reasons; one attach serves them all."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._wanted = asyncio.Event()
        self._delay = 0.0  # before the next attach
        self._refusals = 0  # in a row, of those that are tried again

    def want(self) -> None:
        """Attach again, after whatever pause was asked for before."""
        self._wanted.set()

    def want_in(self, seconds: float) -> None:
        """Attach again after so long."""
        self._delay = seconds
        self._wanted.set()

    async def wanted(self) -> None:
        """Wait until another attach is."""
        await self._wanted.wait()
        self._wanted.clear()

    async def due(self) -> None:
        """Wait out the pause that was asked for."""
        delay, self._delay = self._delay, 0.0
        await asyncio.sleep(delay)

    def refused_seconds(self) -> float:
        """The pause after a "not now"; each call counts one more in a row."""
        step = RETRY_SECONDS[min(self._refusals, len(RETRY_SECONDS) - 1)]
        self._refusals += 1
        return self._random.uniform(0, step)

    def machine_seconds(self) -> float:
        """The pause once a machine that was away is connected again."""
        return self._random.uniform(0, RETURN_SPREAD_SECONDS)

    def gap_seconds(self) -> float:
        """The pause after a gap between nodes, which everybody attached there has at once."""
        return self._random.uniform(0, GAP_SPREAD_SECONDS)

    def succeeded(self) -> None:
        """It is attached, with all there is."""
        self._refusals = 0
