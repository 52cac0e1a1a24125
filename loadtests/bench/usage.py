"""Reads from the kernel what processes have used: seconds on a processor and resident memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

PROC = Path("/proc")
NANOSECONDS = 1_000_000_000
LOOK_SECONDS = 0.5
LOOKS = 20
RESTING = 0.08  # of a processor; what an idle cluster uses for its own ticks and sweeps is half of that


def cpu_seconds(pids: Iterable[int]) -> float:
    """Time on a processor of these processes so far, user and system, all threads, to the microsecond. Raises
    `ProcessLookupError` for one that has ended, because its time would silently be missing."""
    return sum(_on_processor(pid) for pid in pids) / NANOSECONDS


def _on_processor(pid: int) -> int:
    total = 0
    try:
        tasks = list((PROC / str(pid) / "task").iterdir())
    except FileNotFoundError:
        raise ProcessLookupError(f"server process {pid} has ended") from None
    for task in tasks:
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):  # a thread that ended just now
            continue
    return total


async def at_rest(pids: Iterable[int]) -> None:
    """Wait until these processes have nothing to do: for a second after they are ready, some still import and load."""
    pids = list(pids)
    used = cpu_seconds(pids)
    for _ in range(LOOKS):
        await asyncio.sleep(LOOK_SECONDS)
        before, used = used, cpu_seconds(pids)
        if used - before < RESTING * LOOK_SECONDS:
            return


def resident_kib(pid: int) -> int:
    """Memory that a process holds, without what it shares with others: `Rss` less shared pages that are clean."""
    fields = {}
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        fields[name] = int(value.split()[0])
    return fields["Rss"] - fields["Shared_Clean"]


def supported() -> str | None:
    """Why this system cannot tell, or None."""
    path = PROC / "self" / "schedstat"
    if not path.exists() or not path.read_text().split()[0].isdigit():
        return "the benchmark reads /proc/PID/schedstat, which only Linux has"
    return None
