"""Reads what processes and Redis have done so far, and for how long the processes waited for a processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from redis.asyncio import Redis

from loadtests.bench import usage

PROC = Path("/proc")
NANOSECONDS = 1_000_000_000


class Costs(NamedTuple):
    """As of one moment, by the name of a process or group of them."""

    cpu_seconds: dict[str, float]
    waited_seconds: dict[str, float]  # ready to run, while others had the processors
    redis_commands: int

    def until(self, later: Costs) -> dict[str, Any]:
        """What was spent between this moment and a later one."""
        return {
            "cpuSeconds": {name: round(later.cpu_seconds[name] - was, 2) for name, was in self.cpu_seconds.items()},
            "waitedForProcessorSeconds": {
                name: round(later.waited_seconds[name] - was, 2) for name, was in self.waited_seconds.items()
            },
            "redisCommands": later.redis_commands - self.redis_commands,
        }


async def costs(processes: Mapping[str, Sequence[int]], redis_url: str) -> Costs:
    """Everything up to now. On a host that others use too, what a process waited says how much of a time was theirs."""
    redis = Redis.from_url(redis_url)
    try:
        stats = await redis.info("stats")
    finally:
        await redis.aclose()
    return Costs(
        {name: usage.cpu_seconds(pids) for name, pids in processes.items()},
        {name: max(_waited(pid) for pid in pids) for name, pids in processes.items()},
        int(stats["total_commands_processed"]),  # those of scripts included
    )


def _waited(pid: int) -> float:
    """Of the process's first thread, which runs the event loop."""
    return int((PROC / str(pid) / "schedstat").read_text().split()[1]) / NANOSECONDS
