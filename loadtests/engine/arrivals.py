"""Says when operations are due, whether or not those before them are done, and starts each when it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Literal

Kind = Literal["poisson", "even"]
# Event loops count in milliseconds. What was due meanwhile is begun together, and each counts from when it was due.
TICK_SECONDS = 0.001
AT_ONCE = 500  # begun before the loop reads again; a generator that is behind must still hear


def arrivals(rate: float, begin: float, random: Random, kind: Kind = "poisson") -> Iterator[float]:
    """Due times from `begin` on, so many a second: at random, as independent peers are, or evenly. The same seed gives
    the same times."""
    assert rate > 0
    due = begin
    while True:
        yield due
        due += random.expovariate(rate) if kind == "poisson" else 1 / rate


async def pace(dues: Iterator[float], until: float, begin: Callable[[float], object]) -> int:
    """Begin one operation at each due time before `until`, none of them waiting for another; how many. An operation
    that is begun late is told when it was due, and counts from then."""
    begun = 0
    for due in dues:
        if due >= until:
            break
        wait = due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(max(wait, TICK_SECONDS))
        elif begun % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
        begin(due)
        begun += 1
    if until < float("inf"):
        await asyncio.sleep(max(0.0, until - time.monotonic()))
    return begun
