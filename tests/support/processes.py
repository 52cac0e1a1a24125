"""Looks at processes: whether one lives, whether several are gone, and which ones belong to somebody."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

LOOK_SECONDS = 0.02  # the kernel tells nobody but a parent that a process ended


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return _signalled(pid) if not Path("/proc/self").exists() else False
    except ProcessLookupError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def gone(pids: Iterable[int], within_seconds: float) -> bool:
    """Whether all of them end in time."""
    deadline = time.monotonic() + within_seconds
    waiting = set(pids)
    while waiting := {pid for pid in waiting if alive(pid)}:
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def descendants(pid: int) -> set[int]:
    """Every process that this one started, and those started by them, as of now (Linux)."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found.update(children)
        waiting.extend(children)
    return found


def _signalled(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
