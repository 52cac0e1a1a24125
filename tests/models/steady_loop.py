"""Lends an event loop whose clock goes only where the story moves it."""

from __future__ import annotations

import asyncio

CREEP = 1e-4  # what passes of a real second: some, so that no two moments are the same, and never enough to matter


class SteadyLoop(asyncio.SelectorEventLoop):
    """A loop in which hardly any time passes by itself, however slow the computer is."""

    def __init__(self) -> None:
        self.ahead_seconds = 0.0
        super().__init__()

    def time(self) -> float:
        """See `asyncio.AbstractEventLoop`."""
        return super().time() * CREEP + self.ahead_seconds
