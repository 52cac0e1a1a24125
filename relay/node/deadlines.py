"""Holds many to one length of time with a single timer: a timer of the loop for each connection costs as much as its
parsing."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar


class Waited(Protocol):
    """Somebody who is waited for."""

    def too_late(self) -> None:
        """The time is over."""


W = TypeVar("W", bound=Waited)


class Deadlines(Generic[W]):
    """Those who are waited for, each for the same time, the longest first."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # Not a plain dict: that looks at every place which was given up before it finds the oldest.
        self._waited: OrderedDict[W, float] = OrderedDict()  # until when, in the loop's seconds
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """How many are waited for."""
        return len(self._waited)

    @property
    def oldest(self) -> W:
        """Who is waited for the longest; there must be somebody."""
        return next(iter(self._waited))

    def begin(self, waited: W) -> None:
        """Wait for them from now on; whoever is waited for already is not given more time."""
        if waited not in self._waited:
            self._waited[waited] = asyncio.get_running_loop().time() + self._seconds
            if self._timer is None:
                self._arm()

    def end(self, waited: W) -> None:
        """They came, or left; twice is as good as once."""
        self._waited.pop(waited, None)

    def _arm(self) -> None:
        """Wake up when the oldest is due. Most have come by then, and the next oldest is looked for."""
        if self._waited:
            self._timer = asyncio.get_running_loop().call_at(self._waited[self.oldest], self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        try:
            while self._waited and self._waited[self.oldest] <= now:
                late, _ = self._waited.popitem(last=False)
                late.too_late()
        finally:
            self._arm()
