"""Keeps the garbage collector's pauses short however many connections there are, and tells how long they were."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any

# Looking at one object takes the collector up to a microsecond, for fifteen thousand connections own far more memory
# than the processor's caches hold. Left alone, Python looks at all of them whenever their number has grown by a
# quarter. Here a full collection looks at what is new; what it finds alive is put where none looks at it again. That
# is safe because a connection is no garbage of the collector's: when it ends, nothing of it refers to itself.
THRESHOLDS = (700, 5, 1)  # a young collection after so many new objects, an older one after six, a full one after two
FROZEN_OBJECTS = 4_000  # fewer that lasted stay: at rest they are requests under way, and no connections
OLDEST = 2  # the generation whose collection looks at everything

# What was frozen and became a cycle of garbage is found only by looking at everything once, start-up's objects too.
THAW_SECONDS = 3_600.0  # between two such looks
FEW_CONNECTIONS = 100  # nobody else may be kept waiting for one
THAW_AT_LATEST_SECONDS = 86_400.0  # a node that is never quiet must not lose memory for good; at fifteen thousand
# connections this look takes about a quarter of a second, which a day hides well
LOOK_SECONDS = 60.0  # between two questions whether it is time


class Pauses:
    """The collector of this process, while `run` runs; there is one of each."""

    def __init__(self, connections: Callable[[], int], clock: Callable[[], float] = time.perf_counter) -> None:
        self.longest_seconds = 0.0  # of the full collections; the younger ones look at few objects
        self.latest_seconds = 0.0
        self._connections = connections
        self._clock = clock
        self._began = 0.0
        self._thawed = 0.0
        self._frozen = False  # since the last thaw

    async def run(self) -> None:
        """Put aside what start-up made, then what lasts, until cancelled."""
        before = gc.get_threshold()
        self.thaw()
        gc.callbacks.append(self._heard)
        gc.set_threshold(*THRESHOLDS)
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                if self.thaws(self._clock()):
                    self.thaw()
        finally:
            gc.set_threshold(*before)
            gc.callbacks.remove(self._heard)

    def thaws(self, now: float) -> bool:
        """Whether it is time to look at everything: something was frozen, long ago, and nearly nobody is here, or so
        long ago that it no longer matters who is."""
        if not self._frozen:
            return False
        waited = now - self._thawed
        return waited >= THAW_AT_LATEST_SECONDS or (waited >= THAW_SECONDS and self._connections() <= FEW_CONNECTIONS)

    def thaw(self) -> None:
        """Look at everything once, and put aside what is not garbage."""
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        gc.collect()  # of nothing: Python puts the next one off until it is for a quarter of what the last one found
        self._thawed, self._frozen = self._clock(), False

    def _heard(self, phase: str, info: dict[str, Any]) -> None:
        """As `gc.callbacks` calls it."""
        if info["generation"] != OLDEST:
            return
        if phase == "start":
            self._began = self._clock()
            return
        if len(gc.get_objects(generation=OLDEST)) > FROZEN_OBJECTS:
            gc.freeze()
            self._frozen = True
        self.latest_seconds = self._clock() - self._began
        self.longest_seconds = max(self.longest_seconds, self.latest_seconds)
