"""Spreads steps over a window of time, so that what many peers do because of them is a ramp and not a cliff."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")
Step = Callable[[], None]
GRAIN_SECONDS = 0.01  # steps this close together share one timer, of which twenty thousand would cost a second
AT_ONCE = 100  # steps without giving the loop back, about a millisecond; only somebody in a hurry takes so many


def spread(things: Sequence[T], seconds: float) -> list[tuple[float, T]]:
    """The things in any order, each with its moment: evenly over the window, but for chance within its own slot."""
    slot = seconds / max(1, len(things))
    order = random.sample(things, len(things))
    return [((place + random.random()) * slot, thing) for place, thing in enumerate(order)]  # noqa: S311 - no secret


class Pace:
    """Takes steps at their moments, or all that are left at once when somebody hurries."""

    def __init__(self) -> None:
        self._hurried = asyncio.Event()

    def hurry(self) -> None:
        """From now on nothing waits for its moment."""
        self._hurried.set()

    @property
    def hurried(self) -> bool:
        """Whether somebody asked for haste."""
        return self._hurried.is_set()

    async def walk(self, plan: Iterable[tuple[float, Step]]) -> None:
        """Take each step so many seconds from now, or a grain earlier."""
        began = asyncio.get_running_loop().time()
        for number, (seconds, step) in enumerate(sorted(plan, key=lambda planned: planned[0]), 1):
            if began + seconds > asyncio.get_running_loop().time() + GRAIN_SECONDS:
                await self._wait_until(began + seconds)
            step()
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _wait_until(self, at: float) -> None:
        """Wait for this moment (monotonic seconds), or for haste."""
        try:
            async with asyncio.timeout_at(at):
                await self._hurried.wait()
        except TimeoutError:
            pass
