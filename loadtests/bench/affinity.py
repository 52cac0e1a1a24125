"""Puts processes on cores: servers on one, the generator on another, so that they do not take time from each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Cores(NamedTuple):
    """Which core servers run on and which the generator; None where there is only one, or no way to choose."""

    servers: int | None
    generator: int | None


def choose() -> Cores:
    """The first of our cores for servers, the last for the generator."""
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return Cores(mine[0], mine[-1]) if len(mine) > 1 else Cores(None, None)


def pin(core: int | None) -> None:
    """Keep this process on a core from now on, and whatever it starts."""
    if core is not None:
        os.sched_setaffinity(0, {core})


@contextmanager
def starting_on(core: int | None) -> Iterator[None]:
    """What is started in here runs on this core, every thread of it; we ourselves come back to where we were."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
