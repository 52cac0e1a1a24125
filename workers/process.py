"""Runs the sweeper as a process: signals, connections, exit code."""

from __future__ import annotations

import asyncio

from relay.settings import Settings


def run_sweeper(settings: Settings) -> int:
    """Sweep until SIGTERM or SIGINT; returns the exit code. `relay sweeper` and `python -m workers sweeper` call it."""
    raise NotImplementedError


async def sweep(settings: Settings, stop: asyncio.Event) -> None:
    """Sweep until `stop` is set; waits out an unreachable Redis or registry instead of ending."""
    raise NotImplementedError
